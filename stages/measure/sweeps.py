"""A sweep over λ: its table, one row a run, and its summary.

Shapes: T trials, L values of λ, K evaluations.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import resolution
from stages.base.storage import Integers
from stages.measure.findings import SINGLE, WITHOUT_ZERO, by, lost_runs, onwards, others, sentence, sign_over_trials
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


def table(weight_decays: NDArray, ended: Mapping[str, NDArray], diverged: NDArray) -> Table:
    """One row a run: λ, trial, whether it diverged, and what it ended with, empty where it did.  (L,), (T, L) each"""
    unknown = {name: diverged | np.isnan(values) for name, values in ended.items()}
    return [
        {"weight_decay": weight_decay, "trial": trial, "diverged": int(diverged[trial, index])}
        | {name: None if unknown[name][trial, index] else values[trial, index] for name, values in ended.items()}
        for index, weight_decay in enumerate(weight_decays)
        for trial in range(len(diverged))
    ]


def summary(weight_decays: NDArray, ended: Mapping[str, NDArray], diverged: NDArray, of_zero: NDArray) -> dict[str, Any]:
    """The best λ by mean validation loss, the largest λ within one standard error of it, and the loss there and at both ends.

    Only λ at which no trial diverged are looked at: a value whose λ is not among them is absent. Where there is theory,
    `max_abs_z` is the largest deviation from it.
    """
    found: dict[str, Any] = {"diverged": int(diverged.sum())}
    means = {
        index: mean_and_error("val_loss", ended["val_loss"][:, index])
        for index in range(len(weight_decays))
        if not diverged[:, index].any()
    }
    if not means:
        return found
    whole = list(means)
    best, largest = (whole[place] for place in best_decays(list(means.values())))
    found |= {"best_lambda": weight_decays[best], "best_lambda_1se": weight_decays[largest]}
    for place, index in (("zero", 0), ("best", best), ("end", len(weight_decays) - 1)):
        found |= {name.replace("val_loss", f"val_loss_at_{place}"): value for name, value in means.get(index, {}).items()}
    if "theory" in ended:
        scores = [deviation(ended["val_loss"][:, index], ended["theory"][:, index], of_zero) for index in whole]
        known = [abs(score) for score in scores if score is not None]
        found |= {"max_abs_z": max(known)} if known else {}
    return found


def finding(weight_decays: NDArray, val_loss: NDArray, diverged: NDArray) -> str:
    """Say what the λ of a grid do to the validation loss, each compared with λ = 0 trial by trial.  (L,), (T, L) each

    The best λ comes with those that are not visibly worse. With every λ there is another comparison, which `sign` allows for.
    """
    whole = np.flatnonzero(~diverged.any(axis=0)).tolist()
    known = np.where(diverged, np.nan, val_loss)
    means = known.mean(axis=0)

    def against(of: int) -> dict[int, int]:
        """Tell of each λ whether its loss is visibly above or below that of another."""
        compared = max(len(whole) - 1, 1)
        return {index: sign_over_trials(known[:, index] - known[:, of], among=compared, of=means[of]) for index in whole}

    lower = [index for index, seen in against(0).items() if seen < 0]
    best = min(lower, key=means.__getitem__) if lower else 0
    from_best = against(best)
    alike = [weight_decays[index] for index, seen in from_best.items() if seen <= 0 and index]
    higher = [index for index, seen in from_best.items() if seen > 0 and index > best]
    rise = [weight_decays[index] for index in higher] if higher == whole[-len(higher) :] else []
    most = f"λ = {weight_decays[best]:g} lowers the validation loss most, {by(means[best] - means[0], means[0])}"
    beside = others(weight_decays[best], alike, weight_decays.tolist()) if len(alike) > 1 else ""
    most += f"; {beside} {'are' if ' ' in beside else 'is'} not visibly worse" if beside else ""
    return sentence(
        (0 not in whole, WITHOUT_ZERO),
        (len(diverged) == 1, SINGLE),
        (lower, most + onwards(rise, "it is higher again")),
        (True, "No λ visibly lowers the validation loss" + onwards(rise, "it is higher")),
        lost=[lost_runs(diverged.sum(), diverged.size)],
    )


def deviation(measured: NDArray, expected: NDArray, of_zero: NDArray) -> float | None:
    """How many standard errors the mean over trials is above the expected one.  (T,) each

    None where theory expects a trial to diverge, and where a single trial gives no standard error.
    """
    if np.isnan(expected).any():
        return None
    gap, error = mean_and_error("gap", measured - expected)["gap"], mean_and_error("loss", measured).get("loss_se")
    return z_score(gap, error, resolution(measured, of_zero))
