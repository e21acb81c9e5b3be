"""line, trained: SGD for ten epochs, and Adam for ten thousand. Nothing is spared: the intercept decays too."""

from typing import Any

import torch
from torch import Tensor

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.models import Parameters
from stages.engine.problem import Problem, Schedule, full_batch, linear, shuffled
from stages.engine.sweep import over_decays
from stages.engine.training import Run, Training
from stages.studies.line.system import CURVATURE, OwnAdam


def problem(arrays: Arrays, device: torch.device) -> Problem:
    return linear(arrays, device, curvature=CURVATURE, spared=())


def by_epochs(arrays: Arrays, _: object, device: torch.device) -> Schedule:
    return shuffled(arrays["order"], int(arrays["batch_size"]), device)


def by_adams_own(_: Arrays, adam: OwnAdam, __: torch.device) -> Schedule:
    return full_batch(adam.epochs, adam.evaluate_every)


def sgd(weight_decay: str) -> Run:
    return Run(weight_decay, "line.lr", "line.optimizers.sgd", problem, by_epochs)


def adam(weight_decay: str) -> Run:
    return Run(weight_decay, "line.optimizers.adam.lr", "line.optimizers.adam", problem, by_adams_own)


def fitted_line(_: Parameters, now: Parameters) -> dict[str, Tensor]:
    """Slope and intercept.  (T, L) each"""
    return {"weight": now["weight"][..., 0].clone(), "bias": now["bias"].clone()}


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """Every λ, with the line that is fitted: `weight` and `bias` join the histories."""
    options: dict[str, Any] = {"device": device, "progress": progress, "watch": fitted_line}
    return over_decays("line", sgd("baseline"), settings.line.sweep, settings, arrays, **options)


TRAINING = Training(
    runs={
        "baseline": sgd("baseline"),
        "baseline_adam": adam("baseline"),
        "wd": sgd("line.wd"),
        "wd_adam": adam("line.optimizers.adam.wd"),
    },
    swept=sgd("baseline"),
    sweep=sweep,
)
