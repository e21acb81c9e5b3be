"""The committed results against what is published and what theory says; the summaries against NumPy and scikit-learn."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from stages.science import references, rounding, summaries
from stages.science.params import Params
from stages.science.studies import ARMED, STUDIES

ROOT = Path(__file__).resolve().parent.parent


def metrics(study: str) -> dict[str, Any]:
    return json.loads((ROOT / "metrics" / f"{study}.json").read_text(encoding="utf-8"))[study]


@pytest.mark.parametrize("study", ARMED)
def test_metrics_have_the_promised_names_and_nothing_infinite(study: str) -> None:
    rows = metrics(study)
    score = "accuracy" if STUDIES[study].classification else "r2"
    for arm in ("baseline", "wd"):
        for name in ("train_loss", "val_loss", f"train_{score}", f"val_{score}", "weight_norm", "half_squared_norm", "diverged"):
            assert name in rows[arm]
            assert name == "diverged" or f"{name}_se" in rows[arm]
    numbers = [number for row in rows.values() for number in row.values()]
    assert all(math.isfinite(number) for number in numbers)
    assert all(number == float(f"{number:.6g}") for number in numbers)
    assert "null" in rows


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


def test_the_start_is_forgotten_at_the_rate_theory_gives(settings: Params) -> None:
    """Most of the start lies outside the span of 20 rows in 200 inputs; there (1 − ηλ)^steps is all that happens to it."""
    forgotten = (1 - settings.wide.lr * settings.wd) ** 40
    start = metrics("wide")["wd"]["excess_start"] / metrics("wide")["baseline"]["excess_start"]
    assert start == pytest.approx(forgotten**2, rel=0.01)


def test_line_ends_where_its_closed_form_ends() -> None:
    """Curves carry six digits, so rounding alone leaves 1e-5."""
    with (ROOT / "metrics" / "line_curves.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for run in ("baseline", "wd"):
        measured, exact = ([row for row in table if row["run"] == name] for name in (run, f"{run}_theory"))
        assert len(measured) == len(exact) == 11
        for name in ("train_loss", "val_loss", "weight_norm"):
            np.testing.assert_allclose([float(row[name]) for row in measured], [float(row[name]) for row in exact], rtol=1e-5)


def test_lines_limit_is_the_penalised_normal_equation(settings: Params) -> None:
    design = np.array([[1.0, 1], [2, 1], [3, 1], [4, 1]])
    for row, decay in (("ridge", settings.line.wd), ("ridge_adam", settings.line.optimizers.adam.wd)):
        limit = np.linalg.solve(design.T @ design + 4 * decay / 2 * np.eye(2), design.T @ np.array([3.0, 5, 7, 9]))
        assert [metrics("line")[row]["weight"], metrics("line")[row]["bias"]] == pytest.approx(limit, rel=1e-5)


def test_modular_groks_with_decay_and_only_with_it() -> None:
    rows = metrics("modular")
    for arm in ("baseline", "wd"):
        assert rows[arm]["train_accuracy"] == 1
        assert 0 < rows[arm]["steps_to_memorise"] < 200
    assert rows["baseline"]["steps_to_generalise"] == -1
    assert rows["baseline"]["val_accuracy"] < 0.1
    assert rows["wd"]["val_accuracy"] > 0.95
    assert rows["wd"]["steps_to_generalise"] > 2 * rows["wd"]["steps_to_memorise"]


def test_ridge_rows_are_the_normal_equation(wide_arrays: dict[str, NDArray]) -> None:
    """Against NumPy's solver and pseudo-inverse, which neither row uses; float64, so 1e-10."""
    arrays = {name: array.astype(float) for name, array in wide_arrays.items()}
    rows = references.linear(arrays, STUDIES["wide"], {"ridge": 3.0, "ridge_baseline": 0.0})
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


def test_r_squared_is_scikit_learns(rng: np.random.Generator) -> None:
    targets, predictions = rng.standard_normal((2, 3, 9))
    loss = ((targets - predictions) ** 2).mean(axis=1) / 2
    expected = [r2_score(y, f) for y, f in zip(targets, predictions, strict=True)]
    np.testing.assert_allclose(summaries.r_squared(loss, targets, 1.0), expected, rtol=2.0**-rounding.END)
    assert np.isnan(summaries.r_squared(loss, np.ones((3, 9)), 1.0)).all()


def test_means_and_errors_are_numpys_and_leave_diverged_trials_out(rng: np.random.Generator) -> None:
    values = rng.standard_normal(7)
    expected = {"x": values.mean(), "x_se": values.std(ddof=1) / math.sqrt(7)}
    assert summaries.mean_and_error("x", values) == pytest.approx(expected, rel=1e-12)
    assert summaries.mean_and_error("x", [*values, np.nan, np.inf]) == pytest.approx(expected, rel=1e-12)
    assert summaries.mean_and_error("x", [2.0, np.nan]) == {"x": 2.0}
    assert summaries.mean_and_error("x", [np.nan]) == {}


def test_arrival_says_never_unless_every_trial_arrives() -> None:
    run = {
        "train_accuracy": np.array([[0.1, 0.96, 1.0], [0.1, 0.2, 0.95]]),
        "val_accuracy": np.array([[0.0, 0.1, 0.99], [0.0, 0.1, 0.2]]),
        "steps": np.array([0, 10, 20]),
        "diverged": np.array([False, False]),
    }
    arrival = summaries.arrival(run, 0.95)
    assert arrival == {
        "steps_to_memorise": 15,
        "steps_to_memorise_se": 5,
        "memorised": 1,
        "steps_to_generalise": -1,
        "generalised": 0.5,
    }


def test_the_requirements_are_pins_and_nothing_of_one_machine() -> None:
    """Each line is `name==version`: pip writes a path where a package was installed from a file."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*( +# .*)?", pin), pin
