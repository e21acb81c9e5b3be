"""The formulas against iteration, scikit-learn and each other. All float64: 1e-10 leaves four digits for condition numbers."""

import itertools

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


def test_ridge_without_decay_interpolates_with_the_least_norm(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((6, 20)), rng.standard_normal(6)
    weight, bias = ridge.ridge(x, y, 0.0)
    np.testing.assert_allclose(x @ weight + bias, y, atol=TOLERANCE)
    centred = x - x.mean(axis=0)
    outside = np.eye(20) - np.linalg.pinv(centred) @ centred  # least norm: nothing outside the row space
    np.testing.assert_allclose(outside @ weight, 0, atol=TOLERANCE)


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


def test_one_point_of_a_line_is_met_with_the_least_norm() -> None:
    """2w + b = 5 with w² + b² smallest: (2, 1)."""
    weight, bias = ridge.ridge(np.array([[2.0]]), np.array([5.0]), 0.0, curvature=2.0, decays_bias=True)
    np.testing.assert_allclose([weight[0], bias], [2, 1], atol=TOLERANCE)


def test_ridge_sees_a_duplicated_problem_as_the_same(problem: tuple[NDArray, NDArray]) -> None:
    x, y = problem
    once = ridge.ridge(x, y, 0.7)
    twice = ridge.ridge(np.concatenate([x, x]), np.concatenate([y, y]), 0.7)
    np.testing.assert_allclose(np.append(*once), np.append(*twice), atol=TOLERANCE)


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


def test_gradient_descent_forgets_the_start_in_the_null_space(rng: np.random.Generator) -> None:
    x, start = rng.standard_normal((3, 10)), rng.standard_normal(10)
    null = np.eye(10) - np.linalg.pinv(x) @ x
    path = trajectory.gradient_descent(x, np.ones(3), start, np.array([40]), lr=0.01, weight_decay=3, curvature=1)
    np.testing.assert_allclose(null @ path[0], (1 - 0.03) ** 40 * null @ start, atol=TOLERANCE)


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


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_parts_add_up_to_training_on_their_sum(rng: np.random.Generator, momentum: float) -> None:
    """Three trials, two λ, after 2 and after 9 epochs of batches of 3, 3 and 2 rows; the sum by a loop over one run."""
    x, start, signal, noise = (rng.standard_normal(shape) for shape in ((3, 8, 5), (3, 6), (3, 8), (3, 8)))
    order = np.array([[rng.permutation(8) for _ in range(9)] for _ in range(3)])
    none, silent, weight_decays, lengths = np.zeros((3, 6)), np.zeros((3, 8)), [0.0, 0.4], [2, 9]
    sources, starts = np.stack([silent, signal, noise], axis=2), np.stack([start, none, none], axis=2)
    parts = trajectory.sgd_parts(
        x, sources, starts, order, np.array(weight_decays), batch_size=3, epochs=lengths, lr=0.05, momentum=momentum
    )
    assert parts.shape == (3, 2, 2, 3, 6)
    for trial, (index, decay), (k, length) in itertools.product(range(3), enumerate(weight_decays), enumerate(lengths)):
        weight, bias, moving, drifting = start[trial, :5], start[trial, 5], np.zeros(5), 0.0
        for epoch in order[trial, :length]:
            for rows in (epoch[:3], epoch[3:6], epoch[6:]):
                error = x[trial, rows] @ weight + bias - (signal + noise)[trial, rows]
                moving = momentum * moving + x[trial, rows].T @ error / len(rows) + decay * weight
                drifting = momentum * drifting + error.mean()
                weight, bias = weight - 0.05 * moving, bias - 0.05 * drifting
        np.testing.assert_allclose(parts[trial, index, k].sum(axis=0), [*weight, bias], atol=TOLERANCE)
