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
    decay = weight_decays[:, None]
    kept = values / (1 + decay) if layers == "one" else np.maximum(values - decay, 0)
    return left * kept[..., None, :] @ right


def spectrum(learnt: Array) -> Array:
    """The singular values, NaN where a run diverged.  (T, L, m, n) → (T, L, k)"""
    lost = np.isnan(learnt[..., :1, 0])
    return np.where(lost, np.nan, np.linalg.svd(np.nan_to_num(learnt), compute_uv=False))


def rank(values: Array, targets: Array) -> Array:
    """How many singular values count.  (T, L, k), (T, m, n) → (T, L)"""
    largest = np.linalg.norm(targets, ord=2, axis=(1, 2))[:, None]
    return np.where(np.isnan(values[..., 0]), np.nan, (values > COUNTS * largest[..., None]).sum(axis=-1))


def errors(arrays: Mapping[str, NDArray], runs: Mapping[str, Array]) -> dict[str, Array]:
    """‖W − M‖/‖M‖ of each run, M the truth; of the entries that were hidden alone, where some were.  (T, L, m, n) → (T, L)"""
    found = {}
    for run, learnt in runs.items():
        asked = (1.0 - arrays["seen"] if run.endswith("some") else np.ones_like(arrays["truth"]))[:, None]
        truth = asked * arrays["truth"][:, None]
        apart = np.linalg.norm(asked * learnt - truth, axis=(2, 3)) / np.linalg.norm(truth, axis=(2, 3))
        found[run] = on_grid(apart, 1, END)
    return found
