"""The path of training on a linear model, without training: gradient descent in closed form, mini-batch SGD in exact parts.

Shapes: T trials, n rows, d inputs, L decays, E epochs, b rows of a batch, K evaluations, k parts.
`curvature` is the c of the data loss (c/2n)·‖ŷ − y‖².
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gradient_descent(
    inputs: Array, targets: Array, start: Array, steps: NDArray[np.int64], *, lr: float, weight_decay: float, curvature: float
) -> Array:
    """Full-batch gradient descent in closed form, every weight decayed, no separate bias; the iterates at `steps`.

    In the eigenbasis V of H = (c/n)·XᵀX with eigenvalues μ, and g = Vᵀ(c/n)·Xᵀy:
        Vᵀw_k = ρᵏ·Vᵀw₀ + (1 − ρᵏ)/(μ + λ)·g,  ρ = 1 − lr·(μ + λ).
    inputs (n, d), targets (n,), start (d,), steps (K,) → (K, d)
    """
    scale = curvature / len(inputs)
    eigenvalues, basis = np.linalg.eigh(scale * inputs.T @ inputs)
    total = np.maximum(eigenvalues, 0) + weight_decay  # (d,)
    decay = (1 - lr * total) ** np.asarray(steps)[:, None]  # (K, d)
    gathered = np.where(total > 0, (1 - decay) / np.where(total > 0, total, 1), lr * np.asarray(steps)[:, None])
    return (decay * (basis.T @ start) + gathered * (basis.T @ (scale * inputs.T @ targets))) @ basis.T


def sgd_parts(
    inputs: Array,
    sources: Array,
    start: Array,
    order: NDArray[np.int64],
    weight_decays: Array,
    *,
    batch_size: int,
    epochs: Sequence[int],
    lr: float,
    momentum: float,
) -> Array:
    """Mini-batch SGD on the half mean squared error, solved for several targets at once; the bias is spared.

    A linear model's iterates are linear in the start and the targets. Training on the start alone, the noiseless
    targets alone and the noise alone, and adding up, gives the trained weights exactly: each column of `sources` and
    `start` is one such part. All T trials and L decays take their steps together, and are looked at after each of `epochs`,
    ascending. inputs (T, n, d), sources (T, n, k), start (T, d + 1, k) with the bias last, order (T, E, n), decays (L,)
    → (T, L, K, k, d + 1)
    """
    (trials, rows, width), parts = inputs.shape, start.shape[2]
    design, trial = np.concatenate([inputs, np.ones((trials, rows, 1))], axis=2), np.arange(trials)[:, None]
    decay = np.append(np.ones(width), 0.0)[:, None] * np.repeat(weight_decays, parts)  # (d + 1, L·k)
    weights, aims = np.tile(start, len(weight_decays)), np.tile(sources, len(weight_decays))  # (T, d + 1, L·k), (T, n, L·k)
    velocity, found = np.zeros_like(weights), []
    for epoch in range(epochs[-1]):
        for first in range(0, rows, batch_size):
            chosen = order[:, epoch, first : first + batch_size]  # (T, b)
            batch = design[trial, chosen]
            gradient = batch.mT @ (batch @ weights - aims[trial, chosen]) / chosen.shape[1] + decay * weights
            velocity = momentum * velocity + gradient
            weights = weights - lr * velocity
        if epoch + 1 in epochs:
            found.append(weights.reshape(trials, width + 1, len(weight_decays), parts))
    return np.transpose(found, (1, 3, 0, 4, 2))
