"""line, measured: beside gradient descent in closed form, and the limits that training goes to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.measure import linear, sweeps
from stages.measure.findings import counted, effect
from stages.measure.results import OF_REGRESSION, OF_SWEEP, Metrics, Reference, Results, solved
from stages.measure.rows import Row, Runs, Table, curves, metrics
from stages.studies.line.system import CURVATURE, Line

IN_CLOSED_FORM = ("baseline", "wd")  # on full batches, without momentum
PAIRS = (("wd", "baseline"), ("wd_adam", "baseline_adam"))  # compared trial by trial


def optimum(arrays: Arrays, weight_decay: float) -> linear.Solution:
    return linear.ridges(arrays, weight_decay, curvature=CURVATURE, decays_bias=True)


REFERENCES = {"ridge": Reference("wd", optimum), "ridge_adam": Reference("wd_adam", optimum)}


def evaluate(section: Line, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    rows = linear.rows(arrays, runs, solved(REFERENCES, arrays, runs), CURVATURE, lambda *found: of_parameters(arrays, *found))
    theory = {
        name: linear.trajectories(arrays, run["steps"], **numbers(run))
        for name, run in runs.items()
        if name in IN_CLOSED_FORM and run["steps_per_epoch"] == 1 and run["momentum"] == 0
    }
    found = metrics(rows, runs, PAIRS, linear.losses_of_zero(arrays, CURVATURE))
    return found | {"findings": findings(found, section)}, curves(runs, "epoch", theory)


def findings(rows: Metrics, section: Line) -> dict[str, str]:
    """A sentence for each figure."""
    epochs, adam = section.train.epochs, section.train.adam.epochs
    missed = {row: rows[row].get("largest_miss", np.nan) for row in ("wd", "ridge")}
    return {
        "panel": effect(rows, brief=True),
        "starts": effect(rows, when=f" after {counted(epochs, 'epoch')}"),
        "adam": effect(rows, "wd_adam", "baseline_adam", when=f" after {counted(adam, 'epoch')} of Adam"),
        "fit": f"Trained to the end, λ = {rows['wd']['weight_decay']:g} misses the line by {missed['ridge']:.2g}; "
        f"after {counted(epochs, 'epoch')} a line misses it by {missed['wd']:.2g} on average",
    }


def of_parameters(arrays: Arrays, weight: NDArray, bias: NDArray) -> Row:
    """How far each trial's line is from the true one at most, at any training or validation row.  (T, 1), (T,) → (T,)"""
    x = np.concatenate([arrays[f"{split}_inputs"][..., 0] for split in ("train", "val")], axis=1)
    slope, intercept = weight - arrays["true_weight"], (bias - arrays["true_bias"])[:, None]
    return {"largest_miss": np.abs(slope * x + intercept).max(axis=1)}


def numbers(run: Mapping[str, NDArray]) -> dict[str, float]:
    return {"weight_decay": float(run["weight_decay"]), "lr": float(run["lr"]), "curvature": CURVATURE}


def evaluate_sweep(section: Line, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    ended, null = sweeps.ends(swept), linear.rows(arrays, {}, {}, CURVATURE)["null"]
    if swept["momentum"] == 0 and section.train.batch_size >= len(section.data.train_x):
        ended["theory"] = expected_val_losses(arrays, swept["weight_decay"], float(swept["lr"]), section.train.epochs)
    of_zero = linear.losses_of_zero(arrays, CURVATURE)["val"]
    return sweeps.evaluated(swept, ended, of_zero, null["val_loss"])


def expected_val_losses(arrays: Arrays, weight_decays: NDArray, lr: float, epochs: int) -> NDArray:
    """Where gradient descent in closed form ends, NaN where it diverges.  (L,) → (T, L)"""
    end = np.array([epochs])
    with np.errstate(over="ignore", invalid="ignore"):
        ends = [linear.trajectories(arrays, end, weight_decay=each, lr=lr, curvature=CURVATURE) for each in weight_decays]
        expected = np.stack([each["val_loss"][:, 0] for each in ends], axis=1)
    return np.where(np.isfinite(expected), expected, np.nan)


HEADLINES = OF_REGRESSION | OF_SWEEP
TOLD = ("baseline", "wd", "wd_adam", "null")
RESULTS = Results(
    swept=sweeps.READ, sweep=evaluate_sweep, evaluate=evaluate, references=REFERENCES, headlines=HEADLINES, rows=TOLD
)
