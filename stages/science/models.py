"""Models, losses and encodings, batched: every tensor carries a leading run axis.

Shapes: R runs, n rows, d inputs, c outputs, p the modulus, h hidden units.
A loss returns one number a run; nothing here mixes runs, so a run that overflows cannot harm its neighbours.
"""

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


def linear(parameters: Parameters, inputs: Tensor) -> Tensor:
    """ŷ = Xw + b: weight (R, d), bias (R,), inputs (R, n, d) → (R, n)."""
    return torch.bmm(inputs, parameters["weight"][:, :, None])[:, :, 0] + parameters["bias"][:, None]


def quadratic(parameters: Parameters, pairs: Tensor) -> Tensor:
    """W₂ᵀ(W₁ᵀ[onehot a; onehot b])², no bias: hidden (R, 2p, h), output (R, h, p), integer pairs (R, n, 2) → (R, n, p).

    The product with two one-hot vectors is the sum of two rows of W₁, and is computed as that.
    """
    hidden, output = parameters["hidden"], parameters["output"]
    a, b = pairs.unbind(-1)
    units = take(hidden, a) + take(hidden, b + output.shape[-1])  # (R, n, h)
    return torch.bmm(units * units, output)


def take(rows_of: Tensor, rows: Tensor) -> Tensor:
    """Each run's own rows.  (R, n, …), (R, b) → (R, b, …)"""
    return rows_of[torch.arange(len(rows), device=rows.device)[:, None], rows]


def squared_error(predictions: Tensor, targets: Tensor, curvature: float) -> Tensor:
    """(c/2)·mean (ŷ − y)² over everything but the run axis: `torch.nn.MSELoss` at c = 2, half of it at c = 1.  (R, …) → (R,)"""
    return curvature / 2 * (predictions - targets).square().flatten(1).mean(1)


def accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Share of rows whose largest output is the label's.  (R, n, c), one-hot (R, n, c) → (R,)"""
    return (predictions.argmax(-1) == targets.argmax(-1)).double().mean(1)


def one_hot(labels: Tensor, p: int) -> Tensor:
    """(R, n) → (R, n, p)"""
    return torch.nn.functional.one_hot(labels, p).double()
