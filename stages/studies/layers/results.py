"""layers, measured: errors, ranks and singular values of one layer and of two, beside what theory knows of them.

Shapes: T trials, L values of λ, k singular values.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import on_grid
from stages.base.streams import Arrays
from stages.measure.explored import lowest
from stages.measure.findings import SINGLE, lost_runs, per_cent, sentence, sign
from stages.measure.results import LOWER, NEITHER, Metrics, Results
from stages.measure.rows import Table
from stages.measure.statistics import curve, mean_and_error, over_pairs
from stages.studies.layers.spectrum import errors, optimum, rank, spectrum
from stages.studies.layers.system import LAYERS, RUNS, SEEN, Layers

KNOWN = 16  # bits of a distance: what is nearer than 1e-5 is zero


def evaluate_sweep(_: Layers, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each run and λ, and for what theory expects of it where all entries are seen; the best λ of each."""
    weight_decays, targets = swept["weight_decay"], arrays["targets"]
    runs = {run: swept[run] for run in RUNS} | {f"{each}_theory": optimum(targets, weight_decays, each) for each in LAYERS}
    table: Table = []
    found: dict[str, Any] = {}
    at_best, lost = {}, 0
    for run, each in errors(arrays, runs).items():
        values = spectrum(runs[run])
        measured, diverged = {"error": each, "rank": rank(values, targets)}, np.isnan(each)
        rows = curve({"run": run}, "weight_decay", weight_decays, measured)
        table += [row | {"diverged": count} for row, count in zip(rows, diverged.sum(axis=0).tolist(), strict=True)]
        place, lost = lowest(each.mean(axis=0), diverged), lost + diverged.sum()
        at_best[run] = np.full(len(each), np.nan) if place is None else each[:, place]
        found[run] = mean_and_error("error_at_best", at_best[run]) | mean_and_error("error_at_zero", each[:, 0])
        found[run] |= {} if place is None else {"best_lambda": float(weight_decays[place])}
        found[run] |= {} if run.endswith("some") else {"values": means(values)}
    for layers in LAYERS:
        apart = np.linalg.norm(runs[f"{layers}_all"] - runs[f"{layers}_theory"], axis=(2, 3))
        apart = on_grid(apart / np.linalg.norm(targets, axis=(1, 2))[:, None], 1, KNOWN)
        found[f"{layers}_all"]["from_theory"] = float(np.nanmax(apart, initial=0.0))
    for seen in SEEN:
        found[f"two_minus_one_{seen}"] = over_pairs("error", at_best[f"two_{seen}"] - at_best[f"one_{seen}"])
    of_error = sentence((len(targets) == 1, SINGLE), (True, of_errors(found)))
    said = {"error": of_error, "panel": of_error, "values": of_rank(found, table, min(targets.shape[1:]))}
    return table, found | {"findings": {name: sentence((True, each), lost=[lost_runs(lost)]) for name, each in said.items()}}


def means(values: NDArray) -> list[list[float | None]]:
    """Each singular value's mean over trials, None where every trial diverged.  (T, L, k) → (L, k)"""
    return [[mean_and_error("mean", each).get("mean") for each in at_one.T] for at_one in np.moveaxis(values, 1, 0)]


def of_errors(found: Metrics) -> str:
    """Compare the errors of two layers with those of one, each at its best λ, on all entries and on those that are hidden."""
    said = []
    for seen in SEEN:
        gap, one = found[f"two_minus_one_{seen}"], found[f"one_{seen}"].get("error_at_best", 0.0)
        visible, much = (sign(gap, "error", among=2, of=of) for of in (0.0, one))
        less = f"{per_cent(abs(gap['error']) / one)} {'more' if visible > 0 else 'less'}" if much else ""
        cases = (
            ("error" not in gap, "cannot be compared"),
            (much, f"have {less} error than one"),
            (visible, "hardly differ in error from one"),
            (True, "do not visibly differ in error from one"),
        )
        said.append(sentence(*cases))
    return f"At each one's best λ two layers {said[0]}; on hidden entries they {said[1]}"


def of_rank(found: Metrics, table: Table, width: int) -> str:
    """Say how many singular values each model keeps at the best λ of two layers, or at the largest where that is 0."""
    decay = found["two_all"].get("best_lambda") or table[-1]["weight_decay"]
    ranks = {row["run"]: row["rank"] for row in table if row["weight_decay"] == decay}
    one, two = ("none known" if ranks[f"{layers}_all"] is None else f"{ranks[f'{layers}_all']:.3g}" for layers in LAYERS)
    return f"Of {width} singular values λ = {decay:g} keeps {two} with two layers, {one} with one, on average"


HEADLINES = {"error_at_best": LOWER, "best_lambda": NEITHER}
RESULTS = Results(swept=dict.fromkeys(RUNS, 4) | {"weight_decay": 1}, sweep=evaluate_sweep, headlines=HEADLINES)
