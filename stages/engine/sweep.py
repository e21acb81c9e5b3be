"""A sweep: one run at every λ of a grid, all λ × trials in one batch.

Shapes: T trials, L decays, K evaluations.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stages.base.errors import UserError
from stages.base.params import Settings, at
from stages.base.streams import Arrays
from stages.engine.chunks import Progress, fit_in_chunks
from stages.engine.fit import Fit, records, tell_diverged
from stages.engine.optimizers import OPTIMIZERS
from stages.engine.problem import Problem
from stages.engine.projection import project
from stages.engine.training import Run


def over_decays(
    study: str,
    run: Run,
    decays: Sequence[float],
    settings: Settings,
    arrays: Arrays,
    *,
    device: torch.device,
    progress: Progress,
    lr: float | None = None,
    **options: Any,
) -> Arrays:
    """Train a run at every λ: the histories (T, L, K), what diverged (T, L), the λ (L,), the steps (K,).

    Start, data and batch order are the run's own, the same at every λ; so is the learning rate, if none is given.
    Raises UserError where every run diverges.
    """
    problem, section, lr = run.problem(arrays, device), at(settings, run.optimizer), lr or at(settings, run.lr)
    if problem.least_squares and OPTIMIZERS[section.kind].rotation_equivariant and not options.get("l1_ratio"):
        problem = project(problem)
    fitted = fit_decays(f"{study} sweep", run, problem, decays, settings, arrays, progress=progress, lr=lr, **options)
    if fitted.diverged.all():
        raise UserError(f"params.yaml: {study}.sweep: expected a λ that is stable at lr = {lr:g}, got none: every run diverged")
    numbers = {"lr": lr, "momentum": section.arguments().get("momentum", 0.0), "steps": fitted.steps, "weight_decay": decays}
    written = records(problem, fitted) | {"diverged": fitted.diverged.cpu().numpy()}
    return written | {name: np.asarray(value) for name, value in numbers.items()}


def fit_decays(
    label: str,
    run: Run,
    problem: Problem,
    decays: Sequence[float],
    settings: Settings,
    arrays: Arrays,
    *,
    progress: Progress,
    lr: float | None = None,
    **options: Any,
) -> Fit:
    """Train a problem with the optimiser and the schedule of a run, at every λ; options are those of `fit`.

    The learning rate is the run's own, if none is given.
    """
    section = at(settings, run.optimizer)
    schedule = run.schedule(arrays, section, problem.train[1].device)
    fitted = fit_in_chunks(
        problem,
        schedule.batches,
        runs_at_once=run.runs_at_once,
        label=label,
        progress=progress,
        optimizer=section.kind,
        settings={"lr": lr or at(settings, run.lr)} | section.arguments(),
        weight_decay=torch.tensor(decays, dtype=torch.float64),
        evaluate_every=schedule.evaluate_every,
        pace=schedule.pace,
        **options,
    )
    tell_diverged(label, fitted.diverged)
    return fitted
