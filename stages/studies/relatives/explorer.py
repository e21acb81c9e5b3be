"""relatives, at every λ: L2, ℓ1, elastic net, and early stopping after the time 1/λ, on a sparse truth and on a dense one.

Shapes: M truths, T trials, L decays, d weights.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import risk
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import both, doubt, lowest, notes, over_trials
from stages.measure.findings import per_cent
from stages.studies.relatives.system import TRUTHS, Relatives, of_truth

METHODS = {"l2": "L2", "l1": "ℓ1", "elastic_net": "elastic net", "early_stopping": "early stopping"}
COMPARED = {"l2": "L2", "l1": "ℓ1"}
SPARSE = ("l2", "l1", "elastic_net")  # whose weights are counted


def show(section: Relatives, arrays: Arrays, swept: Mapping[str, NDArray], _: Table, summary: Metrics) -> Shown:
    weight_decays, data = swept["weight_decay"], section.data
    nonzeros = {"sparse": data.nonzeros, "dense": data.inputs}
    truths = ["sparse", "dense"] if data.nonzeros < data.inputs else ["dense"]
    places = [list(TRUTHS).index(truth) for truth in truths]
    true = np.stack([of_truth(arrays, truth)["true_weight"] for truth in truths], axis=1)  # (T, M, d)
    weights = {method: np.moveaxis(swept[method][places], 0, 1) for method in METHODS}  # (T, M, L, d) each
    lost = {method: np.isnan(each).any(axis=3) for method, each in weights.items()}  # (T, M, L) each
    risks = {method: risk(each, true[:, :, None]) for method, each in weights.items()}
    left = {method: np.where(lost[method], np.nan, (weights[method] != 0).sum(axis=3)) for method in SPARSE}
    lines = {method: Line(METHODS[method], *over_trials(each)) for method, each in risks.items()}
    counts = {method: Line(METHODS[method], *over_trials(each)) for method, each in left.items()}
    best = [lowest(each, lost["l2"][:, m]) for m, each in enumerate(lines["l2"].values)]
    null = data.weight_norm**2
    return Shown(
        title=f"{data.inputs:,} inputs, L2 and ℓ1",
        question="Which penalty fits which truth?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("true weights ≠ 0", [nonzeros[truth] for truth in truths]) if len(truths) > 1 else None,
        charts=(
            OverDecays("Risk at the end", "λ", "risk", lines=list(lines.values()), level=("w = 0", null)),
            Weights(
                "The weights of the first trial",
                "weight",
                "value",
                x=list(range(1, data.inputs + 1)),
                series=[(called, weights[method][0]) for method, called in COMPARED.items()],
                truth=true[0],
            ),
            OverDecays("Weights ≠ 0", "λ", "weights", lines=list(counts.values())),
        ),
        said=both(weight_decays, risks, COMPARED, value="risk", null=null),
        facts=(
            *((f"risk with {called}", lines[method]) for method, called in COMPARED.items()),
            ("weights ≠ 0 with ℓ1", counts["l1"]),
        ),
        best=best,
        of_best="lowest risk with L2",
        finding=summary["findings"]["risk"],
        doubt=[doubt(risks["l2"][:, m], lost["l2"][:, m], best[m]) for m in range(len(truths))],
        trials=len(true),
        notes=notes(weight_decays, np.any([each.any(axis=1) for each in lost.values()], axis=0)),
        words=[
            f"A linear model learns {data.inputs:,} weights from {data.train_rows:,} noisy rows",
            "L2 is the penalty (λ/2)·‖w‖², whose gradient λ·w is weight decay; ℓ1 is λ·Σ|w|; "
            f"the elastic net is {per_cent(section.sweep.l1_ratio)} ℓ1, the rest L2",
            "Early stopping has no penalty: it ends after the time lr·steps = 1/λ",
            "The risk is ‖w − w*‖², the squared distance to the true weights",
        ],
    )


READ = {"weight_decay": 1} | dict.fromkeys(METHODS, 4)
EXPLORER = Explorer(swept=READ, columns=("strength",), show=show, grid=("weight_decay", "strength"))
