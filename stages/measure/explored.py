"""What is said of every λ of a sweep, beside a slider: means over trials, the best λ, and a sentence for each.

Shapes: T trials, L values of λ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measure.findings import diverged, effect, sign, spoken
from stages.measure.statistics import mean_and_error, over_pairs

POINTS = 50  # of a curve, about


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
    gap = over_pairs("gap", np.where(lost[:, 0], np.nan, values[:, best] - values[:, 0])) if best else {}
    hidden = "gap" in gap and not sign(gap, "gap", among=values.shape[1] - 1)
    return "but not visibly below the one without decay" if hidden else ""


def thinned(steps: NDArray, always: Sequence[float] = ()) -> NDArray[np.intp]:
    """The places of about POINTS evaluations, dense at first, the first and the last among them, and those of `always`.  (K,)"""
    places = np.geomspace(1, len(steps), POINTS).round().astype(int) - 1
    return np.union1d(places, np.flatnonzero(np.isin(steps, always)))


def effects(
    weight_decays: NDArray, values: NDArray, lost: NDArray, *, value: str = "val_loss", when: str = "", null: float = np.inf
) -> list[str]:
    """A sentence for each λ: what it does to a value against the smallest λ, trial by trial, and what the value is.

    `when` is added to it, such as ` after 10 epochs`; `null` is the value of the null model.  (L,), (T, L), (T, L)
    """
    kept = np.where(lost, np.nan, values)
    rows = [row | mean_and_error(value, column) for row, column in zip(runs(weight_decays, lost), kept.T, strict=True)]
    said, named = [], spoken(value)
    for index, row in enumerate(rows):
        at = f"{row[value]:.3g}{when}" if value in row else ""
        if index:
            gap = over_pairs(value, kept[:, index] - kept[:, 0])
            found = {"wd": row, "baseline": rows[0], "wd_minus_baseline": gap, "null": {value: null}}
            said.append(effect(found, value=value, when=f": {at}", among=len(rows) - 1))
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
