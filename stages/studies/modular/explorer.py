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
from stages.measure.arrivals import arrival, fate
from stages.measure.explored import lowest, notes, of_one, runs, thinned
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
    arrived = {verb: arrivals(own, f"steps_to_{verb}", known) for verb in ("memorise", "generalise")}
    shares = np.sort(swept["spectrum"], axis=3)[..., ::-1].mean(axis=2) / 255 * known[..., None]  # (T, L, F)
    power, by_step = of_one(shares), {"x_title": "step", "x": steps[kept].tolist(), "log_x": True}
    missing = np.isnan(arrived["generalise"][0]).any()
    gap = f"A λ without a point does not get there in every trial within {counted(int(steps[-1]), 'step')}"
    return Shown(
        title=f"(a + b) mod {section.data.p}",
        question="When does a network go from learning by heart to understanding?",
        decay=Slider("λ", weight_decays.tolist()),
        charts=(
            OverDecays(
                "The step at which it generalises",
                "λ",
                "step",
                log_y=True,
                lines=[Line(f"{verb}s", *each) for verb, each in reversed(arrived.items())],
            ),
            OverSteps(
                "Right answers while it learns",
                y_title="share of right answers",
                lines=(Line("training", *paths["train_accuracy"]), Line("validation", *paths["val_accuracy"])),
                level=(f"{per_cent(threshold)} right", threshold),
                **by_step,
            ),
            OverSteps("Norm while it learns", y_title="‖w‖₂", lines=(Line("‖w‖₂", *paths["weight_norm"]),), **by_step),
            Weights(
                "A unit's frequencies, the strongest first",
                "place among the unit's frequencies",
                "share of its power",
                x=list(range(1, power[0].shape[2] + 1)),
                series=(("mean of all units", power[0]),),
                truth=np.eye(1, power[0].shape[2])[0],
                bars=True,
            ),
        ),
        said=[sentences(swept, threshold)],
        facts=(
            ("step at which it memorises", Line("memorises", *arrived["memorise"])),
            ("step at which it generalises", Line("generalises", *arrived["generalise"])),
            ("‖w‖₂", Line("‖w‖₂", norm[..., -1], norm_error[..., -1])),
            ("power of the strongest frequency", Line("purity", power[0][..., 0], power[1][..., 0])),
        ),
        best=[lowest(arrived["generalise"][0][0], lost)],
        of_best="earliest generalisation",
        absent="not in every trial",
        finding=summary["findings"]["steps"],
        notes=[gap] * bool(missing) + notes(weight_decays, lost),
    )


def arrivals(table: Table, name: str, known: NDArray) -> tuple[NDArray, NDArray]:
    """The mean step at which trials get there, and its error; NaN where one does not, though it does not diverge.

    (T, L) → (1, L) each
    """
    steps = column(table, name).reshape(*known.T.shape).T  # (T, L), −1 where a trial does not get there
    missing = np.where(((steps < 0) & ~np.isnan(known)).any(axis=0), np.nan, 1.0)
    return of_one(steps * known * missing)


def sentences(swept: Mapping[str, NDArray], threshold: float) -> list[str]:
    """What becomes of each λ, beside what becomes of the smallest."""
    steps = int(swept["steps"][-1])
    said = []
    for place, row in enumerate(runs(swept["weight_decay"], swept["diverged"].astype(bool))):
        if row["diverged"] == row["trials"]:
            said.append("diverges in every trial")
            continue
        one = {f"{split}_accuracy": swept[f"{split}_accuracy"][:, place] for split in ("train", "val")}
        one |= {"steps": swept["steps"], "diverged": swept["diverged"][:, place].astype(bool)}
        said.append(fate(row | arrival(one, threshold), steps))
    first, *others = (f"λ = {decay:g}" for decay in swept["weight_decay"].tolist())
    return [f"{first} {said[0]}"] + [
        f"{one} {each}; {first} {said[0]}" if each != said[0] else f"{one} {each}, the same as {first}"
        for one, each in zip(others, said[1:], strict=True)
    ]


READ = {"weight_decay": 1, "steps": Integers(1), "diverged": Integers(2), "spectrum": Integers(4)}
EXPLORER = Explorer(
    swept=READ | dict.fromkeys(MEASURED, 3),
    columns=("weight_decay", "train_fraction", "steps_to_memorise", "steps_to_generalise"),
    show=show,
)
