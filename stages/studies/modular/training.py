"""modular, trained: a quadratic network without bias, full batch, AdamW."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.base import addition
from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine import quadratic
from stages.engine.chunks import Progress
from stages.engine.models import Parameters
from stages.engine.problem import Problem, Schedule, full_batch
from stages.engine.sweep import over_decays
from stages.engine.training import Run, Training
from stages.studies.modular.system import CURVATURE


def problem(arrays: Arrays, device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    return quadratic.problem(arrays, device, curvature=CURVATURE, dtype=dtype)


def by_steps(arrays: Arrays, _: object, __: torch.device) -> Schedule:
    return full_batch(int(arrays["steps"]), int(arrays["evaluate_every"]))


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """Every λ on the study's own share of the pairs; then a few λ on other shares F, each until every pair is right.

    `spectrum` is that of the end, (T, L, h, p // 2).
    `shares_<split>_accuracy` are (F, T', L', K), NaN after that; `shares_diverged` is (F, T', L').
    """
    options: dict[str, Any] = {"device": device, "progress": progress}
    swept = over_decays("modular", BASELINE, settings.modular.sweep, settings, arrays, watch=spectrum, **options)
    swept["spectrum"] = swept["spectrum"][..., -1]
    shares, own = settings.modular.shares, settings.modular.system.train_fraction
    others = [share for share in shares.train_fraction if share != own]
    some = addition.first_trials(arrays, shares.trials)
    found = quadratic.over_shares("modular", BASELINE, others, shares.weight_decay, settings, some, **options)
    runs = (len(others), min(shares.trials, settings.modular.trials), len(shares.weight_decay))
    shapes = {"diverged": runs} | {f"{split}_accuracy": (*runs, len(swept["steps"])) for split in ("train", "val")}
    joined = {f"shares_{name}": np.array([each[name] for each in found]).reshape(shape) for name, shape in shapes.items()}
    return swept | joined | {"shares": np.array(others)}


def spectrum(_: Parameters, parameters: Parameters) -> dict[str, Tensor]:
    """How the power of each unit's weights, as a function of the input a, divides among the frequencies 1 to p/2, in 255ths.

    Weights cos(2πka/p) have all of it at k.  hidden (T, L, 2p, h) → (T, L, h, p // 2)
    """
    p = parameters["hidden"].shape[2] // 2
    power = torch.fft.rfft(parameters["hidden"][:, :, :p].mT).abs()[..., 1:].square()
    whole = power.sum(-1, keepdim=True)
    return {"spectrum": torch.where(whole > 0, 255 * power / whole, 0).nan_to_num().round().to(torch.uint8)}


BASELINE = Run("baseline", "modular.lr", "modular.optimizers.adamw", problem, by_steps, runs_at_once=1, watch=spectrum)
TRAINING = Training(
    runs={"baseline": BASELINE, "wd": replace(BASELINE, weight_decay="wd")},
    swept=BASELINE,
    sweep=sweep,
)
