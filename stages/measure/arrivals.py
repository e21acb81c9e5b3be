"""When a run memorises and generalises, and with how many of the pairs, in numbers and in words.

Shapes: F shares of the pairs, T trials, L values of λ, K evaluations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measure.findings import counted, lost_runs, per_cent, sentence
from stages.measure.rows import Table
from stages.measure.statistics import mean_and_error

VERBS = {"train": "memorise", "val": "generalise"}  # what a run does when its accuracy on a split reaches the threshold


def first_step(accuracy: NDArray, steps: NDArray, threshold: float) -> NDArray[np.int64]:
    """The first evaluated step at which a run reaches the threshold, −1 if it does not.  (…, K), (K,) → (…)"""
    reached = accuracy >= threshold
    return np.where(reached.any(axis=-1), steps[reached.argmax(axis=-1)], -1)


def arrival(run: Mapping[str, NDArray], threshold: float) -> dict[str, float]:
    """Steps to memorise and to generalise: the mean if every trial gets there, else −1; and the share of trials that do."""
    summary: dict[str, float] = {}
    for split, verb in VERBS.items():
        steps = first_step(run[f"{split}_accuracy"], run["steps"], threshold)[~run["diverged"]]
        missing = (steps < 0).any()
        summary |= {f"steps_to_{verb}": -1} if missing else mean_and_error(f"steps_to_{verb}", steps)
        summary[f"{verb}d"] = float((steps >= 0).mean())
    return summary


def arrivals(
    swept: Mapping[str, NDArray], shares: Sequence[float], weight_decays: Sequence[float], *, steps: NDArray, threshold: float
) -> Table:
    """A row a run, from `diverged` (F, T, L) and accuracies (F, T, L, K). Where it diverged, steps are −1."""
    first = {
        f"steps_to_{verb}": np.where(swept["diverged"], -1, first_step(swept[f"{split}_accuracy"], steps, threshold))
        for split, verb in VERBS.items()
    }
    return [
        {"weight_decay": weight_decay, "train_fraction": share, "trial": trial}
        | {"diverged": int(swept["diverged"][place, trial, index])}
        | {name: values[place, trial, index] for name, values in first.items()}
        for place, share in enumerate(shares)
        for index, weight_decay in enumerate(weight_decays)
        for trial in range(swept["diverged"].shape[1])
    ]


def arrives(rows: Sequence[Mapping[str, Any]], verb: str = "generalise") -> float | None:
    """The mean step at which these trials generalise, or memorise; None unless all of them do."""
    steps = [row[f"steps_to_{verb}"] for row in rows]
    return float(np.mean(steps)) if rows and all(step is not None and step >= 0 for step in steps) else None


def share_needed(rows: Table) -> float | None:
    """From which share of the pairs on all trials generalise; None where they do not on the largest."""
    shares = {row["train_fraction"] for row in rows}
    fails = [share for share in shares if arrives([row for row in rows if row["train_fraction"] == share]) is None]
    return min((share for share in shares if share > max(fails, default=-1)), default=None)


def by_weight_decay(table: Table) -> dict[float, Table]:
    """Sort the rows of a table by their λ, ascending."""
    weight_decays = sorted({row["weight_decay"] for row in table})
    return {each: [row for row in table if row["weight_decay"] == each] for each in weight_decays}


def fate(row: Mapping[str, float], steps: int) -> str:
    """Say what becomes of an arm within its steps: `generalises at step 333`."""
    within, lost = f"within {counted(steps, 'step')}", lost_runs(row["diverged"], row["trials"], "trials")
    said = sentence(
        (row["steps_to_generalise"] >= 0, f"generalises at step {row['steps_to_generalise']:,.0f}"),
        (row["generalised"], f"generalises in {per_cent(row['generalised'])} of trials"),
        (0 < row["memorised"] < 1, f"memorises in {per_cent(row['memorised'])} of trials and does not generalise {within}"),
        (row["memorised"], f"does not generalise {within}"),
        (True, f"does not even memorise {within}"),
    )
    return f"{said}, {lost}" if lost else said
