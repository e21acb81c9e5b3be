"""Double descent: the formulas against iteration and simulation, training against the solver, the committed risks."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw, metrics, silent, table
from msgspec.structs import replace
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from stages.base import storage
from stages.base.params import Settings
from stages.engine.fit import fit
from stages.engine.stability import remaining
from stages.studies.descent import system, training
from stages.theory.ridge import solve
from stages.theory.risk import least_norm_risk, ridge_risk

TOLERANCE = 1e-12  # the same arithmetic in another order
SUMMARY, TABLE = metrics("descent_sweep"), table("descent_sweep")


def arrays(settings: Settings, *, trials: int, rows: tuple[int, ...], inputs: int, steps: int) -> dict[str, NDArray]:
    section = settings.descent
    small = replace(section, trials=trials, rows=rows, steps=steps, system=replace(section.system, inputs=inputs))
    return storage.in_float64(draw("descent", small, 3))


def trained(problem: dict[str, NDArray], decays: list[float], settings: Settings, *, lr: float, momentum: float) -> NDArray:
    sgd = replace(settings.descent.optimizers.sgd, momentum=momentum)
    section = replace(settings.descent, lr=lr, optimizers=replace(settings.descent.optimizers, sgd=sgd))
    changed = replace(settings, descent=section)
    return training.train("descent", problem, np.array(decays), changed, device=torch.device("cpu"), progress=silent)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_what_remains_is_what_iterating_leaves(momentum: float) -> None:
    """Slow, critical, oscillating, at the edge of stability and beyond."""
    curvatures = np.array([0.0, 1e-3, 0.1, 1.0, 10.0, 2 * (1 + momentum) / 0.1, 60.0])
    error, before = np.ones_like(curvatures), np.ones_like(curvatures)
    for steps in range(1, 31):
        error, before = error - 0.1 * curvatures * error + momentum * (error - before), error
        found = remaining(curvatures, steps, lr=0.1, momentum=momentum)
        np.testing.assert_allclose(found, error, rtol=1e-9, atol=TOLERANCE)  # powers of 2 × 2 matrices


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rows", [5, 8, 30])
def test_training_leaves_what_the_closed_form_says(rows: int, momentum: float, settings: Settings) -> None:
    problem = arrays(settings, trials=4, rows=(rows,), inputs=8, steps=25)
    decays = [0.0, 0.3]
    found = trained(problem, decays, settings, lr=0.05, momentum=momentum)
    for trial in range(4):
        x, y = problem["train_inputs"][trial], problem["train_targets"][trial]
        _, values, right = np.linalg.svd(x)
        curvatures = np.pad(values**2, (0, 8 - len(values))) / rows
        for index, decay in enumerate(decays):
            solution = np.linalg.pinv(x.T @ x / rows + decay * np.eye(8), rcond=1e-10) @ x.T @ y / rows
            left = remaining(curvatures + decay, 25, lr=0.05, momentum=momentum)
            np.testing.assert_allclose(found[trial, index], right.T @ ((1 - left) * (right @ solution)), atol=1e-11)


@pytest.mark.parametrize("rows", [5, 8, 30])
def test_separated_coordinates_train_to_the_same_weights(rows: int, settings: Settings) -> None:
    """As the plain problem in its d inputs, and their gradient by hand is autograd's."""
    known = arrays(settings, trials=3, rows=(rows,), inputs=8, steps=25)
    plain = training.problem(known, torch.device("cpu"))
    apart, rotation = training.separated(plain)
    options: dict[str, Any] = {"optimizer": "sgd", "settings": {"lr": 0.05, "momentum": 0.9}, "evaluate_every": 25}
    decays = torch.tensor([0.0, 0.3], dtype=torch.float64)
    found, expected = (fit(each, [None] * 25, weight_decay=decays, **options) for each in (apart, plain))
    back = torch.bmm(found.parameters["weight"], rotation)
    torch.testing.assert_close(back, expected.parameters["weight"], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(found.history["val_loss"], expected.history["val_loss"], atol=TOLERANCE, rtol=0)
    _, by_hand = apart.model.with_gradient(found.parameters, apart.train[0])
    predictions, by_autograd = apart.model.by_autograd(found.parameters, apart.train[0])
    signal = torch.randn(predictions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(by_hand(signal), by_autograd(signal), atol=0, rtol=1e-13)


def test_what_is_called_trained_has_arrived(settings: Settings) -> None:
    """Within `CONVERGED` of the solver's weights, whose norm is near one; scikit-learn's where there is a penalty."""
    problem = arrays(settings, trials=5, rows=(20,), inputs=10, steps=2000)
    left, values, right = np.linalg.svd(problem["train_inputs"], full_matrices=False)
    penalties = [0.0, 2.0]
    found = trained(problem, [penalty / 20 for penalty in penalties], settings, lr=0.1, momentum=0.9)
    for index, penalty in enumerate(penalties):
        solved = solve(left, values, right, problem["train_targets"], penalty)
        np.testing.assert_allclose(found[:, index], solved, atol=2 * system.CONVERGED)
        if penalty:
            for trial, weight in enumerate(solved):
                model = Ridge(penalty, fit_intercept=False).fit(problem["train_inputs"][trial], problem["train_targets"][trial])
                np.testing.assert_allclose(weight, model.coef_, atol=1e-10)


@pytest.mark.parametrize("rows", [4, 8, 20])
@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_the_expected_risk_is_the_mean_over_truth_and_noise(rows: int, penalty: float, rng: np.random.Generator) -> None:
    """20,000 draws for one set of rows: within four standard errors."""
    x = rng.standard_normal((rows, 8)) + (0.0 if rows != 8 else np.eye(8))
    directions = rng.standard_normal((20_000, 8))
    truth = 1.5 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    targets = truth @ x.T + 0.4 * rng.standard_normal((20_000, rows))
    weights = targets @ (np.linalg.pinv(x @ x.T + penalty * np.eye(rows), rcond=1e-10) @ x)
    risks = np.sum((weights - truth) ** 2, axis=1)
    values = np.linalg.svd(x, compute_uv=False).astype(np.float64)
    expected = ridge_risk(values[None], penalty, inputs=8, signal=1.5, noise=0.4)[0]
    assert abs(risks.mean() - expected) < 4 * risks.std(ddof=1) / np.sqrt(len(risks))


@pytest.mark.parametrize("rows", [10, 18, 45, 100])
def test_without_decay_the_mean_over_rows_is_the_closed_form(rows: int, rng: np.random.Generator) -> None:
    values = np.linalg.svd(rng.standard_normal((2_000, rows, 30)), compute_uv=False).astype(np.float64)
    risks = ridge_risk(values, 0.0, inputs=30, signal=1.0, noise=0.5)
    expected = least_norm_risk(rows, inputs=30, signal=1.0, noise=0.5)
    assert abs(risks.mean() - expected) < 4 * risks.std(ddof=1) / np.sqrt(len(risks))


def test_around_as_many_rows_as_inputs_the_closed_form_is_infinite() -> None:
    finite = [np.isfinite(least_norm_risk(rows, inputs=30, signal=1.0, noise=0.5)) for rows in range(27, 34)]
    assert finite == [True, True, False, False, False, True, True]


def column(name: str, **where: float) -> list[Any]:
    return [row[name] for row in TABLE if all(row[key] == value for key, value in where.items())]


def test_every_risk_agrees_with_theory() -> None:
    """Each mean within four standard errors of its expectation; the trials share rows, so the points are not independent."""
    assert len(TABLE) == 12 * 8
    assert all(abs(z) < 4 for z in column("z"))
    assert SUMMARY["max_abs_z"] == max(abs(z) for z in column("z"))
    assert SUMMARY["trained"] + SUMMARY["solved"] == len(TABLE)


def test_without_decay_the_closed_form_is_met() -> None:
    rows = [row for row in TABLE if row["penalty"] == 0 and row["rows"] != 50]
    assert len(rows) == 11
    for row in rows:
        assert abs(row["risk"] - row["closed_form"]) < 4 * row["risk_se"]


def test_errors_are_small_away_from_the_peak() -> None:
    assert all(row["risk_se"] < 0.03 * row["risk"] for row in TABLE if abs(row["rows"] - 50) > 10)


def test_the_peak_is_there_without_decay_and_not_with_the_best() -> None:
    counts = column("rows", penalty=0.0)
    without = column("risk", penalty=0.0)
    assert counts[int(np.argmax(without))] == 50
    assert without[0] < without[counts.index(45)] < max(without) > without[counts.index(55)] > without[-1]
    assert np.all(np.diff(column("risk", penalty=SUMMARY["theory_penalty"])) < 0)


def test_the_best_penalty_is_theorys_for_every_number_of_rows(settings: Settings) -> None:
    system = settings.descent.system
    assert SUMMARY["theory_penalty"] == system.inputs * system.noise**2 / system.weight_norm**2
    for rows in settings.descent.rows:
        assert SUMMARY[f"rows_{rows}"]["best_penalty"] == SUMMARY["theory_penalty"]
    bowl = column("risk", rows=50.0)
    bottom = int(np.argmin(bowl))
    assert np.all(np.diff(bowl[: bottom + 1]) < 0)
    assert np.all(np.diff(bowl[bottom:]) > 0)


def test_the_solver_stands_in_only_where_training_cannot_arrive() -> None:
    solved = {(row["rows"], row["penalty"]) for row in TABLE if not row["trained"]}
    assert (50, 0) in solved
    assert all(abs(rows - 50) <= 10 and penalty < 1 for rows, penalty in solved)
