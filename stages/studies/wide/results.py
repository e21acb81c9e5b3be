"""wide, measured: beside ridge, the best constant, and the exact parts of the error."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.studies.wide.system import CURVATURE, Wide
from stages.theory import linear, sweep
from stages.theory.findings import effect
from stages.theory.measured import Row, Runs, Table, curves, metrics
from stages.theory.results import Metrics, Results
from stages.theory.statistics import alive

LIMITS = {"ridge": "wd", "ridge_baseline": "baseline"}  # reference row → the run whose λ it has
IN_PARTS = ("baseline", "wd")  # runs whose error is split into start, shrinkage and noise
PAIRS = (  # compared trial by trial
    ("wd", "baseline"),
    ("wd_zero", "baseline_zero"),
    ("wd", "null"),
    ("ridge", "ridge_baseline"),
)


def optimum(arrays: Arrays, weight_decay: float) -> linear.Solution:
    return linear.ridges(arrays, weight_decay, curvature=CURVATURE, decays_bias=False)


def evaluate(section: Wide, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    limits = {row: optimum(arrays, float(runs[name]["weight_decay"])) for row, name in LIMITS.items()}
    rows = linear.rows(
        arrays, runs, limits, CURVATURE, lambda *found: {"population_loss": linear.population_loss(arrays, *found)}
    )
    for name in IN_PARTS:
        numbers = {key: float(runs[name][key]) for key in ("weight_decay", "lr", "momentum")}
        parts = linear.excess_parts(arrays, **numbers)
        rows[name] |= {part: each * alive(runs[name]) for part, each in parts.items()}
    found = metrics(rows, runs, PAIRS, linear.losses_of_zero(arrays, CURVATURE))
    said = {"panel": effect(found), "curves": effect(found, when=f" after {section.epochs:,} epochs")}
    return found | {"findings": said}, curves(runs, "epoch")


def on_unseen_rows(arrays: Arrays, weight: NDArray, bias: NDArray) -> Row:
    return {"population_loss": linear.population_loss(arrays, weight, bias)}


def evaluate_sweep(_: Wide, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    ended, null = sweep.ends(swept), linear.rows(arrays, {}, {}, CURVATURE)["null"]
    numbers = {name: float(swept[name]) for name in ("lr", "momentum")}
    ended["theory"] = expected_val_losses(arrays, swept["weight_decay"], **numbers)
    of_zero = linear.losses_of_zero(arrays, CURVATURE)["val"]
    table, found = sweep.evaluated(swept, ended, of_zero, null["val_loss"])
    return table, found | best_in_theory(arrays)


def expected_val_losses(arrays: Arrays, decays: NDArray, *, lr: float, momentum: float) -> NDArray:
    """The exact parts of the error plus the noise, NaN where training is expected to diverge.  (L,) → (T, L)

    The loss on unseen rows has products of start, signal and noise in it as well; their expectation is zero.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [linear.excess_parts(arrays, weight_decay=decay, lr=lr, momentum=momentum) for decay in decays]
        expected = np.stack([sum(each.values()) + float(arrays["noise"]) ** 2 / 2 for each in parts], axis=1)
    return np.where(np.isfinite(expected), expected, np.nan)


def best_in_theory(arrays: Arrays) -> dict[str, float]:
    """The λ that is best for ridge on isotropic inputs, dσ²/(n‖w*‖²); nothing where there is no signal."""
    rows, inputs = arrays["train_inputs"].shape[1:]
    signal = float(np.sum(arrays["true_weight"][0] ** 2))
    return {"theory_lambda": inputs * float(arrays["noise"]) ** 2 / (rows * signal)} if signal else {}


RESULTS = Results(swept=sweep.READ, sweep=evaluate_sweep, evaluate=evaluate, optimum=optimum)
