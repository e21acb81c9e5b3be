"""The risk of ridge regression on isotropic inputs, expected over what is random.

Shapes: n rows, d inputs, T trials.
Source: Nakkiran, Venkat, Kakade, Ma, "Optimal Regularization Can Mitigate Double Descent" (ICLR 2021), Lemma 2.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ridge_risk(values: Array, penalty: float, *, inputs: int, signal: float, noise: float) -> Array:
    """‖w − w*‖² of ridge with Λ = nλ and no intercept, given the rows: Σ over d of (signal²·Λ²/d + noise²·s²)/(s² + Λ)².

    It is an expectation over the direction of w*, with ‖w*‖ = signal, and over the noise.
    Singular values s of the rows (T, min(n, d)), zeros left out → (T,)
    """
    lost = signal**2 / inputs
    squares = values**2
    within = np.sum((lost * penalty**2 + noise**2 * squares) / (squares + penalty) ** 2, axis=-1)
    return within + (inputs - values.shape[-1]) * lost


def least_norm_risk(rows: int, *, inputs: int, signal: float, noise: float) -> float:
    """`ridge_risk` at Λ = 0, expected over the rows too; with noise infinite where |n − d| < 2."""
    if noise == 0:
        return signal**2 * max(1 - rows / inputs, 0.0)
    if rows > inputs + 1:
        return noise**2 * inputs / (rows - inputs - 1)
    if rows < inputs - 1:
        return signal**2 * (1 - rows / inputs) + noise**2 * rows / (inputs - rows - 1)
    return float("inf")
