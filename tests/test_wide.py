"""wide: its data, the committed results against what is published and what theory says, what its figures may say."""

import numpy as np
import pytest
import torch
from conftest import draw, metrics, table
from msgspec.structs import replace
from numpy.typing import NDArray

from stages.base import storage
from stages.base.params import Settings
from stages.engine.fit import fit
from stages.studies.wide import figures, results, training
from stages.theory import linear

TOLERANCE = 1e-12  # the same arithmetic in another order


def test_wide_has_the_textbooks_moments(settings: Settings, wide_arrays: dict[str, NDArray]) -> None:
    system, x = settings.wide.system, wide_arrays["train_inputs"].astype(float)
    assert x.shape == (16, 20, 200)
    assert wide_arrays["val_inputs"].shape == (16, 100, 200)
    five = 5 / np.sqrt(x.size)  # five standard errors of a mean of unit normals
    assert abs(x.mean()) < five
    assert abs(x.var() - 1) < 2 * five
    noise = wide_arrays["val_targets"] - wide_arrays["val_inputs"].astype(float).sum(-1) * system.weight - system.intercept
    assert abs(noise.mean()) < 5 * system.noise / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(system.noise, rel=5 / np.sqrt(2 * noise.size))
    start = wide_arrays["start_weight"]
    assert start.std() == pytest.approx(system.start_std, rel=5 / np.sqrt(2 * start.size))
    assert np.all(wide_arrays["start_bias"] == 0)


def test_more_epochs_go_on_from_the_first_ones(settings: Settings) -> None:
    few, more = (draw("wide", replace(settings.wide, epochs=epochs), 7) for epochs in (3, 5))
    np.testing.assert_array_equal(few["order"], more["order"][:, :3])
    np.testing.assert_array_equal(few["train_inputs"], more["train_inputs"])


def test_wide_lies_in_the_published_ranges() -> None:
    """½‖w‖² over many builds of the textbook; validation losses of 3,000 simulated seeds, within four standard errors."""
    rows = metrics("wide")
    assert 0.0085 < rows["baseline"]["half_squared_norm"] < 0.0113
    assert 0.0011 < rows["wd"]["half_squared_norm"] < 0.0019
    for row, loss in {"baseline": 0.0192, "wd": 0.0109, "baseline_zero": 0.01018, "wd_zero": 0.01012, "null": 0.01005}.items():
        assert abs(rows[row]["val_loss"] - loss) < 4 * rows[row]["val_loss_se"]
        assert rows[row]["population_loss"] == pytest.approx(loss, abs=4 * rows[row]["population_loss_se"] + 5e-6)


def test_the_two_forms_of_decay_agree_to_rounding() -> None:
    rows = metrics("wide")
    assert rows["wd_penalty"]["difference_below"] <= 1e-14
    unequal = {name for name in rows["wd_penalty"] if rows["wd"].get(name) != rows["wd_penalty"][name]}
    assert unequal == {"difference_below"}


def test_the_honest_reading_of_wide_holds() -> None:
    """Nearly all of the gain is the forgotten start, and λ = 3 still loses to a constant: three standard errors each."""
    rows = metrics("wide")
    start = rows["baseline"]["excess_start"] - rows["wd"]["excess_start"]
    gain = sum(rows["baseline"][f"excess_{part}"] - rows["wd"][f"excess_{part}"] for part in ("start", "shrinkage", "noise"))
    assert start / gain > 0.9
    assert rows["wd_minus_baseline"]["val_loss"] < -3 * rows["wd_minus_baseline"]["val_loss_se"]
    assert rows["wd_minus_null"]["val_loss"] > 3 * rows["wd_minus_null"]["val_loss_se"]
    assert abs(rows["wd_zero_minus_baseline_zero"]["val_loss"]) < 0.05 * rows["null"]["val_loss"]


@pytest.mark.parametrize("row", ["baseline", "wd"])
def test_the_parts_of_the_error_add_up_in_expectation(row: str) -> None:
    """Their cross terms have mean zero: the sum is the population loss within four standard errors."""
    wide, noise = metrics("wide"), metrics("wide")["oracle"]["population_loss"]
    total = sum(wide[row][f"excess_{part}"] for part in ("start", "shrinkage", "noise")) + noise
    assert total == pytest.approx(wide[row]["population_loss"], abs=4 * wide[row]["population_loss_se"])


def test_the_start_is_forgotten_at_the_rate_theory_gives(settings: Settings) -> None:
    """Most of the start lies outside the span of 20 rows in 200 inputs; there (1 − ηλ)^steps is all that happens to it."""
    forgotten = (1 - settings.wide.lr * settings.wd) ** 40
    start = metrics("wide")["wd"]["excess_start"] / metrics("wide")["baseline"]["excess_start"]
    assert start == pytest.approx(forgotten**2, rel=0.01)


def test_ridge_rows_are_the_normal_equation(wide_arrays: dict[str, NDArray]) -> None:
    """Against NumPy's solver and pseudo-inverse, which neither row uses; float64, so 1e-10."""
    arrays = {name: array.astype(float) for name, array in wide_arrays.items()}
    decays = {"ridge": 3.0, "ridge_baseline": 0.0}
    rows = linear.rows(arrays, {}, {row: results.optimum(arrays, decay) for row, decay in decays.items()}, 1.0)
    for trial, (x, y) in enumerate(zip(arrays["train_inputs"], arrays["train_targets"], strict=True)):
        centred, wanted = x - x.mean(axis=0), y - y.mean()
        solutions = {
            "ridge": np.linalg.solve(centred.T @ centred + 20 * 3.0 * np.eye(200), centred.T @ wanted),
            "ridge_baseline": np.linalg.pinv(centred, rcond=1e-10) @ wanted,
        }
        for row, weight in solutions.items():
            bias = y.mean() - x.mean(axis=0) @ weight
            errors = arrays["val_inputs"][trial] @ weight + bias - arrays["val_targets"][trial]
            assert rows[row]["val_loss"][trial] == pytest.approx(np.mean(errors**2) / 2, abs=1e-10)
            assert rows[row]["weight_norm"][trial] == pytest.approx(np.linalg.norm(weight), abs=1e-10)
    np.testing.assert_allclose(rows["ridge_baseline"]["train_loss"], 0, atol=1e-20)


def test_expected_losses_are_the_mean_over_starts_and_noise(settings: Settings) -> None:
    """400 small systems trained by hand, in NumPy: the mean validation loss is the mean expectation within four errors."""
    system = replace(settings.wide.system, inputs=20, train_rows=8, val_rows=50)
    arrays = storage.in_float64(draw("wide", replace(settings.wide, trials=400, system=system), 5))
    expected = results.expected_val_losses(arrays, np.array([2.0]), lr=0.05, momentum=0.0)
    losses = []
    for trial in range(400):
        w, b = arrays["start_weight"][trial].copy(), 0.0
        x, y = arrays["train_inputs"][trial], arrays["train_targets"][trial]
        for epoch in arrays["order"][trial]:
            for rows in (epoch[:5], epoch[5:]):
                error = x[rows] @ w + b - y[rows]
                w, b = w - 0.05 * (x[rows].T @ error / len(rows) + 2.0 * w), b - 0.05 * error.mean()
        losses.append(np.mean((arrays["val_inputs"][trial] @ w + b - arrays["val_targets"][trial]) ** 2) / 2)
    gaps = np.array(losses) - expected[:, 0]
    assert abs(gaps.mean()) < 4 * gaps.std(ddof=1) / 20


def test_the_sweep_is_a_u_that_theory_expects(settings: Settings) -> None:
    found, swept = metrics("wide_sweep"), table("wide_sweep")
    assert found["val_loss_at_best"] < found["val_loss_at_end"] < found["val_loss_at_zero"]
    assert found["best_lambda"] <= found["best_lambda_1se"]
    assert found["max_abs_z"] < 4
    assert found["theory_lambda"] == pytest.approx(200 * 0.01**2 / (20 * 200 * 0.01**2))
    training_losses = [
        np.mean([row["train_loss"] for row in swept if row["weight_decay"] == decay]) for decay in settings.wide.sweep
    ]
    assert np.all(np.diff(training_losses) > 0)


def test_a_share_beyond_the_whole_is_not_said() -> None:
    """Where the lost signal grows by more than the gain, the forgotten start is no share of it."""

    def parts(start: float, shrinkage: float) -> dict[str, float]:
        row = {"excess_start": start, "excess_shrinkage": shrinkage, "excess_noise": 0.0}
        return row | {"weight_decay": 0.0, "population_loss": 1.0}

    rows = {"null": {"population_loss": 1.0}, "oracle": {"population_loss": 0.5}, "wd": parts(0.0, 0.3)}
    (axes,) = figures.parts(rows | {"baseline": parts(0.5, 0.1)}).axes
    assert "%" not in axes.get_title(loc="left")
    (axes,) = figures.parts(rows | {"baseline": parts(0.3, 0.4)}).axes
    assert axes.get_title(loc="left") == "75% of the gain is the forgotten random start"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_gpu_trains_the_same_weights(settings: Settings, wide_arrays: dict[str, NDArray]) -> None:
    fits = []
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        problem, schedule = training.problem(wide_arrays, device), training.by_epochs(wide_arrays, None, device)
        found = fit(
            problem, schedule.batches, optimizer="sgd", settings={"lr": settings.wide.lr}, weight_decay=3.0, evaluate_every=4
        )
        fits.append(found.parameters["weight"].cpu())
    torch.testing.assert_close(fits[0], fits[1], atol=TOLERANCE, rtol=0)
