"""Means, errors, R², arrivals and a sweep's summary, against NumPy, scikit-learn and cases worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score

from stages.base import rounding
from stages.measure import statistics, sweeps


def test_r_squared_is_scikit_learns(rng: np.random.Generator) -> None:
    targets, predictions = rng.standard_normal((2, 3, 9))
    loss = ((targets - predictions) ** 2).mean(axis=1) / 2
    expected = [r2_score(y, f) for y, f in zip(targets, predictions, strict=True)]
    np.testing.assert_allclose(statistics.r_squared(loss, targets, 1.0), expected, rtol=2.0**-rounding.END)
    assert np.isnan(statistics.r_squared(loss, np.ones((3, 9)), 1.0)).all()


def test_means_and_errors_are_numpys_and_leave_diverged_trials_out(rng: np.random.Generator) -> None:
    values = rng.standard_normal(7)
    expected = {"x": values.mean(), "x_se": values.std(ddof=1) / math.sqrt(7)}
    assert statistics.mean_and_error("x", values) == pytest.approx(expected, rel=1e-12)
    assert statistics.mean_and_error("x", [*values, np.nan, np.inf]) == pytest.approx(expected, rel=1e-12)
    assert statistics.mean_and_error("x", [2.0, np.nan]) == {"x": 2.0}
    assert statistics.mean_and_error("x", [np.nan]) == {}


def test_numbers_whose_squares_are_beyond_float64_have_a_mean_and_an_error() -> None:
    """Another unit changes nothing but the unit."""
    values = np.array([1.0, 1.2, 1.7, -1.5])
    usual = statistics.mean_and_error("x", values)
    for unit in (1e160, 1e300, 1e308):
        expected = {name: unit * value for name, value in usual.items()}
        assert statistics.mean_and_error("x", unit * values) == pytest.approx(expected, rel=1e-12)


def test_the_best_decay_is_the_lowest_mean_and_the_largest_within_its_error() -> None:
    losses = [5.0, 2.0, 1.0, 1.2, 1.3, 4.0]
    means = [{"val_loss": loss, "val_loss_se": 0.25} for loss in losses]
    assert statistics.best_decays(means) == (2, 3)
    assert statistics.best_decays([{"val_loss": 1.0}, {"val_loss": 2.0}]) == (0, 0)


def summarised(grid: tuple[float, ...], losses: list[list[float]], lost: list[list[int]], theory: Any = None) -> dict[str, Any]:
    """A sweep's summary: losses and diverged runs, a row a trial."""
    ended = {"val_loss": np.array(losses)} | ({} if theory is None else {"theory": np.array(theory)})
    return sweeps.summary(np.array(grid), ended, np.array(lost, dtype=bool), np.ones(len(losses)))


def test_what_a_name_says_and_a_sweep_has_not_is_absent() -> None:
    """A λ at which a trial diverged is no place to be compared with the others; it is not the start, nor the end, nor best."""
    grid, losses = (0.0, 1.0, 3.0), [[0.1, 2.0, 4.0], [0.1, 3.0, 5.0]]
    assert summarised(grid, losses, [[0, 0, 0], [0, 0, 0]])["val_loss_at_zero"] == 0.1
    found = summarised(grid, losses, [[1, 0, 0], [0, 0, 0]])
    assert found["diverged"] == 1
    assert "val_loss_at_zero" not in found
    assert (found["best_lambda"], found["val_loss_at_best"], found["val_loss_at_end"]) == (1.0, 2.5, 4.5)
    found = summarised(grid, losses, [[0, 0, 0], [0, 0, 1]])
    assert "val_loss_at_end" not in found
    assert found["best_lambda"] == 0.0
    assert summarised(grid, losses, [[1, 0, 1], [0, 1, 0]]) == {"diverged": 3}


def test_theory_is_compared_over_the_same_trials() -> None:
    grid, losses = (0.0, 1.0), [[1.0, 1.0], [3.0, 3.0]]
    theory = [[1e20, 2.0], [2.0, 4.0]]  # of a trial that diverged theory expects no small loss either
    assert summarised(grid, losses, [[1, 0], [0, 0]], theory)["max_abs_z"] == 1.0  # a mean of 2 ± 1 where 3 is expected
    assert "max_abs_z" not in summarised(grid, losses, [[1, 1], [0, 0]], theory)
    assert "max_abs_z" not in summarised((0.0,), [[1.0], [2.0]], [[0], [0]], [[np.nan], [1.0]])
    assert summarised((0.0,), [[1.0], [2.0]], [[0], [0]], [[1.0 + 1e-12], [2.0]])["max_abs_z"] == 0  # to its resolution
