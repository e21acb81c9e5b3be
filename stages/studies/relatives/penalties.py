"""Exact optima of ridge's relatives, on half the mean squared error without an intercept: elastic net, and dropout on inputs.

Shapes: T trials, L penalties, n rows, d inputs.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SLACK = 1e-9  # of λ: what rounding may add to a correlation that must not exceed it


def elastic_net(inputs: Array, targets: Array, near: Array, weight_decays: Array, l1_ratio: float) -> Array:
    """The minimiser of (1/2n)·‖Xw − y‖² + λ·(r·‖w‖₁ + (1 − r)/2·‖w‖²), given weights near it; NaN where they do not lead to it.

    The signs s of the weights on their support A decide the rest: w_A = (X_AᵀX_A/n + λ(1 − r)·I)⁻¹(X_Aᵀy/n − λr·s_A), w = 0
    elsewhere. That is the minimum if it has these signs, and if no input outside A is correlated with the residuals by more
    than λr: the conditions of Karush, Kuhn and Tucker. scikit-learn's ElasticNet(alpha=λ, l1_ratio=r), its Lasso at r = 1.
    inputs (T, n, d), targets (T, n), near (T, L, d), decays (L,), each above 0 → (T, L, d)
    """
    rows, width = inputs.shape[1:]
    gram, moment = inputs.mT @ inputs / rows, (inputs.mT @ targets[..., None])[..., 0] / rows  # (T, d, d), (T, d)
    ridge, threshold = (1 - l1_ratio) * weight_decays[:, None], l1_ratio * weight_decays[:, None]  # (L, 1)
    signs = np.sign(np.nan_to_num(near))
    active = signs != 0
    solvable = np.isfinite(near).all(axis=-1) & ((active.sum(axis=-1) <= rows) | (ridge[:, 0] > 0))  # (T, L)
    active &= solvable[..., None]
    identity = np.eye(width)
    system = np.where(active[..., None] & active[..., None, :], gram[:, None] + ridge[..., None] * identity, identity)
    aims = np.where(active, moment[:, None] - threshold * signs, 0)
    solved = np.linalg.solve(system, aims[..., None])[..., 0]
    correlations = moment[:, None] - np.einsum("tij,tlj->tli", gram, solved)
    met = np.where(active, np.sign(solved) == signs, np.abs(correlations) <= threshold + SLACK * weight_decays[:, None]).all(
        axis=-1
    )
    return np.where((met & solvable)[..., None], solved, np.nan)


def dropout(inputs: Array, targets: Array, kept: float) -> Array:
    """The minimiser of the loss expected over dropout's masks: of inputs that are kept with probability q and then divided by q.

    The expected loss is (1/2n)·‖Xw − y‖² + (1 − q)/q·Σ_j mean(x_j²)·w_j²/2: ridge, each weight by its input's second moment.
    Source: Wager, Wang, Liang, "Dropout Training as Adaptive Regularization" (NeurIPS 2013); Srivastava et al., "Dropout"
    (JMLR 2014), section 9.1.
    inputs (T, n, d), targets (T, n) → (T, d)
    """
    rows, width = inputs.shape[1:]
    penalty = (1 - kept) / kept * np.mean(inputs**2, axis=1)  # (T, d)
    gram = inputs.mT @ inputs / rows + penalty[:, None] * np.eye(width)
    return np.linalg.solve(gram, inputs.mT @ targets[..., None] / rows)[..., 0]
