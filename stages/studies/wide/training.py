"""wide, trained: SGD for ten epochs, from the random start, from zero, and with the penalty written in the loss."""

from dataclasses import replace

import torch

from stages.base.streams import Arrays
from stages.engine.problem import Problem, Schedule, linear, shuffled
from stages.engine.training import Run, Training
from stages.studies.wide.system import CURVATURE


def problem(arrays: Arrays, device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    return linear(arrays, device, curvature=CURVATURE, spared=("bias",), dtype=dtype)


def from_zero(arrays: Arrays, device: torch.device) -> Problem:
    return problem(arrays, device).from_zero()


def by_epochs(arrays: Arrays, _: object, device: torch.device) -> Schedule:
    return shuffled(arrays["order"], int(arrays["batch_size"]), device)


BASELINE = Run("baseline", "wide.lr", "wide.optimizers.sgd", problem, by_epochs)
DECAYED = replace(BASELINE, weight_decay="wd")
TRAINING = Training(
    runs={
        "baseline": BASELINE,
        "baseline_zero": replace(BASELINE, problem=from_zero),
        "wd": DECAYED,
        "wd_penalty": replace(DECAYED, penalty_twin="wd"),
        "wd_zero": replace(DECAYED, problem=from_zero),
    },
    swept=BASELINE,
)
