"""phase, trained: a quadratic network without bias, full batch, AdamW, for each λ on each share of the pairs."""

import numpy as np
import torch

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine import quadratic
from stages.engine.chunks import Progress
from stages.engine.problem import Problem, Schedule, full_batch
from stages.engine.training import Run, Training
from stages.studies.phase.system import CURVATURE


def problem(arrays: Arrays, device: torch.device) -> Problem:
    return quadratic.problem(arrays, device, curvature=CURVATURE)


def by_steps(arrays: Arrays, _: object, __: torch.device) -> Schedule:
    return full_batch(int(arrays["steps"]), int(arrays["evaluate_every"]))


RUN = Run("baseline", "phase.lr", "phase.optimizers.adamw", problem, by_steps, runs_at_once=9)  # more are no faster on a core


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """`train_accuracy` and `val_accuracy` (F, T, L, K), NaN where a run is right about all pairs before; `diverged` (F, T, L)."""
    section = settings.phase
    shares, decays = section.train_fraction, section.sweep
    found = quadratic.over_shares("phase", RUN, shares, decays, settings, arrays, device=device, progress=progress)
    names = ("diverged", "train_accuracy", "val_accuracy")
    return {name: np.stack([each[name] for each in found]) for name in names} | {"steps": found[0]["steps"]}


TRAINING = Training(runs={}, swept=RUN, sweep=sweep)
