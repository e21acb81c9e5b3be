"""descent, at every Λ and every number of rows.

Shapes: T trials, N numbers of rows, L penalties Λ = nλ.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import first_rows, sizes
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import doubt, lowest, ratios
from stages.measure.findings import SINGLE, counted
from stages.studies.descent.risks import risks_of_trials
from stages.studies.descent.system import CONVERGED, Descent
from stages.theory.risk import ridge_risk


def show(section: Descent, arrays: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    penalties, counts, (inputs, signal, _) = swept["penalty"], arrays["rows"].tolist(), sizes(arrays)
    each = risks_of_trials(arrays, swept)  # (T, N, L)
    medians, expected, null = np.median(each, axis=0), expectations(arrays, penalties), signal**2
    logs, kept = np.log(np.maximum(each, (CONVERGED * signal) ** 2)), np.zeros(each.shape[::2], dtype=bool)
    best = [lowest(own, kept) for own in medians]
    at_rows = [Line("median risk", medians), Line("expected", expected, theory=True)]
    over_rows = [replace(line, values=line.values.T[None]) for line in at_rows]
    level = ("w = 0", null)
    return Shown(
        title="Double descent",
        question="Can more data hurt?",
        decay=Slider("Λ", penalties.tolist()),
        second=Slider("rows", counts, int(np.abs(np.log(np.array(counts) / inputs)).argmin())),
        charts=(
            OverSteps("Risk over the number of rows", "rows", "risk", log_y=True, x=counts, lines=over_rows, level=level),
            OverDecays("Risk at this number of rows", "Λ", "risk", log_y=True, lines=at_rows, level=level),
        ),
        said=[
            ratios(
                "Λ",
                penalties,
                each[:, index],
                "risk",
                where=f"With {counted(rows, 'row')}",
                null=null,
                floor=(CONVERGED * signal) ** 2,
            )
            for index, rows in enumerate(counts)
        ],
        facts=(
            *((line.name, line) for line in at_rows),
            ("λ = Λ/rows", Line("λ", penalties / np.array(counts)[:, None])),
        ),
        best=best,
        of_best="lowest risk",
        finding=summary["findings"]["risk"],
        doubt=[doubt(logs[:, index], kept, place) for index, place in enumerate(best)],
        trials=len(each),
        notes=[SINGLE] if len(each) == 1 else [],
        words=[
            f"A linear model learns {counted(inputs, 'weight')} from {counts[0]:,} to {counts[-1]:,} noisy rows",
            "Λ is λ times the number of rows: in ridge, the factor of ‖w‖² beside the sum of the squared errors",
            "Risks are medians over trials: near as many rows as inputs, a few trials have most of the mean",
            "The risk is ‖w − w*‖², the squared distance to the true weights; with w = 0 it is ‖w*‖²",
        ],
    )


def expectations(arrays: Arrays, penalties: NDArray) -> NDArray[np.float64]:
    """The median over trials of the risk that theory expects from a trial's rows.  (N, L)"""
    inputs, signal, noise = sizes(arrays)
    values = [np.linalg.svd(first_rows(arrays, rows)["train_inputs"], compute_uv=False) for rows in arrays["rows"].tolist()]
    return np.array(
        [
            [np.median(ridge_risk(own, penalty, inputs=inputs, signal=signal, noise=noise)) for penalty in penalties.tolist()]
            for own in values
        ]
    )


READ = {"risk": 3, "trained": Integers(2), "penalty": 1}
EXPLORER = Explorer(swept=READ, columns=("penalty",), show=show, grid=("penalty", "penalty"))
