"""scaling, trained: SGD and AdamW on batches of each size, on the first n rows for each n, with every λ.

Shapes: O optimisers, B batch sizes, N numbers of rows, T trials, L decays.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from stages.base.errors import UserError
from stages.base.isotropic import first_rows, risk
from stages.base.storage import in_float64
from stages.base.streams import Arrays, orders
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.optimizers import adamw, sgd
from stages.engine.problem import isotropic, linear_to_zero, shuffled
from stages.engine.training import Fitting, Training
from stages.studies.scaling.system import CURVATURE, OPTIMIZERS, SYSTEM, Scaling


def job(section: Scaling, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    """AdamW on batches of the smallest size."""
    return jobs_of(section, arrays, device, weight_decays, section.sweep.batch_size[0])[1]


def jobs_of(
    section: Scaling, arrays: Arrays, device: torch.device, weight_decays: Sequence[float], batch_size: int
) -> tuple[Job, Job]:
    """SGD and AdamW, reshuffled every epoch; the learning rate falls to zero along a line, so that what batches stir settles."""
    train = section.train
    schedule = shuffled(orders(arrays, SYSTEM.key, train.epochs), batch_size, device)
    schedule = replace(schedule, pace=linear_to_zero(len(schedule.batches)))
    by_sgd = Job(isotropic(arrays, device, curvature=CURVATURE), schedule, sgd(), train.sgd.lr, Decay(tuple(weight_decays)))
    return by_sgd, replace(by_sgd, optimizer=adamw(train.adamw), lr=train.adamw.lr)


def sweep(section: Scaling, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The risk of each run (O, B, N, T, L), NaN where it diverged; the λ (L,), and 1/(lr·λ·steps per epoch) for λ = 1."""
    sizes, counts, grid = section.sweep.batch_size, arrays["rows"].tolist(), section.sweep.wd
    if sizes[-1] >= counts[0]:  # on all rows AdamW does something else
        raise UserError(f"scaling.sweep.batch_size: expected fewer than the fewest rows, {counts[0]:,}, got {sizes[-1]:,}")
    risks = np.empty((len(OPTIMIZERS), len(sizes), len(counts), len(arrays["true_weight"]), len(grid)))
    epochs = np.empty(risks.shape[:3])
    for n, rows in enumerate(counts):
        own = in_float64(first_rows(arrays, rows))
        for b, size in enumerate(sizes):
            for o, (name, each) in enumerate(zip(OPTIMIZERS.values(), jobs_of(section, own, device, grid, size), strict=True)):
                fitted = fit(f"scaling, {name}, n = {rows}, batches of {size}", each)
                weights, lost = fitted.parameters["weight"].cpu().numpy(), fitted.diverged.cpu().numpy()
                risks[o, b, n] = np.where(lost, np.nan, risk(weights, own["true_weight"][:, None]))
                epochs[o, b, n] = 1 / (each.lr * each.schedule.steps_per_epoch)
    return {"risk": risks, "weight_decay": np.array(grid), "epochs": epochs, "batch_size": np.array(sizes)}


TRAINING = Training(job=job, sweep=sweep)
