"""A sweep over λ: its table, one row a run, and its summary.

Shapes: T trials, L decays, K evaluations.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import resolution
from stages.base.storage import Integers
from stages.measure.findings import by, visible
from stages.measure.rows import HISTORIES, Table
from stages.measure.statistics import best_decays, mean_and_error, z_score

READ = {"weight_decay": 1, "diverged": Integers(2), "steps": Integers(1), "lr": 0, "momentum": 0}
READ |= {"train_loss": 3, "val_loss": 3, "weight_norm": 3}


def ends(swept: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """What every run ended with.  (T, L) each"""
    return {name: swept[name][..., -1] for name in HISTORIES if name in swept}


def evaluated(
    swept: Mapping[str, NDArray], ended: Mapping[str, NDArray], of_zero: NDArray, null: NDArray
) -> tuple[Table, dict[str, Any]]:
    """A sweep's table and summary. `of_zero` is the validation loss of predicting zero, `null` the best constant's.  (T,)"""
    known = (swept["weight_decay"], ended, swept["diverged"])
    said = {"findings": {"loss": finding(swept["weight_decay"], ended["val_loss"], swept["diverged"])}}
    return table(*known), summary(*known, of_zero) | mean_and_error("val_loss_of_null", null) | said


def table(decays: NDArray, ended: Mapping[str, NDArray], diverged: NDArray) -> Table:
    """One row a run: λ, trial, whether it diverged, and what it ended with, empty where it did.  (L,), (T, L) each"""
    unknown = {name: diverged | np.isnan(values) for name, values in ended.items()}
    return [
        {"weight_decay": decay, "trial": trial, "diverged": int(diverged[trial, index])}
        | {name: None if unknown[name][trial, index] else values[trial, index] for name, values in ended.items()}
        for index, decay in enumerate(decays)
        for trial in range(len(diverged))
    ]


def summary(decays: NDArray, ended: Mapping[str, NDArray], diverged: NDArray, of_zero: NDArray) -> dict[str, Any]:
    """The best λ by mean validation loss, the largest λ within one standard error of it, and the loss there and at both ends.

    Only λ at which no trial diverged are looked at: a value whose λ is not among them is absent. Where there is theory,
    `max_abs_z` is the largest deviation from it.
    """
    found: dict[str, Any] = {"diverged": int(diverged.sum())}
    means = {
        index: mean_and_error("val_loss", ended["val_loss"][:, index])
        for index in range(len(decays))
        if not diverged[:, index].any()
    }
    if not means:
        return found
    whole = list(means)
    best, largest = (whole[place] for place in best_decays(list(means.values())))
    found |= {"best_lambda": decays[best], "best_lambda_1se": decays[largest]}
    for place, index in (("zero", 0), ("best", best), ("end", len(decays) - 1)):
        found |= {name.replace("val_loss", f"val_loss_at_{place}"): value for name, value in means.get(index, {}).items()}
    if "theory" in ended:
        scores = [deviation(ended["val_loss"][:, index], ended["theory"][:, index], of_zero) for index in whole]
        known = [abs(score) for score in scores if score is not None]
        found |= {"max_abs_z": max(known)} if known else {}
    return found


def finding(decays: NDArray, val_loss: NDArray, diverged: NDArray) -> str:
    """What the λ of a grid do to the validation loss, each compared with λ = 0 trial by trial.  (L,), (T, L) each"""
    lost = [f"{diverged.sum()} of {diverged.size} runs diverged"] if diverged.any() else []
    whole = [index for index in range(len(decays)) if not diverged[:, index].any()]
    if 0 not in whole:
        return "; ".join(["λ = 0 has nothing to compare with", *lost])
    if len(diverged) == 1:
        return "; ".join(["A single trial has no error to tell an effect by", *lost])

    def seen(of: int, sign: int) -> list[int]:
        """The λ that are visibly lower, or higher, than another."""
        gaps = {index: mean_and_error("gap", sign * (val_loss[:, index] - val_loss[:, of])) for index in whole}
        return [index for index, gap in gaps.items() if gap["gap"] > 0 and visible(gap["gap"], gap["gap_se"])]

    means, lower = val_loss.mean(axis=0), seen(0, -1)
    best = min(lower, key=means.__getitem__) if lower else 0
    said = f"λ = {decays[best]:g} lowers the validation loss most, {by(means[best] - means[0], means[0])}"
    higher = [index for index in seen(best, 1) if index > best]
    parts = [said if lower else "No λ visibly lowers the validation loss"]
    if higher and higher == whole[-len(higher) :]:
        where = f"at λ = {decays[higher[0]]:g}" if len(higher) == 1 else f"from λ = {decays[higher[0]]:g} on"
        parts.append(f"{where} it is higher" + (" again" if lower else ""))
    return "; ".join([*parts, *lost])


def deviation(measured: NDArray, expected: NDArray, of_zero: NDArray) -> float | None:
    """How many standard errors the mean over trials is above the expected one.  (T,) each

    None where theory expects a trial to diverge, and where a single trial gives no standard error.
    """
    if np.isnan(expected).any():
        return None
    gap, error = mean_and_error("gap", measured - expected)["gap"], mean_and_error("loss", measured).get("loss_se")
    return z_score(gap, error, resolution(measured, of_zero))
