"""optimizers, trained: SGD, momentum, Adam and AdamW on all rows, each with a learning rate that settles.

Shapes: T trials, L decays, R learning rates, d inputs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stages.base.params import Settings, at
from stages.base.rounding import LOOK, on_grid
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.problem import Problem, Schedule, full_batch, linear, linear_to_zero
from stages.engine.sweep import fit_decays
from stages.engine.training import Run, Training
from stages.studies.optimizers.system import CURVATURE, KINDS, ROWS, general

LEARNING_RATES = {  # where the learning rate of each optimiser stands
    "sgd": "optimizers.optimizers.sgd.lr",
    "momentum": "optimizers.optimizers.momentum.lr",
    "adam": "optimizers.lr",
    "adamw": "optimizers.lr",
}
ADAPTIVE = ("adam", "adamw")  # swept over learning rates too


def problem(arrays: Arrays, device: torch.device) -> Problem:
    return linear(arrays, device, curvature=CURVATURE, spared=())


def settling(arrays: Arrays, _: object, __: torch.device) -> Schedule:
    """All rows; the learning rate falls to zero as (1 − k/steps)², so that even Adam comes to rest."""
    steps = int(arrays["steps"])
    return full_batch(steps, int(arrays["evaluate_every"]), pace=[share**2 for share in linear_to_zero(steps)])


def run(kind: str, weight_decay: str) -> Run:
    return Run(weight_decay, LEARNING_RATES[kind], f"optimizers.optimizers.{kind}", problem, settling)


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """The final weights (R, T, L, d) of each optimiser on Gaussian rows, at every λ; R is 1 for SGD and momentum.

    The histories `<kind>_val_loss` and `<kind>_weight_norm` (T, L, K) are those with the optimiser's own learning rate.
    All are handed on coarsely: on these rows AdamW's last digits hang on the machine's last bit.
    """
    rows, decays = general(arrays), settings.optimizers.sweep
    found: Arrays = {"weight_decay": np.array(decays)}
    for kind in KINDS:
        own = at(settings, LEARNING_RATES[kind])
        rates = sorted({own, *settings.optimizers.learning_rates}) if kind in ADAPTIVE else [own]
        known: dict[str, Any] = {"device": device, "progress": progress}
        fits = [trained(run(kind, "baseline"), decays, rate, settings, rows, **known) for rate in rates]
        found |= {f"{kind}_lr": np.array(rates), f"{kind}_own_lr": np.array(own)}
        found |= {f"{kind}_{name}": np.stack([fit[name] for fit in fits]) for name in ("weight", "diverged")}
        found |= {f"{kind}_{name}": fits[rates.index(own)][name] for name in ("val_loss", "weight_norm")}
        found["steps"] = fits[0]["steps"]
    return found | {"diverged": np.concatenate([found[f"{kind}_diverged"] for kind in KINDS])}


def trained(
    one: Run, decays: Sequence[float], lr: float, settings: Settings, arrays: Arrays, *, device: torch.device, progress: Progress
) -> Arrays:
    """All trials × λ in one batch: their histories, where they end, and which diverged; on the grid of what is looked at."""
    label = f"optimizers sweep, {one.optimizer.rpartition('.')[2]}, lr = {lr:g}"
    fitted = fit_decays(label, one, one.problem(arrays, device), decays, settings, arrays, progress=progress, lr=lr)
    lost = fitted.diverged.cpu().numpy()
    looked_at = {"weight": fitted.parameters["weight"]} | fitted.history
    found = {name: np.where(lost[..., None], np.nan, each.cpu().numpy()) for name, each in looked_at.items()}
    found = {name: on_grid(each, np.abs(each).max(axis=2, keepdims=True), LOOK) for name, each in found.items()}
    return found | {"diverged": lost, "steps": np.array(fitted.steps)}


TRAINING = Training(
    runs={
        f"{arm}{suffix}": run(kind, decay)
        for arm, decay in (("baseline", "baseline"), ("wd", "optimizers.wd"))
        for kind, suffix in ROWS.items()
    },
    swept=run("adam", "baseline"),
    sweep=sweep,
)
