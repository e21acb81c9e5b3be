"""modular, at every λ.

Shapes: T trials, L decays, K evaluations, h hidden units, F frequencies.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table, column
from stages.measure.explored import arrived, fates, lowest, notes, of_one, thinned
from stages.measure.findings import counted, per_cent
from stages.studies.modular.system import Modular

MEASURED = ("train_accuracy", "val_accuracy", "weight_norm")


def show(section: Modular, _: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    weight_decays, lost, threshold = swept["weight_decay"], swept["diverged"].astype(bool), section.report.threshold
    known = np.where(lost, np.nan, 1.0)  # (T, L)
    kept, steps = thinned(swept["steps"]), swept["steps"].astype(int)
    paths = {name: of_one(swept[name][..., kept] * known[..., None]) for name in MEASURED}
    norm, norm_error = paths["weight_norm"]
    own = [row for row in table if row["train_fraction"] == summary["train_fraction"]]
    firsts = {verb: column(own, f"steps_to_{verb}").reshape(*known.T.shape).T for verb in ("memorise", "generalise")}
    when = {verb: [each[None] for each in arrived(first, known)] for verb, first in firsts.items()}  # (1, L) each
    shares = np.sort(swept["spectrum"], axis=3)[..., ::-1].mean(axis=2) / 255 * known[..., None]  # (T, L, F)
    power, by_step = of_one(shares), {"x_title": "step", "x": steps[kept].tolist(), "log_x": True}
    missing = np.isnan(when["generalise"][0]).any()
    gap = f"A λ without a point does not get there in every trial within {counted(int(steps[-1]), 'step')}"
    return Shown(
        title=f"Grokking mod {section.data.p}",
        question="When does a network go from learning by heart to understanding?",
        decay=Slider("λ", weight_decays.tolist()),
        charts=(
            OverSteps(
                "Right answers while it learns",
                y_title="share of right answers",
                lines=(Line("training", *paths["train_accuracy"]), Line("validation", *paths["val_accuracy"])),
                level=("what counts as generalised", threshold),
                **by_step,
            ),
            OverDecays(
                "The step at which it generalises",
                "λ",
                "step",
                log_y=True,
                lines=[Line(f"{verb}s", *each) for verb, each in reversed(when.items())],
            ),
            OverSteps("Norm while it learns", y_title="‖w‖₂", lines=(Line("‖w‖₂", *paths["weight_norm"]),), **by_step),
            Weights(
                "A hidden unit's frequencies, the strongest first",
                "place among the unit's frequencies",
                "share of its power",
                x=list(range(1, power[0].shape[2] + 1)),
                series=(("mean of all units", power[0]),),
                truth=np.eye(1, power[0].shape[2]),
                bars=True,
            ),
        ),
        said=[fates(weight_decays, swept, threshold)],
        facts=(
            ("step at which it memorises", Line("memorises", *when["memorise"])),
            ("step at which it generalises", Line("generalises", *when["generalise"])),
            ("‖w‖₂", Line("‖w‖₂", norm[..., -1], norm_error[..., -1])),
            ("share of the strongest frequency", Line("purity", power[0][..., 0], power[1][..., 0])),
        ),
        best=[lowest(when["generalise"][0][0], lost)],
        of_best="earliest generalisation",
        absent="not in every trial",
        finding=summary["findings"]["steps"],
        trials=len(lost),
        notes=[gap] * bool(missing) + notes(weight_decays, lost),
        words=[
            f"A network learns {per_cent(section.train.train_fraction)} of all sums (a + b) mod {section.data.p} with AdamW, "
            "which takes lr·λ·w from the weights in each step",
            f"To generalise is to be right about {per_cent(threshold)} of the pairs that were not trained on; "
            "to memorise, about as many of the others",
            "A hidden unit's weights are a sum of waves over a, each with its frequency; "
            "a unit that has understood has all its power in one frequency",
        ],
    )


READ = {"weight_decay": 1, "steps": Integers(1), "diverged": Integers(2), "spectrum": Integers(4)}
EXPLORER = Explorer(
    swept=READ | dict.fromkeys(MEASURED, 3),
    columns=("weight_decay", "train_fraction", "steps_to_memorise", "steps_to_generalise"),
    show=show,
)
