"""wide: its data, the committed results against what is published and what theory says, what its figures may say."""

from typing import Any

import numpy as np
import pytest
from conftest import metrics, speaks_of, table
from numpy.typing import NDArray

from stages.drawing.style import Figure
from stages.measure import linear
from stages.studies.wide import figures, results

TOLERANCE = 1e-12  # the same arithmetic in another order


def test_wide_has_the_textbooks_moments(settings: Any, wide_arrays: dict[str, NDArray]) -> None:
    data, x = settings.wide.data, wide_arrays["train_inputs"].astype(float)
    assert x.shape == (24, 20, 200)
    assert wide_arrays["val_inputs"].shape == (24, 100, 200)
    five = 5 / np.sqrt(x.size)  # five standard errors of a mean of unit normals
    assert abs(x.mean()) < five
    assert abs(x.var() - 1) < 2 * five
    noise = wide_arrays["val_targets"] - wide_arrays["val_inputs"].astype(float).sum(-1) * data.weight - data.intercept
    assert abs(noise.mean()) < 5 * data.noise / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(data.noise, rel=5 / np.sqrt(2 * noise.size))
    start = wide_arrays["start_weight"]
    assert start.std() == pytest.approx(data.start_std, rel=5 / np.sqrt(2 * start.size))
    assert np.all(wide_arrays["start_bias"] == 0)


@speaks_of("wd", 3)
def test_wide_lies_in_the_published_ranges() -> None:
    """½‖w‖² over many builds of the textbook; validation losses of 3,000 simulated seeds, within four standard errors."""
    rows = metrics("wide")
    assert 0.0085 < rows["baseline"]["half_squared_norm"] < 0.0113
    assert 0.0011 < rows["wd"]["half_squared_norm"] < 0.0019
    for row, loss in {"baseline": 0.0192, "wd": 0.0109, "baseline_zero": 0.01018, "wd_zero": 0.01012, "null": 0.01005}.items():
        assert abs(rows[row]["val_loss"] - loss) < 4 * rows[row]["val_loss_se"]
        assert rows[row]["population_loss"] == pytest.approx(loss, abs=4 * rows[row]["population_loss_se"] + 5e-6)


def test_the_two_forms_of_decay_agree_to_rounding() -> None:
    assert metrics("wide")["wd_penalty"]["difference_below"] <= 1e-14


@speaks_of("wd", 3)
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


def test_the_start_is_forgotten_at_the_rate_theory_gives(settings: Any) -> None:
    """Most of the start lies outside the span of 20 rows in 200 inputs; there (1 − ηλ)^steps is all that happens to it.

    A ten-thousandth is within that span, and seen by the rows at any λ.
    """
    forgotten = (1 - settings.wide.train.lr * settings.wd) ** 40
    start = metrics("wide")["wd"]["excess_start"] / metrics("wide")["baseline"]["excess_start"]
    assert start == pytest.approx(forgotten**2, rel=0.01, abs=1e-4)


def test_the_sweep_is_a_u_that_theory_expects(settings: Any) -> None:
    found, swept = metrics("wide_sweep"), table("wide_sweep")
    assert found["val_loss_at_best"] < found["val_loss_at_end"] < found["val_loss_at_zero"]
    assert found["best_lambda"] <= found["best_lambda_1se"]
    assert found["max_abs_z"] < 4
    assert found["theory_lambda"] == pytest.approx(200 * 0.01**2 / (20 * 200 * 0.01**2))
    training_losses = [
        np.mean([row["train_loss"] for row in swept if row["weight_decay"] == decay]) for decay in settings.wide.sweep.wd
    ]
    assert np.all(np.diff(training_losses) > 0)


def mapped(start: str, epochs: int) -> dict[str, Any]:
    return metrics("wide_sweep")["map"][start][f"epochs_{epochs}"]


def test_the_longer_one_trains_the_smaller_is_the_best_decay(settings: Any) -> None:
    best = [mapped("random", epochs)["best_lambda"] for epochs in settings.wide.sweep.epochs]
    assert best == [mapped("random", epochs)["best_lambda_in_theory"] for epochs in settings.wide.sweep.epochs]
    assert best == sorted(best, reverse=True)
    assert best[0] > 10 * best[-1]
    assert metrics("wide_sweep")["map"]["max_abs_z"] < 4


@speaks_of("wd", 3)
def test_a_hundred_epochs_turn_round_what_ten_say() -> None:
    """After ten λ = 3 loses to the constant, and a zero start gains a fiftieth; after a hundred it wins, and gains a tenth."""
    for start in ("random", "zero"):
        here = mapped(start, 100)
        assert here["best_lambda"] == metrics("wide")["wd"]["weight_decay"]
        assert here["best_minus_null"] < -2 * here["best_minus_null_se"]
    here = mapped("zero", 100)
    assert here["best_minus_zero"] < -4 * here["best_minus_zero_se"]
    assert here["best_minus_zero"] < 4 * metrics("wide")["wd_zero_minus_baseline_zero"]["val_loss"]


def test_without_decay_the_start_stays_where_no_row_looks() -> None:
    """After a hundred epochs the loss is that after ten."""
    assert mapped("random", 100)["val_loss_at_zero"] > 0.99 * metrics("wide")["baseline"]["val_loss"]


@pytest.mark.parametrize(("decay", "published"), [(0, 0.0081), (3, 0.00145), (3, 0.0018)])
def test_the_published_norms_are_those_of_single_trials(decay: float, published: float) -> None:
    """At λ = 3 within two standard deviations, as the page says; without decay within two and a half, of three runs."""
    norms = np.array([run["weight_norm"] for run in table("wide_sweep") if run["weight_decay"] == decay])
    assert abs(published - np.mean(norms**2 / 2)) < (2 if decay else 2.5) * np.std(norms**2 / 2, ddof=1)


def rows(
    baseline: tuple[float, float, float],
    wd: tuple[float, float, float],
    *,
    gap: float = -1.0,
    lost: int = 0,
    missed: float = 0.0,
) -> dict[str, Any]:
    """A study's rows: start, shrinkage and noise of both arms, the gap between their losses with an error of 0.1."""
    found: dict[str, Any] = {
        name: dict(zip(linear.PARTS, parts, strict=True))
        | {"excess_intercept": 0.0, "weight_decay": decay, "trials": 8, "diverged": 0}
        for name, parts, decay in (("baseline", baseline, 0.0), ("wd", wd, 3.0))
    }
    found["wd"]["diverged"] = lost
    found["baseline"] |= {"val_loss": 2.0, "weight_norm": 1.0}
    found["wd"] |= {"val_loss": 2.0 + gap, "weight_norm": 0.5}
    paired = {
        "val_loss": gap,
        "val_loss_se": 0.1,
        "mean_weight_missed": missed,
        "mean_weight_missed_se": 0.01,
        "trials": 8 - lost,
    }
    constant = {"null": {"population_loss": 1.0, "val_loss": 9.0}, "oracle": {"population_loss": 0.5}}
    beside = {"val_loss": gap, "val_loss_se": 0.1, "trials": 8 - lost}
    return found | constant | {"wd_minus_baseline": paired, "wd_minus_null": beside}


LOWERS, RAISES = "λ = 3 lowers the validation loss", "λ = 3 raises the validation loss"
NOTHING, LOST = "λ = 3 has no visible effect on the validation loss", "2 of 8 trials diverged at λ = 3"
POWER = " (8 trials would show 18% or more)"
MOSTLY, OF_GAIN = f"{LOWERS} by 50%, mostly by", "of the gain"
TRADES = "λ = 3 forgets more of the random start, but learns less of the signal"


@pytest.mark.parametrize(
    ("found", "panel", "parts"),
    [
        (rows((4, 2, 0), (1, 1, 0)), f"{MOSTLY} forgetting the random start", f"The forgotten random start is 75% {OF_GAIN}"),
        (rows((4, 4, 0), (3, 1, 0)), f"{MOSTLY} learning more of the signal", f"Learning more of the signal is 75% {OF_GAIN}"),
        (rows((1, 1, 4), (1, 1, 1)), f"{MOSTLY} fitting less of the noise", f"Fitting less of the noise is 100% {OF_GAIN}"),
        (rows((4, 1, 0), (0, 3, 0)), f"{LOWERS} by 50%", TRADES),  # 200% of the gain, which is no share
        (rows((4, 2, 0), (1, 1, 0), gap=-0.2), NOTHING, f"{NOTHING} after 10 epochs{POWER}"),
        (rows((4, 2, 0), (5, 3, 0), gap=1.0), f"{RAISES} by 50%", f"{RAISES} by 50% after 10 epochs"),
        (rows((4, 2, 0), (1, 1, 0), lost=2), f"{LOWERS}; {LOST}", f"{LOWERS} after 10 epochs; {LOST}"),
        (rows((2, 2, 2), (1, 1, 1)), f"{LOWERS} by 50%", f"{LOWERS} by 50% after 10 epochs"),  # a third each
    ],
)
def test_the_cause_of_a_gain_is_the_part_that_makes_more_than_half_of_it(
    found: dict[str, Any], panel: str, parts: str, settings: Any
) -> None:
    """And none is named where none does."""
    said = results.findings(found, settings.wide)
    assert (said["panel"], said["parts"]) == (panel, parts)


@pytest.mark.parametrize(
    ("missed", "norm", "said"),
    [
        (0.04, 0.5, "λ = 3 pulls the weights to zero, away from the truth 0.01"),
        (0.02, 0.5, "λ = 3 pulls the weights to zero; their mean comes no closer to the truth 0.01"),
        (-0.04, 0.5, "λ = 3 moves the mean weight closer to the truth 0.01"),
        (0.04, 2.0, "λ = 3 moves the mean weight away from the truth 0.01"),
        (0.02, 2.0, "λ = 3 does not visibly move the mean weight"),
    ],
)
def test_where_decay_moves_the_weights(missed: float, norm: float, said: str, settings: Any) -> None:
    found = rows((1, 1, 1), (1, 1, 1), missed=missed)
    found["wd"]["weight_norm"] = norm
    assert results.findings(found, settings.wide)["weights"] == said


NAN = float("nan")
BEST = "From the random start the best λ depends on the time"


@pytest.mark.parametrize(
    ("after_one", "after_nine", "said"),
    [
        ([4, 3, 2], [4, 1, 2], f"{BEST}: 3 after 1 epoch, 1 after 9"),
        ([4, 3, 2], [4, 2, 1], "λ = 3 has the lowest validation loss after 1 epoch and after 9 epochs"),
        ([4, 2.0005, 2], [4, 1, 2], "After 1 epoch and after 9 epochs no λ is visibly better than 1"),
        ([4, 3, 2], [4, 1, NAN], f"{BEST}: 3 after 1 epoch, 1 after 9; 2 of 18 runs diverged"),
        ([4, 3, 2], [NAN, NAN, NAN], "λ = 3 has the lowest validation loss after 1 epoch; 6 of 18 runs diverged"),
        ([NAN, NAN, NAN], [NAN, NAN, NAN], "At every λ a trial diverged; 6 of 18 runs diverged"),
    ],
)
def test_the_map_is_said_as_the_numbers_have_it(after_one: list[float], after_nine: list[float], said: str) -> None:
    """Trials share what is large; a hundredth is each one's own, so that two λ are known to a hundredth of each other."""
    own = 0.01 * np.array([[1, 0, -1], [-1, 1, 0], [0, -1, 1]])  # (T, L)
    losses = np.array([after_one, after_nine]).T + np.array([-1, 0, 1])[:, None, None] + own[:, :, None]  # (T, L, K)
    lost = np.zeros((2, *losses.shape), dtype=bool)
    lost[0, :2] = np.isnan(losses[:2])  # two of three trials, from the random start
    found = results.map_finding(np.array([0.0, 1.0, 3.0]), np.array([1, 9]), np.stack([losses, losses]), lost)
    assert found == said


def test_a_map_of_one_trial_says_that_it_tells_nothing() -> None:
    found = results.map_finding(np.arange(2.0), np.array([1, 2]), np.ones((2, 1, 2, 2)), np.zeros((2, 1, 2, 2), dtype=bool))
    assert found == "A single trial has no error to tell an effect by"


def test_a_panel_has_room_for_its_title() -> None:
    assert len(metrics("wide")["findings"]["panel"]) <= 80


def test_the_bars_are_the_parts_of_the_error() -> None:
    """Both ways round; a thin segment is named beside its bar, one that cannot be seen in a line of its own."""
    found = rows((4, 2, 0.002), (0.25, 2, 0.001)) | {"findings": {"parts": "what was found"}}
    sizes, edges = [4, 2, 0.002, 0.25, 2, 0.001], [0, 4, 6, 0, 0.25, 2.25]
    (axes,) = figures.parts(found).axes
    drawn = np.array([bar.get_extents().transformed(axes.transData.inverted()).intervalx for bar in axes.patches])
    np.testing.assert_allclose(drawn[:, 0], edges, atol=1e-9)
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], sizes, atol=1e-9)
    said = [text.get_text() for text in axes.texts]
    assert {"start\n4.00", "signal\nnot learnt\n2.00", " start 0.250", "best constant"} <= set(said)
    assert "noise fitted: too thin to see\n(0.00200 and 0.00100)" in said
    upright = Figure().subplots()
    figures.panel(upright, [], found)
    drawn = np.array([bar.get_extents().transformed(upright.transData.inverted()).intervaly for bar in upright.patches])
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], sizes, atol=1e-9)
    assert [text.get_text() for text in upright.get_xticklabels()] == ["λ = 0", "λ = 3"]


def test_bars_say_on_how_many_trials_they_stand() -> None:
    (axes,) = figures.parts(rows((4, 2, 0), (1, 1, 0), lost=2) | {"findings": {"parts": "what was found"}}).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["λ = 0", "λ = 3\n6 of 8 trials"]


def test_the_map_draws_theory_means_and_the_best_and_leaves_out_what_diverged() -> None:
    here = {"val_loss": [2.0, 1.0, None], "theory": [2.1, 1.1, None], "best_lambda": 1.0}
    start = {"random": {"epochs_1": here, "epochs_9": here}}
    found = start | {"weight_decay": [0.0, 1.0, 10.0], "epochs": [1, 9], "theory_of_null": 1.5}
    (axes,) = figures.over_lengths({"map": found, "val_loss_of_null": 1.25, "findings": {"map": "what was found"}}).axes
    theory, means, ring = (line.get_xydata() for line in axes.lines[:3])
    np.testing.assert_allclose(np.array(theory), [[0, 0.6], [1, -0.4], [10, NAN]])
    np.testing.assert_allclose(np.array(means), [[0, 0.75], [1, -0.25], [10, NAN]])
    np.testing.assert_allclose(np.array(ring), [[1, -0.25]])
