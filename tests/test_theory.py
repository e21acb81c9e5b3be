"""The formulas against iteration, scikit-learn and each other. All float64: 1e-10 leaves four digits for condition numbers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from stages.engine import stability
from stages.theory import ridge, trajectory

TOLERANCE = 1e-10


@pytest.fixture(params=[(20, 6), (6, 20), (5, 5), (1, 3), (4, 1)], ids=str)
def problem(request: pytest.FixtureRequest, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    rows, inputs = request.param
    return rng.standard_normal((rows, inputs)) + 0.3, rng.standard_normal(rows)


@pytest.mark.parametrize("curvature", [1.0, 2.0])
@pytest.mark.parametrize("weight_decay", [1e-3, 0.5, 30.0])
def test_ridge_is_scikit_learns(problem: tuple[NDArray, NDArray], weight_decay: float, curvature: float) -> None:
    x, y = problem
    weight, bias = ridge.ridge(x, y, weight_decay, curvature=curvature)
    model = Ridge(alpha=len(x) * weight_decay / curvature).fit(x, y)
    np.testing.assert_allclose(weight, model.coef_, atol=TOLERANCE)
    assert bias == pytest.approx(model.intercept_, abs=TOLERANCE)


def test_a_bias_that_decays_is_one_more_weight(problem: tuple[NDArray, NDArray]) -> None:
    """Against the normal equation on [X, 1], and its limit λ → 0, which is what is meant at λ = 0."""
    x, y = problem
    design = np.column_stack([x, np.ones(len(x))])

    def normal(decay: float) -> NDArray:
        return np.linalg.solve(design.T @ design + len(x) * decay / 2 * np.eye(design.shape[1]), design.T @ y)

    found = ridge.ridge(x, y, 0.3, curvature=2.0, decays_bias=True)
    np.testing.assert_allclose(np.append(*found), normal(0.3), atol=TOLERANCE)
    limit = ridge.ridge(x, y, 0.0, curvature=2.0, decays_bias=True)
    np.testing.assert_allclose(np.append(*limit), normal(1e-7), atol=1e-4)  # first order in λ, times the condition number


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
@pytest.mark.parametrize("curvature", [1.0, 2.0])
def test_gradient_descent_is_what_iterating_gives(
    problem: tuple[NDArray, NDArray], weight_decay: float, curvature: float, rng: np.random.Generator
) -> None:
    x, y = problem
    start = rng.standard_normal((x.shape[1],))
    lr = 0.02
    iterates = [start]
    for _ in range(50):
        w = iterates[-1]
        iterates.append(w - lr * (curvature * x.T @ (x @ w - y) / len(x) + weight_decay * w))
    steps = np.array([0, 1, 2, 17, 50])
    path = trajectory.gradient_descent(x, y, start, steps, lr=lr, weight_decay=weight_decay, curvature=curvature)
    np.testing.assert_allclose(path, np.array(iterates)[steps], atol=TOLERANCE)


@pytest.mark.parametrize("decays_bias", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 2.0])
def test_descent_is_stable_just_below_the_limit_and_not_above(
    problem: tuple[NDArray, NDArray], weight_decay: float, decays_bias: bool
) -> None:
    x, y = problem
    limit = stability.limit(x, weight_decay=weight_decay, curvature=2, bias_decays=decays_bias)
    design = np.column_stack([x, np.ones(len(x))])
    decay = weight_decay * np.append(np.ones(x.shape[1]), decays_bias)

    def norm_after(lr: float) -> float:
        weights = np.ones(design.shape[1])
        for _ in range(4000):
            weights = weights - lr * (2 * design.T @ (design @ weights - y) / len(x) + decay * weights)
        return float(np.linalg.norm(weights))

    assert norm_after(0.99 * limit) < 1e3 < 1e9 < norm_after(1.01 * limit)
