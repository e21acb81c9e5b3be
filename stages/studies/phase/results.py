"""phase, measured: for each λ and each share of the pairs, whether the network memorises and generalises, and when.

A cell of the map is the trials of one λ on one share.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from stages.base.addition import true_share
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure.arrivals import arrivals, arrives, by_weight_decay, share_needed
from stages.measure.findings import continued, counted, lost_runs, onwards, per_cent, sentence
from stages.measure.results import LOWER, NEITHER, Results
from stages.measure.rows import Table
from stages.studies.phase.system import Phase

PHASES = ("soon", "late", "by_heart", "neither", "diverged")


def evaluate_sweep(section: Phase, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row a run, with the phase of its cell; and how many cells each phase has."""
    steps = swept["steps"]
    report, grid = section.report, section.sweep
    table = arrivals(swept, grid.train_fraction, grid.wd, steps=steps, threshold=report.threshold)
    cells = {place: phase(rows, report.late) for place, rows in by_cell(table).items()}
    table = [row | {"phase": cells[row["weight_decay"], row["train_fraction"]]} for row in table]
    counts, needed, last_step = Counter(cells.values()), needs(table), int(steps[-1])
    summary = {"steps": last_step, "p": int(arrays["p"]), "threshold": report.threshold, "late": report.late}
    found = {"cells": {name: counts[name] for name in PHASES}, "tenfold": tenfold(table)} | (
        {"fewest": fewest(needed)} if needed else {}
    )
    said = finding(table, last_step, int(arrays["p"]))
    return table, summary | found | {"findings": {"panel": said, "map": said}}


def by_cell(table: Table) -> dict[tuple[float, float], Table]:
    """(λ, share) → its trials."""
    cells: dict[tuple[float, float], Table] = {}
    for row in table:
        cells.setdefault((row["weight_decay"], row["train_fraction"]), []).append(row)
    return cells


def phase(trials: Table, late: float) -> str:
    """What all trials of a cell do. To generalise late is to take `late` times the steps to memorise, as means over trials."""
    if any(row["diverged"] for row in trials):
        return "diverged"
    memorised, generalised = arrives(trials, "memorise"), arrives(trials)
    if generalised is not None:
        return "late" if memorised is not None and generalised >= late * memorised else "soon"
    return "by_heart" if memorised is not None else "neither"


def tenfold(table: Table) -> int:
    """Count the cells that take at least ten times the steps to generalise that they take to memorise."""
    steps = [(arrives(rows, "memorise"), arrives(rows)) for rows in by_cell(table).values()]
    return sum(generalised >= 10 * memorised for memorised, generalised in steps if memorised and generalised is not None)


def needs(table: Table) -> dict[float, dict[str, Any]]:
    """λ → the share of the pairs from which on all trials generalise, and when on that share. Without λ that have none."""
    found = {}
    for weight_decay, own in by_weight_decay(table).items():
        if (share := share_needed(own)) is not None:
            rows = [row for row in own if row["train_fraction"] == share]
            steps: dict[str, Any] = {f"steps_to_{verb}": arrives(rows, verb) for verb in ("memorise", "generalise")}
            found[weight_decay] = {"weight_decay": weight_decay, "train_fraction": share} | steps
    return found


def fewest(needed: Mapping[float, dict[str, Any]]) -> dict[str, Any]:
    """Of the λ that need the smallest share, the one that generalises soonest on it."""
    return min(needed.values(), key=lambda each: (each["train_fraction"], each["steps_to_generalise"]))


def finding(table: Table, steps: int, p: int) -> str:
    """Say how many pairs it takes to generalise: with the smallest λ, with the best, and from where on none are enough."""
    table = [row | {"train_fraction": true_share(row["train_fraction"], p)} for row in table]
    trials, length = len({row["trial"] for row in table}), counted(steps, "step")
    within, weight_decays, needed = f"Within {length}", list(by_weight_decay(table)), needs(table)
    shares = sorted({row["train_fraction"] for row in table})
    largest = f"{per_cent(shares[-1])} of the pairs"
    many = {1: ""}.get(trials, " in both trials" if trials == 2 else f" in all {trials} trials")
    all_trials = f"To generalise {continued(within)}{many},"
    somewhere = {weight_decay for (weight_decay, _), rows in by_cell(table).items() if arrives(rows) is not None}
    beyond = [weight_decay for weight_decay in weight_decays if weight_decay > max(somewhere, default=math.inf)]
    return sentence(
        (not somewhere, f"{within} no λ generalises on any share of the pairs"),
        (len(shares) == 1, f"{within} {len(somewhere)} of {len(weight_decays)} λ generalise on {largest}"),
        (not needed, f"{within} no λ generalises on {largest}"),
        (True, f"{all_trials} {pairs_needed(needed, weight_decays, largest)}{onwards(beyond, 'no share is enough')}"),
        lost=[lost_runs(sum(row["diverged"] for row in table), len(table))],
    )


def pairs_needed(needed: Mapping[float, dict[str, Any]], weight_decays: Sequence[float], largest: str) -> str:
    """Say which share of the pairs the smallest λ needs, and whether another needs fewer; nothing where none is enough."""
    if not needed:
        return ""
    best, own = fewest(needed), needed.get(weight_decays[0])
    share = own["train_fraction"] if own else math.inf
    said = f"λ = {weight_decays[0]:g} " + (f"needs {per_cent(share)} of the pairs" if own else f"does not on {largest}")
    more = sentence(
        (best["train_fraction"] < share, f", λ = {best['weight_decay']:g} needs {per_cent(best['train_fraction'])}"),
        (len(weight_decays) > 1, ", and no other λ needs fewer"),
        (True, ""),
    )
    return said + more


READ = {"diverged": Integers(3), "steps": Integers(1), "train_accuracy": 4, "val_accuracy": 4}
HEADLINES = {"train_fraction": LOWER, "steps_to_generalise": LOWER, "diverged": LOWER, "weight_decay": NEITHER, "soon": NEITHER}
RESULTS = Results(swept=READ, sweep=evaluate_sweep, headlines=HEADLINES)
