"""The path of training on a linear model, without training: gradient descent in closed form, mini-batch SGD in exact parts.

Shapes: n rows, d inputs, K evaluated steps, k parts. `curvature` is the c of the data loss (c/2n)·‖ŷ − y‖².
"""

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
    batches: list[NDArray[np.int64]],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> Array:
    """Mini-batch SGD on the half mean squared error, solved for several targets at once; the bias is spared.

    A linear model's iterates are linear in the start and the targets. Training on the start alone, the noiseless
    targets alone and the noise alone, and adding up, gives the trained weights exactly: each column of `sources` and
    `start` is one such part. inputs (n, d), sources (n, k), start (d + 1, k) with the bias last → (d + 1, k)
    """
    design = np.column_stack([inputs, np.ones(len(inputs))])
    decay = weight_decay * np.append(np.ones(inputs.shape[1]), 0.0)[:, None]
    weights, velocity = start.copy(), np.zeros_like(start)
    for rows in batches:
        batch = design[rows]
        gradient = batch.T @ (batch @ weights - sources[rows]) / len(rows) + decay * weights
        velocity = momentum * velocity + gradient
        weights = weights - lr * velocity
    return weights
