"""When gradient descent on a least-squares problem is stable, and how far it gets.

Shapes: n rows, d inputs. A = [X, 1] where there is a bias.
"""

import numpy as np
from numpy.typing import NDArray

from stages.engine.problem import Problem

Floats = NDArray[np.float64]


def limit(inputs: Floats, *, weight_decay: float, curvature: float, bias: bool = True, bias_decays: bool = False) -> float:
    """The largest stable learning rate of full-batch gradient descent: 2/μ_max of the Hessian (c/n)·AᵀA + λD.

    D is the identity, without its last entry where the bias is spared. inputs (n, d)
    """
    design = np.column_stack([inputs, np.ones(len(inputs))]) if bias else inputs
    decayed = np.ones(design.shape[1])
    if bias:
        decayed[-1] = bias_decays
    hessian = curvature / len(inputs) * design.T @ design + weight_decay * np.diag(decayed)
    return float(2 / np.linalg.eigvalsh(hessian)[-1])


def smallest_limit(problem: Problem, *, weight_decay: float, momentum: float) -> float:
    """The largest learning rate that is stable in every trial of a least-squares problem, on full batches."""
    assert problem.loss.curvature is not None
    options = {"bias": "bias" in problem.start, "bias_decays": "bias" in problem.decayed}
    limits = [
        limit(inputs, weight_decay=weight_decay, curvature=problem.loss.curvature, **options)
        for inputs in problem.train[0].double().cpu().numpy()
    ]
    return (1 + momentum) * min(limits)


def remaining(curvatures: Floats, steps: int, *, lr: float, momentum: float) -> Floats:
    """The share of an error that full-batch gradient descent leaves along each eigenvector of the Hessian.

    With heavy-ball momentum β the error obeys e_{k+1} = (1 + β − lr·h)·e_k − β·e_{k−1}: a power of a 2 × 2 matrix.
    Any shape of eigenvalues h → the same shape
    """
    with np.errstate(over="ignore", invalid="ignore"):  # beyond stability
        one = np.stack([1 + momentum - lr * curvatures, np.full_like(curvatures, -momentum)], axis=-1)
        two = np.stack([np.ones_like(curvatures), np.zeros_like(curvatures)], axis=-1)
        return np.linalg.matrix_power(np.stack([one, two], axis=-2), steps)[..., 0, :].sum(axis=-1)
