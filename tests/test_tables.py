"""Tables of params and metrics in Markdown: names and values may hold anything, numbers and verdicts are read off them.

What a reader of the Markdown sees is asked of another implementation of it.
"""

import itertools
import math
import re
import sys
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tools.tables import (
    Effect,
    code,
    compared,
    effect,
    metrics_tables,
    number,
    paired_table,
    params_table,
    relative,
    rounded,
    verdict,
    words,
)

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NAMES = {  # and what is shown of them
    "a\nb": r"a\nb",
    "a`b": r"a\x60b",
    "``": r"\x60\x60",
    "a|b": r"a\x7cb",
    "a\\|b": r"a\\x7cb",
    "a\\": "a\\",
    "<b>x": "<b>x",
    "<!-- x": "<!-- x",
    "**x**": "**x**",
    "__x__": "__x__",
    "~x~": "~x~",
    "&amp;": "&amp;",
    "![x](y)": "![x](y)",
    "@x": "@x",
    "": "''",
    " ": "' '",
    "x\r\x85\u2028": r"x\r\x85\u2028",
    "\ud800": r"\ud800",
    "x\u202ey": r"x\u202ey",
}


def inline(markdown: str) -> list[tuple[str, str]]:
    """What stands in it, without the frame of tables and paragraphs."""
    return [(child.type, child.content) for token in MARKDOWN.parse(markdown) for child in token.children or ()]


def cells(markdown: str) -> list[str]:
    """The text of a table's cells but for its head, row by row."""
    tokens = MARKDOWN.parse(markdown)
    return [after.content for token, after in itertools.pairwise(tokens) if token.type == "td_open"]


def row(metrics: dict[str, Any], paired: dict[str, Effect] | None = None) -> str:
    (told,) = [line for line in metrics_tables(metrics, paired) if line.startswith("| `")]
    return told


@pytest.mark.parametrize(
    ("new", "said"),
    [(1.9, "within ±"), (0.1, "within ±"), (0.001, "within ±"), (2.0, "within ±"), (2.001, "worse"), (-0.001, "better")],
)
def test_what_two_standard_errors_hide_is_said_to_be_hidden(new: float, said: str) -> None:
    """0.3 and 0.4 are the catheti of 0.5: two means, independent of each other."""
    error = {"wide.wd.val_loss_se": (0.3, 0.4)}
    assert row(error | {"wide.wd.val_loss": (1.0, new)}).endswith(f"| {said} |")


def test_pairs_of_trials_show_what_two_means_hide() -> None:
    metrics = {"wide.wd.val_loss_se": (0.3, 0.4), "wide.wd.val_loss": (1.0, 0.9)}
    assert row(metrics, {"wide.wd.val_loss": Effect(-0.1, 0.01, 16)}).endswith("| -10 % | better |")
    assert paired_table(metrics, {"wide.wd.val_loss": Effect(-0.1, 0.01, 16)})[-1] == (
        "| `wide.wd.val_loss` | -0.1 ± 0.01 | -10 % ± 1 % | 16 | better |"
    )
    assert paired_table(metrics, {}) == []
    assert paired_table({"wide.wd.val_loss": (1.0, 1.0)}, {"wide.wd.val_loss": Effect(0.0, 0.0, 16)}) == []


@pytest.mark.parametrize(
    ("errors", "size"),
    [((0.3, 0.4), 4.0), ((0.0, 0.0), math.inf), ((None, None), 0.0), ((0.3, None), 0.0), ((math.nan, 0.4), 0.0)],
)
def test_an_effect_is_measured_in_standard_errors_where_they_are_known(errors: Any, size: float) -> None:
    moved = effect({"x": (1.0, 3.0), "x_se": errors}, "x", {})
    assert moved
    assert (moved.change, moved.size, moved.trials) == (2.0, pytest.approx(size), None)
    assert moved.seen


def test_what_has_no_ratio_has_a_difference() -> None:
    for place, old, new, said in (
        ("wide.wd.val_r2", 0.1, 0.25, "+0.15"),
        ("wide.wd.bias", 0.1, 0.05, "-0.05"),
        ("wide.wd_minus_baseline.val_loss", 0.1, 0.2, "+0.1"),
        ("wide.wd.diverged", 0, 3, "+3"),
        ("modular.wd.steps_to_generalise", -1, 100, ""),
    ):
        assert compared({place: (old, new)}, place, {})[2] == said


@pytest.mark.parametrize(("steps", "said"), [((1000, 20000), ("not within 1,000 steps", "455")), (None, ("not yet", "455"))])
def test_a_step_that_is_not_reached_is_told_with_the_steps_there_were(steps: Any, said: tuple[str, str]) -> None:
    place = "modular.wd.steps_to_generalise"
    known = {"modular_sweep.steps": steps} if steps else {}
    assert compared(known | {place: (-1, 455.0)}, place, {}) == (*said, "", "better")
    before, after, *_ = compared(known | {place: (455.0, -1), f"{place}_se": (5.0, 3.0)}, place, {})
    assert (before, after) == ("455 ± 5", said[0].replace("1,000", "20,000"))


def test_a_change_of_the_error_alone_is_a_change_and_is_not_counted_twice() -> None:
    text = metrics_tables({"wide.wd.val_loss": (1.0, 1.0), "wide.wd.val_loss_se": (0.2, 0.3), "wide.wd.bias": (1.0, 1.0)})
    assert [line for line in text if line.startswith("| `")] == ["| `wd.val_loss` | 1 ± 0.2 | 1 ± 0.3 |  |  |"]
    assert text[-1] == "1 of 2 metrics are unchanged."


def test_a_new_value_of_a_row_is_no_new_row() -> None:
    added = {"wide": (None, 4.0), "wide.best": (None, 3.0), "wide.wd.added": (None, 2.0)}
    text = metrics_tables({"wide.wd.val_loss": (1.0, 1.0)} | added)
    rows = ["| `wide` | – | 4 |  |  |", "| `best` | – | 3 |  |  |", "| `wd.added` | – | 2 |  |  |"]
    assert [line for line in text if line.startswith("| `")] == rows
    assert not any("row" in words for words in text)


@pytest.mark.parametrize(("name", "shown"), NAMES.items())
def test_names_and_values_may_be_anything(name: str, shown: str) -> None:
    """Each stays in its cell, where it is text; what is no letter is told as Python would."""
    assert inline(code(name)) == [("code_inline", shown)]
    shown = shown.strip("'")  # which stand around what would be empty
    place, base, head = cells("\n".join(params_table({f"x{name}": (None, f"{name}<i>")})))
    assert inline(place) == [("code_inline", f"x{shown}")]
    assert inline(base) == [("text", "–")]
    assert inline(head) == [("code_inline", f"{shown}<i>")]

    changes = {f"{name}.{name}.x": (1.0, 2.0), f"{name}.{name}.kept": (1.0, 1.0), f"{name}.new {name}.x": (None, 2.0)}
    lines = metrics_tables(changes)
    assert not any("\n" in line for line in lines)
    found = inline("\n".join(lines).replace("<details><summary>1 more</summary>", "").replace("</details>", ""))
    assert {kind for kind, _ in found} <= {"text", "code_inline", "strong_open", "strong_close"}
    assert {f"{shown}.x", f"new {shown}"} <= {content for kind, content in found if kind == "code_inline"}
    assert len(cells("\n".join(lines))) == 5


@pytest.mark.parametrize("text", ["adam", "[0.9, 0.999]", "origin/feat_x-1.2+3", "HEAD~1", "HEAD^", "3e-4", "λ"])
def test_what_is_no_markup_stays_as_it_is(text: str) -> None:
    assert words(text) == text
    assert inline(text) == [("text", text)]


@pytest.mark.parametrize(
    "text", ["*x*", "_x_", "x __y", "~~x~~", "x~1~", "[a](b)", "[a][b]", "<b>", "a\\*", "https://a.b", "&lt;", "@a", "#1"]
)
def test_what_may_be_markup_stands_in_code(text: str) -> None:
    assert inline(words(text)) == [("code_inline", text)]


ODD: tuple[Any, ...] = (
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    -(10**400),
    1e308,
    -1e308,
    5e-324,
    0,
    -1,
    1.0,
    True,
    "x|y",
    "[1, 2]",
    None,
)


@pytest.mark.parametrize("place", ["w.wd.val_loss", "w.wd.steps_to_memorise", "w.wd.val_r2", "w", "w.b"])
def test_values_may_be_anything(place: str) -> None:
    for old, new, error in itertools.product(ODD, ODD, (None, math.nan, 10**400, 0.1, "x")):
        text = "\n".join(metrics_tables({place: (old, new), f"{place}_se": (0.1, error), "w.wd.x": (1, 1), "v": (1, 1)}))
        found = cells(text)
        assert len(found) in (0, 5)
        if found:
            change, said = found[3:]
            assert not re.search("nan|inf", change)
            told = [value for value in (old, new) if type(value) in (int, float) and abs(value) <= sys.float_info.max]
            assert not said or len(told) == 2


def test_two_that_are_no_number_are_the_same() -> None:
    text = metrics_tables({"w.wd.val_loss": (math.nan, math.nan), "w.wd.x": (1.0, math.nan), "w.wd.y": (1.0, 10**400)})
    assert [line for line in text if line.startswith("| `")] == [
        "| `wd.x` | 1 | nan |  |  |",
        f"| `wd.y` | 1 | {10**400} |  |  |",
    ]
    assert text[-1] == "1 of 3 metrics are unchanged."


def test_numbers_have_the_digits_that_tell_them_apart() -> None:
    assert number(4e-6, 5e-6) == "4e-06"
    assert number(1.23456, 1.23461) == "1.23456"
    assert number(1.23456, 1.23456, 2.0) == "1.235"
    assert number(1.23456, 2.0, 1.23461) == "1.23456"
    assert number(0.0105312, 0.02) == "0.01053"
    assert number(None, 1.0) == "–"
    assert [rounded(value, 2) for value in (1234.5, 0.00012345, 1.96, 1.2e7)] == ["1200", "0.00012", "2", "1.2e+07"]
    assert rounded(1146.7, 3, "+") == "+1150"
    assert relative("x", 2.0, 1.0) == "-50 %"
    assert relative("x", 2.0, 23.456) == "× 11.7"
    assert relative("x", 0.01, 4e-6) == "÷ 2,500"
    assert [relative("x", old, 1.0) for old in (0.0, -1.0)] == ["", ""]
    assert [relative("x", old, -1.0) for old in (2.0, -2.0)] == ["", ""]
    for place in ("wide.wd.val_r2", "wide.wd.bias", "wide.wd_minus_null.val_loss"):
        assert relative(place, 0.1, 0.2) == ""


@pytest.mark.parametrize(
    ("place", "old", "new", "said"),
    [
        ("wide.wd.val_loss", 2.0, 1.0, "better"),
        ("wide.wd.val_r2", 0.1, 0.2, "better"),
        ("modular.wd.val_accuracy", 1.0, 0.2, "worse"),
        ("modular.wd.steps_to_generalise", 455, -1, "worse"),
        ("modular.wd.steps_to_generalise", -1, 455, "better"),
        ("modular.wd.weight_norm", 1.0, 2.0, ""),
        ("wide.wd_minus_null.val_loss", 1.0, 2.0, ""),
        ("wide.wd.train_loss", 1.0, 2.0, ""),
        ("modular.wd.train_accuracy", 1.0, 2.0, ""),
        ("modular.wd.steps_to_memorise", 60, -1, ""),
        ("modular.wd.generalised", 1.0, 0.5, "worse"),
        ("descent_sweep.rows_50.risk_at_zero", 1.0, 2.0, "worse"),
    ],
)
def test_better_and_worse_are_said_of_what_has_a_direction(place: str, old: float, new: float, said: str) -> None:
    assert verdict(place, old, new) == said
