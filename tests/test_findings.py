"""Sentences that state a finding: chosen from the numbers, so other numbers give another one, as true as the first."""

import re
from typing import Any

import numpy as np
import pytest
from conftest import CPU, TRAINING, at, changed, draw, fit, jobs_of, silent
from numpy.typing import NDArray
from scipy import stats

from stages import studies
from stages.base.storage import in_float64
from stages.base.streams import Arrays
from stages.engine.train import train_arm
from stages.measure import linear, sweeps
from stages.measure.findings import as_good, at_most, by, continued, effect, ranged, sign_over_trials
from stages.measure.results import Metrics, Results

NAN = float("nan")


def rows(gap: float, error: float | None = 0.1, *, wd: float = 3.0, against: float = 0.0, lost: int = 0) -> dict[str, Any]:
    """A study's rows in which the baseline has a validation loss of 2."""
    arms = {"baseline": {"weight_decay": against, "val_loss": 2.0}, "wd": {"weight_decay": wd, "val_loss": 2.0 + gap}}
    known = {row: values | {"diverged": lost if row == "wd" else 0, "trials": 8} for row, values in arms.items()}
    paired = {"val_loss": gap, "trials": 8 - lost} | ({} if error is None else {"val_loss_se": error})
    return known | {"wd_minus_baseline": paired}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (rows(-0.5), "λ = 3 lowers the validation loss by 25%"),
        (rows(0.5), "λ = 3 raises the validation loss by 25%"),
        (rows(0.0099, 0.001), "λ = 3 hardly changes the validation loss"),  # visible, and below half a per cent
        (rows(0.0101, 0.001), "λ = 3 raises the validation loss by 0.5%"),
        (rows(4.4), "λ = 3 raises the validation loss 3.2-fold"),
        (rows(193.0), "λ = 3 raises the validation loss 98-fold"),
        (rows(200.0), "λ = 3 raises the validation loss from 2 to 2e+02"),
        (rows(-1.9999), "λ = 3 lowers the validation loss by more than 99%"),
        (rows(-0.349), "λ = 3 has no visible effect on the validation loss (8 trials would show 18% or more)"),  # t is 3.4995
        (rows(-0.351), "λ = 3 lowers the validation loss by 18%"),
        (rows(-0.001, 0.0001), "λ = 3 hardly changes the validation loss"),
        (rows(-0.0001, 0.0001), "λ = 3 has no visible effect on the validation loss (8 trials would show 0.5% or more)"),
        (rows(0.0, 0.0), "λ = 3 has no visible effect on the validation loss"),
        (rows(-0.5, None), "λ = 3: a single trial, which has no error to tell an effect by"),
        (rows(-0.5, wd=0), "Both arms have λ = 0: nothing to compare"),
        (rows(-0.5, against=1), "λ = 3 lowers the validation loss by 25% against λ = 1"),
        (rows(-0.5, lost=2), "λ = 3 lowers the validation loss; 2 of 8 trials diverged at λ = 3"),
        (
            rows(-0.5) | {"null": {"val_loss": 1.4}},
            "λ = 3 lowers the validation loss by 25%; a constant predicts better",
        ),
        (rows(-0.5) | {"null": {"val_loss": 1.6}}, "λ = 3 lowers the validation loss by 25%"),
    ],
)
def test_an_effect_is_said_as_the_numbers_have_it(metrics: dict[str, Any], said: str) -> None:
    assert effect(metrics) == said


@pytest.mark.parametrize(
    ("share", "digits", "said"),
    [
        (0.0048, 2, "0.48%"),
        (0.00481, 2, "0.49%"),
        (0.00991, 2, "1%"),
        (0.0201, 2, "2.1%"),
        (0.9401, 2, "95%"),
        (0, 2, "0.0001%"),
        (1e-9, 2, "0.0001%"),
        (1.0, 2, "100%"),
        (1.234, 2, "130%"),
        (15.0, 2, "1500%"),
        (2.0**-16, 1, "0.002%"),
        (0.0292, 1, "3%"),
        (0.03, 1, "3%"),
        (0.0301, 1, "4%"),
        (0.96, 1, "100%"),
    ],
)
def test_a_bound_is_rounded_up(share: float, digits: int, said: str) -> None:
    assert at_most(share, digits) == said
    assert float(said.rstrip("%")) >= 100 * share * (1 - 1e-9)


def test_a_sentence_goes_on_in_small_letters() -> None:
    assert continued("Both arms have λ = 0: nothing to compare") == "both arms have λ = 0: nothing to compare"
    assert continued("λ = 3 lowers the validation loss") == "λ = 3 lowers the validation loss"


def test_what_has_no_pair_left_has_no_effect() -> None:
    metrics = rows(0.0, lost=7)
    del metrics["wd_minus_baseline"]["val_loss"], metrics["wd_minus_baseline"]["val_loss_se"]
    assert effect(metrics, when=" after 10 epochs") == "λ = 3: no trial to compare; 7 of 8 trials diverged at λ = 3"


def test_a_change_of_what_is_no_size_is_no_share() -> None:
    assert by(0.25, 0.0) == "from 0 to 0.25"


@pytest.mark.parametrize("trials", [2, 3, 8, 24])
def test_visible_is_students_t_at_one_per_cent(trials: int, rng: np.random.Generator) -> None:
    """Of differences that chance alone made, one in a hundred; and of many sets at once, in one of a hundred at any of them."""
    gaps = rng.standard_normal((20_000, trials))
    seen = np.array([sign_over_trials(each) for each in gaps])
    assert [sign_over_trials(each) for each in gaps[:200]] == [
        int(np.sign(each.mean())) if stats.ttest_1samp(each, 0).pvalue < 0.01 else 0 for each in gaps[:200]
    ]
    assert 0.008 < np.mean(seen != 0) < 0.012  # 200 ± 14
    at_any = np.mean([any(sign_over_trials(each, among=10) for each in ten) for ten in gaps.reshape(-1, 10, trials)])
    assert at_any < 0.02  # 20 ± 4.5 of 2,000


def test_a_count_is_known_no_better_than_one() -> None:
    """Two trials with one more right answer each, of a hundred, show nothing; eight do."""
    assert [sign_over_trials(np.full(trials, 0.01), unit=0.01) for trials in (2, 3, 8)] == [0, 0, 1]
    assert sign_over_trials(np.full(2, 0.01)) == 1  # not counted, so no chance


def test_the_best_comes_with_those_that_are_as_good(rng: np.random.Generator) -> None:
    losses = np.array([4.0, 2.0, 2.001, 3.0]) + 0.1 * rng.standard_normal((16, 4))
    assert as_good(losses) == [1, 2]
    assert as_good(np.where([False, False, False, True], np.nan, losses)) == [1, 2]
    assert as_good(losses[:1]) == [0, 1, 2, 3]  # a single trial tells nothing
    assert as_good(np.full((3, 2), NAN)) == []
    assert ranged([2, 3, 5], [1, 2, 3, 5]) == "2 to 5"
    assert ranged([1, 3], [1, 2, 3, 5]) == "1 and 3"


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([4, 3, 2, 3], "λ = 2 lowers the validation loss most, by 50%; at λ = 3 it is higher again"),
        ([4, 3, 2, 2.002], "λ = 2 lowers the validation loss most, by 50%; 3 is not visibly worse"),
        ([4, 3, 2, 1], "λ = 3 lowers the validation loss most, by 75%"),
        ([4, 4, 5, 6], "No λ visibly lowers the validation loss; from λ = 2 on it is higher"),
        ([4, 5, 4, 5], "No λ visibly lowers the validation loss"),
        ([4, 4, 4, 4], "No λ visibly lowers the validation loss"),
        ([4, 3, 2, NAN], "λ = 2 lowers the validation loss most, by 50%; 3 of 12 runs diverged"),
        ([NAN, 3, 2, 3], "λ = 0 has nothing to compare with; 3 of 12 runs diverged"),
    ],
)
def test_a_sweep_is_said_as_the_numbers_have_it(losses: list[float], said: str, rng: np.random.Generator) -> None:
    each = np.array(losses) + 0.001 * rng.standard_normal((3, 4)) * (np.array(losses) != 4)  # three trials, seen by three
    each += np.array([[-1.0], [0.0], [1.0]])  # what all λ of a trial share cancels in pairs
    assert sweeps.finding(np.arange(4.0), each, np.isnan(each)) == said


def test_a_sweep_of_one_trial_says_that_it_tells_nothing() -> None:
    said = sweeps.finding(np.arange(2.0), np.array([[2.0, 1.0]]), np.zeros((1, 2), dtype=bool))
    assert said == "A single trial has no error to tell an effect by"


SETTINGS: dict[str, dict[str, float]] = {
    "wd = 3": {"wd": 3.0},
    "wd = 0": {"wd": 0.0},
    "wd = 1": {"wd": 1.0, "line.wd": 1.0},
    "wd = 30": {"wd": 30.0, "line.wd": 30.0, "line.train.lr": 0.03},
    "wide.train.lr = 0.05": {"wd": 3.0, "wide.train.lr": 0.05},
}
Measured = dict[str, tuple[Any, Arrays, dict[str, Any], Metrics]]  # study → section, data, runs by row, metrics


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def measured(request: pytest.FixtureRequest, settings: Any) -> Measured:
    """`line` and `wide` trained whole at other settings."""
    now, found = changed(settings, SETTINGS[request.param] | {"wide.sweep.epochs": (1, 10, 40)}), {}
    for study in ("line", "wide"):
        section, arrays, evaluate = at(now, study), draw(study, at(now, study)), studies.part(study, Results).evaluate
        jobs = jobs_of(study, now, arrays)
        written = train_arm(study, jobs, {"wd_penalty": "wd"}, progress=silent)
        runs = {
            row: {key.removeprefix(f"{row}."): value for key, value in written.items() if key.startswith(f"{row}.")}
            for row in jobs
        }
        assert evaluate is not None
        found[study] = (section, arrays, runs, evaluate(section, in_float64(arrays), runs)[0])
    return found


@pytest.mark.parametrize(
    ("study", "figure", "one", "other"),
    [("line", "panel", "wd", "baseline"), ("line", "adam", "wd_adam", "baseline_adam"), ("wide", "curves", "wd", "baseline")],
)
def test_effects_are_those_of_the_trials(measured: Measured, study: str, figure: str, one: str, other: str) -> None:
    """Read off the sentence, and compared with the trials' own losses."""
    _, _, runs, found = measured[study]
    ends = {row: np.where(runs[row]["diverged"], np.nan, runs[row]["val_loss"][:, -1]) for row in (one, other)}
    said, gaps = found["findings"][figure], (ends[one] - ends[other])[np.isfinite(ends[one] - ends[other])]
    same, seen = runs[one]["weight_decay"] == runs[other]["weight_decay"], stats.ttest_1samp(gaps, 0).pvalue < 0.01
    large = abs(gaps.mean()) >= 0.005 * np.nanmean(ends[other])
    assert ("diverged" in said) == any(np.isnan(each).any() for each in ends.values())
    assert ("Both arms" in said) == same
    assert ("no visible effect" in said) == (not same and not seen)
    assert ("hardly changes" in said) == (not same and seen and not large)
    assert ("lowers" in said) == (not same and seen and large and gaps.mean() < 0)
    assert ("raises" in said) == (not same and seen and large and gaps.mean() > 0)
    if size := re.search(r"by (?:more than )?([\d.e-]+)%", said):
        share = 100 * abs(gaps.mean()) / ends[other].mean()
        assert float(size[1]) == pytest.approx(share, rel=0.1, abs=0.5 if float(size[1]) >= 10 else 0)


def test_the_numbers_of_line_are_those_of_its_runs(measured: Measured) -> None:
    """How far a line is from y = 2x + 1 on x from 0 to 6, its farthest rows, on average over lines."""
    _, _, runs, found = measured["line"]
    slope, intercept = runs["wd"]["weight"][:, 0], runs["wd"]["bias"]
    missed = np.max([abs((slope - 2) * x + intercept - 1) for x in (0, 6)], axis=0).mean()
    said = re.search(r"a line misses it by (\S+) on average", found["findings"]["fit"])
    assert said is not None
    assert float(said[1]) == pytest.approx(missed, rel=0.06)  # two digits


def test_the_parts_and_weights_of_wide_are_those_of_its_runs(measured: Measured) -> None:
    section, arrays, runs, found = measured["wide"]
    lost = runs["baseline"]["diverged"] | runs["wd"]["diverged"]
    beside, said = found["findings"]["constant"], {name: each for name, each in found["findings"].items() if name != "constant"}
    null = found["null"]["val_loss"]
    gaps = (runs["wd"]["val_loss"][:, -1] - linear.rows(in_float64(arrays), {}, {}, 1.0)["null"]["val_loss"])[
        ~runs["wd"]["diverged"]
    ]
    better = np.sign(gaps.mean()) * (stats.ttest_1samp(gaps, 0).pvalue < 0.01 and abs(gaps.mean()) >= 0.005 * null)
    assert ("the best constant predicts better" in beside) == (better > 0)
    assert ("the model predicts better" in beside) == (better < 0)
    weight_decay, slow = float(runs["wd"]["weight_decay"]), section.train.lr < 0.05
    assert all(("diverged" in each) == lost.any() for each in said.values())
    assert all(("nothing to compare" in each) == (weight_decay == 0) for each in said.values())
    far = {row: np.abs(runs[row]["weight"].mean(axis=1) - 0.01)[~lost] for row in ("baseline", "wd")}
    if weight_decay:
        gaps = far["wd"] - far["baseline"]
        moved = np.sign(gaps.mean()) * (stats.ttest_1samp(gaps, 0).pvalue < 0.01 and abs(gaps.mean()) >= 0.005 * 0.01)
        assert ("away from" in said["weights"]) == (moved > 0)
        assert ("closer to the truth" in said["weights"] and "no closer" not in said["weights"]) == (moved < 0)
    shares = re.search(r"start is (?:more than )?(\d+)% of the gain", said["parts"])
    assert (shares is not None) == ("mostly by forgetting" in said["panel"]) == (weight_decay in (1, 3) and slow)
    if shares:  # against what theory has for where no row looks
        forgotten = 1 - (1 - section.train.lr * weight_decay) ** 80
        gain = np.mean(runs["baseline"]["val_loss"][:, -1] - runs["wd"]["val_loss"][:, -1])
        assert float(shares[1]) / 100 == pytest.approx(found["baseline"]["excess_start"] * forgotten / gain, abs=0.1)


def test_the_map_of_wide_is_that_of_its_sweep(measured: Measured) -> None:
    section, arrays, _, _ = measured["wide"]
    swept = TRAINING["wide"].sweep(section, arrays, CPU, fit)
    title = studies.part("wide", Results).sweep(section, in_float64(arrays), swept)[1]["findings"]["map"]
    whole = np.where(swept["map_diverged"].any(axis=1), np.inf, swept["map_val_loss"].mean(axis=1))[0]  # (L, K)
    best = np.array(section.sweep.wd)[whole.argmin(axis=0)]
    losses = np.where(swept["map_diverged"][0].any(axis=0), np.nan, swept["map_val_loss"][0])[:, :, [0, -1]]  # (T, L, 2)
    lowest = np.stack([each[:, np.nanargmin(each.mean(axis=0))] for each in np.moveaxis(losses, 2, 0)], axis=1)  # (T, 2)
    level = 0.01 / 2 / (np.isfinite(losses[0]).sum(axis=0) - 1)  # each λ is compared with the best, twice
    with np.errstate(invalid="ignore"):  # the best with itself
        worse: NDArray = np.asarray(np.nan_to_num(stats.ttest_1samp(losses - lowest[:, None], 0).pvalue, nan=1) < level)  # (L, 2)
    both = np.array(section.sweep.wd)[(np.isfinite(losses[0]) & ~worse).all(axis=1)].tolist()
    moves = f"From the random start the best λ depends on the time: {best[0]:g} after 1 epoch, {best[-1]:g} after 40"
    stays = f"After 1 epoch and after 40 epochs no λ is visibly better than {ranged(both, section.sweep.wd) if both else ''}"
    assert title.startswith(stays if both else moves)
    assert ("diverged" in title) == (section.train.lr == 0.05)
