"""phase, measured: for each λ and each share of the pairs, whether the network memorises and generalises, and when.

A cell of the map is the trials of one λ on one share.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure.findings import per_cent
from stages.measure.results import LOWER, NEITHER, Results
from stages.measure.rows import Table
from stages.studies._addition.results import arrivals, arrives, decays_of, share_needed
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
    found = {"cells": {name: counts[name] for name in PHASES}} | ({"fewest": fewest(needed)} if needed else {})
    said = finding(table, last_step)
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


def needs(table: Table) -> dict[float, dict[str, Any]]:
    """λ → the share of the pairs from which on all trials generalise, and when on that share. Without λ that have none."""
    found = {}
    for decay in decays_of(table):
        own = [row for row in table if row["weight_decay"] == decay]
        if (share := share_needed(own)) is not None:
            rows = [row for row in own if row["train_fraction"] == share]
            steps: dict[str, Any] = {f"steps_to_{verb}": arrives(rows, verb) for verb in ("memorise", "generalise")}
            found[decay] = {"weight_decay": decay, "train_fraction": share} | steps
    return found


def fewest(needed: Mapping[float, dict[str, Any]]) -> dict[str, Any]:
    """Of the λ that need the smallest share, the one that generalises soonest on it."""
    return min(needed.values(), key=lambda each: (each["train_fraction"], each["steps_to_generalise"]))


def finding(table: Table, steps: int) -> str:
    """How many pairs it takes to generalise: with the smallest λ, with the best, and from where on none are enough."""
    lost = sum(row["diverged"] for row in table)
    of_runs = [f"{lost} of {len(table)} runs diverged"] if lost else []
    return "; ".join(pairs_needed(table, f"Within {steps:,} steps") + of_runs)


def pairs_needed(table: Table, within: str) -> list[str]:
    """The parts of the sentence that speak of shares of the pairs."""
    decays, shares = decays_of(table), sorted({row["train_fraction"] for row in table})
    somewhere = {decay for (decay, _), rows in by_cell(table).items() if arrives(rows) is not None}
    if not somewhere:
        return [f"{within} no λ generalises on any share of the pairs"]
    if len(shares) == 1:
        return [f"{within} {len(somewhere)} of {len(decays)} λ generalise on {per_cent(shares[0])} of the pairs"]
    needed, first = needs(table), f"{within} λ = {decays[0]:g}"
    if not needed:
        return [f"{within} no λ generalises on {per_cent(shares[-1])} of the pairs"]
    best, own = fewest(needed), needed.get(decays[0])
    fails = f"{first} fails on {per_cent(shares[-1])} of the pairs"
    said = f"{first} needs {per_cent(own['train_fraction'])} of the pairs" if own else fails
    if own is None or best["train_fraction"] < own["train_fraction"]:
        said += f", λ = {best['weight_decay']:g} needs {per_cent(best['train_fraction'])}"
    elif len(decays) > 1:
        said += ", and no other λ needs fewer"
    beyond = [decay for decay in decays if decay > max(somewhere)]
    where = f"from λ = {beyond[0]:g} on" if len(beyond) > 1 else f"at λ = {decays[-1]:g}"
    return [said, f"{where} no share is enough"] if beyond else [said]


READ = {"diverged": Integers(3), "steps": Integers(1), "train_accuracy": 4, "val_accuracy": 4}
HEADLINES = {"train_fraction": LOWER, "steps_to_generalise": LOWER, "diverged": LOWER, "weight_decay": NEITHER, "soon": NEITHER}
RESULTS = Results(swept=READ, sweep=evaluate_sweep, headlines=HEADLINES)
