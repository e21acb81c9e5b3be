"""Findings in words. A rule chooses each from the numbers that it speaks of, so that it is true at any parameters.

`metrics` has rows of means over trials, and paired differences `<one>_minus_<other>` with their standard errors.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measure.statistics import over_pairs, threshold

Metrics = Mapping[str, Any]
Case = tuple[Any, str]  # (when, what is said then)
LEAST = 1e-6  # what a share is rounded up to
HARDLY = 0.005  # a change by a smaller share is visible at most, and not worth its digits
FOLD = 98  # more by so many times, both values say more than their ratio
SINGLE = "A single trial has no error to tell an effect by"
WITHOUT_ZERO = "λ = 0 has nothing to compare with"
VERBS = {-1: "lowers", 1: "raises"}
WORSE, NO_BETTER = "a constant predicts better", "not visibly better than a constant"


def sign(gap: Mapping[str, float], value: str = "val_loss", *, among: int = 1, of: float = 0.0, unit: float = 0.0) -> int:
    """Return 1 where a mean of differences is visibly above 0, −1 where it is visibly below, else 0, also where it is unknown.

    `gap` has the mean, its standard error and the number of `trials` that were paired. It is visible beyond `threshold` errors,
    where it is one of `among` comparisons; and where it is not below HARDLY of the value `of` that it changes. What is counted
    in steps of `unit` is not known better than that: its error is at least that of rounding to it.
    """
    mean, error, pairs = gap.get(value, 0.0), gap.get(f"{value}_se"), int(gap.get("trials", 0))
    if error is None or pairs < 2 or abs(mean) < HARDLY * abs(of):
        return 0
    error = max(error, unit / math.sqrt(12 * pairs))
    return int(np.sign(mean)) if abs(mean) > threshold(pairs, among) * error else 0


def sign_over_trials(gaps: NDArray, *, among: int = 1, of: float = 0.0, unit: float = 0.0) -> int:
    """Return the `sign` of the mean of differences, trial by trial.  (T,)"""
    return sign(over_pairs("gap", gaps), "gap", among=among, of=of, unit=unit)


def as_good(values: NDArray, *, among: int = 1) -> list[int]:
    """List the places of the lowest mean, and of all that are not visibly above it, trial by trial.  (T, L) → places

    NaN where a trial diverged: such a place is none of them, so there may be none. The lowest is compared with all others, and
    there are `among` such comparisons.
    """
    means = values.mean(axis=0)
    whole = np.flatnonzero(~np.isnan(means)).tolist()
    best, among = min(whole, key=means.__getitem__, default=0), among * max(len(whole) - 1, 1)
    return [place for place in whole if sign_over_trials(values[:, place] - values[:, best], among=among) <= 0]


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


def effect(
    metrics: Metrics,
    one: str = "wd",
    other: str = "baseline",
    *,
    value: str = "val_loss",
    when: str = "",
    more: str = "",
    among: int = 1,
    brief: bool = False,
) -> str:
    """Say what the λ of a row does to a value, against another row: `λ = 3 lowers the validation loss by 43%`.

    `when` is added to it, such as ` after 10 epochs`, and `more` to what is visible. What is not visible comes with the size that
    would be, what is worse than a constant with that, unless `brief`. The effect is one of `among` that are looked at.
    """
    (weight_decay, against), gap = (metrics[row]["weight_decay"] for row in (one, other)), metrics[f"{one}_minus_{other}"]
    at, what, before = f"λ = {weight_decay:g}", f"the {spoken(value)}", metrics[other].get(value, 0.0)
    seen, whole = sign(gap, value, among=among), not diverged(metrics, other, one)
    end = (f" {by(gap[value], before)}" if seen and whole else "") + when + (f" against λ = {against:g}" if against else "")
    worse = f"; {WORSE}" if not brief and beyond_null(metrics, one, value) else ""
    shows = "" if brief else power(gap, value, before, among)
    return of_pair(
        metrics,
        (seen and not sign(gap, value, among=among, of=before), f"{at} hardly changes {what}{when}{worse}"),
        (seen, f"{at} {VERBS.get(seen)} {what}{end}{more}{worse}"),
        (True, f"{at} has no visible effect on {what}{when}{shows}{worse}"),
        one=one,
        other=other,
        value=value,
    )


def beyond_null(metrics: Metrics, one: str, value: str) -> bool:
    """Tell whether a row's loss is above the null model's: visibly, where pairs of trials tell it, and by more than hardly."""
    gap, null = metrics.get(f"{one}_minus_null"), metrics.get("null", {}).get(value)
    if null is None or value not in metrics[one] or not value.endswith("loss"):
        return False
    return metrics[one][value] > (1 + HARDLY) * null and (not gap or sign(gap, value) > 0)


def power(gap: Mapping[str, float], value: str, before: float, among: int) -> str:
    """Say how large an effect these trials would show: ` (8 trials would show 1.2% or more)`; nothing where unknown."""
    error, trials = gap.get(f"{value}_se"), int(gap.get("trials", 0))
    if not error or before <= 0 or trials < 2:
        return ""
    return f" ({trials} trials would show {at_most(max(threshold(trials, among) * error / before, HARDLY), 2)} or more)"


def diverged(metrics: Metrics, *rows: str) -> list[str]:
    """Say of each row that lost trials how many, and at which λ."""
    lost = {row: lost_runs(metrics[row]["diverged"], metrics[row]["trials"], "trials") for row in rows}
    return [f"{said} at λ = {metrics[row]['weight_decay']:g}" for row, said in lost.items() if said]


def lost_runs(lost: float, of: float | None = None, what: str = "runs") -> str:
    """Say how many diverged, `3 of 12 runs diverged`; nothing where none did."""
    return f"{lost}{f' of {of}' if of else ''} {what} diverged" if lost else ""


def by(gap: float, of: float) -> str:
    """Word a change: `by 43%`, from a doubling on `3.2-fold`, from a hundredfold on `from 3e-16 to 0.02`."""
    if of <= 0 or gap >= FOLD * of:
        return f"from {of:.2g} to {of + gap:.2g}"
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


def ranged(numbers: Sequence[float], grid: Sequence[float]) -> str:
    """Write some numbers of a grid: `2 to 5` where they are neighbours, else `0.5, 2 and 5`."""
    places = sorted(list(grid).index(number) for number in numbers)
    words = [f"{grid[place]:g}" for place in places]
    together = len(places) > 2 and places[-1] - places[0] == len(places) - 1
    return f"{words[0]} to {words[-1]}" if together else listed(words)


def others(best: float, alike: Sequence[float], grid: Sequence[float]) -> str:
    """Name the numbers of a grid that are as good as the best: their range, `2 to 5`, where they have one, else the others."""
    whole = ranged(alike, grid)
    return whole if " to " in whole else ranged([each for each in alike if each != best], grid)


def onwards(weight_decays: Sequence[float], what: str) -> str:
    """Say what holds at the last λ of a grid, behind another sentence: `; from λ = 2 on it is higher`; nothing without any."""
    first = f"λ = {weight_decays[0]:g}" if len(weight_decays) else ""
    return first and f"; {f'from {first} on' if len(weight_decays) > 1 else f'at {first}'} {what}"
