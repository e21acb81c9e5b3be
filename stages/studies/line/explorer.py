"""line, at every λ.

Shapes: T trials, L decays, K evaluations.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table, column
from stages.measure import linear
from stages.measure.explored import doubt, effects, lowest, notes, of_one, thinned
from stages.measure.findings import counted
from stages.studies.line import system

MEASURED = ("train_loss", "val_loss", "weight_norm", "weight", "bias")


def show(section: system.Line, arrays: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    weight_decays, lost = swept["weight_decay"], swept["diverged"].astype(bool)
    known = np.where(lost, np.nan, 1.0)  # (T, L)
    epochs = thinned(swept["steps"])  # an epoch is an evaluation
    paths = {name: of_one(swept[name][..., epochs] * known[..., None]) for name in MEASURED}
    ends = {name: (mean[..., -1], error[..., -1]) for name, (mean, error) in paths.items()}  # (1, L) each
    expected = in_theory(arrays, swept, epochs, known) if "theory" in table[0] else None
    val_loss, best = swept["val_loss"][..., -1], lowest(ends["val_loss"][0][0], lost)
    null = linear.rows(arrays, {}, {}, system.CURVATURE)["null"]["val_loss"]
    level, by_epoch = ("best constant", summary["val_loss_of_null"]), {"x_title": "epoch", "x": epochs.tolist()}
    losses = [Line("training", *paths["train_loss"]), Line("validation", *paths["val_loss"])]
    over_decays = [Line("validation", *ends["val_loss"])]
    norms = [Line("‖w‖₂", *paths["weight_norm"])]
    if expected:
        losses.append(Line("validation, exact", expected["val_loss"], theory=True))
        norms.append(Line("‖w‖₂, exact", expected["weight_norm"], theory=True))
        of_ends = column(table, "theory").reshape(len(weight_decays), -1).T * known  # (T, L)
        over_decays.append(Line("exact", of_one(of_ends)[0], theory=True))
    return Shown(
        title=f"y = {section.data.slope:g}x + {section.data.intercept:g}",
        question="Does decay help where there is nothing to overfit?",
        decay=Slider("λ", weight_decays.tolist()),
        charts=(
            OverDecays("Validation loss at the end", "λ", "validation loss", log_y=True, lines=over_decays, level=level),
            OverSteps("Loss while it learns", y_title="loss", log_y=True, lines=losses, level=level, **by_epoch),
            OverSteps("Norm while it learns", y_title="‖w‖₂", lines=norms, **by_epoch),
            Weights(
                "Slope and intercept of the first trial",
                "",
                "value",
                x=("slope", "intercept"),
                series=(
                    ("random start", fitted(swept, 0, known)),
                    ("trained", fitted(swept, -1, known)),
                ),
                truth=np.array([[section.data.slope, section.data.intercept]], dtype=float),
                bars=True,
            ),
        ),
        said=[effects(weight_decays, val_loss, lost, when=f" after {counted(section.train.epochs, 'epoch')}", null=null)],
        facts=(
            ("validation loss", Line("validation loss", *ends["val_loss"])),
            ("slope", Line("slope", *ends["weight"])),
            ("intercept", Line("intercept", *ends["bias"])),
        ),
        best=[best],
        of_best="lowest validation loss",
        finding=summary["findings"]["loss"],
        doubt=[doubt(val_loss, lost, best)],
        trials=len(lost),
        notes=notes(weight_decays, lost),
        words=[
            "Slope and intercept are learnt from a few points without noise; λ·w joins the gradient of the slope alone",
            "So ‖w‖₂ is the slope's size; it swings where steps overshoot",
        ],
    )


def in_theory(arrays: Arrays, swept: Mapping[str, NDArray], epochs: NDArray, known: NDArray) -> dict[str, NDArray]:
    """Gradient descent in closed form, where training does not diverge.  (K,), (T, L) → (1, L, K) each"""
    lr = float(swept["lr"])
    with np.errstate(over="ignore", invalid="ignore"):
        each = [
            linear.trajectories(arrays, epochs, weight_decay=decay, lr=lr, curvature=system.CURVATURE)
            for decay in swept["weight_decay"].tolist()
        ]
    return {
        name: of_one(np.stack([one[name] for one in each], axis=1) * known[..., None])[0] for name in ("val_loss", "weight_norm")
    }


def fitted(swept: Mapping[str, NDArray], place: int, known: NDArray) -> NDArray:
    """The first trial's slope and intercept at one evaluation.  → (1, L, 2)"""
    return np.stack([swept[name][0, :, place] for name in ("weight", "bias")], axis=1)[None] * known[0][:, None]


EXPLORER = Explorer(
    swept={"weight_decay": 1, "steps": Integers(1), "lr": 0, "diverged": Integers(2)} | dict.fromkeys(MEASURED, 3),
    columns=("weight_decay", "val_loss"),
    show=show,
)
