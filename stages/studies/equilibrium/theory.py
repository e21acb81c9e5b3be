"""Scale-invariant weights under SGD with weight decay: where their norm settles, and how far a step turns them.

The loss depends on ŵ = w/‖w‖ alone. So its gradient is orthogonal to w, and is g = g̃/‖w‖, with g̃ the gradient at ŵ. A step
w' = (1 − ηλ)w − ηg has two legs at a right angle, and Pythagoras gives

  ‖w'‖² = (1 − ηλ)²‖w‖² + η²‖g̃‖²/‖w‖²        cos ∠(w, w') = (1 − ηλ)‖w‖/‖w'‖

Decay shrinks the norm, gradients make it grow. Where both are even, ‖w‖⁴ = η·E‖g̃‖²/(2λ − ηλ²), to leading order in the
fluctuations of ‖w‖, and the effective learning rate η/‖w‖² depends on the product ηλ alone. Over many steps the norms cancel
from the product of the cosines: their geometric mean is 1 − ηλ, exactly, whatever loss and data are.

η is lr, λ is weight_decay, E‖g̃‖² is `gradient`; shapes broadcast. What has no equilibrium is NaN: 0 < ηλ < 2 is needed.

Sources: van Laarhoven, "L2 Regularization versus Batch and Weight Normalization" (2017); Li, Lyu, Arora, "Reconciling Modern
Deep Learning with Traditional Optimization Analyses: The Intrinsic Learning Rate" (NeurIPS 2020); Kosson, Messmer, Jaggi,
"Rotational Equilibrium: How Weight Decay Balances Learning Across Neural Networks" (ICML 2024).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
ALIKE = 0.05  # the share by which two numbers that are called the same may differ


def norm(lr: ArrayLike, weight_decay: ArrayLike, gradient: ArrayLike) -> Floats:
    """‖w‖ in equilibrium, (η·E‖g̃‖²/(2λ − ηλ²))^¼"""
    return np.sqrt(np.asarray(lr) / effective_lr(np.multiply(lr, weight_decay), gradient))


def effective_lr(product: ArrayLike, gradient: ArrayLike) -> Floats:
    """η/‖w‖² in equilibrium, √((2ηλ − η²λ²)/E‖g̃‖²), from the product ηλ."""
    product, gradient = known(product), np.asarray(gradient, dtype=np.float64)
    return np.sqrt((2 * product - product**2) / np.where(gradient > 0, gradient, np.nan))


def angle(product: ArrayLike) -> Floats:
    """The angle of a step in equilibrium, arccos(1 − ηλ), in radians."""
    return np.arccos(1 - known(product))


def adaptive_angle(product: float, beta1: float) -> float:
    """The root mean square of the angle of a step of AdamW in equilibrium, √(2ηλ(1 − β₁)/(1 + β₁)), in radians.

    The size of the gradient is not in it, as Adam divides by it (Kosson, Messmer, Jaggi 2024, for small ηλ).
    """
    return float(np.sqrt(2 * product * (1 - beta1) / (1 + beta1)))


def mean_angle(angles: Floats) -> Floats:
    """The angle whose cosine is the geometric mean of the cosines, by size; above π/2 where most are.  (…, K) → (…)"""
    with np.errstate(divide="ignore"):
        size = np.exp(np.log(np.abs(np.cos(angles))).mean(axis=-1))
    return np.arccos(np.where(np.median(angles, axis=-1) > np.pi / 2, -size, size))


def unsettled(product: ArrayLike, steps: NDArray, peak: ArrayLike, settled: ArrayLike) -> Floats:
    """How far ‖w‖⁴ still is from its equilibrium, as a share of it, at most, on average over these steps.

    Without fluctuations ‖w‖² goes to (1 − ηλ)²‖w‖² + const/‖w‖². So the distance shrinks by (1 − ηλ)⁴ a step far from the
    equilibrium, and by |2(1 − ηλ)² − 1| near it, at ηλ = 1 not at all; the slower of them counts. It begins at most at that of
    the largest norm on the way, from above, or at the whole, from below. `settled` is the norm where it settles.
    (…), (K,) → (…)
    """
    square = (1 - known(product)[..., None]) ** 2
    left = (np.maximum(square**2, np.abs(2 * square - 1)) ** np.asarray(steps)).mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # where the norm ends at 0, or beyond all bounds
        return np.maximum((np.asarray(peak) / np.asarray(settled)) ** 4, 1) * left


def known(product: ArrayLike) -> Floats:
    """NaN where no equilibrium is."""
    product = np.asarray(product, dtype=np.float64)
    return np.where((product > 0) & (product < 2), product, np.nan)


def apart(risks: NDArray) -> float:
    """How far the risks of different learning rates are apart in a trial at most, as a share of the largest.  (H, T)"""
    largest = risks.max(axis=0)
    return float(((largest - risks.min(axis=0)) / np.where(largest > 0, largest, 1)).max())
