"""Losses: the value of each run, and the error signal, which is its gradient in the predictions.

Shapes: T trials, L decays, n rows; `…` are the classes, or nothing.
A loss is a mean over the rows. It never has the penalty in it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    value: Callable[[Tensor, Tensor], Tensor]  # predictions (T, L, n, …), targets (T, n, …) → (T, L)
    signal: Callable[[Tensor, Tensor], Tensor]  # the same → ∂ value/∂ predictions (T, L, n, …)
    curvature: float | None = None  # c of a squared error (c/2)·mean (ŷ − y)²; None where the loss is no squared error
    probabilities: Callable[[Tensor], Tensor] | None = None  # predictions → those of the classes; None where they are none

    def of_zero(self, targets: Tensor) -> Tensor:
        """The loss of predicting zero everywhere: how large the targets are.  (T, n, …) → (T, 1)"""
        return self.value(torch.zeros_like(targets)[:, None], targets)


def squared_error(predictions: Tensor, targets: Tensor, *, curvature: float) -> Tensor:
    """(c/2)·mean (ŷ − y)² of each run: `torch.nn.MSELoss` at c = 2, half of it at c = 1.  (T, L, n, …), (T, n, …) → (T, L)"""
    return curvature / 2 * (predictions - targets[:, None]).square().flatten(2).mean(2)


def squared_signal(predictions: Tensor, targets: Tensor, *, curvature: float) -> Tensor:
    """c·(ŷ − y)/n, n the numbers in a trial's targets.  (T, L, n, …), (T, n, …) → (T, L, n, …)"""
    return (predictions - targets[:, None]).mul_(curvature / targets[0].numel())


def squared(curvature: float) -> Loss:
    """The squared error: c = 2 is the mean squared error, c = 1 half of it."""
    value, signal = (functools.partial(each, curvature=curvature) for each in (squared_error, squared_signal))
    return Loss(value, signal, curvature)


def cross_entropy_value(logits: Tensor, targets: Tensor) -> Tensor:
    """−mean over rows of log softmax(ŷ) at the label: `torch.nn.CrossEntropyLoss`.  (T, L, n, C), (T, n, C) → (T, L)"""
    return -(logits.log_softmax(-1) * targets[:, None]).sum(-1).mean(2)


def cross_entropy_signal(logits: Tensor, targets: Tensor) -> Tensor:
    """(softmax(ŷ) − y)/n.  (T, L, n, C), one-hot or probabilities (T, n, C) → (T, L, n, C)"""
    return (logits.softmax(-1) - targets[:, None]).div_(targets.shape[1])


CROSS_ENTROPY = Loss(cross_entropy_value, cross_entropy_signal, probabilities=functools.partial(torch.softmax, dim=-1))
