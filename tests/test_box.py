"""Least squares in a box, and AdamW's rest: against optimality conditions, another solver, closed forms and AdamW itself."""

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


@pytest.fixture
def orthogonal(rng: np.random.Generator) -> Rows:
    return np.sqrt(30) * np.linalg.qr(rng.standard_normal((30, 12))).Q, 3 * rng.standard_normal(30)


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


def test_without_decay_box_and_rest_are_least_squares(rows: Rows) -> None:
    expected = np.linalg.lstsq(*rows, rcond=None)[0]
    np.testing.assert_allclose(box(*rows, 0), expected, atol=1e-12)
    np.testing.assert_allclose(rest(*rows, 0, eps=1e-3), expected, atol=1e-12)


def test_on_orthogonal_inputs_the_box_clips(orthogonal: Rows) -> None:
    inputs, targets = orthogonal
    least = inputs.T @ targets / 30
    assert 0 < (np.abs(least) > 0.4).sum() < 12
    np.testing.assert_allclose(box(*orthogonal, 2.5), np.clip(least, -0.4, 0.4), atol=1e-12)


@pytest.mark.parametrize("decay", [0.1, 2, 50])
@pytest.mark.parametrize("eps", [1e-6, 1e-3, 1, 100])
def test_at_rest_the_step_of_adamw_is_zero(rows: Rows, decay: float, eps: float) -> None:
    """λw = −g/(|g| + ε). Near a wall g is known to the share that rounding leaves of 1 − λ|w|, about ε/|g|."""
    weight = rest(*rows, decay, eps=eps)
    slope = gradient(rows, weight)
    np.testing.assert_allclose(decay * weight, -slope / (np.abs(slope) + eps), atol=1e-8)
    assert np.abs(decay * weight).max() < 1


def test_on_orthogonal_inputs_the_rest_is_a_root(orthogonal: Rows) -> None:
    """(|c| − u)(1 − λu) = ελu for u = |w|: a quadratic equation in each weight."""
    inputs, targets = orthogonal
    decay, eps, least = 2.5, 1e-3, inputs.T @ targets / 30
    half = (1 + decay * np.abs(least) + eps * decay) / 2
    root = (half - np.sqrt(half**2 - decay * np.abs(least))) / decay
    np.testing.assert_allclose(rest(*orthogonal, decay, eps=eps), np.sign(least) * root, atol=1e-12)


def test_the_rest_goes_to_the_box_with_eps(rows: Rows) -> None:
    """In proportion to ε, as 1 − λ|w| = ε/(|g| + ε) at a wall."""
    apart = [np.linalg.norm(rest(*rows, 2, eps=eps) - box(*rows, 2)) for eps in (1e-3, 1e-4, 1e-5)]
    assert apart[0] > 1e-5
    np.testing.assert_allclose([apart[0] / apart[1], apart[1] / apart[2]], 10, rtol=0.1)


def test_adamw_comes_to_rest_there(rows: Rows) -> None:
    """torch.optim.AdamW, to what its last steps leave; from both sides of the walls."""
    inputs, targets = (torch.from_numpy(each) for each in rows)
    weight = torch.linspace(-2, 2, 12, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.AdamW([weight], lr=0.02, betas=(0.9, 0.9), eps=1e-3, weight_decay=2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 - step / 1500) ** 2)
    for _ in range(1500):
        optimizer.zero_grad()
        ((inputs @ weight - targets).square().mean() / 2).backward()
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(weight.detach().numpy(), rest(*rows, 2, eps=1e-3), atol=1e-6)


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
