"""scaling, on batches of the smallest size, at every λ and every number of rows.

Shapes: N numbers of rows, T trials, L values of λ.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import sizes
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import both, doubt, lowest, notes, over_trials
from stages.measure.findings import counted
from stages.studies.scaling.system import OPTIMIZERS, Scaling


def show(section: Scaling, arrays: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    counts, weight_decays, (inputs, signal, _) = arrays["rows"].tolist(), swept["weight_decay"], sizes(arrays)
    risks = {kind: np.moveaxis(of_sizes[0], 1, 0) for kind, of_sizes in zip(OPTIMIZERS, swept["risk"], strict=True)}  # (T, N, L)
    lost = {kind: np.isnan(each) for kind, each in risks.items()}
    found = {kind: over_trials(each) for kind, each in risks.items()}
    at_rows = {kind: Line(OPTIMIZERS[kind], *each) for kind, each in found.items()}
    over_rows = [Line(OPTIMIZERS[kind], *(values.T[None] for values in each)) for kind, each in found.items()]
    level, null, places = ("w = 0", signal**2), signal**2, range(len(counts))
    best = [lowest(at_rows["adamw"].values[n], lost["adamw"][:, n]) for n in places]
    with np.errstate(divide="ignore"):
        epochs = np.where(weight_decays > 0, swept["epochs"][1, 0][:, None] / weight_decays, np.nan)  # AdamW's, (N, L)
    return Shown(
        title="More rows",
        question="Which λ for more data?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("rows", counts),
        charts=(
            OverDecays("Risk with this many rows", "λ", "risk", log_y=True, lines=[*at_rows.values()], level=level),
            OverSteps(
                "Risk over the number of rows", "rows", "risk", log_x=True, log_y=True, x=counts, lines=over_rows, level=level
            ),
        ),
        said=both(weight_decays, risks, {kind: OPTIMIZERS[kind] for kind in ("adamw", "sgd")}, value="risk", null=null),
        facts=(
            *((f"risk with {line.name}", line) for line in at_rows.values()),
            ("1/(lr·λ) with AdamW, epochs", Line("time scale", epochs)),
        ),
        best=best,
        of_best="lowest risk with AdamW",
        finding=summary["findings"]["time"],
        doubt=[doubt(risks["adamw"][:, n], lost["adamw"][:, n], best[n]) for n in places],
        trials=len(arrays["true_weight"]),
        notes=notes(weight_decays, np.any([each.any(axis=1) for each in lost.values()], axis=0)),
        words=[
            f"A linear model learns {counted(inputs, 'weight')} from {counts[0]:,} to {counts[-1]:,} noisy rows",
            f"It learns in batches of {swept['batch_size'][0]}; the learning rate falls to zero along a line",
            "The risk is ‖w − w*‖², the squared distance to the true weights; with w = 0 it is ‖w*‖²",
            "1/(lr·λ) steps is the time scale: at the first learning rate decay alone would shrink a weight to e⁻¹ in it",
        ],
    )


READ = {"risk": 5, "weight_decay": 1, "epochs": 3, "batch_size": Integers(1)}
EXPLORER = Explorer(swept=READ, columns=("weight_decay",), show=show)
