"""Tables of params and metrics in Markdown, base beside head: from {place: (old, new)}, None on a side that has none.

Names and values may hold anything; what could be markup stands in a code span, on one line, whatever it is.
"""

import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

MARK = "<!-- weight-decay report -->"  # the first line of every report, by which its comment is found again
LOWER = re.compile(r"(?:^|\.)(?:\w*loss\w*|excess_\w+|risk_at_\w+|diverged|max_abs_z|difference_below)$")
HIGHER = re.compile(r"(?:^|\.)(?:\w*_accuracy|\w*_r2|memorised|generalised)$")
HEADLINE = re.compile(
    r"\.(?:baseline|wd)\.(?:val_loss|val_accuracy|val_r2|weight_norm|steps_to_generalise)$|\.best_lambda$|\.val_loss_at_best$"
)
TABLE = ("| metric | base | head | change | |", "|---|---|---|---|---|")
MARKUP_FREE = re.compile(r"(?!.*(?:\b_|_\b|~.*~))\[?[\w ,./+~^-]*\]?")
Change = tuple[Any, Any]


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


def metrics_tables(metrics: Mapping[str, Change]) -> list[str]:
    """A table a file, in the order of names, what is no headline folded; what came or went is named."""
    lines: list[str] = []
    means = {place: change for place, change in metrics.items() if not place.endswith("_se")}
    for file, own in grouped(means, lambda place: place.partition(".")[0]).items():
        if fate(own):
            lines += ["", f"**{words(file)}**: {fate(own)}, {len(own)} metrics"]
            continue
        named: list[str] = []
        headlines: list[str] = []
        others: list[str] = []
        for row, values in grouped(own, lambda place: place.rpartition(".")[0]).items():
            if row not in ("", file) and fate(values):
                named.append(f"- {fate(values)} row {code(row.removeprefix(f'{file}.'))}")
                continue
            for place in values:
                if differs(metrics, place):
                    (headlines if HEADLINE.search(place) else others).append(line(file, place, metrics))
        lines += ["", f"**{words(file)}**", *named] if named or headlines or others else []
        lines += ["", *TABLE, *headlines] if headlines else []
        lines += ["", f"<details><summary>{len(others)} more</summary>", "", *TABLE, *others, "", "</details>"] if others else []
    unchanged = sum(not differs(metrics, place) for place in means)
    return [*lines, "", f"{unchanged} of {len(means)} metrics are unchanged."]


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


def line(file: str, place: str, metrics: Mapping[str, Change]) -> str:
    old, new = metrics[place]
    errors = [spread(metrics, place, side) for side in (0, 1)]
    before, after = (
        number(place, value, other=other) + (f" ± {error:.2g}" if error else "")
        for value, other, error in ((old, new, errors[0]), (new, old, errors[1]))
    )
    said = verdict(place, old, new)
    if said and not never(place, old) and not never(place, new) and abs(new - old) < max(errors):
        said += ", within ±"
    return f"| {code(place.removeprefix(f'{file}.'))} | {before} | {after} | {relative(place, old, new)} | {said} |"


def spread(metrics: Mapping[str, Change], place: str, side: int) -> float:
    """The standard error beside a value, 0 where there is none."""
    value = metrics.get(f"{place}_se", (None, None))[side]
    return value if real(value) else 0.0


def number(place: str, value: Any, *, other: Any) -> str:
    """Four significant digits, or as many more, up to the six that are written, as tell the two apart."""
    if never(place, value):
        return "never"
    if not real(value):
        return plain(value)
    for digits in (4, 5, 6):
        text = f"{value:.{digits}g}"
        if not real(other) or text != f"{other:.{digits}g}":
            break
    return text


def plain(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else words(str(value))


def never(place: str, value: Any) -> bool:
    """A step that no trial, or not every trial, reaches is written as −1."""
    return place.rpartition(".")[2].startswith("steps_to_") and not place.endswith("_se") and value == -1


def relative(place: str, old: Any, new: Any) -> str:
    """The change in per cent, from tenfold on as a factor; nothing where a ratio says nothing."""
    if never(place, old) or never(place, new) or not (real(old) and real(new)):
        return ""
    if old == new or not old or new / old < 0 or place.endswith("_r2"):
        return ""
    ratio = new / old
    if math.isinf(ratio) or 0 < ratio < sys.float_info.min:
        return ""
    if ratio >= 10:
        return f"× {float(f'{ratio:.3g}'):,g}"
    return f"÷ {float(f'{1 / ratio:.3g}'):,g}" if 0 < ratio <= 0.1 else f"{(new - old) / abs(old) * 100:+.3g} %"


def verdict(place: str, old: Any, new: Any) -> str:
    """Better or worse, for what has a direction; a step that is never reached, −1, is later than any."""
    if old == new or not (real(old) and real(new)):
        return ""
    if place.rpartition(".")[2].startswith("steps_to_"):
        old, new = (math.inf if never(place, value) else value for value in (old, new))
    elif HIGHER.search(place):
        old, new = -old, -new
    elif not LOWER.search(place) or "_minus_" in place:
        return ""
    return "better" if new < old else "worse"
