"""descent, trained: gradient descent with momentum from zero, for every n and every Λ where it gets to the end.

Shapes: T trials, N numbers of rows, L penalties Λ = nλ, d inputs.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from stages.base.params import Settings
from stages.base.rounding import significant
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.problem import Problem, Schedule, full_batch, linear
from stages.engine.projection import condense
from stages.engine.stability import remaining
from stages.engine.sweep import fit_decays
from stages.engine.training import Run, Training
from stages.studies.descent.system import CONVERGED, CURVATURE, first_rows, risk, sizes

RUNS_AT_ONCE = 2_000  # in one batch; a larger one is no faster


def problem(arrays: Arrays, device: torch.device) -> Problem:
    """A linear model without bias, from zero.

    The validation rows are √d times the unit vectors: on these, half the mean squared error is ½‖w − w*‖².
    """
    trials, _, inputs = arrays["train_inputs"].shape
    unit = np.sqrt(inputs) * np.broadcast_to(np.eye(inputs), (trials, inputs, inputs))
    made = {
        "train_inputs": arrays["train_inputs"],
        "train_targets": arrays["train_targets"],
        "val_inputs": unit.copy(),
        "val_targets": np.sqrt(inputs) * arrays["true_weight"].astype(np.float64),
        "start_weight": np.zeros((trials, inputs)),
    }
    return linear(made, device, curvature=CURVATURE, spared=())


def by_steps(arrays: Arrays, _: object, __: torch.device) -> Schedule:
    return full_batch(int(arrays["steps"]), int(arrays["steps"]))


RUN = Run("baseline", "descent.lr", "descent.optimizers.sgd", problem, by_steps)


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """The risk of each trial (T, N, L) where it is trained, the Λ (L,), and which are trained (N, L).

    Λ* = dσ²/‖w*‖², the best for every n, joins the grid.
    """
    inputs, signal, noise = sizes(arrays)
    best = float(significant(inputs * noise**2 / signal**2))  # ‖w*‖ is a float32's
    penalties = sorted({*settings.descent.sweep, best})
    risks = np.full((len(arrays["true_weight"]), len(arrays["rows"]), len(penalties)), np.nan)
    trained = np.zeros(risks.shape[1:], dtype=bool)
    for index, rows in enumerate(arrays["rows"].tolist()):
        own = first_rows(arrays, rows)
        trained[index] = arrives(own, penalties, settings)
        if trained[index].any():
            decays = np.array(penalties)[trained[index]] / rows
            weights = train(f"descent, n = {rows}", own, decays, settings, device=device, progress=progress)
            risks[:, index, trained[index]] = risk(weights, arrays)
    return {"risk": risks, "trained": trained, "penalty": np.array(penalties), "theory_penalty": np.array(best)}


def arrives(arrays: Arrays, penalties: Sequence[float], settings: Settings) -> NDArray[np.bool_]:
    """Whether training from zero gets to the end at each Λ, in every trial, as its closed form says.  → (L,)"""
    inputs = arrays["train_inputs"].astype(np.float64)
    values, rows = np.linalg.svd(inputs, compute_uv=False), inputs.shape[1]
    section = settings.descent
    options = {"lr": section.lr, "momentum": section.optimizers.sgd.momentum}
    shares = [np.abs(remaining((values**2 + penalty) / rows, int(arrays["steps"]), **options)).max() for penalty in penalties]
    return np.array(shares) < CONVERGED


def train(
    label: str, arrays: Arrays, decays: NDArray, settings: Settings, *, device: torch.device, progress: Progress
) -> NDArray:
    """All trials × λ in one batch.  decays (L,) → weights (T, L, d)"""
    whole = problem(arrays, device)
    few = replace(whole, train=condense(*whole.train))  # as all rows are in every batch
    fitted = fit_decays(label, RUN, few, decays.tolist(), settings, arrays, runs_at_once=RUNS_AT_ONCE, progress=progress)
    return fitted.parameters["weight"].cpu().numpy()


TRAINING = Training(runs={}, swept=RUN, sweep=sweep)
