"""Params and metrics, base beside head, from {place: (old, new)}: what has changed, by how much, and the tables in Markdown.

A place is `study.row.value`; None stands on a side that has none. Names and values may hold anything; what could be markup
stands in a code span, on one line, whatever it is.
"""

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stages.measure.findings import visible

MARK = "<!-- weight-decay report -->"  # the first line of every report, by which its comment is found again
LOWER = re.compile(r"(?:^|\.)(?:\w*loss\w*|excess_\w+|risk_at_\w+|diverged|max_abs_z|difference_below)$")
HIGHER = re.compile(r"(?:^|\.)(?:\w*_accuracy|\w*_r2|generalised)$")
UNDIRECTED = re.compile(r"_minus_|(?:^|\.)(?:train_\w+|steps_to_memorise)$")  # what fits its training data may or may not learn
SIGNED = re.compile(r"_minus_|(?:^|\.)(?:\w*_r2|bias|weight)$")  # of which a ratio says nothing
HEADLINE = re.compile(
    r"\.(?:baseline|wd)\.(?:val_loss|val_accuracy|val_r2|weight_norm|steps_to_generalise|diverged)$"
    r"|\.best_lambda$|\.val_loss_at_best$"
)
TABLE = ("| metric | base | head | change | |", "|---|---|---|---|---|")
MARKUP_FREE = re.compile(r"(?!.*(?:\b_|_\b|~.*~))\[?[\w ,./+~^-]*\]?")
Change = tuple[Any, Any]


@dataclass(frozen=True)
class Effect:
    """By how much a value went up from base to head."""

    change: float
    error: float | None  # its standard error; None where none is known
    trials: int | None = None  # so many pairs of trials gave it; None where it is the difference of two means

    @property
    def size(self) -> float:
        """In standard errors; 0 where that is not known."""
        if not self.change or self.error is None or not math.isfinite(self.change):
            return 0.0
        return abs(self.change) / self.error if self.error else math.inf

    @property
    def seen(self) -> bool:
        """Whether it stands out of its error; what has none does."""
        return bool(self.change) and (self.error is None or visible(self.change, self.error))


Effects = Mapping[str, Effect]


def code(text: str) -> str:
    """A code span that stays one in a table too: what would end it, the cell or the line is escaped as Python does."""
    shown = "".join(letter if letter.isprintable() and letter not in "`|" else escaped(letter) for letter in text)
    return f"`{shown}`" if shown.strip() else f"`{text!r}`"


def escaped(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if letter in "`|" else letter.encode("unicode_escape").decode()


def words(text: str) -> str:
    """The text as it is where Markdown finds nothing in it, else as code."""
    return text if MARKUP_FREE.fullmatch(text) else code(text)


def params_table(params: Mapping[str, Change]) -> list[str]:
    rows = [
        f"| {code(place)} | {plain(old)} | {plain(new)} |" for place, (old, new) in sorted(params.items()) if not same(old, new)
    ]
    return ["", "| parameter | base | head |", "|---|---|---|", *rows] if rows else []


def metrics_tables(metrics: Mapping[str, Change], paired: Effects | None = None) -> list[str]:
    """A table a file, in the order of names, what is no headline folded; what came or went is named."""
    lines: list[str] = []
    values = means(metrics)
    for file, own in grouped(values, file_of).items():
        if fate(own):
            lines += ["", f"**{words(file)}**: {fate(own)}, {len(own)} metrics"]
            continue
        named: list[str] = []
        headlines: list[str] = []
        others: list[str] = []
        for row, group in grouped(own, lambda place: place.rpartition(".")[0]).items():
            if row not in ("", file) and fate(group):
                named.append(f"- {fate(group)} row {code(row.removeprefix(f'{file}.'))}")
                continue
            for place in group:
                if differs(metrics, place):
                    (headlines if HEADLINE.search(place) else others).append(line(file, place, metrics, paired or {}))
        lines += ["", f"**{words(file)}**", *named] if named or headlines or others else []
        lines += ["", *TABLE, *headlines] if headlines else []
        lines += ["", f"<details><summary>{len(others)} more</summary>", "", *TABLE, *others, "", "</details>"] if others else []
    unchanged = sum(not differs(metrics, place) for place in values)
    return [*lines, "", f"{unchanged} of {len(values)} metrics are unchanged."]


def paired_table(metrics: Mapping[str, Change], paired: Effects) -> list[str]:
    """The differences between base and head of the same trials, of the headlines that have changed."""
    rows = []
    for place, moved in sorted(paired.items()):
        if HEADLINE.search(place) and differs(metrics, place):
            cells = (code(place), signed(moved), percent(metrics, place, moved), str(moved.trials))
            rows.append(f"| {' | '.join(cells)} | {verdict(place, *metrics[place], moved)} |")
    head = ("| metric | head − base | in % of base | trials | |", "|---|---|---|---|---|")
    return ["", "**Trials are the same**: paired differences", "", *head, *rows] if rows else []


def means(metrics: Mapping[str, Change]) -> dict[str, Change]:
    """What is no standard error of another value."""
    return {place: change for place, change in metrics.items() if not place.endswith("_se")}


def file_of(place: str) -> str:
    return place.partition(".")[0]


def study_of(place: str) -> str:
    """A study's arms and its sweep have a file each."""
    return file_of(place).removesuffix("_sweep")


def grouped(metrics: Mapping[str, Change], key: Callable[[str], str]) -> dict[str, dict[str, Change]]:
    groups: dict[str, dict[str, Change]] = {}
    for place in sorted(metrics):
        groups.setdefault(key(place), {})[place] = metrics[place]
    return groups


def differs(metrics: Mapping[str, Change], place: str) -> bool:
    """Whether a value has changed, or the standard error beside it."""
    return any(not same(old, new) for old, new in (metrics[place], metrics.get(f"{place}_se", (None, None))))


def same(old: Any, new: Any) -> bool:
    """Equal, or neither a number."""
    return old == new or (old != old and new != new)


def real(value: Any) -> bool:
    """A finite number, and no integer beyond every float, with which nothing could be computed."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -sys.float_info.max <= value <= sys.float_info.max


def fate(metrics: Mapping[str, Change]) -> str:
    """`new` or `removed` where one side has none of them, else nothing."""
    nothing_before, nothing_after = (all(change[side] is None for change in metrics.values()) for side in (0, 1))
    return "new" if nothing_before else "removed" if nothing_after else ""


def effect(metrics: Mapping[str, Change], place: str, paired: Effects) -> Effect | None:
    """How far a value moved: by its pairs of trials where there are some, else by two means whose errors are independent.

    None where one of the two is no number, or a step that is not reached.
    """
    old, new = metrics[place]
    if place in paired:
        return paired[place]
    if not (real(old) and real(new)) or never(place, old) or never(place, new):
        return None
    errors = metrics.get(f"{place}_se", (None, None))
    return Effect(float(new) - float(old), math.hypot(*errors) if all(map(real, errors)) else None)


def line(file: str, place: str, metrics: Mapping[str, Change], paired: Effects) -> str:
    cells = (code(place.removeprefix(f"{file}.")), *compared(metrics, place, paired))
    return f"| {' | '.join(cells)} |"


def compared(metrics: Mapping[str, Change], place: str, paired: Effects) -> tuple[str, str, str, str]:
    """A value's cells: base and head, each with its standard error, the change, and better, worse or within ±."""
    old, new = metrics[place]
    moved = effect(metrics, place, paired)
    before, after = (with_error(metrics, place, side) for side in (0, 1))
    return before, after, relative(place, old, new) or difference(old, new, moved), verdict(place, old, new, moved)


def with_error(metrics: Mapping[str, Change], place: str, side: int) -> str:
    value, other = metrics[place][side], metrics[place][1 - side]
    error = metrics.get(f"{place}_se", (None, None))[side]
    if never(place, value):
        return unreached(metrics, place, side)
    return number(value, other) + (f" ± {rounded(error, 2)}" if real(error) and error else "")


def number(value: Any, *others: Any) -> str:
    """Four significant digits, or as many more, up to the six that are written, as tell it from the others."""
    if not real(value):
        return plain(value)
    for digits in (4, 5, 6):
        text = f"{value:.{digits}g}"
        if all(not real(other) or other == value or text != f"{other:.{digits}g}" for other in others):
            break
    return text


def plain(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else words(str(value))


def never(place: str, value: Any) -> bool:
    """A step that no trial, or not every trial, reaches is written as −1."""
    return place.rpartition(".")[2].startswith("steps_to_") and not place.endswith("_se") and value == -1


def unreached(metrics: Mapping[str, Change], place: str, side: int) -> str:
    """`not within 1,000 steps`, where the study's sweep tells how many are trained, else `not yet`."""
    steps = metrics.get(f"{study_of(place)}_sweep.steps", (None, None))[side]
    return f"not within {steps:,} steps" if real(steps) else "not yet"


def relative(place: str, old: Any, new: Any) -> str:
    """The change in per cent, from tenfold on as a factor; nothing where a ratio says nothing."""
    if SIGNED.search(place) or never(place, old) or never(place, new) or not (real(old) and real(new)):
        return ""
    if old == new or old <= 0 or new < 0:
        return ""
    ratio = new / old
    if math.isinf(ratio) or 0 < ratio < sys.float_info.min:
        return ""
    if ratio >= 10:
        return f"× {float(f'{ratio:.3g}'):,g}"
    return f"÷ {float(f'{1 / ratio:.3g}'):,g}" if 0 < ratio <= 0.1 else f"{(new - old) / old * 100:+.3g} %"


def percent(metrics: Mapping[str, Change], place: str, moved: Effect) -> str:
    """`+30 % ± 5 %`, the error too in per cent of the base; what `relative` says where that is no percentage."""
    old, new = metrics[place]
    said = relative(place, old, new)
    return f"{said} ± {rounded(moved.error / old * 100, 2)} %" if said.endswith("%") and moved.error else said


def difference(old: Any, new: Any, moved: Effect | None) -> str:
    """`+0.3`, for what has no ratio."""
    return rounded(moved.change, 3, "+") if moved and not same(old, new) and math.isfinite(moved.change) else ""


def signed(moved: Effect) -> str:
    return rounded(moved.change, 3, "+") + (f" ± {rounded(moved.error, 2)}" if moved.error else "")


def rounded(value: float, digits: int, sign: str = "") -> str:
    """So many significant digits; up to a million without a power of ten."""
    return f"{float(f'{value:.{digits}g}'):{sign}g}"


def verdict(place: str, old: Any, new: Any, moved: Effect | None = None) -> str:
    """Better or worse, for what has a direction; a step that is never reached, −1, is later than any.

    `within ±` where two standard errors of the difference hide it, whatever the direction.
    """
    if old == new or not (real(old) and real(new)):
        return ""
    if moved and not moved.seen:
        return "within ±"
    if UNDIRECTED.search(place):
        return ""
    if place.rpartition(".")[2].startswith("steps_to_"):
        old, new = (math.inf if never(place, value) else value for value in (old, new))
    elif HIGHER.search(place):
        old, new = -old, -new
    elif not LOWER.search(place):
        return ""
    return "better" if new < old else "worse"


def plural(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
