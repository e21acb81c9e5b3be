"""descent, trained: gradient descent with momentum from zero, for every n and every Λ where it gets to the end.

Shapes: T trials, N numbers of rows, L penalties Λ = nλ, d inputs.
"""

from collections.abc import Sequence

import numpy as np
import torch

from stages.base.isotropic import first_rows, risk, sizes
from stages.base.rounding import significant
from stages.base.storage import in_float64
from stages.base.streams import Arrays
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.optimizers import sgd
from stages.engine.problem import Problem, full_batch, isotropic
from stages.engine.rotation import arrives, rotated
from stages.engine.training import Fitting, Training
from stages.studies.descent.system import CONVERGED, CURVATURE, Descent, Train


def job(section: Descent, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    return trained_on(isotropic(arrays, device, curvature=CURVATURE), section.train, weight_decays)


def trained_on(problem: Problem, train: Train, weight_decays: Sequence[float]) -> Job:
    schedule = full_batch(train.steps, train.steps)
    return Job(problem, schedule, sgd(train.momentum), train.lr, Decay(tuple(weight_decays)))


def sweep(section: Descent, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The risk of each trial (T, N, L) where it is trained, the Λ (L,), and which are trained (N, L).

    Λ* = dσ²/‖w*‖², the best for every n, joins the grid.
    """
    inputs, signal, noise = sizes(arrays)
    best = float(significant(inputs * noise**2 / signal**2))  # ‖w*‖ is a float32's
    penalties = np.array(sorted({*section.sweep.penalty, best}))
    counts, train = arrays["rows"].tolist(), section.train
    risks = np.full((len(arrays["true_weight"]), len(counts), len(penalties)), np.nan)
    trained = np.zeros(risks.shape[1:], dtype=bool)
    for index, rows in enumerate(counts):
        own = in_float64(first_rows(arrays, rows))
        left, values, rotation = np.linalg.svd(own["train_inputs"], full_matrices=False)
        options = {"lr": train.lr, "momentum": train.momentum, "converged": CONVERGED}
        trained[index] = arrives(values, penalties / rows, rows, train.steps, **options)
        if trained[index].any():
            apart = rotated(values, np.einsum("tnm,tn->tm", left, own["train_targets"]), rows, device)
            fitted = fit(f"descent, n = {rows}", trained_on(apart, train, penalties[trained[index]] / rows))
            weights = fitted.parameters["weight"].cpu().numpy() @ rotation
            risks[:, index, trained[index]] = risk(weights, own["true_weight"][:, None])
    return {"risk": risks, "trained": trained, "penalty": penalties, "theory_penalty": np.array(best)}


TRAINING = Training(job=job, sweep=sweep)
