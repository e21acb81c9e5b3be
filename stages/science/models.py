"""Models, losses and encodings, batched: parameters carry two leading axes, trials and decays; data the first alone.

Shapes: T trials, L decays, n rows, d inputs, p the modulus, h hidden units.
A loss returns one number a run, (T, L); nothing here mixes runs, so a run that overflows cannot harm its neighbours.
"""

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


def linear(parameters: Parameters, inputs: Tensor) -> Tensor:
    """ŷ = Xw + b, or Xw where there is no bias: weight (T, L, d), bias (T, L), inputs (T, n, d) → (T, L, n)."""
    if "bias" not in parameters:
        return torch.bmm(parameters["weight"], inputs.mT)
    return torch.baddbmm(parameters["bias"][..., None], parameters["weight"], inputs.mT)


def quadratic(parameters: Parameters, pairs: Tensor) -> Tensor:
    """W₂ᵀ(W₁ᵀ[onehot a; onehot b])², no bias: hidden (T, L, 2p, h), output (T, L, h, p), pairs (T, n, 2) → (T, L, n, p).

    The product with two one-hot vectors is the sum of two rows of W₁, and is computed as that.
    """
    trials, decays, _, p = parameters["output"].shape
    hidden, output = parameters["hidden"].flatten(0, 1), parameters["output"].flatten(0, 1)
    a, b = pairs.repeat_interleave(decays, 0).unbind(-1)  # (T·L, n)
    units = take(hidden, a) + take(hidden, b + p)  # (T·L, n, h)
    return torch.bmm(units * units, output).unflatten(0, (trials, decays))


def take(rows_of: Tensor, rows: Tensor) -> Tensor:
    """Each trial's own rows.  (T, n, …), (T, b) → (T, b, …)"""
    first = rows_of.shape[1] * torch.arange(len(rows), device=rows.device)[:, None]
    return rows_of.flatten(0, 1).index_select(0, (first + rows).flatten()).unflatten(0, rows.shape)


def squared_error(predictions: Tensor, targets: Tensor, curvature: float) -> Tensor:
    """(c/2)·mean (ŷ − y)² of each run: `torch.nn.MSELoss` at c = 2, half of it at c = 1.  (T, L, n, …), (T, n, …) → (T, L)"""
    return curvature / 2 * (predictions - targets[:, None]).square().flatten(2).mean(2)


def error_signal(predictions: Tensor, targets: Tensor, curvature: float) -> Tensor:
    """The gradient of `squared_error` in the predictions, c·(ŷ − y)/n.  (T, L, n, …), (T, n, …) → (T, L, n, …)"""
    return (predictions - targets[:, None]).mul_(curvature / targets[0].numel())


def accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Share of rows whose largest output is the label's.  (T, L, n, p), one-hot (T, n, p) → (T, L)"""
    right = (predictions.argmax(-1) == targets.argmax(-1)[:, None]).sum(2)
    return right.double() / targets.shape[1]  # a mean may multiply by 1/n instead, which is another number


def one_hot(labels: Tensor, p: int) -> Tensor:
    """(T, n) → (T, n, p)"""
    return torch.nn.functional.one_hot(labels, p).double()
