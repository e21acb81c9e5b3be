"""layers, measured: errors, ranks and singular values of one layer and of two, beside what theory knows of them.

Shapes: T trials, L values of λ, m rows, n columns, k = min(m, n).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import on_grid
from stages.base.streams import Arrays
from stages.measure.explored import lowest, over_trials
from stages.measure.findings import SINGLE, lost_runs, per_cent, sentence, sign
from stages.measure.results import LOWER, NEITHER, Metrics, Results
from stages.measure.rows import Table
from stages.measure.statistics import mean_and_error, over_pairs
from stages.studies.layers.spectrum import error, norm, optimum, rank, spectrum
from stages.studies.layers.system import RUNS, Layers

KNOWN = 16  # bits of a distance: what is nearer than 1e-5 is zero
LAYERS = ("one", "two")


def evaluate_sweep(_: Layers, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each run and λ; of each run the best λ, and where all entries are seen the singular values at each λ."""
    weight_decays, table, found = swept["weight_decay"], [], {}
    errors = {run: error(arrays, swept[run], hidden=run.endswith("some")) for run in RUNS}
    for run, each in errors.items():
        values = spectrum(swept[run])
        measured = {"error": each, "rank": rank(values, arrays["targets"])}
        found[run] = best(weight_decays, measured)
        if run.endswith("all"):
            theory = optimum(arrays["targets"], weight_decays, run.removesuffix("_all"))
            expected = {"theory": error(arrays, theory, hidden=False), "theory_rank": rank(spectrum(theory), arrays["targets"])}
            found[run] |= {"values": means(values), "theory_values": means(spectrum(theory))}
            apart = norm(swept[run] - theory) / norm(arrays["targets"])[:, None]
            found[run] |= {"from_theory": float(np.nanmax(on_grid(apart, 1, KNOWN), initial=0.0))}
        else:
            expected = {name: np.full_like(each, np.nan) for name in ("theory", "theory_rank")}
        table += of_decays(run, weight_decays, measured | expected)
    for where in ("all", "some"):
        one, two = (errors[f"{layers}_{where}"] for layers in LAYERS)
        found[f"two_minus_one_{where}"] = over_pairs("error", at_best(two) - at_best(one))
    lost = [lost_runs(int(sum(np.isnan(each).sum() for each in errors.values())))]
    single, width = len(arrays["truth"]) == 1, min(arrays["truth"].shape[1:])
    findings = {
        "error": sentence((single, SINGLE), (True, of_errors(found)), lost=lost),
        "values": sentence((True, of_rank(found, table, width)), lost=lost),
    }
    return table, found | {"findings": findings | {"panel": findings["error"]}}


def of_decays(run: str, weight_decays: NDArray, measured: Mapping[str, NDArray]) -> Table:
    """A row for each λ: means over trials.  (L,), (T, L) each"""
    return [
        {"run": run, "weight_decay": decay, "diverged": int(np.isnan(measured["error"][:, place]).sum()), "error_se": None}
        | dict.fromkeys(measured)
        | {
            key: value
            for name, each in measured.items()
            for key, value in mean_and_error(name, each[:, place]).items()
            if key in {"error_se", *measured}
        }
        for place, decay in enumerate(weight_decays.tolist())
    ]


def best(weight_decays: NDArray, measured: Mapping[str, NDArray]) -> dict[str, Any]:
    """The λ of the lowest mean error, among those at which no trial diverged; error and rank there, error at λ = 0."""
    place = lowest(measured["error"].mean(axis=0), np.isnan(measured["error"]))
    if place is None:
        return {}
    found = {"best_lambda": float(weight_decays[place])}
    for name, at in (("error_at_best", place), ("error_at_zero", 0)):
        found |= mean_and_error(name, measured["error"][:, at])
    return found | {"rank_at_best": float(measured["rank"][:, place].mean())}


def means(values: NDArray) -> list[list[float]]:
    """Each singular value's mean over trials, 0 where every trial diverged.  (T, L, k) → (L, k)"""
    return np.nan_to_num(over_trials(values)[0]).tolist()


def at_best(errors: NDArray) -> NDArray:
    """The errors at the λ that is best on average.  (T, L) → (T,)"""
    place = lowest(errors.mean(axis=0), np.isnan(errors))
    return np.full(len(errors), np.nan) if place is None else errors[:, place]


def of_errors(found: Metrics) -> str:
    """Compare the errors of two layers with those of one, each at its best λ, on all entries and on those that are hidden."""
    sizes = {}
    for where in ("all", "some"):
        gap, one = found[f"two_minus_one_{where}"], found[f"one_{where}"].get("error_at_best", 0.0)
        seen = sign(gap, "error", among=2, of=one)
        sizes[where] = f"{per_cent(abs(gap['error']) / one)} {'more' if seen > 0 else 'less'}" if seen else ""
    alike = "two layers' error is not visibly different from one's"
    every = f"two layers have {sizes['all']} error than one" if sizes["all"] else alike
    some = f"they have {sizes['some']}" if sizes["some"] else "neither is visibly better"
    return f"At each one's best λ {every}; on hidden entries {some}"


def of_rank(found: Metrics, table: Table, width: int) -> str:
    """Say how many singular values each model keeps at the best λ of two layers, or at the largest where that is 0."""
    decay = found["two_all"].get("best_lambda") or table[-1]["weight_decay"]
    at = {row["run"]: row["rank"] for row in table if row["weight_decay"] == decay}
    ranks = {layers: at[f"{layers}_all"] for layers in LAYERS}
    if None in ranks.values():
        return f"At λ = {decay:g} every trial diverged"
    one, two = (f"{ranks[layers]:.3g}" for layers in LAYERS)
    return f"λ = {decay:g} keeps {two} of {width} singular values with two layers, {one} with one"


HEADLINES = {"error_at_best": LOWER, "best_lambda": NEITHER}
RESULTS = Results(swept=dict.fromkeys(RUNS, 4) | {"weight_decay": 1}, sweep=evaluate_sweep, headlines=HEADLINES)
