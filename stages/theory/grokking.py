"""When a run memorises and when it generalises: the steps at which its accuracies reach a threshold, and what is said of them.

Shapes: R trials, K evaluations.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.theory.findings import per_cent
from stages.theory.statistics import mean_and_error

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


def fate(row: Mapping[str, float], steps: int) -> str:
    """What becomes of an arm within its steps: `generalises at step 333`."""
    lost = f", {row['diverged']} of {row['trials']} trials diverged" if row["diverged"] else ""
    if row["steps_to_generalise"] >= 0:
        return f"generalises at step {row['steps_to_generalise']:,.0f}{lost}"
    if row["generalised"]:
        return f"generalises in {per_cent(row['generalised'])} of trials{lost}"
    return f"does not {'generalise' if row['memorised'] == 1 else 'even memorise'} within {steps:,} steps{lost}"
