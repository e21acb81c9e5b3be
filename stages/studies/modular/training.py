"""modular, trained: a quadratic network without bias, full batch, AdamW."""

from dataclasses import replace

import torch
from torch import Tensor

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.losses import squared
from stages.engine.models import Parameters, one_hot, take
from stages.engine.problem import Problem, Schedule, full_batch, tensors
from stages.engine.sweep import over_decays
from stages.engine.training import Run, Training
from stages.studies.modular.system import CURVATURE


def quadratic(parameters: Parameters, pairs: Tensor) -> Tensor:
    """W₂ᵀ(W₁ᵀ[onehot a; onehot b])², no bias: hidden (T, L, 2p, h), output (T, L, h, p), pairs (T, n, 2) → (T, L, n, p).

    The product with two one-hot vectors is the sum of two rows of W₁, and is computed as that.
    """
    trials, decays, _, p = parameters["output"].shape
    hidden, output = parameters["hidden"].flatten(0, 1), parameters["output"].flatten(0, 1)
    a, b = pairs.repeat_interleave(decays, 0).unbind(-1)  # (T·L, n)
    units = take(hidden, a) + take(hidden, b + p)  # (T·L, n, h)
    return torch.bmm(units * units, output).unflatten(0, (trials, decays))


def problem(arrays: Arrays, device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    known, p = tensors(arrays, device, dtype), int(arrays["p"])
    train, val = ((known[f"{split}_pairs"], one_hot(known[f"{split}_labels"], p).to(dtype)) for split in ("train", "val"))
    start = {name: known[f"start_{name}"] for name in ("hidden", "output")}
    return Problem(quadratic, squared(CURVATURE), train, val, start, ("hidden", "output"), spared=(), classes=True)


def by_steps(arrays: Arrays, _: object, __: torch.device) -> Schedule:
    return full_batch(int(arrays["steps"]), int(arrays["evaluate_every"]))


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    decays = settings.modular.sweep
    return over_decays("modular", BASELINE, decays, settings, arrays, device=device, runs_at_once=1, progress=progress)


BASELINE = Run("baseline", "modular.lr", "modular.optimizers.adamw", problem, by_steps)
TRAINING = Training(runs={"baseline": BASELINE, "wd": replace(BASELINE, weight_decay="wd")}, swept=BASELINE, sweep=sweep)
