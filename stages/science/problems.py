"""From a study's arrays to tensors on a device, ready for training.

Shapes: T trials, n rows, d inputs, p the modulus.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.science import models
from stages.science.models import Parameters
from stages.science.studies import STUDIES

Model = Callable[[Parameters, Tensor], Tensor]
Split = tuple[Tensor, Tensor]  # inputs (T, n, d) and targets (T, n) or one-hot (T, n, p)


@dataclass(frozen=True)
class Problem:
    """What every arm of a study shares: model, data, start, and which parameters decay."""

    model: Model
    curvature: float  # c of the data loss (c/2)·mean (ŷ − y)²
    train: Split
    val: Split
    start: Parameters  # (T, …) each
    weights: tuple[str, ...]  # make up weight_norm; the bias never does
    decays: tuple[str, ...]
    classification: bool

    def from_zero(self) -> "Problem":
        return replace(self, start={name: torch.zeros_like(value) for name, value in self.start.items()})

    def trials(self, first: int, last: int) -> "Problem":
        """The problem of a range of trials alone."""
        train, val = ((inputs[first:last], targets[first:last]) for inputs, targets in (self.train, self.val))
        return replace(self, train=train, val=val, start={name: value[first:last] for name, value in self.start.items()})


@dataclass(frozen=True)
class Schedule:
    """The batches of one arm, in order: each trial's row indices (T, b), or None for all rows."""

    batches: Sequence[Tensor | None]
    evaluate_every: int  # steps
    steps_per_epoch: int
    full_batch: bool


def schedule(arrays: Mapping[str, NDArray], section: Any, device: torch.device) -> Schedule:
    """The optimiser's own epochs on full batches where its section has them, else the study's shared schedule."""
    if hasattr(section, "epochs"):
        return Schedule([None] * section.epochs, section.evaluate_every, 1, full_batch=True)
    if "steps" in arrays:
        return Schedule([None] * int(arrays["steps"]), int(arrays["evaluate_every"]), 1, full_batch=True)
    order, size = torch.from_numpy(arrays["order"]).to(device), int(arrays["batch_size"])  # (T, E, n)
    batches = [rows for epoch in order.unbind(1) for rows in epoch.split(size, dim=1)]  # the last of an epoch shorter
    steps_per_epoch = len(batches) // order.shape[1]
    return Schedule(batches, steps_per_epoch, steps_per_epoch, full_batch=steps_per_epoch == 1)


def project(problem: Problem) -> Problem:
    """A linear problem in the coordinates of each trial's span of training rows and start: d inputs become n + 1.

    A gradient of a linear model lies in the span of the rows, L2 decay along the weights, so nothing leaves that span and
    losses and norms stay what they are, to rounding. This needs an optimiser that commutes with rotations: SGD, with
    momentum or without; not Adam, ℓ1 or dropout, which treat each coordinate for itself. The problem itself where d ≤ n + 1.
    """
    (inputs, targets), (val_inputs, val_targets), start = problem.train, problem.val, problem.start["weight"]
    if inputs.shape[2] <= inputs.shape[1] + 1:
        return problem
    basis = span(torch.cat([inputs, start[:, None]], dim=1))
    return replace(
        problem,
        start=problem.start | {"weight": torch.bmm(start[:, None], basis)[:, 0]},
        train=(torch.bmm(inputs, basis), targets),
        val=condense(torch.bmm(val_inputs, basis), val_targets),
    )


def condense(inputs: Tensor, targets: Tensor) -> Split:
    """At most d + 2 rows on which every linear model, whatever its weights and bias, has the same mean squared error.

    A rotation of the rows of [1, X, y] leaves each sum of squared errors what it is. In the coordinates of a basis of the
    columns all rows but d + 2 are zero; a reflection then makes the first column constant again, and a division makes it 1.
    """
    rows, kept = targets.shape[1], inputs.shape[2] + 2
    if rows <= kept:
        return inputs, targets
    columns = torch.cat([torch.ones_like(targets)[..., None], inputs, targets[..., None]], dim=2)
    rotated = torch.bmm(span(columns.mT).mT, columns)  # (T, d + 2, d + 2)
    constant = torch.full_like(rotated[..., :1], (rows / kept) ** 0.5)
    mirror = torch.nn.functional.normalize(rotated[..., :1] - constant, dim=1)
    condensed = torch.baddbmm(rotated, mirror, torch.bmm(mirror.mT, rotated), alpha=-2) / constant
    return condensed[..., 1:-1], condensed[..., -1]


def span(rows: Tensor) -> Tensor:
    """An orthonormal basis that spans each trial's rows, from their Gram matrix; by QR, ten times slower, where two almost
    depend on each other (a sine below 0.1 would cost more than two digits).  (T, k, d) → (T, d, k)"""
    unit = torch.nn.functional.normalize(rows, dim=2)
    factor, failed = torch.linalg.cholesky_ex(torch.bmm(unit, unit.mT))
    if failed.any() or (factor.diagonal(dim1=1, dim2=2) < 0.1).any():
        return torch.linalg.qr(rows.mT).Q
    identity = torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device).expand_as(factor)
    return torch.bmm(unit.mT, torch.linalg.solve_triangular(factor, identity, upper=False).mT)


def build(study: str, arrays: Mapping[str, NDArray], device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    """The problem of one study on the device, in float64 if nothing else is asked."""

    def tensor(name: str) -> Tensor:
        array = torch.from_numpy(arrays[name])
        return (array.to(dtype) if array.is_floating_point() else array).to(device)

    start = {name.removeprefix("start_"): tensor(name) for name in arrays if name.startswith("start_")}
    weights = tuple(name for name in start if name != "bias")
    decays = tuple(start) if STUDIES[study].decays_bias else weights
    facts = STUDIES[study]
    model: Model = models.quadratic if facts.classification else models.linear
    inputs, targets = ("pairs", "labels") if facts.classification else ("inputs", "targets")
    train, val = ((tensor(f"{split}_{inputs}"), tensor(f"{split}_{targets}")) for split in ("train", "val"))
    if facts.classification:
        train, val = ((pairs, models.one_hot(labels, int(arrays["p"])).to(dtype)) for pairs, labels in (train, val))
    return Problem(model, facts.curvature, train, val, start, weights, decays, facts.classification)
