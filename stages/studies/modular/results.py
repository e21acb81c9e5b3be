"""modular, measured: beside chance, with the steps at which it memorises and generalises."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.addition import true_share
from stages.base.storage import Maybe
from stages.base.streams import Arrays
from stages.measure import sweeps
from stages.measure.arrivals import VERBS, arrival, arrivals, arrives, by_weight_decay, fate, first_step, share_needed
from stages.measure.findings import HARDLY, as_good, counted, effect, others, per_cent, sentence
from stages.measure.results import HIGHER, LOWER, NEITHER, OF_ARMS, OF_SWEEP, Metrics, Results
from stages.measure.rows import Row, Runs, Table, curves, ended, metrics
from stages.measure.statistics import alive
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


def purity(run: Mapping[str, NDArray], place: int = -1) -> NDArray[np.float64]:
    """The share of a unit's power at its strongest frequency at an evaluation, on average over units.  (R, h, F, K) → (R,)"""
    return run["spectrum"][..., place].max(axis=2).mean(axis=1) / 255 * alive(run)


def evaluate(section: Modular, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    rows = {name: ended(run) | {"purity": purity(run), "purity_at_start": purity(run, 0)} for name, run in runs.items()}
    rows["null"] = chance(arrays)
    found = metrics(rows, runs, PAIRS, losses_of_zero(arrays))
    for name, run in runs.items():
        found[name] |= arrival(run, section.report.threshold)
    return found | {"findings": findings(found, section.train.steps)}, curves(runs, "step")


def findings(rows: Metrics, steps: int) -> dict[str, str]:
    """Write a sentence for each figure."""
    at = {row: f"λ = {rows[row]['weight_decay']:g}" for row in ("wd", "baseline")}
    fates = dict.fromkeys(f"{name} {fate(rows[row], steps)}" for row, name in at.items())
    said = "; ".join(fates) if len(fates) > 1 else f"In both arms {next(iter(fates))}"
    losses = effect(rows, when=f" after {counted(steps, 'step')}", brief=True)
    hopeless = at["wd"] != at["baseline"] and not beats_chance(rows)
    shares = {f"{per_cent(rows[row]['purity'])} at {name}": None for row, name in at.items()}
    shares[f"{per_cent(rows['wd']['purity_at_start'])} at the start"] = None
    return {
        "panel": said,
        "accuracy": said,
        "curves": losses + ("; with decay it is no better than chance" if hopeless else ""),
        "frequencies": "A unit's strongest frequency holds " + ", ".join(shares).replace("%", "% of its power", 1),
    }


def beats_chance(rows: Metrics) -> bool:
    """Tell whether the validation loss with decay is below that of every class equally likely, by more than hardly."""
    return rows["wd"].get("val_loss", 0.0) < (1 - HARDLY) * rows["null"]["val_loss"]


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
    said = {"steps": pace_said(table, summary), "shares": shares_said([*table, *others], shares.wd, int(arrays["p"]))}
    return [*table, *others], found | summary | {"findings": said}


def pace(table: Table, *, lr: float) -> dict[str, float]:
    """The quickest λ, and how many times 1/(lr·λ) the step is at each λ up to it where every trial generalises.

    It is about the same, as weights are forgotten in 1/(lr·λ) steps; `law` is its geometric mean.
    """
    steps = {weight_decay: arrives(rows) for weight_decay, rows in by_weight_decay(table).items()}
    known = {weight_decay: step for weight_decay, step in steps.items() if step is not None}
    if not known:
        return {}
    quickest = min(known, key=known.__getitem__)
    paces = {each: step * lr * each for each, step in known.items() if 0 < each <= quickest and step > 0}
    law = {"law": float(np.exp(np.mean(np.log(list(paces.values())))))} if paces else {}
    each = {f"pace_at_{weight_decay:g}": value for weight_decay, value in paces.items()}
    return {"quickest_lambda": quickest, "steps_at_quickest": known[quickest], "lr": lr} | law | each


def pace_said(table: Table, summary: Mapping[str, float]) -> str:
    """Say what λ does to the step at which all trials generalise."""
    within = f"within {counted(int(summary['steps']), 'step')}"
    if "quickest_lambda" not in summary:
        return f"No λ makes every trial generalise {within}"
    known = by_weight_decay(table)
    said = f"λ = {summary['quickest_lambda']:g} generalises soonest, at step {summary['steps_at_quickest']:,.0f}"
    arrived = [each for each, rows in known.items() if arrives(rows) is not None]
    alike = as_good(np.array([[row["steps_to_generalise"] for row in known[each]] for each in arrived], dtype=float).T)
    beside = others(summary["quickest_lambda"], [arrived[each] for each in alike], list(known)) if len(alike) > 1 else ""
    said += f" ({beside} not visibly later)" if beside else ""
    smallest, without = next(iter(known.items()))
    step, alone = arrives(without), [arrives([row]) is not None for row in without]
    return sentence(
        (summary["quickest_lambda"] == smallest, said),
        (step is not None, f"{said}; λ = {smallest:g} at step {step or 0:,.0f}"),
        (any(alone), f"{said}; λ = {smallest:g} not in every trial"),
        (True, f"{said}; λ = {smallest:g} not {within}"),
    )


def shares_said(table: Table, weight_decays: tuple[float, ...], p: int) -> str:
    """Say from which share of the pairs on all trials generalise, with the smallest and with the largest λ."""
    rows = by_weight_decay(table)
    needed = {each: share_needed(rows.get(each, [])) for each in (weight_decays[0], weight_decays[-1])}
    said = [f"λ = {each:g} needs {'more' if share is None else per_cent(true_share(share, p))}" for each, share in needed.items()]
    return ", ".join(said) + " of the pairs, for all trials to generalise"


READ = sweeps.READ | {"train_accuracy": 3, "val_accuracy": 3}
READ |= {"shares": Maybe(1), "shares_diverged": Maybe(3), "shares_train_accuracy": Maybe(4), "shares_val_accuracy": Maybe(4)}
HEADLINES = {"steps_to_generalise": LOWER, "val_accuracy": HIGHER} | OF_ARMS | {"steps_to_memorise": NEITHER} | OF_SWEEP
RESULTS = Results(swept=READ, sweep=evaluate_sweep, evaluate=evaluate, headlines=HEADLINES)
