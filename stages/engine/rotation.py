"""Gradient descent on ridge regression in coordinates that know nothing of each other, and whether it arrives there.

X = USVᵀ and z = Vᵀw turn ‖Xw − y‖² into ‖Sz − Uᵀy‖² and a constant. Gradient descent from zero, with momentum or without, is the
same in rotated coordinates, and never leaves the span of V. So n rows of d inputs become m = min(n, d) numbers.
Shapes: T trials, n rows, L values of λ.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.engine.losses import squared
from stages.engine.models import Model, Parameters, PullBack
from stages.engine.problem import Problem
from stages.engine.stability import remaining

Floats = NDArray[np.float64]


def separate(parameters: Parameters, scales: Tensor) -> Tensor:
    """Each weight times its own scale.  weight (T, L, m), scales (T, 1, m) → (T, L, 1, m)"""
    return parameters["weight"][:, :, None] * scales[:, None]


def separate_by_hand(parameters: Parameters, scales: Tensor) -> tuple[Tensor, PullBack]:
    return separate(parameters, scales), lambda signal: {"weight": (signal * scales[:, None]).flatten(2)}


SEPARATE = Model(separate, separate_by_hand)


def rotated(values: Floats, aims: Floats, rows: int, device: torch.device) -> Problem:
    """Half the mean squared error of n rows, as a problem in z: m outputs of one row, from zero.

    There are no other rows to validate on: these stand for them. Singular values S and aims Uᵀy (T, m)
    """
    mean = (values.shape[1] / rows) ** 0.5  # the loss is a mean over outputs, and was one over rows
    scales, targets = (torch.from_numpy(mean * each)[:, None].to(device) for each in (values, aims))
    split = (scales, targets)
    return Problem(SEPARATE, squared(1.0), split, split, {"weight": torch.zeros_like(scales[:, 0])}, ("weight",), ())


def arrives(
    values: Floats, weight_decays: Sequence[float], rows: int, steps: int, *, lr: float, momentum: float, converged: float
) -> NDArray[np.bool_]:
    """Tell whether training from zero gets to the end at each λ in every trial, up to a share `converged` of the error.

    As its closed form says. Directions that no row has are left out: nothing moves along them.  Singular values (T, m) → (L,)
    """
    seen = values > 1e-10 * values.max(axis=-1, keepdims=True)
    left = [np.abs(remaining(values**2 / rows + each, steps, lr=lr, momentum=momentum)) for each in weight_decays]
    return np.array([share.max(initial=0, where=seen) for share in left]) < converged
