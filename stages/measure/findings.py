"""Findings in words. A rule chooses each from the numbers that it speaks of, so that it is true at any parameters.

`metrics` has rows of means over trials, and paired differences `<one>_minus_<other>` with their standard errors.
"""

import math
from collections.abc import Mapping
from typing import Any

Metrics = Mapping[str, Any]
LEAST = 1e-6  # what a share is rounded up to
VISIBLE = 2.0  # standard errors; an effect within them is not visible


def visible(gap: float, error: float | None) -> bool:
    """Whether a mean difference is beyond its errors; without an error nothing is."""
    return error is not None and abs(gap) > VISIBLE * error


def effect(metrics: Metrics, one: str = "wd", other: str = "baseline", *, value: str = "val_loss", when: str = "") -> str:
    """What the λ of a row does to a value, against another row: `λ = 3 lowers the validation loss by 43%`.

    `when` is added to it, such as ` after 10 epochs`.
    """
    decay, against = (metrics[row]["weight_decay"] for row in (one, other))
    named, gap = spoken(value), metrics[f"{one}_minus_{other}"]
    lost = diverged(metrics, other, one)
    if decay == against:
        said = f"Both arms have λ = {decay:g}: nothing to compare"
    elif value not in gap:
        said = f"λ = {decay:g}: no trial to compare"
    elif f"{value}_se" not in gap:
        said = f"λ = {decay:g}: a single trial, which has no error to tell an effect by"
    elif not visible(gap[value], gap[f"{value}_se"]):
        said = f"λ = {decay:g} has no visible effect on the {named}{when}"
    else:
        verb = "lowers" if gap[value] < 0 else "raises"
        size = "" if lost else f" {by(gap[value], metrics[other][value])}"
        said = f"λ = {decay:g} {verb} the {named}{size}{when}" + (f" against λ = {against:g}" if against else "")
    return "; ".join([said, *lost])


def diverged(metrics: Metrics, *rows: str) -> list[str]:
    """A part of a sentence for each row that lost trials."""
    return [
        f"{metrics[row]['diverged']} of {metrics[row]['trials']} trials diverged at λ = {metrics[row]['weight_decay']:g}"
        for row in dict.fromkeys(rows)
        if metrics[row]["diverged"]
    ]


def by(gap: float, of: float) -> str:
    """A change in words: `by 43%`, from a doubling on `3.2-fold`."""
    if of <= 0:
        return f"by {abs(gap):.2g}"
    return f"{1 + gap / of:.2g}-fold" if gap >= of else f"by {per_cent(abs(gap) / of)}"


def per_cent(share: float) -> str:
    """`43%`; below ten per cent one digit, `0.4%`; never a rounded `100%`."""
    if 0.995 <= share < 1:
        return "more than 99%"
    return f"{100 * share:.0f}%" if share >= 0.095 else f"{100 * share:.1g}%"


def at_most(share: float, digits: int) -> str:
    """A share in per cent, rounded up to so many digits: `0.48%`."""
    percent = 100 * max(share, LEAST)
    unit = 10.0 ** (math.floor(math.log10(percent)) - digits + 1)
    return f"{math.ceil(percent / unit - 1e-9) * unit:.6g}%"


def continued(part: str) -> str:
    """A sentence that goes on behind another: `both arms have λ = 0`."""
    return part[0].lower() + part[1:]


def counted(number: int, what: str) -> str:
    """`1 epoch`, `10 epochs`"""
    return f"{number:,} {what}" + "s" * (number != 1)


def spoken(value: str) -> str:
    return value.replace("val_", "validation ").replace("train_", "training ").replace("_", " ")
