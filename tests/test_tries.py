"""Sentences held against the trials' own numbers, by a judge that knows nothing of the rule that chose them.

At the settings that pages invite to (`Try`), and at seeded draws of others: one to three trials, no noise, no start, a tiny λ.
"""

import contextlib
import io
import math
import re
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from conftest import COMMITTED, CPU, ROOT, SYSTEMS, TINY, TRAINING, at, changed, draw, fit, jobs_of, silent
from numpy.typing import NDArray
from scipy import stats

from stages import studies
from stages.base.errors import UserError
from stages.base.storage import in_float64
from stages.base.streams import Arrays
from stages.engine.train import train_arm
from stages.measure.findings import sign_over_trials
from stages.measure.results import Metrics, Results

Runs = dict[str, dict[str, NDArray]]
EFFECTS = {  # study → finding, the rows that it compares, and the history that it speaks of
    "line": [("starts", "wd", "baseline", "val_loss"), ("adam", "wd_adam", "baseline_adam", "val_loss")],
    "wide": [("curves", "wd", "baseline", "val_loss")],
    "modular": [("curves", "wd", "baseline", "val_loss")],
    "relatives": [("curves", "wd", "baseline", "val_loss")],
    "equilibrium": [("panel", "wd", "baseline", "late")],
    "optimizers": [("losses", "wd_adam", "baseline_adam", "val_loss")],
    "digits": [("panel", "wd", "baseline", "val_loss"), ("reliability", "wd", "baseline", "test_calibration_error")],
}
QUICK = ("line", "wide")  # studies that train in seconds; of the others a few trials do
FEWER: dict[str, dict[str, Any]] = {
    study: {f"{study}.data.trials": trials}
    for study, trials in {
        "modular": 2,
        "descent": 20,
        "relatives": 6,
        "optimizers": 4,
        "phase": 1,
        "digits": 4,
        "table": 4,
    }.items()
}
FEWER["modular"] |= {"modular.sweep.wd": (0.0, 3.0), "modular.sweep.shares.train_fraction": (0.6,)}
FEWER["phase"] |= {"phase.sweep.wd": (0.0, 1.0, 3.0), "phase.sweep.train_fraction": (0.4, 0.6, 0.8)}


def tries() -> Iterator[tuple[str, str]]:
    """Every command under a page's `Try`: the study, and what it sets."""
    for study in studies.NAMES:
        page = (ROOT / "stages" / "studies" / study / "README.md").read_text(encoding="utf-8")
        for command in re.findall(r"`dvc exp run ((?:-S \S+ ?)+)`", page.partition("## Try")[2]):
            yield study, " ".join(shlex.split(command)[1::2])


TRIES = sorted(set(tries()))


def at_values(words: str) -> dict[str, Any]:
    """`wd=1 line.train.lr=0.1` as values of their declared types."""
    found = {}
    for key, _, text in (word.partition("=") for word in words.split()):
        found[key] = msgspec.convert(yaml.safe_load(text), type(at(COMMITTED, key)), strict=False)
    return found


def measured(study: str, values: dict[str, Any]) -> tuple[Runs, Metrics, dict[str, NDArray], Metrics]:
    """A study at other values: its runs, its metrics, its sweep, and the sweep's summary."""
    now = changed(COMMITTED, values)
    section, results = at(now, study), studies.part(study, Results)
    arrays: Arrays = draw(study, section, now.seed)
    runs: Runs = {}
    found: Metrics = {}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if results.evaluate:
            jobs = jobs_of(study, now, arrays)
            for known in SYSTEMS[study].arms.values():
                written = train_arm(study, {row: jobs[row] for row in known.rows}, {}, progress=silent)
                runs |= {row: {} for row in known.rows}
                for name, value in written.items():
                    row, _, key = name.partition(".")
                    runs[row][key] = value
            found = results.evaluate(section, in_float64(arrays), runs)[0]
        swept = TRAINING[study].sweep(section, arrays, CPU, fit)
        return runs, found, swept, results.sweep(section, in_float64(arrays), swept)[1]


def ends(run: dict[str, NDArray], value: str) -> NDArray:
    """What each trial ends with, NaN where it diverged; `late` is the mean over the second half."""
    late = run["steps"] >= run["steps"][-1] / 2
    end = run["val_loss"][:, late].mean(axis=1) if value == "late" else run[value][:, -1]
    return np.where(run["diverged"], np.nan, end)


def beyond_chance(gaps: NDArray, among: int = 1) -> int:
    """The sign of the mean of these differences, 0 where a t-test at 1 % does not tell it from 0."""
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps) < 2:
        return 0
    if np.ptp(gaps) == 0:  # no chance at all
        return int(np.sign(gaps[0]))
    return int(np.sign(gaps.mean())) if stats.ttest_1samp(gaps, 0).pvalue < 0.01 / among else 0


def judge(said: str, weight_decays: tuple[float, float], one: NDArray, other: NDArray) -> None:
    """Hold the first clause of a sentence against two rows of numbers, trial by trial."""
    clause = next(part for part in said.split("; ") if "overfits" not in part)
    gaps, known = one - other, np.isfinite(one - other)
    if weight_decays[0] == weight_decays[1]:
        assert "Both arms" in clause, said
    elif not known.any():
        assert "no trial" in clause, said
    elif known.sum() == 1:
        assert "single trial" in clause, said
    else:
        seen, before = beyond_chance(gaps), other[known].mean() if known.all() else np.nanmean(other)
        small = abs(gaps[known].mean()) < 0.005 * abs(before)
        word = ("hardly changes" if small else {1: "raises", -1: "lowers"}[seen]) if seen else "no visible effect"
        assert word in clause, (said, seen, gaps[known].mean(), before)
        if size := re.search(r"by ([\d.e-]+)%", clause):
            half = 0.5 if float(size[1]) >= 1 else 0.5 * 10 ** math.floor(math.log10(float(size[1])))  # of the last digit
            assert float(size[1]) == pytest.approx(100 * abs(gaps[known].mean()) / before, abs=1.001 * half), said
        if fold := re.search(r"([\d.e+-]+)-fold", clause):
            assert float(fold[1]) == pytest.approx(one[known].mean() / before, rel=0.06), said
        if power := re.search(r"would show ([\d.]+)% or more", clause):
            error = gaps[known].std(ddof=1) / math.sqrt(known.sum())
            expected = max(stats.t.ppf(0.995, known.sum() - 1) * error / before, 0.005)
            assert expected <= float(power[1]) / 100 * 1.000001 <= 1.12 * expected, said


def judge_sweep(said: str, weight_decays: NDArray, losses: NDArray, lost: NDArray) -> None:
    """Hold what is said of a grid of λ against its losses.  (L,), (T, L), (T, L)"""
    known = np.where(lost, np.nan, losses)
    whole: NDArray = np.asarray(~lost.any(axis=0))
    if len(losses) == 1 or not whole[0]:
        assert "single trial" in said or "nothing to compare" in said, said
        return
    others = max(whole.sum() - 1, 1)
    means = known.mean(axis=0)
    signs = np.array([beyond_chance(each, others) if ok else 0 for each, ok in zip((known - known[:, :1]).T, whole, strict=True)])
    lower = (signs < 0) & (means <= (1 - 0.005) * means[0])
    if best := re.search(r"^λ = (\S+) lowers the validation loss most", said):
        place = int(np.flatnonzero(weight_decays == float(best[1]))[0])
        assert lower[place], said
        assert means[place] == np.min(means[lower]), said
    else:
        assert said.startswith("No λ visibly lowers"), said
        assert not lower.any(), said


def held(study: str, values: dict[str, Any]) -> None:
    """Train a study at these values, and judge its sentences."""
    runs, found, swept, summary = measured(study, values)
    for finding, one, other, value in EFFECTS.get(study, ()):
        rows = [ends(runs[row], value) for row in (one, other)]
        weight_decays = float(runs[one]["weight_decay"]), float(runs[other]["weight_decay"])
        judge(found["findings"][finding], weight_decays, *rows)
    if "loss" in summary["findings"]:
        known = (swept["weight_decay"], swept["val_loss"][..., -1], swept["diverged"])
        judge_sweep(summary["findings"]["loss"], *known)
    for said in [*found.get("findings", {}).values(), *summary["findings"].values()]:
        assert not re.search(r"\b1 (epochs|steps|rows|inputs|trials)\b|nan|inf\b|e\+\d+-fold|-0%", said), said


@pytest.mark.parametrize(
    ("study", "values"),
    [pytest.param(*each, marks=[] if each[0] in QUICK else pytest.mark.slow) for each in TRIES],
)
def test_what_pages_invite_to_try_is_said_as_the_numbers_have_it(study: str, values: str) -> None:
    few = FEWER.get(study, {})
    if (study, values) == ("line", "line.train.lr=0.12"):
        with pytest.raises(UserError, match="expected a learning rate below the stability limit"):
            held(study, at_values(values))
    else:
        held(study, few | at_values(values))


def settings_of(study: str, rng: np.random.Generator) -> dict[str, Any]:
    """A small study with one to four trials; maybe without noise, without a start, with a tiny or a large λ, on other batches."""
    small = {
        key: tuple(value) if isinstance(value, list) else value for key, value in TINY.items() if key.startswith(f"{study}.")
    }
    own = {f"{study}.data.trials": int(rng.integers(1, 5)), f"{study}.{'wd' if study != 'wide' else 'data.noise'}": 0.0}
    weight_decay = float(rng.choice([0, 1e-6, 1e-3, 0.1, 1.0, float(rng.uniform(0, 5))]))
    own |= {"wd": weight_decay} if study == "wide" else {f"{study}.wd": weight_decay}
    for key, choices in {
        "data.noise": (0.0, None),
        "data.start_std": (0.0, None),
        "train.batch_size": (1, 4, None),
        "train.evaluate_every": (1, None),
    }.items():
        name, choice = f"{study}.{key}", choices[int(rng.integers(len(choices)))]
        with contextlib.suppress(AttributeError):
            at(COMMITTED, name)
            own |= {} if choice is None else {name: choice}
    return small | own


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("study", ["line", "wide", "relatives", "equilibrium", "optimizers"])
def test_sentences_are_true_at_any_settings(study: str, number: int) -> None:
    rng = np.random.default_rng([20, number, studies.NAMES.index(study)])
    values = settings_of(study, rng)
    if study == "wide" and number % 2:
        del values["wide.data.noise"]
    with contextlib.suppress(UserError):  # refused by name, which other tests look at
        held(study, values)


@pytest.mark.parametrize("trials", [2, 3, 5, 8, 16])
def test_few_starts_of_the_line_seldom_say_the_wrong_sign(trials: int) -> None:
    """2,000 groups of as many starts, against the mean of 20,000. Their differences are skewed: no t-test expects that."""
    section = changed(COMMITTED.line, {"data.trials": 20_000})
    arrays = draw("line", section)
    job = TRAINING["line"].job(section, arrays, CPU, [0.0, 0.01])
    losses = fit("line", job).history["val_loss"][..., -1].numpy()  # (T, 2)
    gaps = losses[:, 1] - losses[:, 0]
    assert gaps.mean() / losses[:, 0].mean() == pytest.approx(-0.005, abs=0.001)
    rng = np.random.default_rng(trials)
    seen = [sign_over_trials(gaps[rng.choice(len(gaps), trials, replace=False)]) for _ in range(2000)]
    assert np.mean(np.array(seen) > 0) <= 0.04
