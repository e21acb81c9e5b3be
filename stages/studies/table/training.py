"""table, trained: linear or logistic regression by gradient descent with momentum from zero; biases are spared.

Shapes: T trials, K numbers of training rows, L values of λ, n rows, D inputs, C outputs: the classes, or one number.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stages.base.rounding import PATH, on_grid
from stages.base.streams import Arrays
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.losses import CROSS_ENTROPY
from stages.engine.models import LOGISTIC, one_hot
from stages.engine.optimizers import sgd
from stages.engine.problem import Problem, full_batch, linear
from stages.engine.rotation import arrives, rotated
from stages.engine.training import Fitting, Training
from stages.studies.table.system import CONVERGED, CURVATURE, Division, Rows, divided, sizes

AT_ONCE = 2**24  # numbers of training inputs in a batch of trials


def job(section: Rows, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    """The model on all training rows of every trial."""
    rows, classes = sizes(section, arrays)[-1], len(arrays["classes"])
    divisions = [divided(arrays, trial, rows) for trial in range(len(arrays["order"]))]
    lr = rate(section, max(map(steepest, divisions)), weight_decays, classes)
    return trained_on(problem(divisions, classes, device), section, lr, weight_decays)


def trained_on(problem: Problem, section: Rows, lr: float, weight_decays: Sequence[float]) -> Job:
    train = section.train
    return Job(problem, full_batch(train.steps, train.steps), sgd(train.momentum), lr, Decay(tuple(weight_decays)))


def steepest(division: Division) -> float:
    """The largest eigenvalue of XᵀX/n."""
    inputs, _ = division.train
    return float(np.linalg.eigvalsh(inputs.T @ inputs)[-1]) / len(inputs)


def rate(section: Rows, steepest: float, weight_decays: Sequence[float], classes: int) -> float:
    """The learning rate on some number of training rows: a share of 2(1 + momentum)/(curvature + λ), the largest that is stable.

    One for all trials and all λ: the curvature is that of the steepest trial, λ the largest. The curvature of half the squared
    error is the largest eigenvalue of XᵀX/n, that of cross-entropy at most half of it.
    Source: Böhning, "Multinomial logistic regression algorithm" (1992).
    """
    curvature = steepest / 2 if classes else steepest
    return section.train.lr * 2 * (1 + section.train.momentum) / (curvature + max(weight_decays) or 1.0)


def problem(divisions: Sequence[Division], classes: int, device: torch.device) -> Problem:
    splits = {split: [getattr(each, split) for each in divisions] for split in ("train", "val", "test")}
    stacked = {split: [np.stack(each) for each in zip(*parts, strict=True)] for split, parts in splits.items()}
    trials, _, inputs = stacked["train"][0].shape
    if not classes:
        made = {
            f"{split}_{name}": each
            for split, parts in stacked.items()
            for name, each in zip(("inputs", "targets"), parts, strict=True)
        }
        start = {"start_weight": np.zeros((trials, inputs)), "start_bias": np.zeros(trials)}
        return linear(made | start, device, curvature=CURVATURE, spared=("bias",))
    tensors = {split: [torch.from_numpy(each).to(device) for each in parts] for split, parts in stacked.items()}
    train, val, test = ((x, one_hot(labels.long(), classes)) for x, labels in tensors.values())
    shapes = {"weight": (inputs, classes), "bias": (classes,)}
    zero = {name: torch.zeros(trials, *shape, dtype=torch.float64, device=device) for name, shape in shapes.items()}
    return Problem(LOGISTIC, CROSS_ENTROPY, train, val, zero, ("weight",), ("bias",), classes=True, test=test)


def sweep(section: Rows, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The weights (T, K, L, D, C) and biases (T, K, L, C) on each number of training rows (K,) at each λ (L,).

    A regression that would not arrive is not trained: NaN, and `trained` (K, L) is false.
    """
    counts, weight_decays = sizes(section, arrays), np.array(section.sweep.wd)
    alone = classified if len(arrays["classes"]) else regressed
    parts = [alone(section, arrays, rows, device, fit) for rows in counts]
    weight, bias = (np.stack(each, axis=1) for each in list(zip(*parts, strict=True))[:2])
    largest = np.maximum(np.abs(weight).max(axis=(3, 4)), np.abs(bias).max(axis=3))  # (T, K, L)
    return {
        "weight": on_grid(weight, largest[..., None, None], PATH),
        "bias": on_grid(bias, largest[..., None], PATH),
        "trained": ~np.isnan(weight).any(axis=(0, 3, 4)),
        "weight_decay": weight_decays,
        "rows": np.array(counts),
    }


def regressed(section: Rows, arrays: Arrays, rows: int, device: torch.device, fit: Fitting) -> tuple[NDArray, NDArray]:
    """In rotated coordinates, where D inputs do not wait for each other.

    Inputs and target are centred, so the bias stays at zero.  (T, L, D, 1), (T, L, 1)
    """
    weight_decays, train = section.sweep.wd, section.train
    trials = range(len(arrays["order"]))
    parts = []
    for trial in trials:
        inputs, targets = divided(arrays, trial, rows).train
        left, values, rotation = np.linalg.svd(inputs, full_matrices=False)
        parts.append((values, targets @ left, rotation))
    values, aims, rotation = (np.stack(each) for each in zip(*parts, strict=True))
    lr = rate(section, float(values.max()) ** 2 / rows, section.sweep.wd, classes=0)
    known = arrives(values, weight_decays, rows, train.steps, lr=lr, momentum=train.momentum, converged=CONVERGED)
    weight = np.full((len(trials), len(weight_decays), rotation.shape[2], 1), np.nan)
    if known.any():
        apart = trained_on(rotated(values, aims, rows, device), section, lr, np.array(weight_decays)[known].tolist())
        fitted = fit(f"table, n = {rows}", apart).parameters["weight"].cpu().numpy()
        weight[:, known] = (fitted @ rotation)[..., None]
    return weight, np.zeros_like(weight[..., 0, :])


def classified(section: Rows, arrays: Arrays, rows: int, device: torch.device, fit: Fitting) -> tuple[NDArray, NDArray]:
    """So many trials at a time that their rows fit into the memory.  (T, L, D, C), (T, L, C)"""
    trials, classes = len(arrays["order"]), len(arrays["classes"])
    lr = rate(section, max(steepest(divided(arrays, trial, rows)) for trial in range(trials)), section.sweep.wd, classes)
    width = arrays["inputs"].shape[1] + len(arrays["terms"])
    parts = []
    for some in np.array_split(range(trials), min(trials, -(-trials * rows * width // AT_ONCE))):
        divisions = [divided(arrays, trial, rows) for trial in some.tolist()]
        made = trained_on(problem(divisions, classes, device), section, lr, section.sweep.wd)
        fitted = fit(f"table, n = {rows}", made).parameters
        parts.append([fitted[name].cpu().numpy() for name in ("weight", "bias")])
    weight, bias = (np.concatenate(each) for each in zip(*parts, strict=True))
    return weight, bias


TRAINING = Training(job=job, sweep=sweep)
