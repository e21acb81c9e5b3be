"""What is trained, and on which rows in which order: a study's arrays as tensors on a device.

Shapes: T trials, n rows, b rows of a batch, d inputs, C classes, E epochs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.base.errors import UserError
from stages.engine.losses import Loss, squared
from stages.engine.models import LINEAR, Model, Parameters

Batches = Sequence[Tensor | None]  # each trial's row indices (T, b), or None for all rows
Split = tuple[Tensor, Tensor]  # inputs (T, n, d) and targets (T, n), or one-hot (T, n, C)


@dataclass(frozen=True)
class Problem:
    """A model with its loss, its data and its start. Raises UserError where it names a parameter that is not there."""

    model: Model
    loss: Loss
    train: Split
    val: Split
    start: Parameters  # (T, …) each
    weights: tuple[str, ...]  # parameters that make up weight_norm
    spared: tuple[str, ...]  # parameters that do not decay; all others do
    classes: bool = False  # targets are one-hot, and accuracies are measured
    test: Split | None = None  # rows on which nothing is chosen
    least_squares: bool = False  # a linear model under squared error, so `projection` and `stability` apply

    def __post_init__(self) -> None:
        unknown = {*self.weights, *self.spared} - set(self.start)
        if unknown or not self.weights:
            raise UserError(f"a study's problem: expected weights and spared among {sorted(self.start)}, got {sorted(unknown)}")

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "val": self.val} | ({"test": self.test} if self.test else {})

    @property
    def decayed(self) -> tuple[str, ...]:
        return tuple(name for name in self.start if name not in self.spared)

    def from_zero(self) -> "Problem":
        return replace(self, start={name: torch.zeros_like(value) for name, value in self.start.items()})

    def each(self, of: Callable[[Any], Any]) -> "Problem":
        """The same with another value for each of its tensors, whose first axis is the trials."""
        splits = {name: (of(inputs), of(targets)) for name, (inputs, targets) in self.splits.items()}
        return replace(self.on(splits), start={name: of(value) for name, value in self.start.items()})

    def on(self, splits: Mapping[str, Split]) -> "Problem":
        """The problem on other rows."""
        return replace(self, train=splits["train"], val=splits["val"], test=splits.get("test"))


@dataclass(frozen=True)
class Schedule:
    """The batches of a run, in order: each trial's row indices (T, b), or None for all rows.

    `pace` is the learning rate of each step, as a share of the run's; empty where it stays the same.
    """

    batches: Batches
    evaluate_every: int  # steps
    steps_per_epoch: int
    pace: Sequence[float] = ()

    @property
    def full_batch(self) -> bool:
        return self.steps_per_epoch == 1

    def each(self, of: Callable[[Any], Any]) -> "Schedule":
        """The same with another value for the rows of each batch; batches that are one object stay one."""
        other = {id(rows): of(rows) for rows in self.batches if rows is not None}
        return replace(self, batches=[rows if rows is None else other[id(rows)] for rows in self.batches])


def full_batch(steps: int, evaluate_every: int, pace: Sequence[float] = ()) -> Schedule:
    return Schedule([None] * steps, evaluate_every, 1, pace)


def linear_to_zero(steps: int) -> list[float]:
    """The pace of a learning rate that falls to zero along a line: what a constant one would keep stirring settles."""
    return [1 - step / steps for step in range(steps)]


def shuffled(order: NDArray, batch_size: int, device: torch.device) -> Schedule:
    """Every epoch in its own order, evaluated after each; the last batch of an epoch may be shorter.  (T, E, n)"""
    rows = torch.from_numpy(order).to(device)
    batches = [batch for epoch in rows.unbind(1) for batch in epoch.split(batch_size, dim=1)]
    steps_per_epoch = len(batches) // rows.shape[1]
    return Schedule(batches, steps_per_epoch, steps_per_epoch)


def tensors(arrays: Mapping[str, NDArray], device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Arrays on the device: floating-point ones as `dtype`, integers as they are."""
    found = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {name: (each.to(dtype) if each.is_floating_point() else each).to(device) for name, each in found.items()}


def linear(
    arrays: Mapping[str, NDArray],
    device: torch.device,
    *,
    curvature: float,
    spared: tuple[str, ...],
    dtype: torch.dtype = torch.float64,
) -> Problem:
    """A linear model under squared error, from `train_inputs`, `train_targets`, `val_…`, `start_weight`, maybe `start_bias`."""
    known = tensors(arrays, device, dtype)
    train, val = ((known[f"{split}_inputs"], known[f"{split}_targets"]) for split in ("train", "val"))
    start = {name: known[f"start_{name}"] for name in ("weight", "bias") if f"start_{name}" in known}
    return Problem(LINEAR, squared(curvature), train, val, start, ("weight",), spared, least_squares=True)


def isotropic(arrays: Mapping[str, NDArray], device: torch.device, *, curvature: float) -> Problem:
    """A linear model without bias, from zero, on rows of isotropic inputs.

    The validation rows are √d times the unit vectors: on these, half the mean squared error is ½‖w − w*‖².
    """
    trials, _, inputs = arrays["train_inputs"].shape
    unit = np.sqrt(inputs) * np.broadcast_to(np.eye(inputs), (trials, inputs, inputs))
    made = {
        "train_inputs": arrays["train_inputs"],
        "train_targets": arrays["train_targets"],
        "val_inputs": unit.copy(),
        "val_targets": np.sqrt(inputs) * arrays["true_weight"].astype(np.float64),
        "start_weight": np.zeros((trials, inputs)),
    }
    return linear(made, device, curvature=curvature, spared=())
