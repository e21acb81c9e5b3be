"""Exact numbers as metrics/ should hold them: values over trials become means, differences, curves and sweeps.

In plain NumPy, with nothing of stages/. R trials stand in the first axis of every array. A `Number` is the exact value, and
how far the rounding of what it is computed from may have moved it.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUNDING = 1e-8  # of what a value is computed from, as it is handed from stage to stage
AT_THE_END = 3e-10  # the same for the losses and norms that runs end with, of which differences are taken
# Computed from final parameters, which are kept as coarsely as the way there.
FROM_PARAMETERS = ("bias", "weight", "mean_weight_missed", "population_loss", "largest_miss")


class Number(NamedTuple):
    value: float
    slack: float = 0.0


class Values(NamedTuple):
    """One number a trial, and the size of what it is computed from."""

    each: Array  # (R,)
    size: Array | float


Table = list[dict[str, Any]]  # of a Number, a run's name, or nothing


def rounded(value: float) -> Number:
    """Exact but for its last bits."""
    return Number(float(value), 1e-14 * abs(value))


def means(row: dict[str, Values], rounding: float = ROUNDING) -> dict[str, Number]:
    """The mean over trials, and its standard error where there are at least two."""
    found = {}
    for name, (each, size) in row.items():
        slack = rounding * float(np.max(size))
        found[name] = Number(float(each.mean()), slack)
        if len(each) > 1:
            found[f"{name}_se"] = Number(float(each.std(ddof=1) / math.sqrt(len(each))), slack)
    return found


def all_means(rows: dict[str, dict[str, Values]], weight_decays: dict[str, float]) -> dict[str, dict[str, Number]]:
    """Of every row, and what is said besides of a trained one; none diverges here."""
    metrics = {}
    for name, row in rows.items():
        coarse = {value: values for value, values in row.items() if value in FROM_PARAMETERS}
        metrics[name] = means(row, AT_THE_END) | means(coarse)
    for name, decay in weight_decays.items():
        trials = len(rows[name]["val_loss"].each)
        metrics[name] |= {"diverged": Number(0), "trials": Number(trials), "weight_decay": rounded(decay)}
    return metrics


def differences(rows: dict[str, dict[str, Values]], *names: str) -> dict[str, dict[str, Number]]:
    """Both losses of one row minus the other's, trial by trial."""
    found = {}
    for name in names:
        one, other = name.split("_minus_")
        gaps = {}
        for loss in ("train_loss", "val_loss"):
            (a, size_a), (b, size_b) = rows[one][loss], rows[other][loss]
            gaps[loss] = Values(a - b, max(np.max(size_a), np.max(size_b)))
        found[name] = means(gaps, AT_THE_END) | {"trials": Number(len(gaps["val_loss"].each))}
    return found


def curve(run: str, axis: str, at: Iterable[float], history: list[dict[str, Values]]) -> Table:
    return [{"run": run, axis: rounded(x)} | means(row) for x, row in zip(at, history, strict=True)]


def of_trial(row: dict[str, Values], trial: int, rounding: float) -> dict[str, Number]:
    return {
        name: Number(float(each[trial]), rounding * float(np.broadcast_to(size, each.shape)[trial]))
        for name, (each, size) in row.items()
    }


def sweep(grid: list[float], found: list[dict[str, Values]], null: Values) -> tuple[Table, dict[str, Any]]:
    """A row for each λ and trial, and the summary."""
    table: Table = [
        {"weight_decay": rounded(decay), "trial": Number(trial), "diverged": Number(0)} | of_trial(ended, trial, AT_THE_END)
        for decay, ended in zip(grid, found, strict=True)
        for trial in range(len(null.each))
    ]
    losses = [means({"val_loss": ended["val_loss"]}, AT_THE_END) for ended in found]
    best = min(range(len(grid)), key=lambda index: losses[index]["val_loss"].value)
    bound = losses[best]["val_loss"].value + losses[best]["val_loss_se"].value
    within = [decay for decay, loss in zip(grid, losses, strict=True) if loss["val_loss"].value <= bound]
    summary: dict[str, Any] = {
        "best_lambda": rounded(grid[best]),
        "best_lambda_1se": rounded(max(within)),
        "diverged": Number(0),
    }
    places = {
        "at_zero": losses[grid.index(0)],
        "at_best": losses[best],
        "at_end": losses[-1],
        "of_null": means({"val_loss": null}, AT_THE_END),
    }
    for place, loss in places.items():
        summary |= {name.replace("val_loss", f"val_loss_{place}"): number for name, number in loss.items()}
    if all("theory" in ended for ended in found):
        summary["max_abs_z"] = largest([z_score(ended, loss) for ended, loss in zip(found, losses, strict=True)])
    return table, summary


def z_score(ended: dict[str, Values], loss: dict[str, Number]) -> Number:
    """How many standard errors the mean loss is from the mean that theory expects."""
    (measured, size), error = ended["val_loss"], loss["val_loss_se"].value
    gap = float(measured.mean() - ended["theory"].each.mean())
    return Number(gap / error, AT_THE_END * (2 * float(np.max(size)) / error + abs(gap) / error))


def largest(zs: list[Number]) -> Number:
    return Number(max(abs(z.value) for z in zs), max(z.slack for z in zs))
