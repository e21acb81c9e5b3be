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
    return jobs_of(section, arrays, device, weight_decays, section.sweep.batch_size[0])["adamw"]


def jobs_of(
    section: Scaling, arrays: Arrays, device: torch.device, weight_decays: Sequence[float], batch_size: int
) -> dict[str, Job]:
    """Each optimiser, reshuffled every epoch; the learning rate falls to zero along a line, so that what batches stir settles."""
    train = section.train
    schedule = shuffled(orders(arrays, SYSTEM.key, train.epochs), batch_size, device)
    schedule = replace(schedule, pace=linear_to_zero(len(schedule.batches)))
    decay = Decay(tuple(weight_decays))
    by_sgd = Job(isotropic(arrays, device, curvature=CURVATURE), schedule, sgd(), train.sgd.lr, decay)
    return {"sgd": by_sgd, "adamw": replace(by_sgd, optimizer=adamw(train.adamw), lr=train.adamw.lr)}


def sweep(section: Scaling, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The risk of each run, and whether it diverged (O, B, N, T, L); the λ (L,), and 1/(lr·λ·steps per epoch) for λ = 1."""
    sizes, counts, grid = section.sweep.batch_size, arrays["rows"].tolist(), section.sweep.wd
    if sizes[-1] >= counts[0]:
        expected = f"scaling.sweep.batch_size: expected fewer than the {counts[0]:,} rows of the smallest data set"
        raise UserError(f"{expected}, as AdamW does something else on all rows, got {sizes[-1]:,}")
    shape = (len(OPTIMIZERS), len(sizes), len(counts))
    risks = np.full((*shape, len(arrays["true_weight"]), len(grid)), np.nan)
    lost, epochs = np.zeros(risks.shape, dtype=bool), np.zeros(shape)
    for n, rows in enumerate(counts):
        own = in_float64(first_rows(arrays, rows))
        for b, size in enumerate(sizes):
            for o, (name, each) in enumerate(jobs_of(section, own, device, grid, size).items()):
                fitted = fit(f"scaling, {OPTIMIZERS[name]}, n = {rows}, batches of {size}", each)
                risks[o, b, n], lost[o, b, n] = (
                    risk(fitted.parameters["weight"].cpu().numpy(), own),
                    fitted.diverged.cpu().numpy(),
                )
                epochs[o, b, n] = 1 / (each.lr * each.schedule.steps_per_epoch)
    found = {"risk": np.where(lost, np.nan, risks), "diverged": lost}
    return found | {"weight_decay": np.array(grid), "epochs": epochs, "batch_size": np.array(sizes)}


TRAINING = Training(job=job, sweep=sweep)
