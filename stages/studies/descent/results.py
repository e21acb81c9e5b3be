"""descent, measured: the risk for every n and Λ, beside its exact expectation; solved where training cannot arrive.

Shapes: T trials, n rows, d inputs, N numbers of rows, L penalties Λ = nλ.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import first_rows, sizes
from stages.base.rounding import losses_on_grid
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure.findings import SINGLE, VERBS, counted, sentence, sign_over_trials
from stages.measure.linear import optimum
from stages.measure.results import LOWER, Reference, Results
from stages.measure.rows import Table
from stages.measure.statistics import mean_and_error, z_score
from stages.studies.descent.risks import risks_of_trials
from stages.studies.descent.system import CONVERGED, Descent
from stages.theory.risk import least_norm_risk, ridge_risk


def evaluate_sweep(section: Descent, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each n and Λ, and for each n the best Λ, with the risk there, at Λ = 0 and at theory's best."""
    penalties, best, counts = swept["penalty"], float(swept["theory_penalty"]), arrays["rows"].tolist()
    inputs, signal, _ = sizes(arrays)
    measured = risks_of_trials(arrays, swept)
    table: Table = []
    for index, rows in enumerate(counts):
        first = first_rows(arrays, rows)
        values = np.linalg.svd(first["train_inputs"], compute_uv=False)
        table += risks(first, values, penalties, swept["trained"][index], measured[:, index])
    at_zero, at_best = (measured[:, :, penalties.tolist().index(penalty)] for penalty in (0.0, best))
    floor = (CONVERGED * signal) ** 2
    found: dict[str, Any] = {
        "inputs": inputs,
        "signal": section.data.weight_norm,
        "noise": section.data.noise,
        "theory_penalty": best,
        "trained": sum(row["trained"] for row in table),
        "solved": sum(1 - row["trained"] for row in table),
        "max_abs_z": max((abs(row["z"]) for row in table if row["z"] is not None), default=0.0),
        "findings": {
            "risk": finding(counts, at_zero, at_best, inputs=inputs, best=best, floor=floor),
            "panel": at_the_peak(counts, at_zero, at_best, inputs=inputs, best=best, floor=floor),
        },
    }
    for count in counts:
        own = {row["penalty"]: row["risk"] for row in table if row["rows"] == count}
        lowest = min(own, key=own.__getitem__)
        found[f"rows_{count}"] = {
            "best_penalty": lowest,
            "risk_at_zero": own[0.0],
            "risk_at_best": own[lowest],
            "risk_at_theory": own[best],
        }
    return table, found


def risks(arrays: Arrays, values: NDArray, penalties: NDArray, trained: NDArray, measured: NDArray) -> Table:
    """One row for each Λ: the mean of ‖w − w*‖² over trials, what theory expects, and how far they are apart.

    `theory` is exact given each trial's rows, an expectation over the direction of w* and the noise; `closed_form`, at Λ = 0,
    is an expectation over the rows too. `z` is the mean of the trials' own gaps to `theory`, in standard errors; 0 where it
    is less than what training may have left, None where the risk has no expectation over the rows, so no error.
    Singular values (T, min(n, d)), measured (T, L)
    """
    inputs, signal, noise = sizes(arrays)
    known: dict[str, Any] = {"inputs": inputs, "signal": signal, "noise": noise}
    rows = arrays["train_inputs"].shape[1]
    closed, table = least_norm_risk(rows, **known), []
    for index, penalty in enumerate(penalties.tolist()):
        own, expected = measured[:, index], ridge_risk(values, penalty, **known)
        gap = mean_and_error("gap", own - expected)
        left = CONVERGED * signal * (2 * np.sqrt(expected.mean()) + signal * CONVERGED)
        table.append(
            {"rows": rows, "penalty": penalty, "weight_decay": penalty / rows, "trained": int(trained[index])}
            | {"risk_se": None}
            | mean_and_error("risk", own)
            | {"theory": float(losses_on_grid(mean_and_error("theory", expected)["theory"], signal**2))}
            | {"closed_form": closed if penalty == 0 and np.isfinite(closed) else None}
            | {"z": None if penalty == 0 and np.isinf(closed) else z_score(gap["gap"], gap.get("gap_se"), left)}
        )
    return table


def finding(counts: Sequence[int], at_zero: NDArray, at_best: NDArray, *, inputs: int, best: float, floor: float) -> str:
    """Say what more rows do to the risk, without decay and with theory's best Λ.  (N,), (T, N) each"""
    without, with_best = (effect_of_rows(counts, each, inputs=inputs, floor=floor) for each in (at_zero, at_best))
    return sentence(
        (len(at_zero) == 1, SINGLE),
        (len(counts) == 1, "A single number of rows has nothing to compare with"),
        (best == 0, f"Without noise the best Λ is 0, and {with_best}"),
        (without == with_best, f"Without decay as with the best Λ, {without}"),
        (True, f"Without decay {without}; with the best Λ {with_best}"),
    )


def at_the_peak(counts: Sequence[int], at_zero: NDArray, at_best: NDArray, *, inputs: int, best: float, floor: float) -> str:
    """Say what theory's best Λ does to the median risk where the number of rows is nearest that of inputs.  (N,), (T, N) each"""
    place = min(range(len(counts)), key=lambda index: abs(counts[index] - inputs))
    where = f"With {counted(counts[place], 'row')} and {counted(inputs, 'input')}, Λ = {best:g}"
    without, with_best = (np.maximum(each[:, place], floor) for each in (at_zero, at_best))
    seen = sign_over_trials(np.log(with_best) - np.log(without))
    change = f"from {np.median(without):.2g} to {np.median(with_best):.2g}"
    return sentence(
        (best == 0, "Without noise the best Λ is 0"),
        (len(at_zero) == 1, SINGLE),
        (seen, f"{where} {VERBS.get(seen)} the median risk {change}"),
        (True, f"{where} has no visible effect on the risk"),
    )


def effect_of_rows(counts: Sequence[int], each: NDArray, *, inputs: int, floor: float) -> str:
    """Say a part of a sentence. Where the risk rises several times, it is about the rise by the largest factor.

    Risks are compared by their ratios, trial by trial, in the mean of logarithms: around n = d the mean of the risk itself
    has no expectation, and so no error. Their means must be in the same order. Below `floor`, what training may leave, a risk
    is none.  (N,), (T, N)
    """
    each = np.maximum(each, floor)
    means, logs, all_rows = each.mean(axis=0), np.log(each), range(len(counts))
    pairs = list(itertools.combinations(all_rows, 2))

    def higher(one: int, other: int) -> bool:
        return means[one] > means[other] and sign_over_trials(logs[:, one] - logs[:, other], among=len(pairs)) > 0

    rises = [(low, high) for low, high in pairs if higher(high, low)]
    low, high = max(rises, key=lambda pair: means[pair[1]] / means[pair[0]], default=(0, 0))
    falls = any(higher(high, after) for after in all_rows[high + 1 :])
    return sentence(
        (rises and falls and counts[high] == inputs, "the risk peaks where rows = inputs"),
        (rises and falls, f"the risk peaks at {counts[high]} rows"),
        (rises, f"the risk rises from {counts[low]} to {counts[high]} rows"),
        (all(higher(one, after) for one, after in itertools.pairwise(all_rows)), "more rows always help"),
        (any(higher(one, after) for one, after in pairs), "more rows never visibly hurt"),
        (True, "the number of rows makes no visible difference"),
    )


READ = {"risk": 3, "trained": Integers(2), "penalty": 1, "theory_penalty": 0}
HEADLINES = {"risk_at_zero": LOWER, "risk_at_best": LOWER}
RESULTS = Results(swept=READ, sweep=evaluate_sweep, references={"solved": Reference("", optimum)}, headlines=HEADLINES)
