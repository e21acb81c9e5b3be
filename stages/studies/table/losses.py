"""Every trial of table in numbers: losses of each split at each λ, degrees of freedom, leave-one-out.

Shapes: T trials, L values of λ, n rows, D inputs, C outputs.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import END, losses_on_grid, on_grid
from stages.base.streams import Arrays
from stages.studies.table.system import CURVATURE, Division, Split, divided, unit
from stages.theory.ridge import degrees_of_freedom, generalised, leave_one_out, path

ARRIVED = 1e-4  # of the first gradient
Values = dict[str, NDArray[np.float64]]


def measured(arrays: Arrays, swept: Mapping[str, NDArray], index: int, rows: int) -> Values:
    """Measure each trial at each λ, on the number of training rows that stands at `index`.  (T, L) each, weights (T, L, D)"""
    measure = of_classes if len(arrays["classes"]) else of_numbers
    known = swept["weight"][:, index], swept["bias"][:, index]
    each = [
        measure(divided(arrays, trial, rows), swept["weight_decay"], *(one[trial] for one in known))
        for trial in range(len(arrays["order"]))
    ]
    values = {name: np.stack([one[name] for one in each]) for name in each[0]}
    if "degrees_of_freedom" in values:
        values["test_error"] = unit(arrays) * np.sqrt(2 * values["test_loss"])
    return values


def of_numbers(division: Division, weight_decays: NDArray, weight: NDArray, _: NDArray) -> Values:
    """One trial of a regression at each λ: losses of the trained weights, or of the exact solution where none are.

    Leave-one-out and generalised cross-validation are the exact solution's, from which training is away by `CONVERGED`.
    weight (L, D, 1) → (L,) each, weights (L, D)
    """
    inputs, targets = division.train
    parts = np.linalg.svd(inputs, full_matrices=False)
    penalties = len(inputs) * weight_decays
    exact = path(*parts, targets, penalties)
    weights = np.where(np.isnan(weight[..., 0]), exact, weight[..., 0])
    freedom = degrees_of_freedom(parts[1], penalties)
    found = {"degrees_of_freedom": on_grid(freedom, len(inputs), END), "weights": weights}
    for split, (own, aims) in splits(division).items():
        found[f"{split}_loss"] = rounded((aims - weights @ own.T) ** 2, aims)
    found["loo_loss"] = rounded(leave_one_out(*parts[:2], targets, penalties) ** 2, targets)
    found["gcv_loss"] = rounded(generalised(targets - exact @ inputs.T, freedom)[:, None], targets)
    return found


def splits(division: Division) -> dict[str, Split]:
    return {"train": division.train, "val": division.val, "test": division.test}


def rounded(squares: NDArray, targets: NDArray) -> NDArray[np.float64]:
    """Half the mean over rows, rounded as losses are.  (L, n), (n,) → (L,)"""
    return losses_on_grid(CURVATURE / 2 * squares.mean(axis=1), CURVATURE / 2 * np.mean(targets**2))


def of_classes(division: Division, weight_decays: NDArray, weight: NDArray, bias: NDArray) -> Values:
    """One trial of a classification at each λ. An input's weight is the norm of those of all classes.

    Training has arrived where a gradient is left that is next to nothing of the first one.
    weight (L, D, C), bias (L, C) → (L,) each, weights (L, D)
    """
    inputs, classes = division.train[0], weight.shape[2]
    targets = np.eye(classes)[division.train[1].astype(int)]
    scores = np.einsum("nd,ldc->lnc", inputs, weight, optimize=True) + bias[:, None]
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    missed = (powers / powers.sum(axis=2, keepdims=True) - targets) / len(inputs)
    slope = np.einsum("nd,lnc->ldc", inputs, missed, optimize=True) + weight_decays[:, None, None] * weight
    first = np.abs(inputs.T @ (1 / classes - targets) / len(inputs)).max()
    found = {"weights": np.linalg.norm(weight, axis=2), "arrived": np.abs(slope).max(axis=(1, 2)) <= ARRIVED * first}
    for split, (own, labels) in splits(division).items():
        scores = np.einsum("nd,ldc->lnc", own, weight, optimize=True) + bias[:, None]
        scores -= scores.max(axis=2, keepdims=True)
        right = np.take_along_axis(scores, labels.astype(int)[None, :, None], axis=2)[..., 0]
        losses = np.mean(np.log(np.exp(scores).sum(axis=2)) - right, axis=1)
        found[f"{split}_loss"] = on_grid(losses, np.log(weight.shape[2]), END)
        found[f"{split}_accuracy"] = np.mean(scores.argmax(axis=2) == labels, axis=1)
    return found
