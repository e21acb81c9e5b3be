"""digits, at every λ of logistic regression, with right labels and with wrong ones.

Shapes: M sets of labels, T trials, L decays.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, Shown, Slider
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import doubt, effects, lowest, notes, over_trials
from stages.measure.findings import counted
from stages.studies.digits.system import CLASSES, Digits

SETS = ("logistic", "logistic_noisy")
MEASURES = ("loss", "accuracy", "calibration_error")
ENDS = (*(f"{split}_{measure}" for split in ("train", "val") for measure in MEASURES), "val_calibration_floor", "weight_norm")


def show(section: Digits, arrays: Arrays, swept: Mapping[str, NDArray], _: Table, summary: Metrics) -> Shown:
    weight_decays, shares = swept["logistic.weight_decay"], [0.0, 100 * summary["wrong"]]
    sets = SETS if shares[1] else SETS[:1]
    lost = np.stack([swept[f"{labels}.diverged"].astype(bool) for labels in sets], axis=1)  # (T, M, L)
    ends = {
        name: np.where(lost, np.nan, np.stack([swept[f"{labels}.{name}"][..., -1] for labels in sets], axis=1)) for name in ENDS
    }
    means = {name: over_trials(each) for name, each in ends.items()}  # (M, L) each
    chance = math.log(CLASSES)
    best = [lowest(means["val_loss"][0][m], lost[:, m]) for m in range(len(sets))]
    both = {
        measure: [Line(called, *means[f"{split}_{measure}"]) for split, called in (("train", "training"), ("val", "validation"))]
        for measure in MEASURES
    }
    calibration = [both["calibration_error"][1], Line("of a calibrated model", means["val_calibration_floor"][0], theory=True)]
    return Shown(
        title="Handwritten digits",
        question="What does decay buy on real data, and what where some labels are wrong?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("% of labels wrong", [round(share, 4) for share in shares]) if len(sets) > 1 else None,
        charts=(
            OverDecays("Loss", "λ", "loss", lines=both["loss"], level=("chance", chance)),
            OverDecays("Right answers", "λ", "share", lines=both["accuracy"], level=("chance", 1 / CLASSES)),
            OverDecays("Calibration error", "λ", "calibration error", lines=calibration),
            OverDecays("Norm", "λ", "‖w‖₂", lines=[Line("‖w‖₂", *means["weight_norm"])]),
        ),
        said=[
            right(effects(weight_decays, ends["val_loss"][:, m], lost[:, m], null=chance), means["val_accuracy"][0][m])
            for m in range(len(sets))
        ],
        facts=(
            ("validation loss", Line("loss", *means["val_loss"])),
            ("right answers", Line("accuracy", *means["val_accuracy"])),
            ("calibration error", Line("calibration", *means["val_calibration_error"])),
            ("‖w‖₂", Line("‖w‖₂", *means["weight_norm"])),
        ),
        best=best,
        of_best="lowest validation loss",
        finding=summary["findings"]["decays"],
        doubt=[doubt(ends["val_loss"][:, m], lost[:, m], best[m]) for m in range(len(sets))],
        trials=len(lost),
        notes=notes(weight_decays, np.any(lost, axis=1)),
        words=[
            "Logistic regression, a linear model of the probabilities of the ten digits, learns from "
            f"{counted(section.data.train_rows, 'image')} of 8 × 8 pixels; λ·w joins the gradient",
            "The finding speaks of a network too: it is on the study's page",
            "The calibration error is how far the share of right answers is from the model's own confidence; "
            "a calibrated model shows a little of it by chance",
        ],
    )


def right(said: list[str], accuracy: NDArray) -> list[str]:
    """The sentences with the share of right answers.  (L,)"""
    return [
        f"{each}; {100 * share:.3g}% of the answers are right" if np.isfinite(share) else each
        for each, share in zip(said, accuracy.tolist(), strict=True)
    ]


READ = {f"{labels}.{name}": 3 for labels in SETS for name in ENDS}
READ |= {f"{labels}.diverged": Integers(2) for labels in SETS} | {"logistic.weight_decay": 1}
EXPLORER = Explorer(swept=READ, columns=("weight_decay",), show=show, grid=("logistic.weight_decay", "weight_decay"))
