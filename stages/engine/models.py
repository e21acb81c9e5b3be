"""Models, batched: parameters carry two leading axes, trials and decays; data carry the first alone.

Shapes: T trials, L decays, n rows, b rows of a batch, d inputs, C classes.
Nothing here mixes runs, so a run that overflows cannot harm its neighbours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 10  # of the confidence, in a calibration error
Parameters = dict[str, Tensor]
PullBack = Callable[[Tensor], Parameters]  # ∂ loss/∂ predictions → ∂ loss/∂ each parameter


@dataclass(frozen=True)
class Model:
    """What a study trains, and maybe its gradient by hand, where autograd's costs more."""

    predict: Callable[[Parameters, Tensor], Tensor]  # parameters (T, L, …), inputs (T, n, d) → predictions (T, L, n, …)
    by_hand: Callable[[Parameters, Tensor], tuple[Tensor, PullBack]] | None = None  # the same, and how signals go back

    def with_gradient(self, parameters: Parameters, inputs: Tensor) -> tuple[Tensor, PullBack]:
        """The predictions, and a function that takes an error signal back to the parameters."""
        return self.by_hand(parameters, inputs) if self.by_hand else self.by_autograd(parameters, inputs)

    def by_autograd(self, parameters: Parameters, inputs: Tensor) -> tuple[Tensor, PullBack]:
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        with torch.enable_grad():
            predictions = self.predict(leaves, inputs)

        def pull_back(signal: Tensor) -> Parameters:
            return dict(zip(leaves, torch.autograd.grad(predictions, list(leaves.values()), signal), strict=True))

        return predictions.detach(), pull_back


def linear(parameters: Parameters, inputs: Tensor) -> Tensor:
    """ŷ = Xw + b, or Xw where there is no bias: weight (T, L, d), bias (T, L), inputs (T, n, d) → (T, L, n)."""
    if "bias" not in parameters:
        return torch.bmm(inputs, parameters["weight"].mT).mT
    return torch.baddbmm(parameters["bias"][:, None], inputs, parameters["weight"].mT).mT


def linear_by_hand(parameters: Parameters, inputs: Tensor) -> tuple[Tensor, PullBack]:
    def pull_back(signal: Tensor) -> Parameters:
        of_weight = {"weight": torch.bmm(inputs.mT, signal.mT).mT}
        return of_weight | {"bias": signal.sum(-1)} if "bias" in parameters else of_weight

    return linear(parameters, inputs), pull_back


LINEAR = Model(linear, linear_by_hand)


def scores(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """XW + b for every λ, as one product with the W of all λ side by side.  (T, n, d), (T, L, d, C), (T, L, C) → (T, L, n, C)"""
    wide = torch.bmm(inputs, weight.transpose(1, 2).flatten(2))
    return wide.unflatten(2, (-1, weight.shape[3])).add_(bias[:, None]).transpose(1, 2)


def of_weight(inputs: Tensor, signal: Tensor) -> Tensor:
    """XᵀS, what an error signal says of W, alike.  (T, n, d), (T, L, n, C) → (T, L, d, C)"""
    wide = torch.bmm(inputs.mT, signal.transpose(1, 2).flatten(2))
    return wide.unflatten(2, (-1, signal.shape[3])).transpose(1, 2)


def logistic(parameters: Parameters, inputs: Tensor) -> Tensor:
    """Multinomial logistic regression: the scores of the classes, XW + b.  (T, n, d) → (T, L, n, C)"""
    return scores(inputs, parameters["weight"], parameters["bias"])


def logistic_by_hand(parameters: Parameters, inputs: Tensor) -> tuple[Tensor, PullBack]:
    def pull_back(signal: Tensor) -> Parameters:
        return {"weight": of_weight(inputs, signal), "bias": signal.sum(2)}

    return logistic(parameters, inputs), pull_back


LOGISTIC = Model(logistic, logistic_by_hand)


def take(rows_of: Tensor, rows: Tensor) -> Tensor:
    """Each trial's own rows.  (T, n, …), (T, b) → (T, b, …)"""
    first = rows_of.shape[1] * torch.arange(len(rows), device=rows.device)[:, None]
    return rows_of.flatten(0, 1).index_select(0, (first + rows).flatten()).unflatten(0, rows.shape)


def accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Share of rows whose largest output is the label's.  (T, L, n, C), one-hot (T, n, C) → (T, L)"""
    right = (predictions.argmax(-1) == targets.argmax(-1)[:, None]).sum(2)
    return right.double() / targets.shape[1]  # a mean may multiply by 1/n instead, which is another number


def calibration_error(probabilities: Tensor, targets: Tensor) -> Tensor:
    """How far confidence is from accuracy, `expected calibration error`: Σ over bins of |right answers − confidence|/n.

    Confidence is the largest probability of a row; ten bins of equal width divide it.
    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017).
    (T, L, n, C), one-hot (T, n, C) → (T, L)
    """
    confidence, chosen = probabilities.max(-1)
    gaps = (chosen == targets.argmax(-1)[:, None]).double() - confidence  # (T, L, n)
    return _over_bins(confidence, gaps).abs().sum(0) / targets.shape[1]


def calibration_floor(probabilities: Tensor) -> Tensor:
    """What `calibration_error` is by chance alone if every confidence p is right: √(2/π)·Σ over bins √(Σ p(1 − p))/n.

    The number of right answers of a bin is then a sum of independent draws, whose mean absolute deviation this is, as for a
    normal distribution.  (T, L, n, C) → (T, L)
    """
    confidence = probabilities.amax(-1)
    variances = _over_bins(confidence, confidence * (1 - confidence))
    return math.sqrt(2 / math.pi) * variances.sqrt().sum(0) / probabilities.shape[2]


def _over_bins(confidence: Tensor, values: Tensor) -> Tensor:
    """The sum of values in each bin of the confidence, whose right end is its own.  (T, L, n) each → (BINS, T, L)"""
    place = (confidence * BINS).ceil()
    return torch.stack([((place == each) * values).sum(2) for each in range(1, BINS + 1)])


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(T, n) → (T, n, C)"""
    return torch.nn.functional.one_hot(labels, classes).double()
