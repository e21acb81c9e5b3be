"""A change in words and cells: for any numbers what is true of them."""

import itertools
import math
import re
from typing import Any

import pytest

from tools import diff
from tools.compared import Compared, Effect, headline
from tools.verdict import change, judged, number, rounded, value, verdicts

LOSS, STEPS = "wide.wd.val_loss", "modular.wd.steps_to_generalise"


def one(place: str, old: Any, new: Any, errors: Any = (None, None), paired: Effect | None = None) -> Compared:
    return Compared({place: (old, new), f"{place}_se": errors}, {place: paired} if paired else {})


@pytest.mark.parametrize(
    ("place", "old", "new", "errors", "told", "said"),
    [
        (LOSS, 1.0, 1.9, (0.3, 0.4), "+90 % ± 50 %", "within ±"),  # 0.3 and 0.4 are the catheti of 0.5
        (LOSS, 1.0, 2.28, (0.3, 0.4), "+128 % ± 50 %", "within ±"),  # of means of many trials 2.58 errors are visible
        (LOSS, 1.0, 2.3, (0.3, 0.4), "+130 % ± 50 %", "worse"),
        (LOSS, 1.0, -0.3, (0.3, 0.4), "-1.3 ± 0.5", "better"),
        (LOSS, 0.01, 4e-6, (None, None), "÷ 2,500", "better"),
        (LOSS, 10.0, 145.0, (0.3, 0.4), "× 14.5", "worse"),
        (LOSS, 10.0, 0.0, (0.3, 0.4), "-100 % ± 5 %", "better"),
        (LOSS, 0.0, 0.5, (None, None), "+0.5", "worse"),
        (LOSS, None, 0.5, (None, None), "", ""),
        (LOSS, 1.0, 1.0, (0.3, 0.4), "", ""),
        ("wide.wd.val_r2", -0.5, -0.1, (None, None), "+0.4", "better"),
        ("wide.wd.weight_norm", 1.0, 2.0, (None, None), "+100 %", ""),
        ("wide.wd.train_loss", 1.0, 2.0, (None, None), "+100 %", ""),
        ("wide.wd_minus_null.val_loss", -1.0, 2.0, (None, None), "+3", ""),
        ("wide.wd.diverged", 0, 3, (None, None), "+3", "worse"),
        ("modular.wd.val_accuracy", 1.0, 0.5, (None, None), "-50 %", "worse"),
        (STEPS, 455.0, -1, (5.0, None), "", "worse"),
        (STEPS, -1, 455.0, (None, 5.0), "", "better"),
        ("relatives.wd.risk", 1.0, 2.0, (None, None), "+100 %", "worse"),
        ("digits.wd.test_calibration_error", 0.5, 0.25, (None, None), "-50 %", "better"),
        ("descent_sweep.rows_50.risk_at_zero", 1.0, 2.0, (None, None), "+100 %", "worse"),
        ("gone.wd.val_loss", 1.0, 2.0, (None, None), "+100 %", ""),  # a study that is no more declares nothing
    ],
)
def test_a_change_and_whether_it_is_better(place: str, old: Any, new: Any, errors: Any, told: str, said: str) -> None:
    found = one(place, old, new, errors)
    assert (change(found, place, error=True), judged(found, place)) == (told, said)
    assert change(found, place) == told.partition(" ±")[0]


def test_pairs_of_trials_show_what_two_means_hide() -> None:
    found = one(LOSS, 1.0, 0.9, (0.3, 0.4), Effect(-0.1, 0.01, 16))
    assert (change(found, LOSS, error=True), judged(found, LOSS)) == ("-10 % ± 1 %", "better")


def test_numbers_have_the_digits_that_tell_them_apart() -> None:
    assert [number(4e-6, 5e-6), number(1.23456, 1.23461), number(1.23456, 2.0), number(None, 1.0)] == [
        "4e-06",
        "1.23456",
        "1.235",
        "–",
    ]
    assert [rounded(each, 2) for each in (1234.5, 0.00012345, 1.96)] == ["1200", "0.00012", "2"]
    assert value(one(LOSS, 0.0105, 1.0, (0.000312, None)), LOSS, 0) == "0.0105 ± 0.00031"
    assert value(one(STEPS, -1, 1.0), STEPS, 0) == "not reached"


def study(name: str, weight_decays: tuple[Any, Any] = (3.0, 1.0), row: str = "wd", **values: Any) -> dict[str, Any]:
    """A row's places."""
    places = {f"{name}.{row}.{key}": both for key, both in values.items()}
    return {f"{name}.{row}.weight_decay": weight_decays, f"{name}.{row}.trials": (16, 16)} | places


def said(metrics: dict[str, Any], **paired: Effect) -> str:
    """The one sentence, without its bullet."""
    (line,) = verdicts(Compared(metrics, {place.replace("__", "."): moved for place, moved in paired.items()}))
    found = re.fullmatch(r"- `\w+`: (.+)\.", line)
    assert found, line
    return found[1]


ERROR: dict[str, Any] = {"val_loss_se": (0.3, 0.4)}
ADAMW = study("optimizers", row="wd_adamw", risk=(1.0, 2.0))


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (study("modular", steps_to_generalise=(330.0, -1), generalised=(1.0, 0.0)), "no longer generalises with decay"),
        (
            study("modular", steps_to_generalise=(330.0, -1), generalised=(1.0, 0.5)),
            "no longer generalises with decay in every trial, but in 50% of them",
        ),
        (study("modular", steps_to_generalise=(-1, 330.0), val_loss=(2.0, 1.0)), "now generalises with decay at step 330"),
        (study("modular", steps_to_generalise=(333.3, 1480.0)), "generalises with decay at step 1,480 instead of 333"),
        (study("modular", steps_to_generalise=(-1, -1), val_loss=(0.1, 0.2)), "validation loss with decay +100 %"),
        (
            study("modular", steps_to_generalise=(330, 340), steps_to_generalise_se=(9, 9), val_loss=(10.0, 13.0), **ERROR),
            "validation loss with decay +30 % ± 5 %",  # a step that moved within its error leaves the word to the loss
        ),
        (study("wide", val_loss=(10.0, 13.0), **ERROR), "validation loss with decay +30 % ± 5 %"),
        (
            study("wide", val_loss=(10.0, 11.0), **ERROR),
            "no visible change of the validation loss with decay (not beyond chance)",
        ),
        (study("wide", val_loss=(0.5, None)), "validation loss with decay 0.5 → –"),
        (study("wide", (3.0, 0.0), val_loss=(1.0, 2.0)), "validation loss of `wd` +100 %"),
        (study("line", (0.0, 0.0), "baseline", val_loss=(1.0, 2.0)), "validation loss without decay +100 %"),
        (study("wide", diverged=(0, 2), val_loss=(1.0, 1.0)), "2 of 16 trials with decay diverged, before 0"),
        (
            study("wide", diverged=(3, 0), val_loss=(1.0, 2.0)),
            "validation loss with decay +100 %; 0 of 16 trials with decay diverged, before 3",
        ),
        (ADAMW | study("optimizers", risk=(1.0, 1.0)), "risk of `wd_adamw` +100 %"),
        (
            {"descent_sweep.rows_9.risk_at_zero": (1.0, 1.4), "descent_sweep.inputs": (1, 2)},
            "1 headline changed, most of all `rows_9.risk_at_zero`, 1 → 1.4",
        ),
        (
            {"wide.null.bias": (1.0, 1.2), "wide.null.bias_se": (0.01, 0.01), "wide.ridge.bias": (1.0, 2.0)},
            "2 values changed, most of all `null.bias`, 1 → 1.2",
        ),
        ({"wide.wd.bias": (None, 1.0), "wide_sweep.lr": (None, 1.0)}, "new"),
        ({"wide.wd.bias": (1.0, None)}, "removed"),
    ],
)
def test_a_study_has_a_sentence_that_is_true_of_its_numbers(metrics: dict[str, Any], told: str) -> None:
    assert said(metrics) == told


def test_pairs_have_an_error_of_their_own_in_the_sentence() -> None:
    metrics = study("wide", val_loss=(10.0, 10.2), **ERROR)
    assert said(metrics, wide__wd__val_loss=Effect(0.2, 0.05, 16)) == "validation loss with decay +2 % ± 0.5 %"


ODD = (1e308, -1e308, 5e-324, 0, -1, 1.0, None)


def test_any_numbers_give_a_line_each() -> None:
    for old, new, error in itertools.product(ODD, ODD, (None, 0.0, 0.1)):
        for name in ("val_loss", "steps_to_generalise", "diverged", "weight_norm"):
            both: dict[str, Any] = {name: (old, new), f"{name}_se": (0.1, error)}
            metrics = study("modular", (old, new), **both)
            assert len(verdicts(Compared(metrics, {}))) <= 1
            assert not re.search("nan", "".join(diff.lines(Compared(metrics, {}), "HEAD", everything=True)))


DECLARED = (LOSS, STEPS, "optimizers.wd_adamw.risk", "wide_sweep.best_lambda", "phase_sweep.fewest.train_fraction")
OTHERS = ("wide.wd.bias", "wide.ridge.val_loss", "wide.wd_minus_null.val_loss", "gone.wd.val_loss")


def test_a_headline_is_one_that_its_study_declares() -> None:
    assert [place for place in DECLARED + OTHERS if headline(place)] == [*DECLARED]


METRICS: dict[str, tuple[Any, Any]] = {
    LOSS: (0.01, 0.02),
    f"{LOSS}_se": (0.003, 0.004),
    "wide.wd.val_r2": (-0.1, -0.5),
    "wide.wd.val_r2_se": (0.02, 0.02),
    "wide.wd.weight_norm": (1.0, 1.0),
    "wide.wd.bias": (1.0, 2.0),
    "wide_sweep.best_lambda": (3.0, 5.0),
    STEPS: (455.0, -1),
    f"{STEPS}_se": (5.0, None),
    "modular.wd.half_squared_norm": (123.456, 234.567),
    "modular.wd.half_squared_norm_se": (1.23, 2.34),
}


def printed(metrics: dict[str, Any], *, everything: bool = False, colours: bool = False) -> list[str]:
    return list(diff.lines(Compared(metrics, {}), "HEAD (0123456)", everything=everything, colours=colours))


def test_what_changed_most_comes_first_in_80_columns() -> None:
    told = printed(METRICS)
    assert max(map(len, told)) <= 80
    assert [" ".join(line.split()) for line in told] == [
        "what base now change",
        "modular",
        "wd.steps_to_generalise 455 ± 5 not reached worse",
        "wd.half_squared_norm 123.5 ± 1.2 234.6 ± 2.3 +90 %",
        "wide",
        "wd.val_r2 -0.1 ± 0.02 -0.5 ± 0.02 -0.4 worse",
        "wd.val_loss 0.01 ± 0.003 0.02 ± 0.004 +100 % within ±",
        "sweep.best_lambda 3 5 +66.7 %",  # which has no standard error
        "1 more value changed: ALL=1 shows them",
    ]
    assert any("wd.bias" in line for line in printed(METRICS, everything=True))


def test_colours_change_no_letter() -> None:
    coloured = printed(METRICS, colours=True)
    assert any("\x1b[31mworse" in line for line in coloured)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == printed(METRICS)


def test_where_no_headline_or_nothing_has_changed_it_is_one_line() -> None:
    assert printed({"wide.wd.bias": (1.0, 2.0)}) == ["1 more value changed since HEAD (0123456), no headline: ALL=1 shows them"]
    assert printed({LOSS: (1.0, 1.0)}) == ["no result has changed since HEAD (0123456)"]
    (line,) = [line for line in printed({f"s.{'a' * 60}.x\x1b": (1.0, math.pi)}, everything=True) if "aaa" in line]
    assert line.isprintable()
