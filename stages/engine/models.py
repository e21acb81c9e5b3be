"""Models, batched: parameters carry two leading axes, trials and decays; data carry the first alone.

Shapes: T trials, L decays, n rows, b rows of a batch, d inputs, C classes.
Nothing here mixes runs, so a run that overflows cannot harm its neighbours.
"""

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


def linear(parameters: Parameters, inputs: Tensor) -> Tensor:
    """ŷ = Xw + b, or Xw where there is no bias: weight (T, L, d), bias (T, L), inputs (T, n, d) → (T, L, n)."""
    if "bias" not in parameters:
        return torch.bmm(parameters["weight"], inputs.mT)
    return torch.baddbmm(parameters["bias"][..., None], parameters["weight"], inputs.mT)


def take(rows_of: Tensor, rows: Tensor) -> Tensor:
    """Each trial's own rows.  (T, n, …), (T, b) → (T, b, …)"""
    first = rows_of.shape[1] * torch.arange(len(rows), device=rows.device)[:, None]
    return rows_of.flatten(0, 1).index_select(0, (first + rows).flatten()).unflatten(0, rows.shape)


def accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Share of rows whose largest output is the label's.  (T, L, n, C), one-hot (T, n, C) → (T, L)"""
    right = (predictions.argmax(-1) == targets.argmax(-1)[:, None]).sum(2)
    return right.double() / targets.shape[1]  # a mean may multiply by 1/n instead, which is another number


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(T, n) → (T, n, C)"""
    return torch.nn.functional.one_hot(labels, classes).double()
