"""modular, at every λ.

Shapes: T trials, L decays, K evaluations, h hidden units, F frequencies.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer import grokking
from stages.drawing.explorer.contract import Explorer, Line, OverSteps, Shown, Slider, Weights
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
    power, x = of_one(shares), steps[kept].tolist()
    missing = np.isnan(when["generalise"][0]).any()
    gap = f"A λ without a point does not get there in every trial within {counted(int(steps[-1]), 'step')}"
    return Shown(
        title=f"Grokking mod {section.data.p}",
        question="When does a network go from learning by heart to understanding?",
        decay=Slider("λ", weight_decays.tolist()),
        charts=(
            *grokking.charts(x, {split: paths[f"{split}_accuracy"] for split in grokking.SPLITS}, when, threshold),
            OverSteps("Norm while it learns", "step", "‖w‖₂", log_x=True, x=x, lines=[Line("‖w‖₂", *paths["weight_norm"])]),
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
            *grokking.facts(when),
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
            grokking.words(per_cent(threshold)),
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
