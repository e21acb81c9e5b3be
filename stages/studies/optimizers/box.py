"""Where AdamW ends: least squares in a box, |w| ≤ 1/λ, and how far its ε keeps it from there.

At rest AdamW's step is zero: λw = −m/(√v + ε). Where the gradient g keeps its sign m = g and √v = |g|, so
    |λw| = |g|/(|g| + ε) < 1,
whatever the loss. As ε → 0 either g = 0, or |w| = 1/λ and g holds the weight there: the optimality conditions of the box.
Source of the limit: Xie, Li, "Implicit Bias of AdamW: ℓ∞ Norm Constrained Optimization" (ICML 2024).

With ε > 0 the same line, solved for g, says that a sum is stationary:
    data loss + (ε/λ)·Σ (−log(1 − λ|w|) − λ|w|),
a convex barrier inside the box, as interior-point methods have it.

With batches the gradient that a step sees is ḡ + noise, with variance V_j = Var_j/B·(n − B)/(n − 1) in weight j, where ḡ and Var
are the mean and the variance over rows of the gradient at w. As the learning rate goes to 0 and β₂ to 1, m → ḡ and
v → ḡ² + V, so at rest
    λw_j = −ḡ_j/√(ḡ_j² + V_j).
At B = n that is the box. Where V is much larger than ḡ², √V is nearly the same for all weights: ridge with λ·√V. (Derived here.)

Shapes: n rows, d inputs. The data loss is half the mean squared error.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
BETWEEN = 100.0  # factor from one barrier to the next weaker one
STEPS = 100  # of Newton's method at most; a dozen are usual
CLOSE, CONVERGED = 1e-6, 1e-24  # Newton's decrement, in units of the targets' mean square: on the way, and at the end
ROUNDING = 1e-15  # of the sum, in the same units


def box(inputs: Array, targets: Array, weight_decay: float) -> Array:
    """The minimiser of ‖Xw − y‖² with every |w| ≤ 1/λ; plain least squares at λ = 0.  (n, d), (n,) → (d,)"""
    wall = 1 / weight_decay if weight_decay else np.inf
    return optimize.lsq_linear(inputs, targets, bounds=(-wall, wall), method="bvls", tol=1e-14, max_iter=10 * inputs.shape[1]).x


def rest(inputs: Array, targets: Array, weight_decay: float, *, eps: float) -> Array:
    """Where AdamW comes to rest as its learning rate goes to zero: `box` with the barrier that ε is.  (n, d), (n,) → (d,)

    Newton's method inside the box, for ever weaker barriers until ε is reached.
    """
    if not weight_decay:
        return box(inputs, targets, 0)
    rows, size = len(inputs), float(np.mean(targets**2))
    hessian, pull = inputs.T @ inputs / rows, inputs.T @ targets / rows
    weight, strength = np.zeros_like(pull), max(float(np.abs(pull).max()), eps)
    while strength > eps:
        weight = _inside(hessian, pull, weight, weight_decay, strength, size=size, enough=CLOSE)
        strength /= BETWEEN
    return _inside(hessian, pull, weight, weight_decay, eps, size=size, enough=CONVERGED)


def rests_of(inputs: Array, targets: Array, weight_decays: Array, batch_size: int, *, eps: float) -> Array:
    """Where AdamW rests at each λ, ascending: `rest` on all rows, `batch_rest` on batches.  (n, d), (n,), (L,) → (L, d)"""
    if batch_size >= len(inputs):
        return np.array([rest(inputs, targets, weight_decay, eps=eps) for weight_decay in weight_decays.tolist()])
    found = np.empty((len(weight_decays), inputs.shape[1]))
    found[weight_decays == 0] = box(inputs, targets, 0)
    found[weight_decays > 0] = batch_rest(inputs, targets, weight_decays[weight_decays > 0], batch_size)
    return found


def batch_rest(inputs: Array, targets: Array, weight_decays: Array, batch_size: int) -> Array:
    """Where AdamW on batches rests, for each λ > 0, ascending: the root of λw = −ḡ/√(ḡ² + V).  (n, d), (n,), (L,) → (L, d)

    Newton's method, from the largest λ, where w is nearly 0, to ever smaller ones, each from the root before. `batch_size` < n.
    """
    rows, weight, found = len(inputs), np.zeros(inputs.shape[1]), []
    share = (rows - batch_size) / (rows - 1) / batch_size

    def gap(weight: Array, weight_decay: float) -> tuple[Array, Array]:
        """λw + ḡ/√(ḡ² + V), and its derivative (d, d)."""
        errors = inputs @ weight - targets
        mean, hessian = inputs.T @ errors / rows, inputs.T @ inputs / rows
        variance = share * ((inputs**2).T @ errors**2 / rows - mean**2)
        slope = 2 * share * ((inputs**2 * errors[:, None]).T @ inputs / rows - mean[:, None] * hessian)
        root = np.sqrt(mean**2 + variance)
        derivative = hessian / root[:, None] - (mean / root**3)[:, None] * (mean[:, None] * hessian + slope / 2)
        return weight_decay * weight + mean / root, derivative + weight_decay * np.eye(len(weight))

    for weight_decay in weight_decays[::-1].tolist():
        solved = optimize.root(gap, weight, args=(weight_decay,), jac=True, tol=1e-12)
        weight = solved.x if solved.success else np.full_like(weight, np.nan)
        found.append(weight)
        weight = np.nan_to_num(weight)
    return np.array(found[::-1]).reshape(len(weight_decays), inputs.shape[1])


def _inside(hessian: Array, pull: Array, weight: Array, decay: float, eps: float, *, size: float, enough: float) -> Array:
    """Newton's method with steps halved until they stay in the box and lower the sum."""

    def value(at: Array) -> float:
        share = decay * np.abs(at)
        if (share >= 1).any():
            return np.inf
        return float(at @ hessian @ at / 2 - pull @ at + eps / decay * np.sum(-np.log1p(-share) - share))

    for _ in range(STEPS):
        share = decay * np.abs(weight)
        gradient = hessian @ weight - pull + eps * np.sign(weight) * share / (1 - share)
        step = np.linalg.solve(hessian + np.diag(eps * decay / (1 - share) ** 2), gradient)
        decrement, length, before = float(gradient @ step), 1.0, value(weight)
        while value(weight - length * step) > before - length * decrement / 4 + ROUNDING * size:
            length /= 2
        weight = weight - length * step
        if decrement <= enough * size:
            break
    return weight
