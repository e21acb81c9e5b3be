"""A job: all that one training needs, as values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stages.base.errors import UserError
from stages.engine.decay import Decay
from stages.engine.models import Parameters
from stages.engine.optimizers import Optimizer
from stages.engine.problem import Problem, Schedule

Measured = dict[str, Tensor]


def nothing(_: Parameters, __: Parameters) -> Measured:
    return {}


def never(_: Measured) -> bool:
    return False


@dataclass(frozen=True)
class Job:
    """One way to train a problem: every trial with every λ.

    `watch` is given the parameters before and after the last step (at the start, twice the same); what it returns, which must be
    a copy, joins the history. Training ends after an evaluation that is `enough`; those that would have followed are NaN.
    Raises UserError where ℓ1 meets another optimiser than plain gradient descent.
    """

    problem: Problem
    schedule: Schedule
    optimizer: Optimizer
    lr: float
    decay: Decay
    watch: Callable[[Parameters, Parameters], Measured] = nothing
    enough: Callable[[Measured], bool] = never
    runs_at_once: int = 12_500  # in one batch on the CPU; a larger one is no faster
    heavy: bool = False  # so much to compute that a process for each batch pays, though it imports torch

    def __post_init__(self) -> None:
        if self.decay.l1_ratio and (not self.optimizer.heavy_ball or self.optimizer.momentum):
            told = f"{self.optimizer.make.__name__} with {dict(self.optimizer.arguments)}"
            raise UserError(f"an ℓ1 penalty: expected sgd without momentum, as its step is proximal, got {told}")

    def at(self, weight_decays: Sequence[float], *, l1_ratio: float = 0.0) -> "Job":
        """The same with other λ."""
        return replace(self, decay=Decay(tuple(weight_decays), l1_ratio=l1_ratio))

    @property
    def device(self) -> torch.device:
        return self.problem.train[1].device

    @property
    def trials(self) -> int:
        return len(self.problem.train[1])

    @property
    def runs(self) -> int:
        return self.trials * len(self.decay.weight_decays)

    def each(self, of: Callable[[Any], Any]) -> "Job":
        """The same with another value for each of its tensors."""
        return replace(self, problem=self.problem.each(of), schedule=self.schedule.each(of))

    def part(self, trials: slice, weight_decays: slice) -> "Job":
        """Some of the trials with some of the λ."""
        decay = replace(self.decay, weight_decays=self.decay.weight_decays[weight_decays])
        return replace(self.each(lambda value: value[trials]), decay=decay)
