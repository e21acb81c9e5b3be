"""A study's part `training.py`: what it trains, and from which keys of params.yaml."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.problem import Problem, Schedule


@dataclass(frozen=True)
class Run:
    """One way to train, of all trials at once. The keys name values of params.yaml; the stage in dvc.yaml tracks them."""

    weight_decay: str
    lr: str
    optimizer: str  # key of a section with the optimiser's `kind` and `arguments`
    problem: Callable[[Arrays, torch.device], Problem]
    schedule: Callable[[Arrays, Any, torch.device], Schedule]  # gets the optimiser's section, which may have its own
    penalty_twin: str = ""  # If set, λ is a penalty in the loss; the result must match this run to rounding.


@dataclass(frozen=True)
class Training:
    runs: Mapping[str, Run]  # row of the metrics → how it is trained; the rows are those of the system's arms
    swept: Run  # what the sweep trains, at other λ than its own
    sweep: Callable[[Settings, Arrays, torch.device, Progress], Arrays]  # → what `evaluate_sweep` reads
