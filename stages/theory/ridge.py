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


def path(left: Array, values: Array, right: Array, targets: Array, penalties: Array) -> Array:
    """`solve` of one trial at many Λ.  left (n, m), values (m,), right (m, d), targets (n,), penalties (L,) → (L, d)"""
    return _shares(values, penalties) / np.where(values > 0, values, 1) * (targets @ left) @ right


def degrees_of_freedom(values: Array, penalties: Array) -> Array:
    """The trace of the matrix that turns targets into predictions: 1 for the mean, and Σ s²/(s² + Λ).

    Source: Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning" (2009), 3.4.1.
    values of centred rows (m,), penalties (L,) → (L,)
    """
    return 1 + _shares(values, penalties).sum(axis=1)


def leave_one_out(left: Array, values: Array, targets: Array, penalties: Array) -> Array:
    """The error for each row of the model that is trained on all others, with the same Λ: (y − ŷ)/(1 − h), without training it.

    h is a row's own share in its prediction, its leverage. Where that is 1 nothing is known, and the error is NaN. What else
    the row had a part in, such as the scale of the inputs, is kept: with few rows such errors are too hopeful.
    Source: Golub, Heath, Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter" (1979).
    left (n, m) and values (m,) of centred rows, centred targets (n,), penalties (L,) → (L, n)
    """
    shares = _shares(values, penalties)
    residuals = targets - (shares * (targets @ left)) @ left.T
    rest = 1 - 1 / len(targets) - shares @ (left**2).T
    return np.where(rest > RANK, residuals / np.where(rest > RANK, rest, 1), np.nan)


def generalised(residuals: Array, freedom: Array) -> Array:
    """The mean square of residuals, each divided by the mean of 1 − h: generalised cross-validation.

    NaN where that is 0. Source: as of `leave_one_out`.  residuals (L, n), degrees of freedom (L,) → (L,)
    """
    rest = 1 - freedom / residuals.shape[1]
    return np.where(rest > RANK, np.mean(residuals**2, axis=1) / np.where(rest > RANK, rest, 1) ** 2, np.nan)


def _shares(values: Array, penalties: Array) -> Array:
    """What is left along each direction: s²/(s² + Λ), 0 where no row has it.  (m,), (L,) → (L, m)"""
    squares = np.where(values > RANK * values.max(), values**2, 0)
    return squares / np.where(squares > 0, squares + penalties[:, None], 1)


def _shrunk(inputs: Array, targets: Array, decay: float) -> Array:
    left, values, right = np.linalg.svd(inputs, full_matrices=False)
    kept = values > RANK * values.max()
    inverse = values[kept] / (values[kept] ** 2 + len(inputs) * decay)
    return right[kept].T @ (inverse * (left[:, kept].T @ targets))
