"""phase, at every λ and on every share of the pairs.

Shapes: F shares, T trials, L decays, K evaluations.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer import grokking
from stages.drawing.explorer.contract import Explorer, Line, OverSteps, Shown, Slider
from stages.drawing.tables import Metrics, Table
from stages.measure.arrivals import VERBS, first_step
from stages.measure.explored import arrived, fates, lowest, notes, over_trials, thinned
from stages.measure.findings import counted, per_cent
from stages.studies.phase.system import Phase


def show(section: Phase, arrays: Arrays, swept: Mapping[str, NDArray], _: Table, summary: Metrics) -> Shown:
    weight_decays, threshold, p = np.array(section.sweep.wd), section.report.threshold, int(arrays["p"])
    shares = [round(100 * share, 4) for share in section.sweep.train_fraction]
    steps, lost = swept["steps"].astype(int), swept["diverged"].astype(bool)  # (F, T, L)
    known = np.where(lost, np.nan, 1.0)
    accuracy = {
        split: np.where(np.isnan(swept[f"{split}_accuracy"]), 1.0, swept[f"{split}_accuracy"]) for split in VERBS
    }  # (F, T, L, K) each; unknown where a run was right about all pairs before
    kept = thinned(steps)
    paths = {split: over_trials(np.moveaxis(each[..., kept] * known[..., None], 0, 1)) for split, each in accuracy.items()}
    firsts = {verb: first_step(accuracy[split], steps, threshold) for split, verb in VERBS.items()}
    when = {
        verb: [np.stack(part) for part in zip(*(arrived(*both) for both in zip(each, known, strict=True)), strict=True)]
        for verb, each in firsts.items()
    }  # (F, L) each
    over_shares = [Line(f"{verb}s", *(each.T[None] for each in when[verb])) for verb in grokking.LATEST]
    missing = np.isnan(when["generalise"][0]).any()
    gap = f"A λ without a point does not get there in every trial within {counted(int(steps[-1]), 'step')}"
    return Shown(
        title=f"Grokking mod {p}, the map",
        question="How much decay, and how many pairs, does it take to generalise?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("% of the pairs", shares, len(shares) // 2) if len(shares) > 1 else None,
        charts=(
            *grokking.charts(steps[kept].tolist(), paths, when, threshold),
            OverSteps("The step, over the share of the pairs", "% of the pairs", "step", log_y=True, x=shares, lines=over_shares),
        ),
        said=[
            fates(
                weight_decays,
                {f"{split}_accuracy": each[index] for split, each in accuracy.items()}
                | {"steps": steps, "diverged": lost[index]},
                threshold,
            )
            for index in range(len(shares))
        ],
        facts=grokking.facts(when),
        best=[lowest(each, lost[index]) for index, each in enumerate(when["generalise"][0])],
        of_best="earliest generalisation",
        absent="not in every trial",
        finding=summary["findings"]["map"],
        trials=lost.shape[1],
        notes=[gap] * bool(missing) + notes(weight_decays, np.any(lost, axis=0)),
        words=[
            f"A network learns a part of the {p * p:,} sums (a + b) mod {p} with AdamW, "
            "which takes lr·λ·w from the weights in each step",
            grokking.words(per_cent(threshold)),
        ],
    )


READ = {"diverged": Integers(3), "steps": Integers(1)} | {f"{split}_accuracy": 4 for split in VERBS}
EXPLORER = Explorer(swept=READ, columns=("weight_decay",), show=show, grid=None)
