"""descent, measured: the risk for every n and Λ, beside its exact expectation; solved where training cannot arrive.

Shapes: T trials, n rows, d inputs, N numbers of rows, L penalties Λ = nλ.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import losses_on_grid
from stages.base.streams import Arrays
from stages.studies.descent.system import CONVERGED, Descent, first_rows, risk, sizes
from stages.theory.measured import Table
from stages.theory.results import Results
from stages.theory.ridge import solve
from stages.theory.risk import least_norm_risk, ridge_risk
from stages.theory.statistics import mean_and_error, z_score


def optimum(arrays: Arrays, weight_decay: float) -> dict[str, NDArray]:
    """Ridge on all rows of the data, in every trial."""
    rows = arrays["train_inputs"].shape[1]
    return {"weight": solve(*decomposed(arrays), arrays["train_targets"], rows * weight_decay)}


def decomposed(arrays: Arrays) -> tuple[NDArray, NDArray, NDArray]:
    """The singular value decomposition of each trial's rows, m = min(n, d).  (T, n, m), (T, m), (T, m, d)"""
    return np.linalg.svd(arrays["train_inputs"], full_matrices=False)


def evaluate_sweep(section: Descent, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each n and Λ, and for each n the best Λ, with the risk there, at Λ = 0 and at theory's best."""
    penalties, best = swept["penalty"], float(swept["theory_penalty"])
    inputs, _, _ = sizes(arrays)
    table: Table = []
    for index, rows in enumerate(arrays["rows"].tolist()):
        table += risks(first_rows(arrays, rows), penalties, swept["trained"][index], swept["risk"][:, index])
    found: dict[str, Any] = {
        "inputs": inputs,
        "signal": section.system.weight_norm,
        "noise": section.system.noise,
        "theory_penalty": best,
        "trained": sum(row["trained"] for row in table),
        "solved": sum(1 - row["trained"] for row in table),
        "max_abs_z": max((abs(row["z"]) for row in table if row["z"] is not None), default=0.0),
    }
    for count in arrays["rows"].tolist():
        own = {row["penalty"]: row["risk"] for row in table if row["rows"] == count}
        lowest = min(own, key=own.__getitem__)
        found[f"rows_{count}"] = {
            "best_penalty": lowest,
            "risk_at_zero": own[0.0],
            "risk_at_best": own[lowest],
            "risk_at_theory": own[best],
        }
    return table, found


def risks(arrays: Arrays, penalties: NDArray, trained: NDArray, measured: NDArray) -> Table:
    """One row for each Λ: the mean of ‖w − w*‖² over trials, what theory expects, and how far they are apart.

    `theory` is exact given each trial's rows, an expectation over the direction of w* and the noise; `closed_form`, at Λ = 0,
    is an expectation over the rows too. `z` is the mean of the trials' own gaps to `theory`, in standard errors; 0 where it
    is less than what training may have left. measured (T, L), NaN where a Λ is not trained
    """
    inputs, signal, noise = sizes(arrays)
    known: dict[str, Any] = {"inputs": inputs, "signal": signal, "noise": noise}
    rows, parts = arrays["train_inputs"].shape[1], decomposed(arrays)
    closed, table = least_norm_risk(rows, **known), []
    for index, penalty in enumerate(penalties.tolist()):
        own = measured[:, index]
        if not trained[index]:
            own = risk(solve(*parts, arrays["train_targets"], penalty)[:, None], arrays)[:, 0]
        expected = ridge_risk(parts[1], penalty, **known)
        gap = mean_and_error("gap", own - expected)
        left = CONVERGED * signal * (2 * np.sqrt(expected.mean()) + signal * CONVERGED)
        table.append(
            {"rows": rows, "penalty": penalty, "weight_decay": penalty / rows, "trained": int(trained[index])}
            | {"risk_se": None}
            | mean_and_error("risk", own)
            | {"theory": float(losses_on_grid(mean_and_error("theory", expected)["theory"], signal**2))}
            | {"closed_form": closed if penalty == 0 and np.isfinite(closed) else None}
            | {"z": z_score(gap["gap"], gap.get("gap_se"), left)}
        )
    return table


RESULTS = Results(swept={"risk": 3, "trained": 2, "penalty": 1, "theory_penalty": 0}, sweep=evaluate_sweep, optimum=optimum)
