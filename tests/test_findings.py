"""Sentences that state a finding: chosen from the numbers, so other numbers give another one, as true as the first."""

import re
from typing import Any

import numpy as np
import pytest
from conftest import CPU, TRAINING, at, changed, draw, fit, jobs_of, silent

from stages import studies
from stages.base.storage import in_float64
from stages.base.streams import Arrays
from stages.engine.train import train_arm
from stages.measure import sweeps
from stages.measure.findings import at_most, by, continued, effect
from stages.measure.results import Metrics, Results

NAN = float("nan")


def rows(gap: float, error: float | None = 0.1, *, wd: float = 3.0, against: float = 0.0, lost: int = 0) -> dict[str, Any]:
    """A study's rows in which the baseline has a validation loss of 2."""
    arms = {"baseline": {"weight_decay": against, "val_loss": 2.0}, "wd": {"weight_decay": wd, "val_loss": 2.0 + gap}}
    known = {row: values | {"diverged": lost if row == "wd" else 0, "trials": 8} for row, values in arms.items()}
    paired = {"val_loss": gap} | ({} if error is None else {"val_loss_se": error})
    return known | {"wd_minus_baseline": paired}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (rows(-0.5), "λ = 3 lowers the validation loss by 25%"),
        (rows(0.5), "λ = 3 raises the validation loss by 25%"),
        (rows(0.0066, 0.001), "λ = 3 raises the validation loss by 0.3%"),
        (rows(4.4), "λ = 3 raises the validation loss 3.2-fold"),
        (rows(-1.9999), "λ = 3 lowers the validation loss by more than 99%"),
        (rows(-0.2), "λ = 3 has no visible effect on the validation loss"),  # at two standard errors exactly
        (rows(-0.201), "λ = 3 lowers the validation loss by 10%"),
        (rows(0.0, 0.0), "λ = 3 has no visible effect on the validation loss"),
        (rows(-0.5, None), "λ = 3: a single trial, which has no error to tell an effect by"),
        (rows(-0.5, wd=0), "Both arms have λ = 0: nothing to compare"),
        (rows(-0.5, against=1), "λ = 3 lowers the validation loss by 25% against λ = 1"),
        (rows(-0.5, lost=2), "λ = 3 lowers the validation loss; 2 of 8 trials diverged at λ = 3"),
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
    assert by(-0.25, 0.0) == "by 0.25"


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([4, 3, 2, 3], "λ = 2 lowers the validation loss most, by 50%; at λ = 3 it is higher again"),
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
    same, error = runs[one]["weight_decay"] == runs[other]["weight_decay"], gaps.std(ddof=1) / len(gaps) ** 0.5
    assert ("diverged" in said) == any(np.isnan(each).any() for each in ends.values())
    assert ("Both arms" in said) == same
    assert ("no visible effect" in said) == (not same and abs(gaps.mean()) <= 2 * error)
    assert ("lowers" in said) == (not same and gaps.mean() < -2 * error)
    assert ("raises" in said) == (not same and gaps.mean() > 2 * error)
    if size := re.search(r"by (?:more than )?([\d.e-]+)%", said):
        share = 100 * abs(gaps.mean()) / ends[other].mean()
        assert float(size[1]) == pytest.approx(share, rel=0.1, abs=0.5 if float(size[1]) >= 10 else 0)


def test_the_numbers_of_line_are_those_of_its_runs(measured: Measured) -> None:
    """How far the mean line is from y = 2x + 1 on x from 0 to 6, its farthest rows."""
    _, _, runs, found = measured["line"]
    slope, intercept = (runs["wd"][name].mean() for name in ("weight", "bias"))
    missed = max(abs((slope - 2) * x + intercept - 1) for x in (0, 6))
    assert float(found["findings"]["fit"].rpartition(" ")[2]) == pytest.approx(missed, rel=0.06)  # two digits


def test_the_parts_and_weights_of_wide_are_those_of_its_runs(measured: Measured) -> None:
    section, _, runs, found = measured["wide"]
    said, lost = found["findings"], runs["baseline"]["diverged"] | runs["wd"]["diverged"]
    weight_decay, slow = float(runs["wd"]["weight_decay"]), section.train.lr < 0.05
    assert all(("diverged" in each) == lost.any() for each in said.values())
    assert all(("nothing to compare" in each) == (weight_decay == 0) for each in said.values())
    far = {row: np.abs(runs[row]["weight"].mean(axis=1) - 0.01)[~lost] for row in ("baseline", "wd")}
    if weight_decay:
        moved = (far["wd"] - far["baseline"]).mean() / (far["wd"] - far["baseline"]).std(ddof=1) * len(far["wd"]) ** 0.5
        assert ("away from" in said["weights"]) == (moved > 2)
        assert ("closer to the truth" in said["weights"] and "no closer" not in said["weights"]) == (moved < -2)
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
    moves = f"{best[0]:g} after 1 epoch, {best[-1]:g} after 40"
    assert title.startswith(f"From the random start the best λ depends on the time: {moves}")
    assert ("diverged" in title) == (section.train.lr == 0.05)
