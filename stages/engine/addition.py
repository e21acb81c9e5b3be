"""A quadratic network without bias that adds modulo p: its predictions, its gradient by hand, its problem.

Source: Gromov, "Grokking modular arithmetic" (2023). Shapes: T trials, L decays, n rows, p the modulus, h hidden units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.base.addition import split_at
from stages.base.streams import Arrays
from stages.engine.job import Job
from stages.engine.losses import squared
from stages.engine.models import Model, Parameters, PullBack, one_hot
from stages.engine.problem import Problem, tensors
from stages.engine.train import over_decays
from stages.engine.training import Fitting


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


def problem(
    arrays: Mapping[str, NDArray], device: torch.device, *, curvature: float, dtype: torch.dtype = torch.float64
) -> Problem:
    """(a + b) mod p under squared error on one-hot labels, from data that are split."""
    known, p = tensors(arrays, device, dtype), int(arrays["p"])
    labels = {split: one_hot(known[f"{split}_labels"], p).to(dtype) for split in ("train", "val")}
    train, val = ((known[f"{split}_pairs"], each.mT.contiguous().mT) for split, each in labels.items())  # columns in memory
    start = {name: known[f"start_{name}"] for name in ("hidden", "output")}
    return Problem(QUADRATIC, squared(curvature), train, val, start, ("hidden", "output"), spared=(), classes=True)


def over_shares(
    study: str, job: Job, arrays: Arrays, shares: Sequence[float], *, curvature: float, device: torch.device, fit: Fitting
) -> list[Arrays]:
    """Train a job on each of these shares of the pairs, until all pairs are right; accuracies are NaN after that.

    A chunk of runs stops when all of them are right. What is returned of a share is what `over_decays` returns.
    """
    found = []
    for share in shares:
        own = problem(split_at(arrays, share), device, curvature=curvature)
        found.append(over_decays(study, replace(job, problem=own, enough=all_right), fit))
    return found


def all_right(measured: Mapping[str, Tensor]) -> bool:
    return all(bool((measured[f"{split}_accuracy"] == 1).all()) for split in ("train", "val"))
