"""Ridge regression: where training with weight decay ends.

Shapes: n rows, d inputs, T trials, m = min(n, d). `curvature` is the c of the data loss (c/2n)·‖ŷ − y‖²: 1 for the half mean
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


def without_bias(inputs: Array, targets: Array, weight_decay: float) -> Array:
    """The minimiser of (1/2n)·‖Xw − y‖² + (λ/2)·‖w‖² in every trial.  (T, n, d), (T, n) → (T, d)"""
    return solve(*np.linalg.svd(inputs, full_matrices=False), targets, inputs.shape[1] * weight_decay)


def solve(left: Array, values: Array, right: Array, targets: Array, penalty: float) -> Array:
    """Ridge without a bias, with Λ = nλ/c, from the singular value decomposition of each trial's rows; of least norm at Λ = 0.

    left (T, n, m), values (T, m), right (T, m, d), targets (T, n) → (T, d)
    """
    kept = values > RANK * values.max(axis=1, keepdims=True)
    inverse = np.where(kept, values / np.where(kept, values**2 + penalty, 1), 0)
    return np.einsum("tmd,tm,tnm,tn->td", right, inverse, left, targets, optimize=True)


def _shrunk(inputs: Array, targets: Array, decay: float) -> Array:
    left, values, right = np.linalg.svd(inputs, full_matrices=False)
    kept = values > RANK * values.max()
    inverse = values[kept] / (values[kept] ** 2 + len(inputs) * decay)
    return right[kept].T @ (inverse * (left[:, kept].T @ targets))
