"""line, trained: SGD for ten epochs, and Adam for ten thousand. Nothing is spared: the intercept decays too."""

import torch

from stages.base.streams import Arrays
from stages.engine.problem import Problem, Schedule, full_batch, linear, shuffled
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


TRAINING = Training(
    runs={
        "baseline": sgd("baseline"),
        "baseline_adam": adam("baseline"),
        "wd": sgd("line.wd"),
        "wd_adam": adam("line.optimizers.adam.wd"),
    },
    swept=sgd("baseline"),
)
