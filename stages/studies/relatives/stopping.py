"""Early stopping beside ridge: the risk of gradient descent from zero, after any number of steps.

Both shrink what the rows say along each singular vector, and leave nothing else: f = s²/(s² + nλ) of it is left by ridge,
f = 1 − (1 − lr·s²/n)^k by k steps of gradient descent, which is about 1 − exp(−t·s²/n) with the time t = lr·k. At t = 1/λ both
are near 0 where s²/n ≪ λ, and near 1 where s²/n ≫ λ.

Shapes: n rows, d inputs, T trials, m = min(n, d).
Source: Ali, Kolter, Tibshirani, "A Continuous-Time View of Early Stopping for Least Squares Regression" (AISTATS 2019).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
AT_MOST = 1.6862  # times ridge's risk at λ = 1/t is the risk of gradient flow at time t (Theorem 1 of the source)


def stopped_risk(
    values: Array, steps: int, *, lr: float, rows: int, inputs: int, signal: float, noise: float, weight_decay: float = 0.0
) -> Array:
    """‖w − w*‖² after so many steps on half the mean squared error, from zero, without an intercept, given the rows.

    Σ over d of (1 − f)²·signal²/d + (f·noise/s)², an expectation over the direction of w*, with ‖w*‖ = signal, and over the
    noise. With weight decay too, f = s²/(s² + nλ)·(1 − (1 − lr·(s²/n + λ))^k). Singular values s of the rows (T, m) → (T,)
    """
    squares, penalty = values**2, rows * weight_decay
    reached = 1 - (1 - lr * (squares + penalty) / rows) ** steps  # the share of ridge that is reached
    fitted = reached * np.divide(values, squares + penalty, out=np.zeros_like(values), where=values > 0)  # f/s
    within = np.sum((1 - fitted * values) ** 2 * signal**2 / inputs + (noise * fitted) ** 2, axis=-1)
    return within + (inputs - values.shape[-1]) * signal**2 / inputs
