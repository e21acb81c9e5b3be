"""Changes in words: a value's cells in a table, and a sentence a study that says what happened to it."""

import math
from collections.abc import Iterator

from stages.measure.findings import counted, spoken
from stages.measure.results import Better
from tools.compared import Compared, better, declared, headline, never, study_of

HIDDEN = "within ±"


def number(value: float | None, other: float | None = None) -> str:
    """Four significant digits, or the six that are written where it takes them to tell it from the other."""
    if value is None:
        return "–"
    short = f"{value:.4g}"
    return short if other is None or other == value or short != f"{other:.4g}" else f"{value:.6g}"


def rounded(value: float, digits: int, sign: str = "") -> str:
    return f"{float(f'{value:.{digits}g}'):{sign}g}"


def value(found: Compared, place: str, side: int) -> str:
    """A value with its standard error."""
    known, error = found.at(place)[side], found.errors(place)[side]
    if never(place, known):
        return "not reached"
    return number(known, found.at(place)[1 - side]) + (f" ± {rounded(error, 2)}" if error else "")


def change(found: Compared, place: str, *, error: bool = False) -> str:
    """`+30 %`, with its standard error `+30 % ± 2.7 %`; from tenfold on a factor; where that says nothing, the difference."""
    moved, (old, new) = found.effect(place), found.at(place)
    if moved is None or old is None or new is None or old == new:
        return ""
    ratio = new / old if old > 0 else -1.0
    if not 0 <= ratio < math.inf:
        return rounded(moved.change, 3, "+") + (f" ± {rounded(moved.error, 2)}" if error and moved.error else "")
    if ratio >= 10 or 0 < ratio <= 0.1:
        return f"× {float(f'{ratio:.3g}'):,g}" if ratio >= 10 else f"÷ {float(f'{1 / ratio:.3g}'):,g}"
    return f"{(ratio - 1) * 100:+.3g} %" + (f" ± {rounded(moved.error / old * 100, 2)} %" if error and moved.error else "")


def judged(found: Compared, place: str) -> str:
    """Better, worse, or hidden by chance; a step that is never reached is later than any."""
    moved, (old, new) = found.effect(place), found.at(place)
    if old is None or new is None or old == new:
        return ""
    if moved and not moved.seen:
        return HIDDEN
    old, new = (math.inf if never(place, each) else each for each in (old, new))
    side = better(place)
    return "" if side is Better.NEITHER else "better" if (new > old) == (side is Better.HIGHER) else "worse"


def by_study(places: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for place in places:
        groups.setdefault(study_of(place), []).append(place)
    return groups


def verdicts(found: Compared) -> list[str]:
    """A bullet for each study of which anything has changed, in the order of names."""
    return [f"- `{study}`: {'; '.join(told(study, own, found))}." for study, own in by_study(found.changed).items()]


def fate(study: str, found: Compared) -> str:
    """`new` or `removed`, where one side has nothing of it."""
    own = [found.at(place) for place in found.places if study_of(place) == study]
    return "new" if all(old is None for old, _ in own) else "removed" if all(new is None for _, new in own) else ""


def told(study: str, changed: list[str], found: Compared) -> list[str]:
    """What has changed of the rows that are told of; else of anything, and what most."""
    if said := fate(study, found):
        return [said]
    known = declared(study)
    lines = list(of_rows(study, known.rows, list(known.headlines), found)) if known else []
    if lines:
        return lines
    chosen = [place for place in changed if headline(place)] or changed
    most = max(chosen, key=found.size)
    count = counted(len(chosen), "headline" if headline(most) else "value")
    return [f"{count} changed, most of all `{most.partition('.')[2]}`, {both(most, found)}"]


def of_rows(study: str, rows: tuple[str, ...], names: list[str], found: Compared) -> Iterator[str]:
    """Of each row the first headline that has visibly changed for better or worse, in the order of the declaration."""
    for row in rows:
        places = [f"{study}.{row}.{name}" for name in names]
        changed = [place for place in places if found.differs(place) and better(place) is not Better.NEITHER]
        seen = [place for place in changed if (moved := found.effect(place)) is None or moved.seen]
        if seen:
            yield from (sentence(place, found) for place in seen if place == seen[0] or place.endswith(".diverged"))
        elif changed:
            what, whose = spoken(changed[0].rpartition(".")[2]), named(changed[0], found)
            yield f"no visible change of the {what} {whose} (not beyond chance)"


def sentence(place: str, found: Compared) -> str:
    row, _, name = place.rpartition(".")
    whose, (old, new) = named(place, found), found.at(place)
    if name == "diverged":
        return f"{number(new)} of {number(found.at(f'{row}.trials')[1])} trials {whose} diverged, before {number(old)}"
    if name == "steps_to_generalise" and never(place, new):
        share = found.at(f"{row}.generalised")[1]
        return f"no longer generalises {whose}" + (f" in every trial, but in {share:.0%} of them" if share else "")
    if name == "steps_to_generalise" and old and new:
        before = "" if never(place, old) else f" instead of {old:,.0f}"
        return f"{'generalises' if before else 'now generalises'} {whose} at step {new:,.0f}{before}"
    return f"{spoken(name)} {whose} {change(found, place, error=True) or both(place, found)}"


def both(place: str, found: Compared) -> str:
    old, new = found.at(place)
    return f"{number(old, new)} → {number(new, old)}"


def named(place: str, found: Compared) -> str:
    """`with decay` and `without decay`, where that is so on both sides."""
    row = place.rpartition(".")[0]
    name, weight_decays = row.rpartition(".")[2], found.at(f"{row}.weight_decay")
    if name == "wd" and all(weight_decays):
        return "with decay"
    return "without decay" if name == "baseline" and weight_decays == (0, 0) else f"of `{name}`"
