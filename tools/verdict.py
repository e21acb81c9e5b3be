"""The verdict of a report: what a change did to each study, in words that the numbers choose.

Whether and when a study generalises comes first, then its validation loss. An effect within two standard errors is no visible
change. The standard error is that of pairs of trials; where there are none, it is that of two means, and the words say unpaired.
"""

import math
from collections.abc import Iterator, Mapping

from tools.tables import (
    Change,
    Effect,
    Effects,
    code,
    differs,
    effect,
    fate,
    file_of,
    grouped,
    means,
    never,
    number,
    percent,
    plural,
    real,
    study_of,
    unreached,
)

ARMS = ("wd", "baseline")  # of other trained rows is spoken where nothing of these has changed
Metrics = Mapping[str, Change]
NOTHING = (None, None)


def verdicts(metrics: Metrics, paired: Effects) -> list[str]:
    """A bullet for each study of which anything has changed, in the order of names."""
    lines = []
    for study, own in grouped(means(metrics), study_of).items():
        changed = [place for place in own if differs(metrics, place)]
        if changed:
            said = [fate(own)] if fate(own) else list(told(study, changed, metrics, paired))
            lines.append(f"- {code(study)}: {'; '.join(said)}.")
    return lines


def told(study: str, changed: list[str], metrics: Metrics, paired: Effects) -> Iterator[str]:
    """What has changed of a study's arms; else of its other trained rows; else of its sweep; else of anything."""
    rows = {place.rpartition(".")[0] for place in changed if file_of(place) == study}
    trained = sorted(row for row in rows if f"{row}.weight_decay" in metrics)
    arms = [f"{study}.{name}" for name in ARMS if f"{study}.{name}" in trained]
    said = list(of_rows(arms, metrics, paired)) or list(of_rows(trained, metrics, paired)) or list(of_sweep(study, metrics))
    yield from said or [of_anything(study, changed, metrics, paired)]


def of_rows(rows: list[str], metrics: Metrics, paired: Effects) -> Iterator[str]:
    hidden = []
    for row in rows:
        yield from divergence(row, metrics)
        arrival = generalising(row, metrics, paired)
        place = f"{row}.val_loss"
        if arrival:
            yield arrival
        elif place in metrics and differs(metrics, place):
            moved = effect(metrics, place, paired)
            if moved and not moved.seen:
                hidden.append((row, moved))
            else:
                yield f"validation loss {named(row, metrics)} {amount(place, metrics, paired)}"
    if hidden:
        rows_named = " and ".join(named(row, metrics) for row, _ in hidden)
        unpaired = "" if all(moved.trials for _, moved in hidden) else ", unpaired"
        yield f"no visible change of the validation loss {rows_named} (within two standard errors{unpaired})"


def named(row: str, metrics: Metrics) -> str:
    """`with decay` and `without decay`, where that is so on both sides."""
    name, decays = row.rpartition(".")[2], metrics.get(f"{row}.weight_decay", NOTHING)
    if name == "wd" and all(real(decay) and decay > 0 for decay in decays):
        return "with decay"
    return "without decay" if name == "baseline" and decays == (0, 0) else f"of {code(name)}"


def divergence(row: str, metrics: Metrics) -> Iterator[str]:
    (before, now), (all_before, all_now) = (metrics.get(f"{row}.{name}", NOTHING) for name in ("diverged", "trials"))
    if real(now) and now > 0:
        yield f"{now:g} of {number(all_now)} trials {named(row, metrics)} diverged"
    elif real(before) and before > 0:
        yield f"no trial {named(row, metrics)} diverges any more ({before:g} of {number(all_before)} did)"


def generalising(row: str, metrics: Metrics, paired: Effects) -> str:
    """Whether and when it generalises; nothing where none of that has visibly changed."""
    place, name = f"{row}.steps_to_generalise", named(row, metrics)
    (old, new), shares = metrics.get(place, NOTHING), metrics.get(f"{row}.generalised", NOTHING)
    if not (real(old) and real(new)):
        return ""
    before, now = never(place, old), never(place, new)
    known = all(map(real, shares))
    if before and now:
        changed = known and shares[0] != shares[1]
        return f"generalises {name} in {share(shares[1])} of the trials instead of {share(shares[0])}" if changed else ""
    if before:
        return f"now generalises {name} at step {new:,.0f}, before {unreached(metrics, place, 0)}"
    if now:
        some = f" in every trial, but in {share(shares[1])} of them," if known and shares[1] > 0 else ""
        within = unreached(metrics, place, 1).removeprefix("not ")
        return f"no longer generalises {name}{some}{'' if within == 'yet' else f' {within}'}"
    moved = effect(metrics, place, paired)
    if not moved or not moved.seen:
        return ""
    digits = ".0f" if f"{old:.0f}" != f"{new:.0f}" else ".6g"
    return f"generalises {name} at step {new:,{digits}} instead of {old:,{digits}}{doubt(moved)}"


def share(value: float) -> str:
    return f"{value * 100:.3g} %"


def amount(place: str, metrics: Metrics, paired: Effects) -> str:
    """`+30 % ± 5 %`, or both values where that would say nothing."""
    (old, new), moved = metrics[place], effect(metrics, place, paired)
    ratio = percent(metrics, place, moved) if moved else ""
    if ratio.endswith("%"):
        return ratio + doubt(moved)
    return f"{number(old, new)} → {number(new, old)}{doubt(moved, ratio)}"


def doubt(moved: Effect | None, *said: str) -> str:
    """In brackets, with what else is to be said there, what a reader must know of an effect's standard error."""
    notes = [*filter(None, said)]
    if moved and moved.error is None:
        notes.append("no standard error")
    elif moved and not moved.trials:
        notes.append("unpaired")
    return f" ({', '.join(notes)})" if notes else ""


def of_sweep(study: str, metrics: Metrics) -> Iterator[str]:
    for name, said in (
        ("diverged", "{} of its sweep's runs diverged instead of {}"),
        ("best_lambda", "the sweep's best λ is {} instead of {}"),
    ):
        old, new = metrics.get(f"{study}_sweep.{name}", NOTHING)
        if real(old) and real(new) and old != new:
            yield said.format(number(new, old), number(old, new))


def of_anything(study: str, changed: list[str], metrics: Metrics, paired: Effects) -> str:
    """How many values have changed, and which of them most: in standard errors, where there are none in proportion."""

    def size(place: str) -> tuple[float, float]:
        (old, new), moved = metrics[place], effect(metrics, place, paired)
        return moved.size if moved else 0.0, abs(math.log(new / old)) if moved and old > 0 and new / old > 0 else 0.0

    most = max(changed, key=size)
    if size(most) == (0.0, 0.0):
        return f"{plural(len(changed), 'value')} changed"
    old, new = metrics[most]
    return (
        f"{plural(len(changed), 'value')} changed, most of all {code(most.removeprefix(study).lstrip('_.'))}, "
        f"{number(old, new)} → {number(new, old)}"
    )
