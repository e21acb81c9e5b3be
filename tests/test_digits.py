"""digits: its data, logistic regression against scikit-learn, the committed results, and what its figures may say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU, changed, draw, fit, jobs_of, metrics, silent, speaks_of
from msgspec.structs import asdict, replace
from numpy.typing import NDArray
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from stages.base.errors import UserError
from stages.base.streams import Arrays
from stages.engine import fit as loop
from stages.engine.job import Job
from stages.engine.train import train_arm
from stages.studies.digits import figures, results, system, training
from stages.studies.digits.system import Digits

CASES = tuple(system.CASES)


@pytest.fixture(scope="module")
def arrays(settings: Any) -> Arrays:
    return draw("digits", settings.digits)


@pytest.fixture(scope="module")
def trained(settings: Any, arrays: Arrays) -> dict[str, Arrays]:
    """Logistic regression as shipped, by row, evaluated at its ends alone."""
    jobs = jobs_of("digits", settings, arrays)
    rows = {row: training.once(jobs[row]) for row in ("baseline", "wd", "baseline_noisy", "wd_noisy")}
    found = train_arm("digits", rows, {}, progress=silent)
    return {row: {key.partition(".")[2]: each for key, each in found.items() if key.partition(".")[0] == row} for row in rows}


def job(section: Digits, arrays: Arrays, case: str, decay: float) -> Job:
    """The job of a case at one λ."""
    return training.cases(section, arrays, CPU, [decay], [decay])[case]


def test_the_images_are_scikit_learns() -> None:
    pixels, labels = system.images()
    known = load_digits()
    np.testing.assert_array_equal(pixels, known.data)
    np.testing.assert_array_equal(labels, known.target)
    assert (len(pixels), pixels.max()) == (system.IMAGES, system.WHITE)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SHA256", "0" * 64, "expected the 1,797 digits that scikit-learn ships, of SHA-256 000000000000…, got 68aea062d35a…"),
        (
            "FILE",
            "sklearn/none.csv.gz",
            "sklearn/none.csv.gz: expected the 1,797 digits that scikit-learn ships, got FileNotFound",
        ),
        ("FILE", "sklearn/__init__.py", "sklearn/__init__.py: expected the 1,797 digits that scikit-learn ships, got ValueError"),
    ],
)
def test_other_images_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setattr(system, name, value)
    with pytest.raises(UserError) as raised:
        system.images()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_each_trial_divides_all_images(settings: Any, arrays: Arrays) -> None:
    whole, own = sorted(map(bytes, system.images()[0])), settings.digits.data
    for trial in range(own.trials):
        parts = [arrays[f"{split}_pixels"][trial] for split in ("train", "val", "test")]
        assert [len(part) for part in parts] == [own.train_rows, own.val_rows, system.IMAGES - own.train_rows - own.val_rows]
        assert sorted(bytes(row) for part in parts for row in part) == whole


def test_wrong_labels_are_so_many_other_classes(settings: Any, arrays: Arrays) -> None:
    """A larger share replaces the same ones and more; all else is the same."""
    wrong = arrays["wrong_labels"] != arrays["train_labels"]
    assert set(wrong.sum(axis=1)) == {30}
    assert set(np.unique(arrays["wrong_labels"])) == set(range(10))
    more = draw("digits", changed(settings.digits, {"data.wrong": 1.0}))
    assert (more["wrong_labels"] != more["train_labels"]).all()
    np.testing.assert_array_equal(more["wrong_labels"][wrong], arrays["wrong_labels"][wrong])
    assert all(np.array_equal(each, more[name]) for name, each in arrays.items() if name != "wrong_labels")


def test_some_images_are_left_to_test_on(settings: Any) -> None:
    own = settings.digits.data
    replace(own, val_rows=system.IMAGES - own.train_rows - 1)
    with pytest.raises(ValueError, match="val_rows: expected fewer than 1,797 rows"):
        type(own)(**asdict(own) | {"val_rows": system.IMAGES - own.train_rows})


@pytest.mark.parametrize("weight_decay", [0.001, 0.01, 0.1])
def test_logistic_regression_is_scikit_learns(weight_decay: float, settings: Any) -> None:
    """In its limit, with C = 1/(nλ) and an intercept without penalty; 2e-6 is what either solver leaves."""
    section = changed(settings.digits, {"data.trials": 2, "train.steps": 1200})
    data = draw("digits", section)
    for case in ("logistic", "logistic_noisy"):
        whole = training.once(job(section, data, case, weight_decay))
        found = loop.fit(whole)
        inputs, targets = whole.problem.train
        for trial in range(2):
            oracle = LogisticRegression(C=1 / (inputs.shape[1] * weight_decay), tol=1e-10, max_iter=10_000)
            oracle.fit(inputs[trial].numpy(), targets[trial].argmax(1).numpy())
            np.testing.assert_allclose(found.parameters["weight"][trial, 0].numpy().T, oracle.coef_, atol=2e-6)
            np.testing.assert_allclose(found.parameters["bias"][trial, 0].numpy(), oracle.intercept_, atol=2e-6)


def confidence(run: Arrays, arrays: Arrays) -> tuple[NDArray, NDArray]:
    """How sure each answer on test rows is, as the figure computes it, and whether it is right.  (T, r) each"""
    inputs = (arrays["test_pixels"] - arrays["train_pixels"].mean(axis=1, keepdims=True)) / 16
    return figures.answers(inputs, arrays["test_labels"], run)


def test_what_is_drawn_of_the_confidence_is_what_was_measured(trained: dict[str, Arrays], arrays: Arrays) -> None:
    """Parameters have six digits, so that an answer at the edge of a bin may fall into the next one: two of 947."""
    for row, run in trained.items():
        sure, right = confidence(run, arrays)
        np.testing.assert_allclose(right.mean(axis=1), run["test_accuracy"][:, -1], atol=1e-12)
        for trial in range(len(sure)):
            gaps = [
                abs(np.sum((right[trial] - sure[trial])[(sure[trial] > each / 10) & (sure[trial] <= (each + 1) / 10)]))
                for each in range(10)
            ]
            assert sum(gaps) / sure.shape[1] == pytest.approx(run["test_calibration_error"][trial, -1], abs=2 / 947), row
        points = figures.binned(sure, right)
        assert len(points[0]) == len(points[1]) >= 5
        assert (np.diff(points[0]) > 0).all()


def test_answers_are_too_sure_without_decay_and_less_sure_with_it(trained: dict[str, Arrays], arrays: Arrays) -> None:
    over = {}
    for row, run in trained.items():
        sure, right = confidence(run, arrays)
        over[row] = sure.mean(axis=1) - right.mean(axis=1)
    assert over["baseline"].min() > 0.01
    assert over["baseline_noisy"].min() > 0.05
    assert over["wd"].max() < -0.03  # with right labels too unsure
    assert (over["wd_noisy"] < over["baseline_noisy"]).all()


def test_wrong_labels_are_learnt_last(settings: Any, arrays: Arrays) -> None:
    """At step 10 the model agrees with few of the wrong labels, and with most of the others; at step 100 with nearly all."""
    wrong = torch.from_numpy(arrays["wrong_labels"] != arrays["train_labels"])
    shares = []
    for steps in (10, 100):
        whole = training.once(job(changed(settings.digits, {"train.steps": steps}), arrays, "logistic_noisy", 0.0))
        found, problem = loop.fit(whole), whole.problem
        predictions = problem.model.predict(found.parameters, problem.train[0])[:, 0]
        agrees = predictions.argmax(-1) == problem.train[1].argmax(-1)
        shares.append([float(agrees[wrong].double().mean()), float(agrees[~wrong].double().mean())])
    assert shares[0][0] < 0.2
    assert shares[0][1] > 0.9
    assert min(shares[1]) > 0.95


def test_stopping_early_beats_decay_where_labels_are_wrong() -> None:
    """Every tuned λ too, on test rows, in either model; and with right labels in neither."""
    rows, swept = metrics("digits"), metrics("digits_sweep")
    for model, suffix in (("logistic", ""), ("network", "_network")):
        assert rows[f"stopped{suffix}_noisy"]["test_loss"] < 0.95 * swept[f"{model}_noisy"]["test_loss_at_chosen"]
        assert rows[f"stopped{suffix}_noisy"]["test_accuracy"] > swept[f"{model}_noisy"]["test_accuracy_at_chosen"]
        assert rows[f"stopped{suffix}"]["test_loss"] > swept[model]["test_loss_at_chosen"]


@speaks_of("digits.wd", 0.001)
def test_with_right_labels_the_accuracy_of_logistic_regression_stays_where_it_is() -> None:
    """What the page says of its change, and in the exercise of that at λ = 0.001; the loss falls visibly all the same."""
    swept, gap = metrics("digits_sweep")["logistic"], metrics("digits")["wd_minus_baseline"]
    visible = stats.t.ppf(0.995, 23)  # one of a hundred, of 24 trials
    assert abs(swept["test_accuracy_change"]) < stats.t.ppf(1 - 0.005 / 6, 23) * swept["test_accuracy_change_se"]  # one of six
    assert abs(gap["test_accuracy"]) < 0.005 * metrics("digits")["baseline"]["test_accuracy"]
    assert gap["test_loss"] < -visible * gap["test_loss_se"]


def test_with_wrong_labels_the_tuned_decay_of_logistic_regression_leaves_the_calibration() -> None:
    """It is chosen by the loss; a smaller one calibrates best."""
    swept = metrics("digits_sweep")["logistic_noisy"]
    assert abs(swept["test_calibration_error_change"]) < stats.t.ppf(0.995, 23) * swept["test_calibration_error_change_se"]
    assert 0 < swept["best_lambda_calibration"] < swept["best_lambda"] < swept["best_lambda_accuracy"]


def test_a_stop_is_at_each_trials_lowest_validation_loss() -> None:
    run = {
        "val_loss": np.array([[2.0, 0.5, 0.7], [2.0, 0.8, 0.6], [2.0, np.nan, np.nan]]),
        "test_loss": np.array([[2.1, 0.6, 0.1], [2.1, 0.2, 0.9], [2.1, 0.1, 0.1]]),
        "steps": np.array([0, 5, 10]),
        "diverged": np.array([False, False, True]),
    }
    found = results.stopped(run)
    np.testing.assert_array_equal(found["step"], [5, 10, np.nan])
    np.testing.assert_array_equal(found["test_loss"], [0.6, 0.9, np.nan])


def arms_said(right: tuple[float, float], wrong: tuple[float, float], stop: float = 0.0, **changes: Any) -> dict[str, Any]:
    """Rows of logistic regression in which λ = 0.1 changes a loss of 1 by so much, with an error, for each set of labels."""
    usual = {"diverged": 0, "trials": 8, "val_loss": 1.0, "test_calibration_error": 1.0}
    rows: dict[str, Any] = {}
    for suffix, (gap, error) in {"": right, "_noisy": wrong, "_network": right, "_network_noisy": wrong}.items():
        rows |= {f"baseline{suffix}": usual | {"weight_decay": 0.0}, f"wd{suffix}": usual | {"weight_decay": 0.1} | changes}
        values = {"val_loss": gap, "val_loss_se": error, "test_calibration_error": gap, "test_calibration_error_se": error}
        rows[f"wd{suffix}_minus_baseline{suffix}"] = values | {"trials": 8}
        rows[f"wd{suffix}_minus_stopped{suffix}"] = {"test_loss": stop, "test_loss_se": 0.01, "trials": 8}
    return rows


LOWERS, RAISES = "λ = 0.1 lowers the test calibration error by 20%", "λ = 0.1 raises the test calibration error by 20%"
SHOW = "(8 trials would show "
NO_EFFECT, WRONG = "λ = 0.1 has no visible effect on the test calibration error", "with 20% wrong labels"
ONE_LOST = "λ = 0.1 lowers the test calibration error; 1 of 8 trials diverged at λ = 0.1"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (arms_said((-0.2, 0.01), (-0.4, 0.01)), f"{LOWERS}; {WRONG} by 40%"),
        (arms_said((0.2, 0.01), (-0.4, 0.01)), f"{RAISES}; {WRONG} it lowers it by 40%"),
        (arms_said((0.2, 0.2), (-0.4, 0.01)), f"{NO_EFFECT} {SHOW}70% or more); {WRONG} it lowers it by 40%"),
        (arms_said((-0.2, 0.01), (-0.4, 0.2)), f"{LOWERS}; {WRONG} it has no visible effect on it {SHOW}70% or more)"),
        (arms_said((0.2, 0.2), (-0.4, 0.2)), f"{NO_EFFECT} {SHOW}70% or more); {WRONG} the same"),
        (arms_said((0.2, 0.2), (-0.4, 0.15)), f"{NO_EFFECT} {SHOW}70% or more); {WRONG} none either"),
        (arms_said((0.0, 0.0), (0.0, 0.0), weight_decay=0.0), "Both arms have λ = 0: nothing to compare"),
        (arms_said((-0.2, 0.01), (-0.4, 0.01), diverged=1), f"{ONE_LOST}; {WRONG} the same"),
    ],
)
def test_the_second_half_says_what_is_different(rows: dict[str, Any], said: str) -> None:
    assert results.findings(rows, 0.2)["reliability"] == said


def test_where_stopping_early_is_better_is_said() -> None:
    said = "With 20% wrong labels stopping early"
    rows = arms_said((0.0, 0.0), (0.0, 0.0), stop=0.1)
    assert stopping_said(rows) == f"{said} beats λ = 0.1 in logistic regression and λ = 0.1 in the network"
    rows["wd_noisy_minus_stopped_noisy"]["test_loss"] = -0.1
    assert stopping_said(rows) == f"{said} beats λ = 0.1 in the network"
    rows["wd_network_noisy_minus_stopped_network_noisy"]["test_loss"] = 0.015
    assert stopping_said(rows) == f"{said} visibly beats neither λ = 0.1 in logistic regression nor λ = 0.1 in the network"
    rows["wd_noisy"]["diverged"] = 1
    assert stopping_said(rows).endswith("; 1 of 8 trials diverged at λ = 0.1")
    rows["wd"]["trials"] = 1
    assert stopping_said(rows).startswith("A single trial has no error")


def stopping_said(rows: dict[str, Any]) -> str:
    return results.findings(rows, 0.2)["stopping"]


def cases(**changes: tuple[float, float, float]) -> dict[str, Any]:
    """What the chosen λ change: loss, accuracy and calibration error of a case, from 0.5, each with an error of 0.01."""
    found: dict[str, Any] = {"wrong": 0.2}
    for case in CASES:
        found[case] = {"diverged": 0, "trials": 8, "test_rows": 1000, "best_lambda": 0.1}
        for measure, change in zip(results.MEASURES, changes.get(case, (0.0, 0.0, 0.0)), strict=True):
            values = {"change": change, "change_se": 0.01, "at_zero": 0.5, "at_chosen": 0.5 + change}
            found[case] |= {f"test_{measure}_{name}": value for name, value in values.items()}
    return found


def without(found: dict[str, Any], case: str, *ends: str, **changes: int) -> dict[str, Any]:
    """The same with fewer values of a case."""
    return found | {case: {name: value for name, value in found[case].items() if not name.endswith(ends)} | changes}


BETTER, WORSE = (-0.1, 0.1, -0.1), (0.1, -0.1, 0.1)
SINGLE = "A single trial has no error to tell an effect by"
LOST = "λ = 0 has nothing to compare with; 3 runs diverged"
ALONE, DIVERGED = without(cases(), "network", "_se"), without(cases(), "logistic", "_change", "_zero", diverged=3)


BOTH_MODELS = "In both models, with right labels, tuned λ"
TUNED = "In logistic regression tuned λ lowers the test"
SHARPER = (
    f"{TUNED} calibration error by 50% and lowers the test loss by 20%; "
    "with 20% wrong labels it raises the test accuracy from 50% to 60% and lowers the test loss by 20%"
)


@pytest.mark.parametrize(
    ("of", "found", "said"),
    [
        (results.gain_said, cases(), f"{BOTH_MODELS} improves neither accuracy nor calibration; {WRONG} the same"),
        (
            results.gain_said,
            cases(logistic=BETTER, network=BETTER, logistic_noisy=BETTER, network_noisy=(-0.1, 0.1, 0.1)),
            f"{BOTH_MODELS} improves accuracy and calibration; {WRONG} it improves accuracy",
        ),
        (
            results.gain_said,
            cases(logistic=(0, 0.1, 0.1), network=(0, 0.1, 0.1), logistic_noisy=WORSE, network_noisy=(-0.1, -0.1, 0.015)),
            f"{BOTH_MODELS} improves accuracy and worsens calibration; {WRONG} it worsens accuracy",
        ),
        (results.panel_said, cases(logistic=(-0.1, 0.015, -0.25), logistic_noisy=(-0.1, 0.1, 0.0)), SHARPER),
        (
            results.panel_said,
            cases(logistic=(-0.1, 0.0, 0.0)),
            f"{TUNED} loss by 20%; with 20% wrong labels it changes nothing visibly",
        ),
        *((of, *each) for of in (results.gain_said, results.panel_said) for each in ((ALONE, SINGLE), (DIVERGED, LOST))),
    ],
)
def test_what_tuned_decay_changes_is_said(of: Callable[[Any], str], found: dict[str, Any], said: str) -> None:
    """In both models, and measure by measure in one."""
    assert of(found) == said


BOTH = "The best λ with right labels and with 20% wrong labels"


@pytest.mark.parametrize(
    ("best", "places", "said"),
    [
        ((0.1, 1.0), ([1] * 9, [2] * 9), "With 20% wrong labels a larger λ is best in both models"),
        ((0.1, 1.0), ([1, 1, 1], [2, 2, 2]), f"{BOTH}: 0.1 and 1, in the network 0.1 and 1"),  # three by one: too few to tell
        ((0.1, 1.0), ([1, 1, 1], [0, 3, 2]), f"{BOTH}: 0.1 and 1, in the network 0.1 and 1"),
        ((0.1, 0.1), ([1, 1, 1], [1, 1, 1]), f"{BOTH}: 0.1 and 0.1, in the network 0.1 and 0.1"),
        ((1.0, 0.1), ([2, 2, 2], [1, 1, 1]), f"{BOTH}: 1 and 0.1, in the network 1 and 0.1"),
    ],
)
def test_a_larger_decay_is_larger_trial_by_trial(
    best: tuple[float, float], places: tuple[list[int], list[int]], said: str
) -> None:
    found, at = cases(), {case: np.array(places[case.endswith("_noisy")]) for case in CASES}
    for case in CASES:
        found[case]["best_lambda"] = best[case.endswith("_noisy")]
    assert results.decays_said(found, at) == said
    del found["network"]["best_lambda"]
    assert results.decays_said(found, at) == "A case has no λ at which no trial diverged"


def test_a_decay_at_which_a_trial_diverged_is_not_chosen() -> None:
    """Nor is anything compared with λ = 0 where that diverged."""
    values = {
        f"{split}_{name}": np.array([[0.5, 0.1, 0.3], [0.4, 0.2, 0.3]])
        for split in ("val", "test")
        for name in (*results.MEASURES, "calibration_floor")
    }
    found = results.judged(np.array([0.0, 1.0, 2.0]), values, np.array([0, 2]), np.array([2, 2]), 9)
    assert (found["best_lambda"], found["largest_chosen_lambda"]) == (2.0, 2.0)
    assert found["test_loss_change"] == pytest.approx(-0.15)
    found = results.judged(np.array([0.0, 1.0, 2.0]), values, np.array([1, 2]), np.array([1, 1]), 9)
    assert found["test_loss_at_chosen"] == pytest.approx(0.15)
    assert "test_loss_change" not in found
    none = np.array([], dtype=int)
    assert results.judged(np.array([0.0, 1.0, 2.0]), values, none, none, 9) == {"trials": 2, "test_rows": 9}


def test_runs_of_the_sweep_that_diverge_are_told_for_each_case(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """At lr = 2 with momentum logistic regression is unstable from λ = 2·(1 + 0.9)/2 on; the network decays beside its step."""
    values = {"data.trials": 2, "train.steps": 60, "sweep.wd": (0.0, 3.0), "sweep.network_wd": (0.0,)}
    section = changed(settings.digits, values)
    swept = training.sweep(section, draw("digits", section), CPU, fit)
    assert swept["logistic.diverged"].sum() == swept["logistic_noisy.diverged"].sum() == 2
    lost = "2 of 4 runs diverged, and are left out of the means"
    assert capsys.readouterr().err.splitlines() == [f"digits {case} sweep: {lost}" for case in ("logistic", "logistic_noisy")]
