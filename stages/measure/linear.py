"""Rows of the metrics for linear models: trained ones, and those that need no training.

Shapes: R trials, n rows, d inputs, L values of λ, E epochs, K evaluations.
`arrays` is a linear study's file, in float64 (`storage.in_float64`).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import END, losses_on_grid, on_grid
from stages.measure.rows import Row, Runs, ended
from stages.measure.statistics import alive, r_squared
from stages.theory.ridge import ridge, without_bias
from stages.theory.trajectory import gradient_descent, sgd_parts

Arrays = Mapping[str, NDArray]
Solution = dict[str, NDArray]  # weight (R, d), bias (R,)
PARTS = ("excess_start", "excess_shrinkage", "excess_noise")  # of a trained linear model's error
More = Callable[[NDArray, NDArray], Row]  # weight (R, d), bias (R,) → further values of a row


def nothing(_: NDArray, __: NDArray) -> Row:
    return {}


def losses_of_zero(arrays: Arrays, curvature: float) -> dict[str, NDArray]:
    """The loss of predicting zero on each split: how large the targets are, on the losses' scale.  (R,) each"""
    return {split: curvature / 2 * np.mean(arrays[f"{split}_targets"] ** 2, axis=1) for split in ("train", "val")}


def rows(arrays: Arrays, runs: Runs, solutions: Mapping[str, Solution], curvature: float, more: More = nothing) -> dict[str, Row]:
    """The rows of trained runs, and beside them those of `solutions`, the best constant (`null`) and the truth (`oracle`).

    `more` gets the parameters of each and says what else a study's rows have.
    """
    known = {
        "null": {"weight": np.zeros_like(arrays["true_weight"]), "bias": arrays["null"]},
        "oracle": {"weight": arrays["true_weight"], "bias": arrays["true_bias"]},
    }
    found = {name: trained_row(arrays, run, curvature, more) for name, run in runs.items()}
    return found | {name: solution_row(arrays, each, curvature, more) for name, each in (known | dict(solutions)).items()}


def losses_row(arrays: Arrays, run: Arrays, curvature: float) -> Row:
    """The end of a trained run, with R²; NaN for a trial that diverged."""
    row = ended(run)
    for split in ("train", "val"):
        row[f"{split}_r2"] = r_squared(row[f"{split}_loss"], arrays[f"{split}_targets"], curvature)
    return row


def trained_row(arrays: Arrays, run: Arrays, curvature: float, more: More = nothing) -> Row:
    """`losses_row`, and what a row says of the parameters."""
    kept = alive(run)
    weight, bias = run["weight"] * kept[:, None], run["bias"] * kept
    return losses_row(arrays, run, curvature) | parameters_row(weight, bias) | more(weight, bias)


def solution_row(arrays: Arrays, solution: Solution, curvature: float, more: More = nothing) -> Row:
    """What a row says of linear predictors that were not trained."""
    weight, bias = solution["weight"], solution["bias"]
    row: Row = {}
    for split, zero in losses_of_zero(arrays, curvature).items():
        targets = arrays[f"{split}_targets"]
        predictions = np.einsum("rnd,rd->rn", arrays[f"{split}_inputs"], weight) + bias[:, None]
        row[f"{split}_loss"] = losses_on_grid(curvature / 2 * np.mean((predictions - targets) ** 2, axis=1), zero)
        row[f"{split}_r2"] = r_squared(row[f"{split}_loss"], targets, curvature)
    largest = np.maximum(np.abs(weight).max(axis=1), np.abs(bias))
    weight, bias = on_grid(weight, largest[:, None], END), on_grid(bias, largest, END)
    row["half_squared_norm"] = half_square(weight)
    row["weight_norm"] = np.sqrt(2 * row["half_squared_norm"])
    return row | parameters_row(weight, bias) | more(weight, bias)


def weights_row(arrays: Arrays, weight: NDArray, curvature: float, more: More = nothing) -> Row:
    """What a row says of the weights of a model without a bias that were not trained.  (R, d)"""
    row = solution_row(arrays, {"weight": weight, "bias": np.zeros(len(weight))}, curvature, more)
    return {name: value for name, value in row.items() if name not in ("bias", "weight")}


def parameters_row(weight: NDArray, bias: NDArray) -> Row:
    """The parameters that fit in a row: the bias, and a weight that is alone."""
    return {"bias": bias} | ({"weight": weight[:, 0]} if weight.shape[1] == 1 else {})


def population_loss(arrays: Arrays, weight: NDArray, bias: NDArray) -> NDArray:
    """Half the mean squared error on unseen isotropic inputs, ½(‖w − w*‖² + (b − b*)² + σ²).  (R, d), (R,) → (R,)"""
    excess = half_square(weight - arrays["true_weight"]) + (bias - arrays["true_bias"]) ** 2 / 2
    return losses_on_grid(excess + arrays["noise"] ** 2 / 2, truth_size(arrays))


def truth_size(arrays: Arrays) -> NDArray:
    """½(‖w*‖² + b*²), the loss of predicting zero on unseen isotropic inputs without noise.  (R,)"""
    return half_square(arrays["true_weight"]) + arrays["true_bias"] ** 2 / 2


def ridges(arrays: Arrays, weight_decay: float, *, curvature: float, decays_bias: bool) -> Solution:
    """Every trial's ridge solution."""
    pairs = zip(arrays["train_inputs"], arrays["train_targets"], strict=True)
    fits = [ridge(x, y, weight_decay, curvature=curvature, decays_bias=decays_bias) for x, y in pairs]
    return {"weight": np.array([weight for weight, _ in fits]), "bias": np.array([bias for _, bias in fits])}


def optimum(arrays: Arrays, weight_decay: float) -> dict[str, NDArray]:
    """Solve ridge without a bias, in every trial.  (R, d)"""
    return {"weight": without_bias(arrays["train_inputs"], arrays["train_targets"], weight_decay)}


def excess_parts(
    arrays: Arrays,
    weight_decays: NDArray,
    order: NDArray,
    *,
    batch_size: int,
    lr: float,
    momentum: float,
    epochs: Sequence[int] | None = None,
) -> Row:
    """What is left of the start, what shrinkage lost of the signal, what noise was fitted: ½‖·‖² of each.  (R, L, K) each

    The trained weights' error is the exact sum of the three (`trajectory.sgd_parts`). Start and noise have mean zero, so the
    expected excess loss is the sum of the three halves. `excess_intercept` is what the bias has of the second. `epochs` are the
    lengths of training that are asked for, the whole by default.  weight_decays (L,), batch orders (R, E, n)
    """
    truth, start = (np.column_stack([arrays[f"{one}_weight"], arrays[f"{one}_bias"]]) for one in ("true", "start"))
    signal = np.einsum("rnd,rd->rn", arrays["train_inputs"], truth[:, :-1]) + truth[:, -1:]
    none, silence = np.zeros_like(truth), np.zeros_like(signal)
    trained = sgd_parts(
        arrays["train_inputs"],
        np.stack([silence, signal, arrays["train_targets"] - signal], axis=2),
        np.stack([start, none, none], axis=2),
        order,
        weight_decays,
        batch_size=batch_size,
        epochs=epochs or [order.shape[1]],
        lr=lr,
        momentum=momentum,
    )
    missed = trained - np.stack([none, truth, none], axis=1)[:, None, None]  # (R, L, K, 3, d + 1)
    size = truth_size(arrays)[:, None, None, None]
    errors, of_bias = (losses_on_grid(half_square(each), size) for each in (missed, missed[..., -1:]))
    return dict(zip(PARTS, np.moveaxis(errors, 3, 0), strict=True)) | {"excess_intercept": of_bias[..., 1]}


def trajectories(arrays: Arrays, steps: NDArray, *, weight_decay: float, lr: float, curvature: float) -> Row:
    """The histories of full-batch gradient descent in closed form, every parameter decaying.  (R, K) each"""
    histories: dict[str, list[NDArray]] = {"train_loss": [], "val_loss": [], "weight_norm": []}
    for trial, start in enumerate(np.column_stack([arrays["start_weight"], arrays["start_bias"]])):
        design = {
            split: np.pad(arrays[f"{split}_inputs"][trial], ((0, 0), (0, 1)), constant_values=1) for split in ("train", "val")
        }
        targets = {split: arrays[f"{split}_targets"][trial] for split in design}
        path = gradient_descent(
            design["train"], targets["train"], start, steps, lr=lr, weight_decay=weight_decay, curvature=curvature
        )  # (K, d + 1)
        for split in design:
            losses = curvature / 2 * np.mean((path @ design[split].T - targets[split]) ** 2, axis=1)
            histories[f"{split}_loss"].append(losses_on_grid(losses, curvature / 2 * np.mean(targets[split] ** 2)))
        histories["weight_norm"].append(np.linalg.norm(path[:, :-1], axis=1))
    return {name: np.array(each) for name, each in histories.items()}


def half_square(vectors: NDArray) -> NDArray:
    return np.sum(vectors**2, axis=-1) / 2
