"""table, measured: λ chosen on validation rows or by leave-one-out, and what it gains on test rows.

A regression's loss is half the mean squared error of targets in units of their standard deviation; its error is the root of the
mean square, in the target's own unit. A classification's loss is cross-entropy. Trials divide the same rows anew, so a standard
error is that of the division; other rows would add to it.
Shapes: T trials, L values of λ, D inputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import END, on_grid
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure import findings as words
from stages.measure.results import LOWER, NEITHER, Results
from stages.measure.rows import Table
from stages.measure.statistics import mean_and_error, summarise
from stages.studies.table import sentences
from stages.studies.table.losses import Values, measured
from stages.studies.table.system import CONVERGED, Rows, input_names, sizes, unit

SHOWN = 40  # inputs whose weights are written
CHOICES = {"chosen": "val_loss", "loo": "loo_loss", "gcv": "gcv_loss"}  # of λ, and the loss that is lowest there


def evaluate_sweep(section: Rows, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each number of training rows and each λ; for each number what the chosen λ gain."""
    counts, weight_decays = sizes(section, arrays), swept["weight_decay"]
    table: Table = []
    found: dict[str, Any] = {}
    for index, rows in enumerate(counts):
        values = measured(arrays, swept, index, rows)
        weights = values.pop("weights")
        arrived: NDArray = np.all(values.pop("arrived"), axis=0) if "arrived" in values else swept["trained"][index]
        table += averaged(values, {"rows": rows}, weight_decays, arrived)
        found[f"rows_{rows}"] = gained(values, weight_decays)
    best = weight_decays.tolist().index(found[f"rows_{counts[-1]}"]["best_lambda"])
    found |= found[f"rows_{counts[-1]}"] | {
        "file_rows": len(arrays["target"]),
        "inputs": len(input_names(arrays)),
        "classes": len(arrays["classes"]),
        "val_rows": int(arrays["val_rows"]),
        "test_rows": int(arrays["test_rows"]),
        "unit": 1.0 if len(arrays["classes"]) else unit(arrays),
        "not_arrived": sum(1 - row["arrived"] for row in table),
        "weights": paths(weights.mean(axis=0), input_names(arrays), best),
    }
    if len(arrays["classes"]):
        found["most_frequent_class"] = np.bincount(arrays["target"].astype(int)).max() / len(arrays["target"])
    stopped = len(arrays["classes"]) and not arrived[0]
    short = [f"λ = 0 does not arrive within {words.counted(section.train.steps, 'step')}"] if stopped else []
    which = [
        sentences.as_good(values["val_loss"], weight_decays, counts[-1]),
        *([sentences.by_leaving_out(found)] if "loo_change_se" in found else []),
    ]
    said = {
        "panel": "; ".join([sentences.answer(found, counts), *short]),
        "decays": "; ".join([*which, *short]),
        "rows": sentences.over_rows(found, counts),
        "weights": sentences.left(found, table),
    }
    if len(weight_decays) == 1:
        said = dict.fromkeys(said, words.WITHOUT_ZERO)
    return table, found | {"findings": {name: sentences.grouped(each) for name, each in said.items()}}


def averaged(values: Values, label: Mapping[str, Any], weight_decays: NDArray, arrived: NDArray) -> Table:
    """One row for each λ: means over trials with their errors, empty where a trial has none.  (T, L) each"""
    table: Table = []
    for place, weight_decay in enumerate(weight_decays.tolist()):
        row = dict(label) | {"weight_decay": weight_decay, "arrived": int(arrived[place])}
        for name, each in values.items():
            whole = np.isfinite(each[:, place]).all()
            row |= {name: None, f"{name}_se": None} | (mean_and_error(name, each[:, place]) if whole else {})
        table.append(row)
    return table


def gained(values: Values, weight_decays: NDArray) -> dict[str, Any]:
    """Each trial's λ, chosen without its test rows; what these say of it, and how it changes against λ = 0, trial by trial.

    `change` is the mean over trials of log(after/before): a few rows can make one trial's error at λ = 0 nearly all of a mean.
    What is below `CONVERGED` of the median of all counts as that much: exact predictions have no logarithm.
    `loo_change` is that from the choice on validation rows to the choice by leave-one-out.  (T, L) each
    """
    trials = np.arange(len(values["val_loss"]))
    places = {
        choice: np.nan_to_num(values[loss], nan=np.inf).argmin(axis=1) for choice, loss in CHOICES.items() if loss in values
    }
    judged = "test_error" if "test_error" in values else "test_loss"
    least = CONVERGED * np.median(values[judged])
    best = int(values["val_loss"].mean(axis=0).argmin())
    at = {"zero": np.zeros_like(trials), "best": np.full_like(trials, best)} | places
    found: dict[str, Any] = {"trials": len(trials), "best_lambda": float(weight_decays[best])}
    found |= {"least_chosen": weight_decays[places["chosen"].min()], "largest_chosen": weight_decays[places["chosen"].max()]}
    for name in ("test_error", "test_accuracy", "test_loss"):
        if name in values:
            found |= summarise({f"{name}_at_{choice}": values[name][trials, place] for choice, place in at.items()})
    logs = {choice: np.log(np.maximum(values[judged][trials, place], least)) for choice, place in at.items()}
    found |= {f"test_median_at_{choice}": float(np.median(values[judged][trials, place])) for choice, place in at.items()}
    found |= summarise({"change": logs["chosen"] - logs["zero"]})
    return found | (summarise({"loo_change": logs["loo"] - logs["chosen"]}) if "loo" in logs else {})


def paths(weights: NDArray, names: Sequence[str], best: int) -> dict[str, list[float]]:
    """The weights over λ of the inputs that have the largest at the best one.  (L, D)"""
    largest = np.argsort(-np.abs(weights[best]), kind="stable")[:SHOWN]
    sizes = np.abs(weights).max(axis=1)
    return {names[each]: on_grid(weights[:, each], sizes, END).tolist() for each in largest}


READ = {"weight": 5, "bias": 4, "trained": Integers(2), "weight_decay": 1, "rows": Integers(1)}
HEADLINES = {"test_median_at_chosen": LOWER, "test_median_at_zero": LOWER, "best_lambda": NEITHER, "file_rows": NEITHER}
RESULTS = Results(swept=READ, sweep=evaluate_sweep, headlines=HEADLINES)
