"""What is said of every λ of a sweep, beside a slider: means over trials, the best λ, and a sentence for each.

Shapes: T trials, L values of λ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measure.findings import diverged, effect, sign, spoken
from stages.measure.statistics import mean_and_error

POINTS = 50  # of a curve, about
HARDLY = 0.005  # a change by a smaller share is not worth its digits


def over_trials(values: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The means over trials that are known, and their standard errors; NaN where there is none.  (T, …) → (…) each"""
    columns = [mean_and_error("mean", column) for column in values.reshape(len(values), -1).T]
    found = [np.array([column.get(name, np.nan) for column in columns]) for name in ("mean", "mean_se")]
    return found[0].reshape(values.shape[1:]), found[1].reshape(values.shape[1:])


def of_one(values: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`over_trials`, for the only place of a second slider.  (T, …) → (1, …) each"""
    mean, error = over_trials(values)
    return mean[None], error[None]


def lowest(means: NDArray, lost: NDArray) -> int | None:
    """The place of the lowest mean among the λ at which no trial diverged, None where there is none.  (L,), (T, L)"""
    whole = np.where(lost.any(axis=0), np.nan, means)
    return None if np.isnan(whole).all() else int(np.nanargmin(whole))


def doubt(values: NDArray, lost: NDArray, best: int | None) -> str:
    """What to say where the best λ is not visibly better than no decay, trial by trial; else nothing.  (T, L), (T, L)"""
    gap = mean_and_error("gap", np.where(lost[:, 0], np.nan, values[:, best] - values[:, 0])) if best else {}
    return "but not visibly below the one without decay" if gap and not sign(gap, "gap") else ""


def thinned(steps: NDArray, always: Sequence[float] = ()) -> NDArray[np.intp]:
    """The places of about POINTS evaluations, dense at first, the first and the last among them, and those of `always`.  (K,)"""
    places = np.geomspace(1, len(steps), POINTS).round().astype(int) - 1
    return np.union1d(places, np.flatnonzero(np.isin(steps, always)))


def effects(weight_decays: NDArray, values: NDArray, lost: NDArray, *, value: str = "val_loss", when: str = "") -> list[str]:
    """A sentence for each λ: what it does to a value against the smallest λ, trial by trial, and what the value is.

    A change by less than HARDLY is said to hardly change the value. `when` is added to it, such as ` after 10 epochs`.
    (L,), (T, L), (T, L)
    """
    kept = np.where(lost, np.nan, values)
    rows = [row | mean_and_error(value, column) for row, column in zip(runs(weight_decays, lost), kept.T, strict=True)]
    said, named = [], spoken(value)
    for index, row in enumerate(rows):
        gap = mean_and_error(value, kept[:, index] - kept[:, 0])
        at = f"{row[value]:.3g}{when}" if value in row else ""
        if index and f"{value}_se" in gap and abs(gap[value]) < HARDLY * rows[0][value]:
            said.append("; ".join([f"λ = {weight_decays[index]:g} hardly changes the {named}: {at}", *lost_in(rows[0], row)]))
        elif index:
            found = {"wd": row, "baseline": rows[0], "wd_minus_baseline": gap}
            said.append(effect(found, value=value, when=f": {at}"))
        else:
            first = f"Without decay the {named} is {at}" if at else "Without decay every trial diverged"
            said.append("; ".join([first, *lost_in(row)]) if at else first)
    return said


def lost_in(*rows: Mapping[str, Any]) -> list[str]:
    """A part of a sentence for each of the rows that lost trials."""
    return diverged({str(place): row for place, row in enumerate(rows)}, *map(str, range(len(rows))))


def notes(weight_decays: NDArray, lost: NDArray, *, when: str = "") -> list[str]:
    """What limits the means: trials that diverged, `when` added, and a single trial.  (L,), (T, L)"""
    single = ["A single trial has no standard error"] if len(lost) == 1 else []
    return [f"{said}{when}" for said in lost_in(*runs(weight_decays, lost))] + single


def runs(weight_decays: NDArray, lost: NDArray) -> list[dict[str, Any]]:
    """What `findings` asks of a row: its λ, how many trials it has, and how many of them diverged.  (L,), (T, L)"""
    counts = zip(weight_decays.tolist(), lost.sum(axis=0).tolist(), strict=True)
    return [{"weight_decay": each, "diverged": count, "trials": len(lost)} for each, count in counts]
