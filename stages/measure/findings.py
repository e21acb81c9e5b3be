"""Findings in words. A rule chooses each from the numbers that it speaks of, so that it is true at any parameters.

`metrics` has rows of means over trials, and paired differences `<one>_minus_<other>` with their standard errors.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measure.statistics import mean_and_error

Metrics = Mapping[str, Any]
Case = tuple[Any, str]  # (when, what is said then)
LEAST = 1e-6  # what a share is rounded up to
VISIBLE = 2.0  # standard errors; an effect within them is not visible
SINGLE = "A single trial has no error to tell an effect by"
WITHOUT_ZERO = "λ = 0 has nothing to compare with"
VERBS = {-1: "lowers", 1: "raises"}


def visible(gap: float, error: float | None) -> bool:
    """Whether a mean difference is beyond its errors; without an error nothing is."""
    return error is not None and abs(gap) > VISIBLE * error


def sign(gap: Mapping[str, float], value: str = "val_loss") -> int:
    """Return 1 where a mean difference is visibly above 0, −1 where it is visibly below, else 0, also where it is unknown."""
    mean = gap.get(value, 0.0)
    return int(np.sign(mean)) if visible(mean, gap.get(f"{value}_se")) else 0


def sign_over_trials(gaps: NDArray) -> int:
    """Return the `sign` of the mean of differences, trial by trial.  (T,)"""
    return sign(mean_and_error("gap", gaps), "gap")


def best_changes(one: NDArray, other: NDArray) -> bool:
    """Tell whether the best λ visibly changes between two sets of runs, NaN at λ at which a trial diverged.  (T, L) each

    In both, the λ that is best in the other is visibly worse, trial by trial, or diverges.
    """
    places = [int(np.nanargmin(values.mean(axis=0))) for values in (one, other)]
    gaps = [one[:, places[1]] - one[:, places[0]], other[:, places[0]] - other[:, places[1]]]
    return all(np.isnan(gap).any() or sign_over_trials(gap) for gap in gaps)


def sentence(*cases: Case, lost: Sequence[str] = ()) -> str:
    """Say the first case that holds, and after it what diverged, if anything did."""
    return "; ".join(filter(None, [next(said for when, said in cases if when), *lost]))


def unpaired(metrics: Metrics, one: str = "wd", other: str = "baseline", *, value: str = "val_loss") -> str:
    """Say why two rows cannot be compared; nothing where they can."""
    (weight_decay, against), gap = (metrics[row]["weight_decay"] for row in (one, other)), metrics[f"{one}_minus_{other}"]
    at = f"λ = {weight_decay:g}"
    return sentence(
        (weight_decay == against, f"Both arms have {at}: nothing to compare"),
        (value not in gap, f"{at}: no trial to compare"),
        (f"{value}_se" not in gap, f"{at}: a single trial, which has no error to tell an effect by"),
        (True, ""),
    )


def of_pair(metrics: Metrics, *cases: Case, one: str = "wd", other: str = "baseline", value: str = "val_loss") -> str:
    """Say the first case that holds of two rows, or why they cannot be compared; and after it what diverged."""
    why = unpaired(metrics, one, other, value=value)
    return sentence((why, why), *cases, lost=diverged(metrics, other, one))


def effect(metrics: Metrics, one: str = "wd", other: str = "baseline", *, value: str = "val_loss", when: str = "") -> str:
    """Say what the λ of a row does to a value, against another row: `λ = 3 lowers the validation loss by 43%`.

    `when` is added to it, such as ` after 10 epochs`.
    """
    (weight_decay, against), gap = (metrics[row]["weight_decay"] for row in (one, other)), metrics[f"{one}_minus_{other}"]
    seen, named = sign(gap, value), spoken(value)
    size = f" {by(gap[value], metrics[other][value])}" if seen and not diverged(metrics, other, one) else ""
    end = f"{size}{when}" + (f" against λ = {against:g}" if against else "")
    nothing = f"λ = {weight_decay:g} has no visible effect on the {named}{when}"
    changes = f"λ = {weight_decay:g} {VERBS.get(seen)} the {named}{end}"
    return of_pair(metrics, (seen, changes), (True, nothing), one=one, other=other, value=value)


def diverged(metrics: Metrics, *rows: str) -> list[str]:
    """Say of each row that lost trials how many, and at which λ."""
    lost = {row: lost_runs(metrics[row]["diverged"], metrics[row]["trials"], "trials") for row in rows}
    return [f"{said} at λ = {metrics[row]['weight_decay']:g}" for row, said in lost.items() if said]


def lost_runs(lost: float, of: float | None = None, what: str = "runs") -> str:
    """Say how many diverged, `3 of 12 runs diverged`; nothing where none did."""
    return f"{lost}{f' of {of}' if of else ''} {what} diverged" if lost else ""


def by(gap: float, of: float) -> str:
    """Word a change: `by 43%`, from a doubling on `3.2-fold`."""
    if of <= 0:
        return f"by {abs(gap):.2g}"
    return f"{1 + gap / of:.2g}-fold" if gap >= of else f"by {per_cent(abs(gap) / of)}"


def per_cent(share: float) -> str:
    """Write a share: `43%`; below ten per cent with one digit, `0.4%`; never a rounded `100%`."""
    if 0.995 <= share < 1:
        return "more than 99%"
    return f"{100 * share:.0f}%" if share >= 0.095 else f"{100 * share:.1g}%"


def at_most(share: float, digits: int) -> str:
    """Write a share, rounded up to so many digits: `0.48%`."""
    percent = 100 * max(share, LEAST)
    unit = 10.0 ** (math.floor(math.log10(percent)) - digits + 1)
    return f"{math.ceil(percent / unit - 1e-9) * unit:.6g}%"


def continued(part: str) -> str:
    """Let a sentence go on behind another: `both arms have λ = 0`."""
    return part[0].lower() + part[1:]


def counted(number: int, what: str) -> str:
    """Count things: `1 epoch`, `10 epochs`."""
    return f"{number:,} {what}" + "s" * (number != 1)


def spoken(value: str) -> str:
    """Name a value in words: `validation loss`."""
    return value.replace("val_", "validation ").replace("train_", "training ").replace("_", " ")


def listed(words: Sequence[str]) -> str:
    """Join words: `loss`, `loss and accuracy`, `loss, accuracy and calibration`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def onwards(weight_decays: Sequence[float], what: str) -> str:
    """Say what holds at the last λ of a grid, behind another sentence: `; from λ = 2 on it is higher`; nothing without any."""
    first = f"λ = {weight_decays[0]:g}" if len(weight_decays) else ""
    return first and f"; {f'from {first} on' if len(weight_decays) > 1 else f'at {first}'} {what}"
