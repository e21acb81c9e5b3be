"""modular, measured: beside chance, with the steps at which it memorises and generalises."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Maybe
from stages.base.streams import Arrays
from stages.measure import sweeps
from stages.measure.findings import effect, per_cent, visible
from stages.measure.results import HIGHER, LOWER, NEITHER, OF_ARMS, OF_SWEEP, Metrics, Results
from stages.measure.rows import Row, Runs, Table, curves, ended, metrics
from stages.measure.statistics import alive
from stages.studies._addition.results import VERBS, arrival, arrivals, arrives, decays_of, fate, first_step, share_needed
from stages.studies.modular.system import CURVATURE, Modular

PAIRS = (("wd", "baseline"),)  # compared trial by trial


def losses_of_zero(arrays: Arrays) -> dict[str, NDArray]:
    """The loss of predicting zero: one of p labels is 1.  (R,) each"""
    size = np.full(len(arrays["pairs"]), CURVATURE / 2 / int(arrays["p"]))
    return {"train": size, "val": size}


def chance(arrays: Arrays) -> Row:
    """Every class equally likely.  (R,) each"""
    p, trials = int(arrays["p"]), len(arrays["pairs"])
    values = {"loss": np.full(trials, (1 - 1 / p) / p), "accuracy": np.full(trials, 1 / p)}
    row = {f"{split}_{name}": value for name, value in values.items() for split in ("train", "val")}
    return row | {"weight_norm": np.zeros(trials), "half_squared_norm": np.zeros(trials)}


def purity(run: Mapping[str, NDArray]) -> NDArray[np.float64]:
    """The share of a unit's power at its strongest frequency at the end, on average over units.  (R, h, F, K) → (R,)"""
    return run["spectrum"][..., -1].max(axis=2).mean(axis=1) / 255 * alive(run)


def evaluate(section: Modular, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    rows = {name: ended(run) | {"purity": purity(run)} for name, run in runs.items()} | {"null": chance(arrays)}
    found = metrics(rows, runs, PAIRS, losses_of_zero(arrays))
    for name, run in runs.items():
        found[name] |= arrival(run, section.report.threshold)
    return found | {"findings": findings(found, section.train.steps)}, curves(runs, "step")


def findings(rows: Metrics, steps: int) -> dict[str, str]:
    """A sentence for each figure."""
    parts = [f"λ = {rows[row]['weight_decay']:g} {fate(rows[row], steps)}" for row in ("wd", "baseline")]
    said = "; ".join(parts) if parts[0] != parts[1] else f"In both arms {parts[0]}"
    compared = rows["wd"]["weight_decay"] != rows["baseline"]["weight_decay"]
    chance = "" if beats_chance(rows) or not compared else "; with decay it is no better than chance"
    shares = dict.fromkeys(f"{per_cent(rows[row]['purity'])} at λ = {rows[row]['weight_decay']:g}" for row in ("wd", "baseline"))
    return {
        "panel": said,
        "accuracy": said,
        "curves": effect(rows, when=f" after {steps:,} steps") + chance,
        "frequencies": "A unit's strongest frequency holds " + ", ".join(shares).replace("%", "% of its power", 1),
    }


def beats_chance(rows: Metrics) -> bool:
    """Whether the validation loss with decay is visibly below that of every class equally likely."""
    gap = rows["wd"]["val_loss"] - rows["null"]["val_loss"]
    return gap < 0 and visible(gap, rows["wd"].get("val_loss_se"))


def evaluate_sweep(section: Modular, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row a run; of the runs on other shares of the pairs, when each memorises and generalises, and no more."""
    ends = sweeps.ends(swept)
    for split, verb in VERBS.items():
        ends[f"steps_to_{verb}"] = first_step(swept[f"{split}_accuracy"], swept["steps"], section.report.threshold)
    table, found = sweeps.evaluated(swept, ends, losses_of_zero(arrays)["val"], chance(arrays)["val_loss"])
    share, shares = section.train.train_fraction, section.sweep.shares
    table = [{"weight_decay": row["weight_decay"], "train_fraction": share} | row for row in table]
    on_shares = {name.removeprefix("shares_"): values for name, values in swept.items() if name.startswith("shares_")}
    known: dict[str, Any] = {"steps": swept["steps"], "threshold": section.report.threshold}
    others = arrivals(on_shares, swept["shares"].tolist(), shares.wd, **known)
    others = [dict.fromkeys(table[0]) | row for row in others]
    summary = {"threshold": section.report.threshold, "steps": int(swept["steps"][-1]), "train_fraction": share}
    summary |= pace(table, lr=float(swept["lr"]))
    said = {"steps": pace_said(table, summary), "shares": shares_said([*table, *others], shares.wd)}
    return [*table, *others], found | summary | {"findings": said}


def pace(table: Table, *, lr: float) -> dict[str, float]:
    """The quickest λ, and how many times 1/(lr·λ) the step is at each λ up to it where every trial generalises.

    It is about the same, as weights are forgotten in 1/(lr·λ) steps; `law` is its geometric mean.
    """
    steps = {decay: arrives([row for row in table if row["weight_decay"] == decay]) for decay in decays_of(table)}
    known = {decay: step for decay, step in steps.items() if step is not None}
    if not known:
        return {}
    quickest = min(known, key=known.__getitem__)
    paces = {decay: step * lr * decay for decay, step in known.items() if 0 < decay <= quickest and step > 0}
    law = {"law": float(np.exp(np.mean(np.log(list(paces.values())))))} if paces else {}
    each = {f"pace_at_{decay:g}": value for decay, value in paces.items()}
    return {"quickest_lambda": quickest, "steps_at_quickest": known[quickest], "lr": lr} | law | each


def pace_said(table: Table, summary: Mapping[str, float]) -> str:
    """What λ does to the step at which all trials generalise."""
    within = f"within {summary['steps']:,} steps"
    if "quickest_lambda" not in summary:
        return f"No λ makes every trial generalise {within}"
    said = f"λ = {summary['quickest_lambda']:g} generalises soonest, at step {summary['steps_at_quickest']:,.0f}"
    decays = decays_of(table)
    if summary["quickest_lambda"] == decays[0]:
        return said
    without = [row for row in table if row["weight_decay"] == decays[0]]
    if (step := arrives(without)) is not None:
        return f"{said}; λ = {decays[0]:g} at step {step:,.0f}"
    some = any(row["steps_to_generalise"] is not None and row["steps_to_generalise"] >= 0 for row in without)
    return f"{said}; λ = {decays[0]:g} not {'in every trial' if some else within}"


def shares_said(table: Table, decays: tuple[float, ...]) -> str:
    """From which share of the pairs on all trials generalise, with the smallest and with the largest λ."""
    said = []
    for decay in dict.fromkeys((decays[0], decays[-1])):
        needed = share_needed([row for row in table if row["weight_decay"] == decay])
        said.append(f"λ = {decay:g} needs {per_cent(needed) if needed is not None else 'more'}")
    return ", ".join(said) + " of the pairs"


READ = sweeps.READ | {"train_accuracy": 3, "val_accuracy": 3}
READ |= {"shares": Maybe(1), "shares_diverged": Maybe(3), "shares_train_accuracy": Maybe(4), "shares_val_accuracy": Maybe(4)}
HEADLINES = {"steps_to_generalise": LOWER, "val_accuracy": HIGHER} | OF_ARMS | {"steps_to_memorise": NEITHER} | OF_SWEEP
RESULTS = Results(swept=READ, sweep=evaluate_sweep, evaluate=evaluate, headlines=HEADLINES)
