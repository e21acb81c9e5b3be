"""wide, trained: SGD for ten epochs, from the random start, from zero, and with the penalty written in the loss."""

from dataclasses import replace

import torch

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.problem import Problem, Schedule, linear, shuffled
from stages.engine.sweep import over_decays
from stages.engine.training import Run, Training
from stages.studies.wide.system import CURVATURE

RUNS_AT_ONCE = 12_500  # in one batch; a larger one is no faster


def problem(arrays: Arrays, device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    return linear(arrays, device, curvature=CURVATURE, spared=("bias",), dtype=dtype)


def from_zero(arrays: Arrays, device: torch.device) -> Problem:
    return problem(arrays, device).from_zero()


def by_epochs(arrays: Arrays, _: object, device: torch.device) -> Schedule:
    return shuffled(arrays["order"], int(arrays["batch_size"]), device)


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    decays = settings.wide.sweep
    return over_decays("wide", BASELINE, decays, settings, arrays, device=device, runs_at_once=RUNS_AT_ONCE, progress=progress)


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
    sweep=sweep,
)
