"""wide, trained: SGD for ten epochs, from the random start, from zero, and with the penalty written in the loss.

Shapes: T trials, L decays, K lengths of training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from stages.base.rounding import PATH, losses_on_grid
from stages.base.streams import Arrays, orders
from stages.engine.decay import Decay
from stages.engine.fit import diverged, records
from stages.engine.job import Job
from stages.engine.optimizers import sgd
from stages.engine.problem import Problem, linear, shuffled
from stages.engine.projection import project
from stages.engine.train import over_decays
from stages.engine.training import Fitting, Training
from stages.studies.wide.system import CURVATURE, SYSTEM, Wide


def problem(arrays: Arrays, device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    return linear(arrays, device, curvature=CURVATURE, spared=("bias",), dtype=dtype)


def job(section: Wide, arrays: Arrays, device: torch.device, weight_decays: Sequence[float], *, epochs: int | None = None) -> Job:
    """SGD, reshuffled every epoch, for the epochs of an arm where no others are given."""
    train = section.train
    schedule = shuffled(orders(arrays, SYSTEM.key, epochs or train.epochs), train.batch_size, device)
    return Job(problem(arrays, device), schedule, sgd(train.momentum), train.lr, Decay(tuple(weight_decays)))


def from_zero(job: Job) -> Job:
    return replace(job, problem=job.problem.from_zero())


def jobs(section: Wide, arrays: Arrays, device: torch.device, *, wd: float) -> Mapping[str, Job]:
    plain = job(section, arrays, device, [wd])
    return {"": plain, "_penalty": replace(plain, decay=Decay((wd,), penalty=True)), "_zero": from_zero(plain)}


def sweep(section: Wide, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """Every λ as the arms are trained; then for each length of the map, from the random start and from zero.

    `map_val_loss` and `map_diverged` are (2, T, L, K), the random start first. An epoch is an evaluation. `path_…` are the
    whole histories from the random start, as long as the longest of the map.
    """
    weight_decays, lengths = section.sweep.wd, list(section.sweep.epochs)
    swept = over_decays("wide", job(section, arrays, device, weight_decays), fit)
    longest = job(section, arrays, device, weight_decays, epochs=lengths[-1])
    losses, lost, paths = [], [], []
    for start, own in (("random", longest), ("zero", from_zero(longest))):
        whole = project(own.problem)
        fitted = fit(f"wide map, {start} start", replace(own, problem=whole))
        history = fitted.history
        of_zero = whole.loss.of_zero(whole.val[1]).cpu().numpy()[..., None]  # (T, 1, 1)
        losses.append(losses_on_grid(history["val_loss"][..., lengths].cpu().numpy(), of_zero, PATH))
        ends = [diverged(whole, history["train_loss"][..., : length + 1]) for length in lengths]
        lost.append(torch.stack(ends, dim=-1).cpu().numpy())
        paths.append(records(whole, fitted))
    swept |= {f"path_{name}": values for name, values in paths[0].items()}
    return swept | {"map_val_loss": np.stack(losses), "map_diverged": np.stack(lost), "map_epochs": np.array(lengths)}


TRAINING = Training(job=job, jobs=jobs, sweep=sweep, twins={"_penalty": ""})
