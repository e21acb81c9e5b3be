"""scaling, at every λ and every number of rows.

Shapes: O optimisers, B batch sizes, N numbers of rows, T trials, L values of λ.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import sizes
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import beside, doubt, effects, lowest, notes, over_trials
from stages.measure.findings import counted
from stages.studies.scaling.system import OPTIMIZERS, Scaling


def show(section: Scaling, arrays: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    counts, weight_decays, batch_sizes = arrays["rows"].tolist(), swept["weight_decay"], swept["batch_size"].tolist()
    inputs, signal, _ = sizes(arrays)
    risks = np.moveaxis(swept["risk"], 3, 0)  # (T, O, B, N, L)
    lost = np.isnan(risks)
    means, errors = over_trials(risks)
    sgd, adamw = range(len(OPTIMIZERS))
    runs = {(adamw, 0): "AdamW", (adamw, len(batch_sizes) - 1): "AdamW", (sgd, 0): "SGD"}
    names = {(o, b): f"{name}, batches of {batch_sizes[b]}" for (o, b), name in runs.items()}
    at_rows = [Line(name, means[run], errors[run]) for run, name in names.items()]
    over_rows = [Line(name, means[run].T[None], errors[run].T[None]) for run, name in names.items()]
    level, null = ("w = 0", signal**2), np.full(len(risks), signal**2)
    best = [lowest(means[adamw, 0, n], lost[:, adamw, 0, n]) for n in range(len(counts))]
    with np.errstate(divide="ignore"):
        epochs = np.where(weight_decays > 0, swept["epochs"][adamw, 0][:, None] / weight_decays, np.nan)  # (N, L)
    return Shown(
        title="More rows",
        question="Which λ for ten times the data?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("rows", counts),
        charts=(
            OverDecays("Risk with this many rows", "λ", "risk", log_y=True, lines=at_rows, level=level),
            OverSteps(
                "Risk over the number of rows", "rows", "risk", log_x=True, log_y=True, x=counts, lines=over_rows, level=level
            ),
        ),
        said=[
            beside(
                weight_decays,
                *(
                    effects(weight_decays, risks[:, o, 0, n], lost[:, o, 0, n], value="risk", when=f" with {name}", null=null)
                    for o, name in ((adamw, "AdamW"), (sgd, "SGD"))
                ),
            )
            for n in range(len(counts))
        ],
        facts=(
            *((names[o, 0], Line("risk", means[o, 0], errors[o, 0])) for o in (adamw, sgd)),
            ("1/(lr·λ) with AdamW, epochs", Line("time scale", epochs)),
        ),
        best=best,
        of_best="lowest risk with AdamW",
        finding=summary["findings"]["time"],
        doubt=[doubt(risks[:, adamw, 0, n], lost[:, adamw, 0, n], place) for n, place in enumerate(best)],
        trials=len(risks),
        notes=list(
            dict.fromkeys(
                note
                for n, rows in enumerate(counts)
                for note in notes(weight_decays, lost[:, adamw, 0, n], when=f" with AdamW on {counted(rows, 'row')}")
            )
        ),
        words=[
            f"A linear model learns {counted(inputs, 'weight')} from {counts[0]:,} to {counts[-1]:,} noisy rows, in batches",
            f"Sentences are about batches of {batch_sizes[0]}; steps an epoch are the rows divided by that",
            "The risk is ‖w − w*‖², the squared distance to the true weights; with w = 0 it is ‖w*‖²",
            "1/(lr·λ) steps is the time scale: decay alone would leave e⁻¹ of a weight after it",
        ],
    )


READ = {"risk": 5, "diverged": Integers(5), "weight_decay": 1, "epochs": 3, "batch_size": Integers(1)}
EXPLORER = Explorer(swept=READ, columns=("weight_decay",), show=show)
