"""Sentences that state a finding: chosen from the numbers, so other numbers give another one, as true as the first."""

import re
from typing import Any

import numpy as np
import pytest
from conftest import CPU, TRAINING, at, changed, draw, fit, jobs_of, silent

from stages import studies
from stages.base.storage import in_float64
from stages.engine.train import train_arm
from stages.measure import sweeps
from stages.measure.findings import at_most, by, continued, effect
from stages.measure.results import Results

NAN = float("nan")


def rows(gap: float, error: float | None = 0.1, *, decay: float = 3.0, against: float = 0.0, lost: int = 0) -> dict[str, Any]:
    """A study's rows in which the baseline has a validation loss of 2."""
    arms = {"baseline": {"weight_decay": against, "val_loss": 2.0}, "wd": {"weight_decay": decay, "val_loss": 2.0 + gap}}
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
        (rows(-0.5, decay=0), "Both arms have λ = 0: nothing to compare"),
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
    assert sweeps.finding(np.arange(2.0), np.array([[2.0, 1.0]]), np.zeros((1, 2), dtype=bool)) == (
        "A single trial has no error to tell an effect by"
    )


SETTINGS: dict[str, dict[str, float]] = {
    "as shipped": {},
    "wd = 0": {"wd": 0.0},
    "wd = 1": {"wd": 1.0, "line.wd": 1.0},
    "wd = 30": {"wd": 30.0, "line.wd": 30.0, "line.train.lr": 0.03},
    "wide.train.lr = 0.05": {"wide.train.lr": 0.05},
}


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def measured(request: pytest.FixtureRequest, settings: Any) -> dict[str, Any]:
    """`line` and `wide` trained whole at other settings: their runs, what was found of these, the sweep, what was found of it."""
    now, found = changed(settings, SETTINGS[request.param]), {}
    for study in ("line", "wide"):
        section, results = at(now, study), studies.part(study, Results)
        arrays = draw(study, section)
        jobs = jobs_of(study, now, arrays)
        written = train_arm(study, jobs, {"wd_penalty": "wd"}, progress=silent)
        runs = {
            row: {key.removeprefix(f"{row}."): value for key, value in written.items() if key.startswith(f"{row}.")}
            for row in jobs
        }
        swept, exact = TRAINING[study].sweep(section, arrays, CPU, fit), in_float64(arrays)
        assert results.evaluate is not None
        said = results.evaluate(section, exact, runs)[0]["findings"] | results.sweep(section, exact, swept)[1]["findings"]
        found[study] = (runs, swept, said)
    return found


@pytest.mark.parametrize(
    ("study", "figure", "one", "other"),
    [("line", "panel", "wd", "baseline"), ("line", "adam", "wd_adam", "baseline_adam"), ("wide", "curves", "wd", "baseline")],
)
def test_effects_are_those_of_the_trials(measured: dict[str, Any], study: str, figure: str, one: str, other: str) -> None:
    """Read off the sentence, and compared with the trials' own losses."""
    runs, _, findings = measured[study]
    ends = {row: np.where(runs[row]["diverged"], np.nan, runs[row]["val_loss"][:, -1]) for row in (one, other)}
    holds(findings[figure], ends[one], ends[other], same=runs[one]["weight_decay"] == runs[other]["weight_decay"])


def holds(said: str, one: np.ndarray, other: np.ndarray, *, same: bool) -> None:
    """Whether a sentence on the effect of λ is true of these losses, NaN where a trial diverged."""
    gaps = (one - other)[np.isfinite(one - other)]
    error = gaps.std(ddof=1) / len(gaps) ** 0.5
    lost = np.isnan(one).any() or np.isnan(other).any()
    assert ("diverged" in said) == lost
    assert ("Both arms" in said) == same
    if same:
        return
    assert ("no visible effect" in said) == (abs(gaps.mean()) <= 2 * error)
    assert ("lowers" in said) == (gaps.mean() < -2 * error)
    assert ("raises" in said) == (gaps.mean() > 2 * error)
    if size := re.search(r"by (?:more than )?([\d.e-]+)%", said):
        assert float(size[1]) == pytest.approx(
            100 * abs(gaps.mean()) / other.mean(), rel=0.1, abs=0.5 if float(size[1]) >= 10 else 0
        )


def test_the_numbers_of_line_are_those_of_its_runs(measured: dict[str, Any]) -> None:
    """How far the mean line is from y = 2x + 1 on x from 0 to 6, its farthest rows."""
    runs, _, findings = measured["line"]
    slope, intercept = (runs["wd"][name].mean() for name in ("weight", "bias"))
    missed = max(abs((slope - 2) * x + intercept - 1) for x in (0, 6))
    assert float(findings["fit"].rpartition(" ")[2]) == pytest.approx(missed, rel=0.06)  # two digits
