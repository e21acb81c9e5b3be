"""wide, trained: SGD for ten epochs, from the random start, from zero, and with the penalty written in the loss.

Shapes: T trials, L decays, K lengths of training.
"""

from dataclasses import replace

import numpy as np
import torch

from stages.base.params import Settings
from stages.base.rounding import PATH, losses_on_grid
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.fit import diverged, records
from stages.engine.problem import Problem, Schedule, linear, shuffled
from stages.engine.projection import project
from stages.engine.sweep import fit_decays, over_decays
from stages.engine.training import Run, Training
from stages.studies.wide.system import CURVATURE


def problem(arrays: Arrays, device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    return linear(arrays, device, curvature=CURVATURE, spared=("bias",), dtype=dtype)


def from_zero(arrays: Arrays, device: torch.device) -> Problem:
    return problem(arrays, device).from_zero()


def by_epochs(arrays: Arrays, _: object, device: torch.device) -> Schedule:
    return shuffled(arrays["order"], int(arrays["batch_size"]), device)


def by_the_longest(arrays: Arrays, _: object, device: torch.device) -> Schedule:
    return shuffled(arrays["map_order"], int(arrays["batch_size"]), device)


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """Every λ as the arms are trained; then for each length of the map, from the random start and from zero.

    `map_val_loss` and `map_diverged` are (2, T, L, K), the random start first. An epoch is an evaluation. `path_…` are the
    whole histories from the random start, as long as the longest of the map.
    """
    decays, lengths = settings.wide.sweep, list(settings.wide.map.epochs)
    swept = over_decays("wide", BASELINE, decays, settings, arrays, device=device, progress=progress)
    losses, lost, paths = [], [], []
    for start, begin in (("random", problem), ("zero", from_zero)):
        run, whole = replace(BASELINE, schedule=by_the_longest), project(begin(arrays, device))
        fitted = fit_decays(f"wide map, {start} start", run, whole, decays, settings, arrays, progress=progress)
        history = fitted.history
        of_zero = whole.loss.of_zero(whole.val[1]).cpu().numpy()[..., None]  # (T, 1, 1)
        losses.append(losses_on_grid(history["val_loss"][..., lengths].cpu().numpy(), of_zero, PATH))
        ends = [diverged(whole, history["train_loss"][..., : length + 1]) for length in lengths]
        lost.append(torch.stack(ends, dim=-1).cpu().numpy())
        paths.append(records(whole, fitted))
    swept |= {f"path_{name}": values for name, values in paths[0].items()}
    return swept | {"map_val_loss": np.stack(losses), "map_diverged": np.stack(lost), "map_epochs": np.array(lengths)}


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
