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
from stages.engine.models import Model, Parameters, PullBack
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


def entries_by_hand(parameters: Parameters, shown: Tensor) -> tuple[Tensor, PullBack]:
    def pull_back(signal: Tensor) -> Parameters:
        of_whole = signal * shown[:, None]
        if "weight" in parameters:
            return {"weight": of_whole}
        return {"left": of_whole @ parameters["right"].mT, "right": parameters["left"].mT @ of_whole}

    return entries(parameters, shown), pull_back


ENTRIES = Model(entries, entries_by_hand)


def problem(arrays: Arrays, device: torch.device, *, layers: str, seen: bool) -> Problem:
    """Trained on the entries that are seen and validated on the truth of the others; where all are, on the truth of all.

    One layer starts at the product of the two. The loss is a sum over entries, so singular values are lowered by λ itself.
    """
    known = tensors(arrays, device, torch.float64)
    train = torch.ones_like(known["truth"]) if seen else known["seen"].double()
    val = train if seen else 1 - train
    two = {name: known[f"start_{name}"] for name in ("left", "right")}
    start = two if layers == "two" else {"weight": two["left"] @ two["right"]}
    loss = squared(float(train[0].numel()))  # the mean over entries times their number
    split = ((train, train * known["targets"]), (val, val * known["truth"]))
    return Problem(ENTRIES, loss, *split, start, tuple(start), spared=())


def job(section: Layers, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    """Two layers, some entries hidden."""
    return of_model(section, arrays, device, weight_decays, layers="two", seen=False)


def of_model(
    section: Layers, arrays: Arrays, device: torch.device, weight_decays: Sequence[float], *, layers: str, seen: bool
) -> Job:
    train = section.train
    made = problem(arrays, device, layers=layers, seen=seen)
    return Job(made, full_batch(train.steps, train.steps), sgd(train.momentum), train.lr, Decay(tuple(weight_decays)))


def sweep(section: Layers, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """Of each model, on all entries and on some: the matrix it learns, (T, L, m, n), NaN where it diverged."""
    found: Arrays = {"weight_decay": np.array(section.sweep.wd)}
    for run in RUNS:
        layers, entries = run.split("_")
        made = of_model(section, arrays, device, section.sweep.wd, layers=layers, seen=entries == "all")
        fitted = fit(f"layers, {layers}, {entries} entries", made)
        learnt = np.where(fitted.diverged.cpu().numpy()[..., None, None], np.nan, whole(fitted.parameters).cpu().numpy())
        found[run] = on_grid(learnt, np.abs(learnt).max(axis=(2, 3), keepdims=True), END)
    return found


TRAINING = Training(job=job, sweep=sweep)
