"""Means over trials, with their standard errors.

Shapes: R trials, K evaluations.
Values are arrays over trials (R,), NaN where a trial diverged. They become means over the other trials, each beside its
standard error, `<name>_se`, which is left out where fewer than two trials remain.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from stages.base.rounding import END, on_grid, to_resolution

Values = Mapping[str, NDArray]
LEVEL = 0.01  # the share of trials in which chance alone may be called visible
HUGE, UNIT = 2.0**500, 2.0**600  # powers of two: to divide by one is exact


def mean_and_error(name: str, values: ArrayLike) -> dict[str, float]:
    """{name: mean, name_se: standard error of the mean}; sums are exact, so their order cannot matter.

    Empty where no trial is left, and without the error where one is.
    """
    kept = [float(value) for value in np.asarray(values, dtype=np.float64) if math.isfinite(value)]
    if not kept:
        return {}
    size = UNIT if max(map(abs, kept)) > HUGE else 1.0  # their squares would overflow
    scaled = [value / size for value in kept]
    mean = math.fsum(scaled) / len(scaled)
    if len(scaled) == 1:
        return {name: size * mean}
    variance = math.fsum((value - mean) ** 2 for value in scaled) / (len(scaled) - 1)
    return {name: size * mean, f"{name}_se": size * math.sqrt(variance / len(scaled))}


def summarise(values: Values) -> dict[str, float]:
    return {key: number for name, each in values.items() for key, number in mean_and_error(name, each).items()}


def over_pairs(name: str, gaps: ArrayLike) -> dict[str, float]:
    """`mean_and_error` of differences trial by trial, with their number as `trials`."""
    return {**mean_and_error(name, gaps), "trials": int(np.isfinite(np.asarray(gaps)).sum())}


def threshold(pairs: int, among: int = 1) -> float:
    """How many standard errors a mean of so many differences must be from 0 to be visible: Student's t, two-sided, at LEVEL.

    Where `among` comparisons are made at once each has its share of LEVEL (Bonferroni), so that LEVEL holds for all of them.
    t and not 2 errors: with 2 trials chance goes beyond 2 in 30 % of cases, with 8 in 9 %. Infinite for less than two.
    """
    return float(stdtrit(pairs - 1, 1 - LEVEL / among / 2)) if pairs > 1 else math.inf


def best_decays(means: Sequence[Mapping[str, float]]) -> tuple[int, int]:
    """Of ascending λ, each with `val_loss` and `val_loss_se`: the best, and the largest within the best's standard error."""
    losses = [mean["val_loss"] for mean in means]
    best = losses.index(min(losses))
    bound = losses[best] + means[best].get("val_loss_se", 0.0)
    return best, max(index for index, loss in enumerate(losses) if loss <= bound)


def difference(one: Values, other: Values, known_to: Mapping[str, float]) -> dict[str, float]:
    """Paired by trial: the mean difference and its standard error, of each value that `known_to` names.

    `known_to` has the resolution of each value: decimals below it are left out. `trials` is the number of pairs.
    """
    gaps = {name: np.asarray(one[name]) - np.asarray(other[name]) for name in known_to}
    found = summarise(gaps)
    return {
        **{key: to_resolution(value, known_to[key.removesuffix("_se")]) for key, value in found.items()},
        "trials": max(int(np.isfinite(gap).sum()) for gap in gaps.values()),
    }


def r_squared(loss: ArrayLike, targets: NDArray, curvature: float) -> NDArray[np.float64]:
    """1 − loss/(loss of the targets' own mean), NaN where the targets do not vary.  (R,), (R, n) → (R,)"""
    constant = curvature / 2 * np.var(targets, axis=1)
    ratio = np.asarray(loss) / np.where(constant > 0, constant, 1)
    return np.where(constant > 0, on_grid(1 - ratio, 1 + np.abs(ratio), END), np.nan)


def z_score(gap: float, error: float | None, known_to: float) -> float | None:
    """A gap in standard errors: 0 where it is within `known_to`, its resolution; None where there is no error to measure by."""
    if abs(gap) <= known_to:
        return 0.0
    return gap / error if error else None


def alive(run: Values) -> NDArray[np.float64]:
    """1 for a trial that ended well, NaN for one that diverged.  (R,)"""
    return np.where(run["diverged"], np.nan, 1.0)


def curve(label: Mapping[str, Any], x_name: str, x: NDArray, histories: Values) -> list[dict[str, Any]]:
    """One row an evaluated step: the label, x, and each history's mean and standard error.  (K,), (R, K) each"""
    empty: dict[str, Any] = {key: None for name in histories for key in (name, f"{name}_se")}
    return [
        dict(label) | {x_name: step} | empty | summarise({name: history[:, k] for name, history in histories.items()})
        for k, step in enumerate(x.tolist())
    ]
