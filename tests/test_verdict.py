"""The verdict on a change: for any numbers a sentence that is true of them."""

import itertools
import math
import re
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tools.tables import Effect
from tools.verdict import verdicts

STEPS = "modular.wd.steps_to_generalise"


def study(name: str, decays: tuple[Any, Any] = (3.0, 1.0), row: str = "wd", **values: Any) -> dict[str, Any]:
    """An arm's places, `steps` and `shares` short for those of generalising."""
    short = {"steps": "steps_to_generalise", "shares": "generalised", "steps_se": "steps_to_generalise_se"}
    places = {f"{name}.{row}.{short.get(key, key)}": change for key, change in values.items()}
    return {f"{name}.{row}.weight_decay": decays, f"{name}.{row}.trials": (16, 16)} | places


def said(metrics: dict[str, Any], **paired: Effect) -> str:
    """The one sentence, without its bullet."""
    (line,) = verdicts(metrics, {place.replace("__", "."): moved for place, moved in paired.items()})
    found = re.fullmatch(r"- `\w+`: (.+)\.", line)
    assert found, line
    return found[1]


LIMIT = {"modular_sweep.steps": (1000, 1000)}


@pytest.mark.parametrize(
    ("steps", "shares", "told"),
    [
        ((330.0, -1), (1.0, 0.0), "no longer generalises with decay within 1,000 steps"),
        (
            (330.0, -1),
            (1.0, 0.5),
            "no longer generalises with decay in every trial, but in 50 % of them, within 1,000 steps",
        ),
        ((-1, 330.0), (0.0, 1.0), "now generalises with decay at step 330, before not within 1,000 steps"),
        ((333.3, 1480.0), (1.0, 1.0), "generalises with decay at step 1,480 instead of 333 (no standard error)"),
        ((333.3, 333.4), (1.0, 1.0), "generalises with decay at step 333.4 instead of 333.3 (no standard error)"),
        ((-1, -1), (0.0, 0.25), "generalises with decay in 25 % of the trials instead of 0 %"),
        ((-1, -1), (0.0, 0.0), "validation loss with decay +100 % (no standard error)"),
    ],
)
def test_whether_and_when_it_generalises_comes_first(steps: Any, shares: Any, told: str) -> None:
    assert said(LIMIT | study("modular", steps=steps, shares=shares, val_loss=(0.1, 0.2))) == told


def test_without_a_known_number_of_steps_it_does_not_yet() -> None:
    assert said(study("modular", steps=(330.0, -1), shares=(1.0, 0.0))) == "no longer generalises with decay"


def test_a_step_that_moved_within_its_error_leaves_the_word_to_the_loss() -> None:
    metrics = study("modular", steps=(330.0, 350.0), steps_se=(10.0, 10.0), val_loss=(0.1, 0.2), val_loss_se=(0.01, 0.01))
    assert said(metrics) == "validation loss with decay +100 % ± 14 % (unpaired)"
    assert (
        said(metrics, modular__wd__steps_to_generalise=Effect(20.0, 1.0, 2))
        == "generalises with decay at step 350 instead of 330"
    )


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (13.0, "validation loss with decay +30 % ± 5 % (unpaired)"),
        (8.5, "validation loss with decay -15 % ± 5 % (unpaired)"),
        (11.0, "no visible change of the validation loss with decay (within two standard errors, unpaired)"),
        (9.0, "no visible change of the validation loss with decay (within two standard errors, unpaired)"),
        (145.0, "validation loss with decay 10 → 145 (× 14.5, unpaired)"),
        (0.0, "validation loss with decay -100 % ± 5 % (unpaired)"),
    ],
)
def test_two_means_are_compared_by_the_error_of_their_difference(new: float, told: str) -> None:
    """0.3 and 0.4 are the catheti of 0.5."""
    assert said(study("wide", val_loss=(10.0, new), val_loss_se=(0.3, 0.4))) == told


def test_pairs_of_trials_have_an_error_of_their_own() -> None:
    metrics = study("wide", val_loss=(10.0, 10.2), val_loss_se=(0.3, 0.4))
    assert said(metrics, wide__wd__val_loss=Effect(0.2, 0.05, 16)) == "validation loss with decay +2 % ± 0.5 %"
    hidden = "no visible change of the validation loss with decay (within two standard errors)"
    assert said(metrics, wide__wd__val_loss=Effect(0.2, 0.1, 16)) == hidden


def test_a_loss_that_was_none_has_no_ratio() -> None:
    assert said(study("wide", val_loss=(0.0, 0.5))) == "validation loss with decay 0 → 0.5 (no standard error)"
    assert said(study("wide", val_loss=(0.5, None))) == "validation loss with decay 0.5 → –"


@pytest.mark.parametrize(
    ("row", "decays", "named"),
    [
        ("wd", (3.0, 1.0), "with decay"),
        ("wd", (3.0, 0.0), "of `wd`"),
        ("wd", (0.0, 3.0), "of `wd`"),
        ("wd", (None, 3.0), "of `wd`"),
        ("baseline", (0.0, 0.0), "without decay"),
        ("baseline", (0.0, 1.0), "of `baseline`"),
        ("wd_adam", (1.0, 1.0), "of `wd_adam`"),
    ],
)
def test_an_arm_is_called_what_it_is_on_both_sides(row: str, decays: Any, named: str) -> None:
    metrics = study("line", decays, row, val_loss=(1.0, 2.0))
    assert said(metrics) == f"validation loss {named} +100 % (no standard error)"


def test_both_arms_are_told_of_and_others_where_these_have_not_changed() -> None:
    error: dict[str, Any] = {"val_loss_se": (0.1, 0.1)}
    arms = study("line", val_loss=(1.0, 2.0), **error) | study("line", (0.0, 0.0), "baseline", val_loss=(1.0, 1.1), **error)
    adam = study("line", row="wd_adam", val_loss=(1.0, 3.0), **error)
    assert said(arms | adam) == (
        "validation loss with decay +100 % ± 14 % (unpaired); "
        "no visible change of the validation loss without decay (within two standard errors, unpaired)"
    )
    unchanged = study("line", val_loss=(1.0, 1.0))
    assert said(unchanged | adam) == "validation loss of `wd_adam` +200 % ± 14 % (unpaired)"


def test_trials_that_diverged_are_counted() -> None:
    assert said(study("wide", diverged=(0, 2), val_loss=(1.0, 1.0))) == "2 of 16 trials with decay diverged"
    assert said(study("wide", diverged=(3, 0), val_loss=(1.0, 1.0))) == "no trial with decay diverges any more (3 of 16 did)"
    assert said(study("wide", diverged=(2, 2), val_loss=(1.0, 2.0))).startswith(
        "2 of 16 trials with decay diverged; validation loss"
    )
    assert (
        said({"wide_sweep.diverged": (0, 7), "wide_sweep.best_lambda": (1.0, 1.0)})
        == "7 of its sweep's runs diverged instead of 0"
    )


def test_where_no_arm_has_changed_it_is_the_sweep_or_what_changed_most() -> None:
    metrics = study("wide", val_loss=(1.0, 1.0)) | {"wide_sweep.best_lambda": (10.0, 5.0), "wide.null.val_loss": (1.0, 2.0)}
    assert said(metrics) == "the sweep's best λ is 5 instead of 10"
    rows = {f"descent_sweep.rows_{n}.risk_at_zero": (1.0, 1.0 + n / 10) for n in range(5)}
    assert said(rows) == "4 values changed, most of all `sweep.rows_4.risk_at_zero`, 1 → 1.4"
    errors = {"wide.null.bias": (1.0, 1.2), "wide.null.bias_se": (0.01, 0.01), "wide.ridge.bias": (1.0, 2.0)}
    assert said(errors) == "2 values changed, most of all `null.bias`, 1 → 1.2"
    assert said({"wide.new.x": (None, 2.0), "wide.null.val_loss": (1.0, 1.0)}) == "1 value changed"


def test_a_bullet_is_a_study_that_changed_came_or_went() -> None:
    metrics = {"a.wd.x": (1, 2), "b.wd.x": (1, 1), "c.wd.x": (None, 1), "c_sweep.x": (None, 1), "d.wd.x": (1, None)}
    assert verdicts(metrics, {}) == ["- `a`: 1 value changed, most of all `wd.x`, 1 → 2.", "- `c`: new.", "- `d`: removed."]


ODD: tuple[Any, ...] = (math.nan, math.inf, 10**400, 1e308, -1e308, 5e-324, 0, -1, 1.0, True, None)


def test_any_numbers_give_a_line_each() -> None:
    """None is a traceback, and none opens a list, a row or a tag of its own."""
    for old, new, error in itertools.product(ODD, ODD, (None, math.nan, 10**400, 0.0, 0.1)):
        for name in ("val_loss", "steps", "shares", "diverged", "weight_norm"):
            both: dict[str, Any] = {name: (old, new), f"{name}_se": (0.1, error)}
            both |= {"steps": (-1, 3)} if name == "shares" else {}
            lines = verdicts(study("wide", (old, new), **both), {})
            assert len(lines) <= 1
            assert not re.search("nan %|inf %", "".join(lines))


def test_a_name_that_is_markup_is_shown_as_it_is() -> None:
    (line,) = verdicts({"a|b*c*.wd\n<b>.x": (1, 2)}, {})
    tokens = [child for token in MarkdownIt("commonmark").parse(line) for child in token.children or ()]
    assert [token.content for token in tokens if token.type == "code_inline"] == [r"a\x7cb*c*", r"wd\n<b>.x"]
    assert {token.type for token in tokens} == {"text", "code_inline"}
