"""Exact results for linear models, to stand beside the measurements. NumPy alone, independent of the training engine.

Shapes: n rows, d inputs, T steps. `curvature` is the c of the data loss (c/2n)·‖ŷ − y‖²: 1 for the half mean
squared error, 2 for the plain one. λ is `weight_decay`: the penalty is (λ/2)·‖w‖².
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


RANK = 1e-10  # singular values below this share of the largest are zeros that rounding has filled


def ridge(
    inputs: Array, targets: Array, weight_decay: float, *, curvature: float = 1.0, decays_bias: bool = False
) -> tuple[Array, float]:
    """The minimiser of (c/2n)·‖Xw + b − y‖² + (λ/2)·‖w‖²; the one of least norm at λ = 0, the limit λ → 0.

    b is free: with centred Xc = USVᵀ and yc, w = V·S/(S² + nλ/c)·Uᵀyc and b = ȳ − x̄ᵀw; scikit-learn's Ridge with
    alpha = nλ/c. Where the bias decays it is the weight of one more input, 1, and nothing is centred.
    inputs (n, d), targets (n,) → weight (d,), bias
    """
    if decays_bias:
        weight = _shrunk(np.column_stack([inputs, np.ones(len(inputs))]), targets, weight_decay / curvature)
        return weight[:-1], float(weight[-1])
    centre, mean = inputs.mean(axis=0), targets.mean()
    weight = _shrunk(inputs - centre, targets - mean, weight_decay / curvature)
    return weight, float(mean - centre @ weight)


def _shrunk(inputs: Array, targets: Array, decay: float) -> Array:
    left, values, right = np.linalg.svd(inputs, full_matrices=False)
    kept = values > RANK * values.max()
    inverse = values[kept] / (values[kept] ** 2 + len(inputs) * decay)
    return right[kept].T @ (inverse * (left[:, kept].T @ targets))


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


def stability_limit(inputs: Array, *, weight_decay: float, curvature: float, decays_bias: bool) -> float:
    """The largest stable learning rate of full-batch gradient descent on weight and bias: 2/μ_max of (c/n)·AᵀA + λD.

    A = [X, 1]; D is the identity, without its last entry where the bias is spared.
    """
    design = np.column_stack([inputs, np.ones(len(inputs))])
    decayed = np.append(np.ones(inputs.shape[1]), float(decays_bias))
    hessian = curvature / len(inputs) * design.T @ design + weight_decay * np.diag(decayed)
    return float(2 / np.linalg.eigvalsh(hessian)[-1])


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


def remaining(curvatures: Array, steps: int, *, lr: float, momentum: float) -> Array:
    """The share of an error that full-batch gradient descent, with heavy-ball momentum or without, leaves along an
    eigenvector of the Hessian: e_{k+1} = (1 + β − lr·h)·e_k − β·e_{k−1}, as a power of its 2 × 2 matrix.  Any shape, h each.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # beyond stability
        one = np.stack([1 + momentum - lr * curvatures, np.full_like(curvatures, -momentum)], axis=-1)
        two = np.stack([np.ones_like(curvatures), np.zeros_like(curvatures)], axis=-1)
        return np.linalg.matrix_power(np.stack([one, two], axis=-2), steps)[..., 0, :].sum(axis=-1)


def ridge_risk(values: Array, penalty: float, *, inputs: int, signal: float, noise: float) -> Array:
    """‖w − w*‖² of ridge with Λ = nλ, no intercept, expected over the direction of w*, ‖w*‖ = signal, and the noise, given rows:
    Σ over d of (signal²·Λ²/d + noise²·s²)/(s² + Λ)².  Singular values s (T, min(n, d)), zeros left out → (T,)

    Source: Nakkiran, Venkat, Kakade, Ma, "Optimal Regularization Can Mitigate Double Descent" (ICLR 2021), Lemma 2.
    """
    lost = signal**2 / inputs
    squares = values**2
    within = np.sum((lost * penalty**2 + noise**2 * squares) / (squares + penalty) ** 2, axis=-1)
    return within + (inputs - values.shape[-1]) * lost


def least_norm_risk(rows: int, *, inputs: int, signal: float, noise: float) -> float:
    """`ridge_risk` at Λ = 0, expected over the rows too; infinite where |n − d| < 2.  Same source."""
    if rows > inputs + 1:
        return noise**2 * inputs / (rows - inputs - 1)
    if rows < inputs - 1:
        return signal**2 * (1 - rows / inputs) + noise**2 * rows / (inputs - rows - 1)
    return float("inf")
