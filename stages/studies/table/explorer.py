"""table, at every λ and every number of training rows.

Shapes: T trials, K numbers of training rows, L decays, D inputs.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import doubt, lowest, ratios
from stages.measure.findings import SINGLE, counted
from stages.studies.table.losses import measured
from stages.studies.table.system import CONVERGED, CURVATURE, Rows, unit

NAMED = 8  # inputs whose weights are drawn
LINES = {"train_loss": "training", "val_loss": "validation", "test_loss": "test", "loo_loss": "leave-one-out"}


def show(section: Rows, arrays: Arrays, swept: Mapping[str, NDArray], _: Table, summary: Metrics) -> Shown:
    weight_decays, counts = swept["weight_decay"], swept["rows"].astype(int).tolist()
    each = [measured(arrays, swept, index, rows) for index, rows in enumerate(counts)]
    values = {name: np.stack([one[name] for one in each], axis=1) for name in each[0] if name != "weights"}  # (T, K, L)
    medians = {name: np.median(one, axis=0) for name, one in values.items()}  # (K, L) each
    classes, lost = len(arrays["classes"]), np.zeros(values["val_loss"].shape[::2], dtype=bool)
    judged, what = ("test_loss", "test loss") if classes else ("test_error", "test error")
    best = [lowest(own, lost) for own in values["val_loss"].mean(axis=0)]
    names = list(summary["weights"])[:NAMED]
    over_decays = [Line(called, medians[name]) for name, called in LINES.items() if name in medians]
    over_rows = [Line(called, medians[name].T[None]) for name, called in list(LINES.items())[:3]]
    shares = np.bincount(arrays["target"].astype(int)) / len(arrays["target"]) if classes else np.ones(1)
    null = -float(np.sum(shares * np.log(shares))) if classes else unit(arrays)
    level = ("best constant", null if classes else CURVATURE / 2)
    numbers = (
        {"test accuracy": "test_accuracy"}
        if classes
        else {"test error": "test_error", "degrees of freedom": "degrees_of_freedom"}
    )
    return Shown(
        title=f"Your table: {Path(section.data.file).name}",
        question="Is decay worth it on the rows of your own table?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("training rows", counts, len(counts) - 1) if len(counts) > 1 else None,
        charts=(
            OverDecays("Loss", "λ", "loss", log_y=True, lines=over_decays, level=level),
            OverSteps(
                "Loss over the number of training rows",
                "training rows",
                "loss",
                log_x=True,
                log_y=True,
                x=counts,
                lines=over_rows,
                level=level,
            ),
            Weights(
                f"The largest weights, with {counts[-1]:,} training rows",
                "",
                "weight",
                x=names,
                series=[("weight", np.array([summary["weights"][name] for name in names]).T[None])],
                bars=True,
            ),
        ),
        said=[
            ratios(
                "λ",
                weight_decays,
                values[judged][:, index],
                what,
                where=f"With {counted(rows, 'training row')}",
                null=null,
                floor=CONVERGED * float(np.median(values[judged])),
            )
            for index, rows in enumerate(counts)
        ],
        facts=(
            ("validation loss", Line("validation", medians["val_loss"])),
            *((called, Line(called, medians[name])) for called, name in numbers.items()),
        ),
        best=best,
        of_best="lowest mean validation loss",
        finding=summary["findings"]["rows"],
        doubt=[doubt(np.log(values["val_loss"])[:, index], lost, place) for index, place in enumerate(best)],
        trials=len(lost),
        notes=[SINGLE] if len(lost) == 1 else [],
        words=[
            f"A linear model learns to predict {section.data.target} from the other columns; λ·w joins the gradient",
            "All numbers are medians over trials: with few rows, a trial or two have most of the mean",
            "λ is chosen on validation rows; test rows have no part in the choice, and judge it",
            "Leave-one-out predicts each training row by the other training rows, and so needs no validation rows",
            "Degrees of freedom: how many weights the rows still choose freely; a larger λ leaves fewer",
            "A loss is the cross-entropy: minus the logarithm of the probability that the model gives the true class"
            if classes
            else "A loss is half the mean squared error over the target's variance; the error is in the target's unit",
        ],
    )


READ = {"weight": 5, "bias": 4, "weight_decay": 1, "rows": Integers(1)}
EXPLORER = Explorer(swept=READ, columns=("weight_decay",), show=show)
