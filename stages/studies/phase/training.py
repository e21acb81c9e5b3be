"""phase, trained: a quadratic network without bias, full batch, AdamW, for each λ on each share of the pairs."""

from collections.abc import Sequence

import numpy as np
import torch

from stages.base.addition import must_differ, split_at
from stages.base.streams import Arrays
from stages.engine import addition
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.optimizers import adamw
from stages.engine.problem import full_batch
from stages.engine.training import Fitting, Training
from stages.studies.phase.system import CURVATURE, Phase

HALF = 0.5  # of the pairs, where no share is asked for


def job(section: Phase, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    train, problem = section.train, addition.problem(split_at(arrays, HALF), device, curvature=CURVATURE)
    schedule, decay = full_batch(train.steps, train.evaluate_every), Decay(tuple(weight_decays))
    return Job(problem, schedule, adamw(train), train.lr, decay, runs_at_once=9, heavy=True)  # more are no faster


def sweep(section: Phase, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """`train_accuracy` and `val_accuracy` (F, T, L, K), NaN where a run is right about all pairs before; `diverged` (F, T, L)."""
    whole, shares = job(section, arrays, device, section.sweep.wd), section.sweep.train_fraction
    must_differ(shares, int(arrays["p"]), "phase.sweep.train_fraction")
    found = addition.over_shares("phase", whole, arrays, shares, curvature=CURVATURE, device=device, fit=fit)
    names = ("diverged", "train_accuracy", "val_accuracy")
    return {name: np.stack([each[name] for each in found]) for name in names} | {"steps": found[0]["steps"]}


TRAINING = Training(job=job, sweep=sweep)
