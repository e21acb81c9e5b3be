"""Fewer numbers with the same result: a linear model under squared error, in the coordinates that training can reach.

Shapes: T trials, n rows, d inputs.
"""

from dataclasses import replace

import torch
from torch import Tensor

from stages.engine.problem import Problem, Split


def project(problem: Problem) -> Problem:
    """The problem in the coordinates of each trial's span of training rows and start: d inputs become n + 1.

    The gradient of a linear model lies in the span of the rows, and L2 decay acts along the weights. So nothing leaves that
    span, and losses and norms stay what they are, to rounding. The optimiser must be rotation-equivariant: SGD, with momentum
    or without; not Adam, ℓ1 or dropout, which treat each coordinate for itself. Where d ≤ n + 1 the problem is returned as is.
    """
    inputs, start = problem.train[0], problem.start["weight"]
    if inputs.shape[2] <= inputs.shape[1] + 1:
        return problem
    basis = span(torch.cat([inputs, start[:, None]], dim=1))
    splits = {name: (torch.bmm(rows, basis), aims) for name, (rows, aims) in problem.splits.items()}
    unseen = {name: condense(*split) for name, split in splits.items() if name != "train"}
    projected = replace(problem, start=problem.start | {"weight": torch.bmm(start[:, None], basis)[:, 0]})
    return projected.on(splits | unseen)


def condense(inputs: Tensor, targets: Tensor) -> Split:
    """At most d + 2 rows on which every linear model, whatever its weights and bias, has the same mean squared error.

    A rotation of the rows of [1, X, y] leaves each sum of squared errors what it is. In the coordinates of a basis of the
    columns all rows but d + 2 are zero; a reflection then makes the first column constant again, and a division makes it 1.
    """
    rows, kept = targets.shape[1], inputs.shape[2] + 2
    if rows <= kept:
        return inputs, targets
    columns = torch.cat([torch.ones_like(targets)[..., None], inputs, targets[..., None]], dim=2)
    rotated = torch.bmm(span(columns.mT).mT, columns)  # (T, d + 2, d + 2)
    constant = torch.full_like(rotated[..., :1], (rows / kept) ** 0.5)
    mirror = torch.nn.functional.normalize(rotated[..., :1] - constant, dim=1)
    condensed = torch.baddbmm(rotated, mirror, torch.bmm(mirror.mT, rotated), alpha=-2) / constant
    return condensed[..., 1:-1], condensed[..., -1]


def span(rows: Tensor) -> Tensor:
    """An orthonormal basis that spans each trial's rows.  (T, k, d) → (T, d, k)

    It comes from the Gram matrix of the rows; from QR, which is ten times slower, where two rows almost depend on each other
    (below a sine of 0.1 the Gram matrix would cost more than two digits).
    """
    unit = torch.nn.functional.normalize(rows, dim=2)
    factor, failed = torch.linalg.cholesky_ex(torch.bmm(unit, unit.mT))
    if failed.any() or (factor.diagonal(dim1=1, dim2=2) < 0.1).any():
        return torch.linalg.qr(rows.mT).Q
    identity = torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device).expand_as(factor)
    return torch.bmm(unit.mT, torch.linalg.solve_triangular(factor, identity, upper=False).mT)
