"""layers, trained: gradient descent with momentum on ½‖Y − W‖² and on ½‖Y − UV‖², over the entries that are seen.

Shapes: T trials, L decays, m rows, n columns, k = min(m, n).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stages.base.rounding import END, on_grid
from stages.base.streams import Arrays
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.losses import squared
from stages.engine.models import Model, Parameters
from stages.engine.optimizers import sgd
from stages.engine.problem import Problem, full_batch, tensors
from stages.engine.training import Fitting, Training
from stages.studies.layers.system import RUNS, Layers


def whole(parameters: Parameters) -> Tensor:
    """The matrix that the layers make: weight (T, L, m, n), or left (T, L, m, k) times right (T, L, k, n) → (T, L, m, n)"""
    return parameters["weight"] if "weight" in parameters else parameters["left"] @ parameters["right"]


def entries(parameters: Parameters, shown: Tensor) -> Tensor:
    """The entries that are shown, 0 for all others.  shown (T, m, n), of 0 and 1 → (T, L, m, n)"""
    return whole(parameters) * shown[:, None]


def problem(arrays: Arrays, device: torch.device, run: str) -> Problem:
    """Trained on the entries that are seen and validated on the truth of the others; where all are, on the truth of all.

    One layer starts at the product of the two. The loss is a sum over entries, so singular values are lowered by λ itself.
    """
    known, (layers, seen) = tensors(arrays, device, torch.float64), run.split("_")
    every = torch.ones_like(known["truth"])
    train, val = (every, every) if seen == "all" else (known["seen"].double(), 1 - known["seen"].double())
    two = {name: known[f"start_{name}"] for name in ("left", "right")}
    start = two if layers == "two" else {"weight": two["left"] @ two["right"]}
    loss = squared(float(every[0].numel()))  # the mean over entries times their number
    splits = ((train, train * known["targets"]), (val, val * known["truth"]))
    return Problem(Model(entries), loss, *splits, start, tuple(start), spared=())


def job(section: Layers, arrays: Arrays, device: torch.device, weight_decays: Sequence[float], run: str = "two_some") -> Job:
    """One of RUNS: how many layers, and which entries are seen."""
    train, decay = section.train, Decay(tuple(weight_decays))
    return Job(problem(arrays, device, run), full_batch(train.steps, train.steps), sgd(train.momentum), train.lr, decay)


def sweep(section: Layers, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The matrix that each run learns, (T, L, m, n), NaN where it diverged."""
    found: Arrays = {"weight_decay": np.array(section.sweep.wd)}
    for run in RUNS:
        fitted = fit(f"layers, {run.replace('_', ', ')}", job(section, arrays, device, section.sweep.wd, run))
        learnt = np.where(fitted.diverged.cpu().numpy()[..., None, None], np.nan, whole(fitted.parameters).cpu().numpy())
        found[run] = on_grid(learnt, np.abs(learnt).max(axis=(2, 3), keepdims=True), END)
    return found


TRAINING = Training(job=job, sweep=sweep)
