"""From trained runs to the metrics and the curves of a study.

Shapes: R trials, K evaluations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from stages.base.rounding import resolution
from stages.measure.statistics import alive, curve, difference, summarise

Row = dict[str, NDArray]  # of a metrics file, before it is summarised: (R,) each
Runs = Mapping[str, Mapping[str, NDArray]]  # row → what `train` wrote of it
Table = list[dict[str, Any]]
SPLITS = ("train", "val", "test")
VALUES = ("loss", "accuracy", "calibration_error", "calibration_floor")
HISTORIES = (*(f"{split}_{value}" for value in VALUES for split in SPLITS), "weight_norm")


def ended(run: Mapping[str, NDArray]) -> Row:
    """The end of a run's histories, NaN for a trial that diverged.  (R,) each"""
    values = {name: run[name][:, -1] * alive(run) for name in HISTORIES if name in run}
    return values | {"half_squared_norm": values["weight_norm"] ** 2 / 2}


def metrics(
    rows: Mapping[str, Row], runs: Runs, pairs: Sequence[tuple[str, str]], of_zero: Mapping[str, NDArray]
) -> dict[str, dict[str, float]]:
    """Every row's means and errors, what is known of the runs, and the paired differences `<one>_minus_<other>`.

    `of_zero` is the loss of predicting zero on each split, which sets how far a difference is known.
    """
    found: dict[str, dict[str, float]] = {name: summarise(values) for name, values in rows.items()}
    for name, run in runs.items():
        found[name] |= {"diverged": int(run["diverged"].sum()), "trials": len(run["diverged"])}
        found[name] |= {key: float(run[key]) for key in ("weight_decay", "difference_below") if key in run}
    for one, other in pairs:
        known_to = {
            f"{split}_loss": max(resolution(rows[row][f"{split}_loss"], zero) for row in (one, other))
            for split, zero in of_zero.items()
        }
        found[f"{one}_minus_{other}"] = difference(rows[one], rows[other], known_to)
    return found


def curves(runs: Runs, x_name: str, theory: Mapping[str, Row] | None = None) -> Table:
    """Every run's histories, a row an evaluation; after a run that theory covers, its `<run>_theory`.  (R, K) each"""
    table: Table = []
    for name, run in runs.items():
        x = run["steps"] / run["steps_per_epoch"]
        table += curve({"run": name}, x_name, x, {key: run[key] * alive(run)[:, None] for key in HISTORIES if key in run})
        if theory and name in theory:
            table += curve({"run": f"{name}_theory"}, x_name, x, theory[name])
    return table
