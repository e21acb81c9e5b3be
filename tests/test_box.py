"""Least squares in a box, and AdamW's rest: against optimality conditions, another solver and torch's AdamW."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from stages.studies.optimizers.box import box, rest

Rows = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture
def rows(rng: np.random.Generator) -> Rows:
    """30 rows of 12 inputs, with weights of about 1."""
    inputs = rng.standard_normal((30, 12))
    return inputs, inputs @ rng.standard_normal(12) + rng.standard_normal(30)


def gradient(rows: Rows, weight: NDArray) -> NDArray:
    inputs, targets = rows
    return inputs.T @ (inputs @ weight - targets) / len(targets)


@pytest.mark.parametrize("decay", [0.3, 1, 2, 10])
def test_the_box_is_optimal(rows: Rows, decay: float) -> None:
    """Inside the gradient is zero; at a wall it pushes against it. Beside it another solver, which stops at 1e-6."""
    weight, wall = box(*rows, decay), 1 / decay
    slope, at_wall = gradient(rows, weight), np.abs(weight) > wall * (1 - 1e-12)
    assert np.abs(weight).max() <= wall * (1 + 1e-15)
    assert np.abs(slope[~at_wall]).max(initial=0) < 1e-12
    assert (slope * weight)[at_wall].max(initial=0) <= 0
    assert at_wall.any() == (decay > 0.5), "these decays are meant to hold both"

    def loss(weight: NDArray) -> float:
        return float(np.mean((rows[0] @ weight - rows[1]) ** 2)) / 2

    found = minimize(loss, np.zeros(12), jac=lambda weight: gradient(rows, weight), bounds=[(-wall, wall)] * 12, tol=1e-12)
    np.testing.assert_allclose(weight, found.x, atol=1e-5)


@pytest.mark.parametrize("decay", [0.1, 2, 50])
@pytest.mark.parametrize("eps", [1e-6, 1e-3, 1, 100])
def test_at_rest_the_step_of_adamw_is_zero(rows: Rows, decay: float, eps: float) -> None:
    """λw = −g/(|g| + ε). Near a wall g is known to the share that rounding leaves of 1 − λ|w|, about ε/|g|."""
    weight = rest(*rows, decay, eps=eps)
    slope = gradient(rows, weight)
    np.testing.assert_allclose(decay * weight, -slope / (np.abs(slope) + eps), atol=1e-8)
    assert np.abs(decay * weight).max() < 1


@pytest.mark.parametrize(("beta2", "leaves"), [(0.9, False), (0.999, True)])
def test_with_equal_betas_no_gradient_drives_a_weight_out_of_the_box(beta2: float, leaves: bool) -> None:
    """|m| ≤ √v, as the square of a mean is at most the mean of the squares; with a longer memory growing gradients do."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer, largest = torch.optim.AdamW([weight], lr=0.05, betas=(0.9, beta2), weight_decay=4), 0.0
    for step in range(200):
        weight.grad = torch.full((1,), 1.05**step, dtype=torch.float64)
        optimizer.step()
        largest = max(largest, weight.abs().item())
    assert (largest > 0.25) == leaves
    assert largest > 0.2
