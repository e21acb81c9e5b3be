"""modular, measured: beside chance, with the steps at which it memorises and generalises."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.studies.modular.system import CURVATURE, Modular
from stages.theory import sweep
from stages.theory.findings import effect
from stages.theory.measured import Row, Runs, Table, curves, ended, metrics
from stages.theory.results import Metrics, Results
from stages.theory.statistics import mean_and_error

PAIRS = (("wd", "baseline"),)  # compared trial by trial
VERBS = {"train": "memorise", "val": "generalise"}  # what a run does when its accuracy on a split reaches the threshold


def losses_of_zero(arrays: Arrays) -> dict[str, NDArray]:
    """The loss of predicting zero: one of p labels is 1.  (R,) each"""
    size = np.full(len(arrays["train_labels"]), CURVATURE / 2 / int(arrays["p"]))
    return {"train": size, "val": size}


def chance(arrays: Arrays) -> Row:
    """Every class equally likely.  (R,) each"""
    p, trials = int(arrays["p"]), len(arrays["train_labels"])
    values = {"loss": np.full(trials, (1 - 1 / p) / p), "accuracy": np.full(trials, 1 / p)}
    row = {f"{split}_{name}": value for name, value in values.items() for split in ("train", "val")}
    return row | {"weight_norm": np.zeros(trials), "half_squared_norm": np.zeros(trials)}


def first_step(accuracy: NDArray, steps: NDArray, threshold: float) -> NDArray[np.int64]:
    """The first evaluated step at which a run reaches the threshold, −1 for never.  (…, K), (K,) → (…)"""
    reached = accuracy >= threshold
    return np.where(reached.any(axis=-1), steps[reached.argmax(axis=-1)], -1)


def arrival(run: Mapping[str, NDArray], threshold: float) -> dict[str, float]:
    """Steps to memorise and to generalise: the mean if every trial gets there, else −1; and the share of trials that do."""
    summary: dict[str, float] = {}
    for split, verb in VERBS.items():
        steps = first_step(run[f"{split}_accuracy"], run["steps"], threshold)[~run["diverged"]]
        never = (steps < 0).any()
        summary |= {f"steps_to_{verb}": -1} if never else mean_and_error(f"steps_to_{verb}", steps)
        summary[f"{verb}d"] = float((steps >= 0).mean())
    return summary


def evaluate(section: Modular, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    rows = {name: ended(run) for name, run in runs.items()} | {"null": chance(arrays)}
    found = metrics(rows, runs, PAIRS, losses_of_zero(arrays))
    for name, run in runs.items():
        found[name] |= arrival(run, section.threshold)
    said = effect(found)
    return found | {"findings": {"panel": said, "curves": said}}, curves(runs, "step")


def evaluate_sweep(section: Modular, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    ends = sweep.ends(swept)
    for split, verb in VERBS.items():
        ends[f"steps_to_{verb}"] = first_step(swept[f"{split}_accuracy"], swept["steps"], section.threshold)
    table, found = sweep.evaluated(swept, ends, losses_of_zero(arrays)["val"], chance(arrays)["val_loss"])
    return table, found | {"threshold": section.threshold, "steps": int(swept["steps"][-1])}


RESULTS = Results(swept=sweep.READ | {"train_accuracy": 3, "val_accuracy": 3}, sweep=evaluate_sweep, evaluate=evaluate)
