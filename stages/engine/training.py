"""A study's part `training.py`: what it trains, and from which keys of params.yaml."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.models import Parameters
from stages.engine.problem import Problem, Schedule


def nothing(_: Parameters, __: Parameters) -> dict[str, Tensor]:
    return {}


@dataclass(frozen=True)
class Run:
    """One way to train a study, all trials at once.

    λ, the learning rate and the optimiser are named by their keys in params.yaml, which the stage in dvc.yaml tracks.
    """

    weight_decay: str
    lr: str
    optimizer: str  # of a section that has a `kind` and `arguments`
    problem: Callable[[Arrays, torch.device], Problem]
    schedule: Callable[[Arrays, Any, torch.device], Schedule]  # data, the optimiser's section, device → batches
    penalty_twin: str = ""  # if set, λ is a penalty in the loss; the result must match this run to rounding
    runs_at_once: int = 12_500  # in one batch on the CPU; a larger one is no faster
    watch: Callable[[Parameters, Parameters], dict[str, Tensor]] = nothing  # what else an arm records; see `fit`


@dataclass(frozen=True)
class Training:
    runs: Mapping[str, Run]  # row of the metrics → how it is trained; the rows are those of the system's arms
    swept: Run  # the run that the sweep trains, at every λ of the grid
    sweep: Callable[[Settings, Arrays, torch.device, Progress], Arrays] | None = None  # if a grid of λ is not all there is to it
