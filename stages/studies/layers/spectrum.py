"""What λ leaves of a matrix, in closed form, and what is measured of the matrix that a model learns.

min ½‖Y − W‖² + (λ/2)‖W‖² is at W = Y/(1 + λ): every singular value is divided. min ½‖Y − UV‖² + (λ/2)(‖U‖² + ‖V‖²) has
½(‖U‖² + ‖V‖²) = Σσ at its least, the nuclear norm of UV. So every singular value is lowered, to max(σ − λ, 0), and the small ones
are gone. Sources: Srebro, Rennie, Jaakkola (2004); Cai, Candès, Shen, "A Singular Value Thresholding Algorithm" (2010).

Shapes: T trials, L values of λ, m rows, n columns, k = min(m, n).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import END, on_grid

Array = NDArray[np.float64]
COUNTS = 0.001  # of the largest singular value of Y: a smaller one counts as zero, as training comes near zero and not to it


def optimum(targets: Array, weight_decays: Array, layers: str) -> Array:
    """The best matrix of one layer or of two, at each λ.  (T, m, n), (L,) → (T, L, m, n)"""
    left, values, right = np.linalg.svd(targets[:, None], full_matrices=False)
    return left * lowered(values, weight_decays, layers)[..., None, :] @ right


def lowered(values: Array, weight_decays: Array, layers: str) -> Array:
    """What each λ makes of singular values.  (T, 1, k), (L,) → (T, L, k)"""
    decay = weight_decays[:, None]
    return values / (1 + decay) if layers == "one" else np.maximum(values - decay, 0)


def spectrum(learnt: Array) -> Array:
    """The singular values, NaN where a run diverged.  (T, L, m, n) → (T, L, k)"""
    lost = np.isnan(learnt.sum(axis=(2, 3)))
    values = np.linalg.svd(np.where(lost[:, :, None, None], 0, learnt), compute_uv=False)
    return np.where(lost[..., None], np.nan, values)


def rank(values: Array, targets: Array) -> Array:
    """How many singular values count.  (T, L, k), (T, m, n) → (T, L)"""
    largest = np.linalg.norm(targets, ord=2, axis=(1, 2))
    counted = (values > COUNTS * largest[:, None, None]).sum(axis=-1)
    return np.where(np.isnan(values).any(axis=-1), np.nan, counted)


def error(arrays: Mapping[str, NDArray], learnt: Array, *, hidden: bool) -> Array:
    """‖W − M‖/‖M‖, M the truth; of the entries that were hidden alone, if `hidden`.  (T, L, m, n) → (T, L)"""
    asked = 1 - arrays["seen"].astype(float) if hidden else np.ones_like(arrays["truth"])
    truth = asked * arrays["truth"]
    return on_grid(norm(asked[:, None] * learnt - truth[:, None]) / norm(truth[:, None]), 1, END)


def norm(matrices: Array) -> Array:
    """The root of the sum of squared entries.  (…, m, n) → (…)"""
    return np.sqrt(np.sum(matrices**2, axis=(-2, -1)))
