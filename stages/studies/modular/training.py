"""modular, trained: a quadratic network without bias, full batch, AdamW."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.losses import squared
from stages.engine.models import Model, Parameters, PullBack, one_hot
from stages.engine.problem import Problem, Schedule, full_batch, tensors
from stages.engine.sweep import over_decays
from stages.engine.training import Run, Training
from stages.studies.modular.system import CURVATURE, split_at


def rows(parameters: Parameters, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rows of a and of b stand among the rows of W₁ of all runs.  (T, n, 2) → (T·L·n) each"""
    runs, height = parameters["hidden"].shape[:2].numel(), parameters["hidden"].shape[2]
    first = height * torch.arange(runs, device=pairs.device)[:, None]
    a, b = pairs.repeat_interleave(runs // len(pairs), 0).unbind(-1)
    return (first + a).flatten(), (first + height // 2 + b).flatten()


def forward(parameters: Parameters, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The units, their squares, and the predictions.  (T·L, n, h), (T·L, n, h), (T, L, n, p)

    Predictions are computed as columns, which the matrix product does faster.
    """
    hidden, output = parameters["hidden"].flatten(0, 2), parameters["output"].flatten(0, 1)
    units = hidden.index_select(0, a).add_(hidden.index_select(0, b)).unflatten(0, (len(output), -1))
    squares = units * units
    return units, squares, torch.bmm(output.mT, squares.mT).mT.unflatten(0, parameters["output"].shape[:2])


def quadratic(parameters: Parameters, pairs: Tensor) -> Tensor:
    """W₂ᵀ(W₁ᵀ[onehot a; onehot b])², no bias: hidden (T, L, 2p, h), output (T, L, h, p), pairs (T, n, 2) → (T, L, n, p).

    The product with two one-hot vectors is the sum of two rows of W₁, and is computed as that.
    """
    return forward(parameters, *rows(parameters, pairs))[2]


def quadratic_by_hand(parameters: Parameters, pairs: Tensor) -> tuple[Tensor, PullBack]:
    a, b = rows(parameters, pairs)
    units, squares, predictions = forward(parameters, a, b)

    def pull_back(signal: Tensor) -> Parameters:
        """∂W₂ = (u²)ᵀs; ∂u = 2u·(s W₂ᵀ), which goes to the rows of a and of b."""
        signal, output = signal.flatten(0, 1), parameters["output"].flatten(0, 1)
        of_units = torch.bmm(signal, 2 * output.mT).mul_(units).flatten(0, 1)
        of_hidden = torch.zeros_like(parameters["hidden"])
        of_hidden.view(-1, of_hidden.shape[-1]).index_add_(0, a, of_units).index_add_(0, b, of_units)
        of_output = torch.bmm(signal.mT, squares).mT.reshape_as(parameters["output"])
        return {"hidden": of_hidden, "output": of_output}

    return predictions, pull_back


QUADRATIC = Model(quadratic, quadratic_by_hand)


def problem(arrays: Arrays, device: torch.device, dtype: torch.dtype = torch.float64) -> Problem:
    known, p = tensors(arrays, device, dtype), int(arrays["p"])
    labels = {split: one_hot(known[f"{split}_labels"], p).to(dtype) for split in ("train", "val")}
    train, val = ((known[f"{split}_pairs"], each.mT.contiguous().mT) for split, each in labels.items())  # columns in memory
    start = {name: known[f"start_{name}"] for name in ("hidden", "output")}
    return Problem(QUADRATIC, squared(CURVATURE), train, val, start, ("hidden", "output"), spared=(), classes=True)


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
    splits = [split_at(arrays, share, shares.trials) for share in others]
    found = [
        over_decays("modular", BASELINE, shares.weight_decay, settings, split, enough=all_right, **options) for split in splits
    ]
    runs = (len(others), min(shares.trials, settings.modular.trials), len(shares.weight_decay))
    shapes = {"diverged": runs} | {f"{split}_accuracy": (*runs, len(swept["steps"])) for split in ("train", "val")}
    joined = {f"shares_{name}": np.array([each[name] for each in found]).reshape(shape) for name, shape in shapes.items()}
    return swept | joined | {"shares": np.array(others)}


def all_right(measured: Mapping[str, Tensor]) -> bool:
    return all(bool((measured[f"{split}_accuracy"] == 1).all()) for split in ("train", "val"))


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
