"""line, trained: SGD for ten epochs, and Adam for ten thousand. Nothing is spared: the intercept decays too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stages.base.streams import Arrays, orders
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.models import Parameters
from stages.engine.optimizers import adam, sgd
from stages.engine.problem import Problem, full_batch, linear, shuffled
from stages.engine.train import over_decays
from stages.engine.training import Fitting, Training
from stages.studies.line.system import CURVATURE, SYSTEM, Line


def problem(arrays: Arrays, device: torch.device) -> Problem:
    return linear(arrays, device, curvature=CURVATURE, spared=())


def job(section: Line, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    """SGD, reshuffled every epoch."""
    train = section.train
    schedule = shuffled(orders(arrays, SYSTEM.key, train.epochs), train.batch_size, device)
    return Job(problem(arrays, device), schedule, sgd(train.momentum), train.lr, Decay(tuple(weight_decays)))


def jobs(section: Line, arrays: Arrays, device: torch.device, *, wd: float, adam_wd: float) -> Mapping[str, Job]:
    own = section.train.adam
    schedule = full_batch(own.epochs, own.evaluate_every)
    return {
        "": job(section, arrays, device, [wd]),
        "_adam": Job(problem(arrays, device), schedule, adam(own), own.lr, Decay((adam_wd,))),
    }


def fitted_line(_: Parameters, now: Parameters) -> dict[str, Tensor]:
    """Slope and intercept.  (T, L) each"""
    return {"weight": now["weight"][..., 0].clone(), "bias": now["bias"].clone()}


def sweep(section: Line, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """Every λ, with the line that is fitted: `weight` and `bias` join the histories."""
    return over_decays("line", replace(job(section, arrays, device, section.sweep.wd), watch=fitted_line), fit)


TRAINING = Training(job=job, jobs=jobs, sweep=sweep)
