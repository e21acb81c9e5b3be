"""Rows without training: ridge at the same λ, the best constant, the true weights; and exact parts of trained ones.

Shapes: R trials, n rows, d inputs. `arrays` is a linear study's file, in float64 (`storage.in_float64`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.science import theory
from stages.science.rounding import END, losses_on_grid, on_grid
from stages.science.studies import STUDIES, Study
from stages.science.summaries import r_squared

Arrays = Mapping[str, NDArray]
Row = dict[str, NDArray]


def losses_of_zero(arrays: Arrays, study: Study) -> dict[str, NDArray]:
    """The loss of predicting zero on each split, the size of its targets on the losses' scale.  (R,) each"""
    if study.classification:
        size = np.full(len(arrays["train_labels"]), study.curvature / 2 / int(arrays["p"]))
        return {"train": size, "val": size}
    return {split: study.curvature / 2 * np.mean(arrays[f"{split}_targets"] ** 2, axis=1) for split in ("train", "val")}


def linear_row(arrays: Arrays, study: Study, weight: NDArray, bias: NDArray) -> Row:
    """What a metrics row says of linear predictors: weight (R, d), bias (R,)."""
    row: Row = {}
    for split, zero in losses_of_zero(arrays, study).items():
        targets = arrays[f"{split}_targets"]
        predictions = np.einsum("rnd,rd->rn", arrays[f"{split}_inputs"], weight) + bias[:, None]
        row[f"{split}_loss"] = losses_on_grid(study.curvature / 2 * np.mean((predictions - targets) ** 2, axis=1), zero)
        row[f"{split}_r2"] = r_squared(row[f"{split}_loss"], targets, study.curvature)
    largest = np.maximum(np.abs(weight).max(axis=1), np.abs(bias))
    weight, bias = on_grid(weight, largest[:, None], END), on_grid(bias, largest, END)
    row["half_squared_norm"] = half_square(weight)
    row["weight_norm"] = np.sqrt(2 * row["half_squared_norm"])
    return row | parameters_row(arrays, weight, bias)


def parameters_row(arrays: Arrays, weight: NDArray, bias: NDArray) -> Row:
    """The parameters that fit in a row, and the error on unseen isotropic inputs, ½(‖w − w*‖² + (b − b*)² + σ²)."""
    row = {"bias": bias}
    if weight.shape[1] == 1:
        row["weight"] = weight[:, 0]
    if "noise" in arrays:
        excess = half_square(weight - arrays["true_weight"]) + (bias - arrays["true_bias"]) ** 2 / 2
        row["population_loss"] = losses_on_grid(excess + arrays["noise"] ** 2 / 2, truth_size(arrays))
    return row


def truth_size(arrays: Arrays) -> NDArray:
    """½(‖w*‖² + b*²), the loss on unseen isotropic inputs of predicting zero where there is no noise.  (R,)"""
    return half_square(arrays["true_weight"]) + arrays["true_bias"] ** 2 / 2


def linear(arrays: Arrays, study: Study, ridge_decays: Mapping[str, float]) -> dict[str, Row]:
    """The rows `null`, `oracle` and ridge at each named λ."""
    inputs, targets = arrays["train_inputs"], arrays["train_targets"]
    solutions = {
        "null": (np.zeros_like(arrays["true_weight"]), arrays["null"]),
        "oracle": (arrays["true_weight"], arrays["true_bias"]),
    }
    for name, weight_decay in ridge_decays.items():
        fits = [
            theory.ridge(x, y, weight_decay, curvature=study.curvature, decays_bias=study.decays_bias)
            for x, y in zip(inputs, targets, strict=True)
        ]
        solutions[name] = (np.array([weight for weight, _ in fits]), np.array([bias for _, bias in fits]))
    return {name: linear_row(arrays, study, weight, bias) for name, (weight, bias) in solutions.items()}


def chance(arrays: Arrays) -> dict[str, Row]:
    """The row `null` of a classification: every class equally likely."""
    p, trials = int(arrays["p"]), len(arrays["train_labels"])
    loss = np.full(trials, (1 - 1 / p) / p)
    accuracy = np.full(trials, 1 / p)
    names = {"train_loss": loss, "val_loss": loss, "train_accuracy": accuracy, "val_accuracy": accuracy}
    return {"null": names | {"weight_norm": np.zeros(trials), "half_squared_norm": np.zeros(trials)}}


def excess_parts(arrays: Arrays, *, weight_decay: float, lr: float, momentum: float) -> Row:
    """What is left of the start, what shrinkage lost of the signal, what noise was fitted: ½‖·‖² of each.  (R,) each

    The trained weights' error is the exact sum of the three (`theory.sgd_parts`), and as start and noise have mean zero
    the expected excess loss is the sum of the three halves.
    """
    parts = []
    for trial, weight in enumerate(arrays["start_weight"]):
        x, y = arrays["train_inputs"][trial], arrays["train_targets"][trial]
        truth = np.append(arrays["true_weight"][trial], arrays["true_bias"][trial])
        signal, none = x @ truth[:-1] + truth[-1], np.zeros_like(truth)
        trained = theory.sgd_parts(
            x,
            np.column_stack([np.zeros_like(y), signal, y - signal]),
            np.column_stack([np.append(weight, arrays["start_bias"][trial]), none, none]),
            batches(arrays, trial),
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
        )
        errors = half_square((trained - np.column_stack([none, truth, none])).T)
        parts.append(losses_on_grid(errors, truth_size(arrays)[trial]))
    return dict(zip(("excess_start", "excess_shrinkage", "excess_noise"), np.array(parts).T, strict=True))


def descent(arrays: Arrays, study: Study, steps: NDArray, *, weight_decay: float, lr: float) -> Row:
    """The histories of full-batch gradient descent in closed form, every parameter decaying.  (R, K) each"""
    histories: dict[str, list[NDArray]] = {"train_loss": [], "val_loss": [], "weight_norm": []}
    for trial, start in enumerate(np.column_stack([arrays["start_weight"], arrays["start_bias"]])):
        design = {
            split: np.pad(arrays[f"{split}_inputs"][trial], ((0, 0), (0, 1)), constant_values=1) for split in ("train", "val")
        }
        targets = {split: arrays[f"{split}_targets"][trial] for split in design}
        path = theory.gradient_descent(
            design["train"], targets["train"], start, steps, lr=lr, weight_decay=weight_decay, curvature=study.curvature
        )  # (K, d + 1)
        for split in design:
            losses = study.curvature / 2 * np.mean((path @ design[split].T - targets[split]) ** 2, axis=1)
            histories[f"{split}_loss"].append(losses_on_grid(losses, study.curvature / 2 * np.mean(targets[split] ** 2)))
        histories["weight_norm"].append(np.linalg.norm(path[:, :-1], axis=1))
    return {name: np.array(each) for name, each in histories.items()}


def expected_val_losses(study: str, arrays: Arrays, decays: Sequence[float], *, lr: float, momentum: float) -> NDArray | None:
    """What theory expects of each trial at each λ, (T, L), or None where it does not cover the training.

    `line`, on full batches: gradient descent in closed form. `wide`: the exact parts of the error plus the noise, the
    loss on unseen rows but for the products of start, signal and noise, whose expectation is zero. NaN where training
    is expected to diverge.
    """
    epochs, rows = arrays["order"].shape[1:]
    if study == "line" and (momentum or arrays["batch_size"] < rows):
        return None
    columns = []
    with np.errstate(over="ignore", invalid="ignore"):
        for weight_decay in decays:
            if study == "wide":
                parts = excess_parts(arrays, weight_decay=weight_decay, lr=lr, momentum=momentum)
                columns.append(sum(parts.values()) + float(arrays["noise"]) ** 2 / 2)
            else:
                end = np.array([epochs])
                columns.append(descent(arrays, STUDIES[study], end, weight_decay=weight_decay, lr=lr)["val_loss"][:, 0])
    expected = np.stack(columns, axis=1)
    return np.where(np.isfinite(expected), expected, np.nan)


def batches(arrays: Arrays, trial: int) -> list[NDArray]:
    """One trial's rows in the order of training, a batch each."""
    size = int(arrays["batch_size"])
    return [epoch[first : first + size] for epoch in arrays["order"][trial] for first in range(0, len(epoch), size)]


def half_square(vectors: NDArray) -> NDArray:
    return np.sum(vectors**2, axis=-1) / 2
