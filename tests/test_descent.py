"""Double descent: the formulas against iteration and simulation, two coordinate systems, the committed risks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU, changed, draw, metrics, table
from numpy.typing import NDArray

from stages.base import storage
from stages.engine.fit import fit
from stages.engine.rotation import arrives, rotated
from stages.engine.stability import remaining, smallest_limit
from stages.studies.descent import figures, results, system, training
from stages.theory.risk import least_norm_risk, ridge_risk

TOLERANCE = 1e-12  # the same arithmetic in another order
SUMMARY, TABLE = metrics("descent_sweep"), table("descent_sweep")


def small(settings: Any, *, trials: int, rows: int, inputs: int, **train: float) -> tuple[system.Descent, dict[str, NDArray]]:
    """A section with few trials, one number of rows and other numbers of training, and its data."""
    data = {"data.trials": trials, "data.rows": (rows,), "data.inputs": inputs}
    section = changed(settings.descent, data | {f"train.{name}": value for name, value in train.items()})
    return section, storage.in_float64(draw("descent", section, 3))


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
def test_beyond_the_limit_of_stability_an_error_grows(momentum: float, settings: Any) -> None:
    section, arrays = small(settings, trials=3, rows=20, inputs=8, steps=25, lr=0.05, momentum=momentum)
    problem = training.job(section, arrays, CPU, [0.3]).problem
    limit = smallest_limit(problem, weight_decay=0.3, momentum=momentum)
    steepest = max(np.linalg.eigvalsh(x.T @ x / len(x))[-1] + 0.3 for x in arrays["train_inputs"])
    below, above = (remaining(np.array([steepest]), 2000, lr=share * limit, momentum=momentum) for share in (0.99, 1.01))
    assert abs(below[0]) < 1e-2 < 1 < abs(above[0])


@pytest.mark.parametrize("rows", [5, 8, 30])
def test_separated_coordinates_train_to_the_same_weights(rows: int, settings: Any) -> None:
    """As the plain problem in its d inputs, and their gradient by hand is autograd's."""
    section, arrays = small(settings, trials=3, rows=rows, inputs=8, steps=25, lr=0.05, momentum=0.9)
    plain = training.job(section, arrays, CPU, [0.0, 0.3])
    left, values, rotation = np.linalg.svd(arrays["train_inputs"], full_matrices=False)
    problem = rotated(values, np.einsum("tnm,tn->tm", left, arrays["train_targets"]), rows, CPU)
    found, expected = fit(replace(plain, problem=problem)), fit(plain)
    back = torch.bmm(found.parameters["weight"], torch.from_numpy(rotation))
    torch.testing.assert_close(back, expected.parameters["weight"], atol=TOLERANCE, rtol=0)
    _, by_hand = problem.model.with_gradient(found.parameters, problem.train[0])
    predictions, by_autograd = problem.model.by_autograd(found.parameters, problem.train[0])
    signal = torch.randn(predictions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(by_hand(signal), by_autograd(signal), atol=0, rtol=1e-13)


def test_training_arrives_where_the_slowest_direction_that_a_row_has_gets_to_the_end() -> None:
    """0.9 per step is 1e-3 after 66 steps; a direction that no row has does not count, a λ makes it quicker."""
    values = np.array([[2.0, 1.0, 0.0]])  # with 10 rows curvatures .4 and .1
    for steps, expected in ((65, [False, True]), (66, [True, True])):
        assert arrives(values, [0.0, 0.1], 10, steps, lr=1.0, momentum=0.0, converged=1e-3).tolist() == expected


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


def test_around_as_many_rows_as_inputs_the_closed_form_is_infinite() -> None:
    finite = [np.isfinite(least_norm_risk(rows, inputs=30, signal=1.0, noise=0.5)) for rows in range(27, 34)]
    assert finite == [True, True, False, False, False, True, True]


@pytest.mark.parametrize("rows", [3, 8, 9, 20])
def test_without_noise_and_decay_what_no_row_has_seen_is_lost(rows: int, rng: np.random.Generator) -> None:
    values = np.linalg.svd(rng.standard_normal((2, rows, 8)), compute_uv=False).astype(np.float64)
    risks = ridge_risk(values, 0.0, inputs=8, signal=1.5, noise=0.0)
    assert risks == pytest.approx(least_norm_risk(rows, inputs=8, signal=1.5, noise=0.0), abs=TOLERANCE)


COUNTS = [4, 8, 16, 32]
PEAK, FALLING = [1.0, 9.0, 0.7, 0.4], [1.0, 0.8, 0.6, 0.3]


def trials(means: list[float], *, spread: float = 0.02, number: int = 12) -> NDArray:
    """Risks of this size, each trial's larger or smaller as a whole, and a little in each number of rows."""
    rng = np.random.default_rng(4)
    whole, little = rng.standard_normal((number, 1)), rng.standard_normal((number, len(means)))
    return np.array(means) * np.exp(0.8 * whole + spread * little)


@pytest.mark.parametrize(
    ("without", "with_best", "said"),
    [
        (PEAK, FALLING, "Without decay the risk peaks where rows = inputs; with the best Λ more rows always help"),
        ([1, 0.8, 5, 0.4], FALLING, "Without decay the risk peaks at 16 rows; with the best Λ more rows always help"),
        ([1, 0.2, 0.5, 0.1], FALLING, "Without decay the risk peaks at 16 rows; with the best Λ more rows always help"),
        ([1, 0.8, 2, 5], FALLING, "Without decay the risk rises from 8 to 32 rows; with the best Λ more rows always help"),
        (
            PEAK,
            [1, 0.8, 0.8, 0.3],
            "Without decay the risk peaks where rows = inputs; with the best Λ more rows never visibly hurt",
        ),
        (PEAK, PEAK, "Without decay as with the best Λ, the risk peaks where rows = inputs"),
        (FALLING, FALLING, "Without decay as with the best Λ, more rows always help"),
        (
            PEAK,
            [1, 1, 1, 1],
            "Without decay the risk peaks where rows = inputs; with the best Λ the number of rows makes no visible difference",
        ),
    ],
)
def test_what_more_rows_do_is_said_as_the_numbers_have_it(without: list[float], with_best: list[float], said: str) -> None:
    found = results.finding(COUNTS, trials(without), trials(with_best), inputs=8, best=2.0, floor=1e-12)
    assert found == said


def test_a_rise_within_the_errors_is_no_peak() -> None:
    """The same means as a peak's, but the trials disagree on it."""
    found = results.effect_of_rows(COUNTS, trials([1, 1.2, 1, 1], spread=1.0), inputs=8, floor=1e-12)
    assert found == "the number of rows makes no visible difference"
    assert "peaks" in results.effect_of_rows(COUNTS, trials([1, 1.2, 1, 1], spread=0.01), inputs=8, floor=1e-12)


def test_what_decay_does_at_the_peak_is_said_of_the_median() -> None:
    def found(without: NDArray, with_best: NDArray, best: float = 2.0) -> str:
        return results.at_the_peak(COUNTS, without, with_best, inputs=9, best=best, floor=1e-12)

    peak, falling = trials(PEAK, spread=1e-9), trials(FALLING, spread=1e-9)
    low, high = (f"{np.median(each[:, 1]):.2g}" for each in (falling, peak))
    assert found(peak, falling) == f"With 8 rows and 9 inputs, Λ = 2 lowers the median risk from {high} to {low}"
    assert found(falling, peak) == f"With 8 rows and 9 inputs, Λ = 2 raises the median risk from {low} to {high}"
    noisy = trials([1, 1, 1, 1], spread=1.0)
    assert found(noisy, noisy[::-1]) == "With 8 rows and 9 inputs, Λ = 2 has no visible effect on the risk"
    assert found(peak[:1], falling[:1]) == "A single trial has no error to tell an effect by"
    assert found(peak, falling, best=0.0) == "Without noise the best Λ is 0"


def test_one_trial_with_a_huge_risk_hides_no_peak_and_makes_none() -> None:
    """Where the expectation is infinite, one trial can be nearly all of the mean, and of its standard error."""
    peak, falling = trials(PEAK, number=24), trials(FALLING, number=24)
    peak[0, 1], falling[0, 1] = 1e6, 1e6
    assert results.effect_of_rows(COUNTS, peak, inputs=8, floor=1e-12) == "the risk peaks where rows = inputs"
    assert "peaks" not in results.effect_of_rows(COUNTS, falling, inputs=8, floor=1e-12)


def test_what_cannot_be_told_is_said() -> None:
    def found(risks: NDArray, counts: list[int] = COUNTS, best: float = 2.0) -> str:
        return results.finding(counts, risks, risks, inputs=8, best=best, floor=1e-12)

    assert found(trials(PEAK)[:1]) == "A single trial has no error to tell an effect by"
    assert found(trials([1.0]), [8]) == "A single number of rows has nothing to compare with"
    assert found(trials(FALLING), best=0.0) == "Without noise the best Λ is 0, and more rows always help"
    # From n = d on nothing is left but what training leaves, which neither falls nor rises.
    assert found(trials([1, 1e-14, 1e-15, 1e-13]), best=0.0) == "Without noise the best Λ is 0, and more rows never visibly hurt"


def drawn(noise: float = 0.5, best: float = 2.0, penalties: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 9.0), **other: float) -> Any:
    """The panels of a figure for d = 8, n = 4, 8, 16; at Λ = 0 and n = 8 the risk is 500, solved."""
    risks = {4: 1.0, 8: 500.0, 16: 0.5} | {int(key[1:]): value for key, value in other.items()}
    table = [
        {"rows": rows, "penalty": penalty, "risk": risk if penalty == 0 else 0.4, "risk_se": None, "theory": 0.4}
        | {"trained": int(penalty > 0 or rows != 8)}
        for rows, risk in risks.items()
        for penalty in penalties
    ]
    summary = {"inputs": 8, "signal": 1.0, "noise": noise, "theory_penalty": best, "findings": {"risk": "what was found"}}
    return figures.risks(table, summary).axes


def marks(axes: Any, marker: str, hollow: bool) -> set[float]:
    lines = [line for line in axes.lines if line.get_marker() == marker and (line.get_markerfacecolor() == "white") == hollow]
    return {float(x) for line in lines for x in line.get_xdata()}


def test_the_figure_clips_measured_and_expected_peak_alike_and_says_so() -> None:
    axes, over_penalties = drawn()
    top = axes.get_ylim()[1]
    assert 1.0 < top < 500  # around what has a finite expectation
    assert marks(axes, "^", hollow=True) == {8.0}
    assert "500 at n = 8;\nexpected: infinite" in [text.get_text() for text in axes.texts]
    theory = {int(x): float(y) for x, y in zip(*axes.lines[0].get_data(), strict=True)}
    assert [rows for rows, risk in theory.items() if risk > 100 * top] == [7, 8, 9]
    assert theory[16] == pytest.approx(0.5**2 * 8 / 7)
    assert over_penalties.get_ylim() == axes.get_ylim()
    assert marks(over_penalties, "o", hollow=False) == {0.5, 1.0, 2.0, 9.0}


def test_the_figure_without_noise_has_no_peak_and_one_curve() -> None:
    axes = drawn(noise=0.0, best=0.0, r8=1e-14, r16=0.0)[0]
    assert [text.get_text() for text in axes.texts] == ["Λ = 0,\nthe best"]
    assert marks(axes, "v", hollow=True) | marks(axes, "v", hollow=False) == {8.0, 16.0}


def test_a_figure_of_too_few_penalties_has_no_panel_over_them() -> None:
    assert len(drawn(penalties=(0.0, 2.0))) == 1
    assert len(drawn(noise=0.0, best=0.0, penalties=(0.0,))) == 1


def column(name: str, **where: float) -> list[Any]:
    return [row[name] for row in TABLE if all(row[key] == value for key, value in where.items())]


def test_every_risk_agrees_with_theory() -> None:
    """Each mean within four standard errors of its expectation; the trials share rows, so the points are not independent.

    At Λ = 0 of the closed form too, which is an expectation over the rows as well.
    """
    assert len(TABLE) == 12 * 8
    assert [(row["rows"], row["penalty"]) for row in TABLE if row["z"] is None] == [(50, 0)]  # where there is no expectation
    assert all(abs(row["z"]) < 4 for row in TABLE if row["z"] is not None)
    assert SUMMARY["max_abs_z"] == max(abs(row["z"]) for row in TABLE if row["z"] is not None)
    assert SUMMARY["trained"] + SUMMARY["solved"] == len(TABLE)
    closed = [row for row in TABLE if row["closed_form"] is not None]
    assert len(closed) == 11
    assert all(abs(row["risk"] - row["closed_form"]) < 4 * row["risk_se"] for row in closed)


def test_errors_are_small_away_from_the_peak() -> None:
    assert all(row["risk_se"] < 0.03 * row["risk"] for row in TABLE if abs(row["rows"] - 50) > 10)


def test_the_peak_is_there_without_decay_and_not_with_the_best() -> None:
    counts = column("rows", penalty=0.0)
    without = column("risk", penalty=0.0)
    assert counts[int(np.argmax(without))] == 50
    assert without[0] < without[counts.index(45)] < max(without) > without[counts.index(55)] > without[-1]
    assert np.all(np.diff(column("risk", penalty=SUMMARY["theory_penalty"])) < 0)
    little = dict(zip(counts, column("risk", penalty=1.0), strict=True))  # the hump of the page
    assert little[30] < little[50] > little[80]


def test_the_best_penalty_is_theorys_for_every_number_of_rows(settings: Any) -> None:
    data = settings.descent.data
    assert SUMMARY["theory_penalty"] == data.inputs * data.noise**2 / data.weight_norm**2
    for rows in data.rows:
        assert SUMMARY[f"rows_{rows}"]["best_penalty"] == SUMMARY["theory_penalty"]
    bowl = column("risk", rows=50.0)
    bottom = int(np.argmin(bowl))
    assert np.all(np.diff(bowl[: bottom + 1]) < 0)
    assert np.all(np.diff(bowl[bottom:]) > 0)


def test_the_solver_stands_in_only_where_training_cannot_arrive() -> None:
    solved = {(row["rows"], row["penalty"]) for row in TABLE if not row["trained"]}
    assert (50, 0) in solved
    assert all(abs(rows - 50) <= 10 and penalty < 1 for rows, penalty in solved)
