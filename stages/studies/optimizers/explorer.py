"""optimizers, at every λ: each with its own learning rate, on Gaussian rows.

Shapes: T trials, L decays, K evaluations, d weights.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import risk
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table, column
from stages.measure.explored import beside, doubt, effects, lowest, notes, of_one, over_trials
from stages.measure.findings import per_cent
from stages.studies.optimizers.system import KINDS, Comparison

NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "adamw": "AdamW"}
ADAPTIVE = KINDS[2:]
ORACLES = {"ridge": "ridge", "box": "the box"}
NEAR = 0.05  # of the way to the wall: a weight that is nearer is said to be at it


def show(_: Comparison, arrays: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    weight_decays, steps = swept["weight_decay"], swept["steps"].astype(int).tolist()
    own = {kind: int(np.flatnonzero(swept[f"{kind}_lr"] == swept[f"{kind}_own_lr"])[0]) for kind in KINDS}
    lost = {kind: swept[f"{kind}_diverged"][own[kind]].astype(bool) for kind in KINDS}  # (T, L) each
    weight = {kind: swept[f"{kind}_weight"][own[kind]] for kind in KINDS}  # (T, L, d) each
    risks = {kind: risk(weight[kind], arrays["true_weight"][:, None]) for kind in ADAPTIVE}
    rates = {kind: float(swept[f"{kind}_own_lr"]) for kind in ADAPTIVE}
    ends = {kind: Line(NAMES[kind], *in_table(table, kind, rates[kind])) for kind in ADAPTIVE}
    oracles = [Line(name, in_table(table, run, None)[0], theory=True) for run, name in ORACLES.items()]
    norms = {kind: of_one(np.linalg.norm(weight[kind], axis=2)) for kind in ADAPTIVE}
    best = lowest(ends["adamw"].values[0], lost["adamw"])
    null = risk(np.zeros_like(arrays["true_weight"]), arrays["true_weight"])
    by_step = {"x_title": "step", "x": steps}
    return Shown(
        title="Four optimisers",
        question="Does the same λ do the same in SGD, Adam and AdamW?",
        decay=Slider("λ", weight_decays.tolist()),
        charts=(
            of_first_trial(weight, arrays["true_weight"][0], weight_decays),
            OverDecays("Risk at the end", "λ", "risk", lines=(*ends.values(), *oracles), level=("w = 0", float(null.mean()))),
            OverSteps("Validation loss while it learns", y_title="loss", lines=histories(swept, "val_loss"), **by_step),
            OverSteps("Norm while it learns", y_title="‖w‖₂", lines=histories(swept, "weight_norm"), **by_step),
        ),
        said=[sentences(weight_decays, risks, lost, weight["adamw"], null)],
        facts=(
            *((f"risk with {NAMES[kind]}", ends[kind]) for kind in ADAPTIVE),
            *((f"‖w‖₂ with {NAMES[kind]}", Line(NAMES[kind], *norms[kind])) for kind in ADAPTIVE),
        ),
        best=[best],
        of_best="lowest risk with AdamW",
        finding=summary["findings"]["distance"],
        doubt=[doubt(risks["adamw"], lost["adamw"], best)],
        trials=len(weight["adam"]),
        notes=notes(weight_decays, np.any([*lost.values()], axis=0)),
        words=[
            "A linear model learns from noisy rows: with SGD, momentum and Adam λ·w joins the gradient, "
            "AdamW takes lr·λ·w apart from it",
            "Ridge is least squares with the penalty (λ/2)·‖w‖²: where SGD, momentum and Adam end if each step is on all rows",
            "The box is least squares with no weight beyond the walls ±1/λ: where AdamW ends then",
        ],
    )


def in_table(table: Table, run: str, lr: float | None) -> tuple[NDArray, NDArray]:
    """The risk of an optimiser or an oracle and its error, NaN where a trial diverged.  → (1, L) each"""
    rows = [row for row in table if row["run"] == run and row["lr"] == lr]
    return column(rows, "risk")[None], column(rows, "risk_se")[None]


def histories(swept: Mapping[str, NDArray], name: str) -> list[Line]:
    """A line for each optimiser; a trial that diverged is not known."""
    return [Line(NAMES[kind], *of_one(swept[f"{kind}_{name}"])) for kind in KINDS]


def of_first_trial(weight: Mapping[str, NDArray], truth: NDArray, weight_decays: NDArray) -> Weights:
    """The weights of the first trial in the order of the true ones, between the walls of AdamW's box."""
    order = np.argsort(truth, kind="stable")
    return Weights(
        "The weights of the first trial",
        "weight, in the order of the true ones",
        "value",
        x=list(range(1, len(truth) + 1)),
        series=[(NAMES[kind], weight[kind][0][None, :, order]) for kind in ADAPTIVE],
        truth=truth[None, order],
        walls=np.divide(1, weight_decays, out=np.full(weight_decays.shape, np.nan), where=weight_decays > 0)[None],
    )


def sentences(
    weight_decays: NDArray, risks: Mapping[str, NDArray], lost: Mapping[str, NDArray], weight: NDArray, null: NDArray
) -> list[str]:
    """What each λ does to the risk with Adam and with AdamW, and how many of AdamW's weights are at the walls."""
    each = [
        effects(weight_decays, risks[kind], lost[kind], value="risk", when=f" with {NAMES[kind]}", null=null) for kind in ADAPTIVE
    ]
    said = beside(weight_decays, *each)
    near = (weight_decays[:, None] * np.abs(weight) >= 1 - NEAR).mean(axis=2)  # (T, L)
    shares = over_trials(np.where(lost["adamw"], np.nan, near))[0]  # (L,)
    for place, (decay, share) in enumerate(zip(weight_decays.tolist(), shares.tolist(), strict=True)):
        if decay and np.isfinite(share):
            at = f"{per_cent(share)} of AdamW's weights are" if share else "none of AdamW's weights is"
            said[place] += f"; {at} at the walls ±{1 / decay:.3g}"
    return said


OF_EACH = {"lr": 1, "own_lr": 0, "weight": 4, "diverged": Integers(3)}
EXPLORER = Explorer(
    swept={"weight_decay": 1, "steps": Integers(1)}
    | {f"{kind}_{name}": number for kind in KINDS for name, number in OF_EACH.items()}
    | {f"{kind}_{name}": 3 for kind in KINDS for name in ("val_loss", "weight_norm")},
    columns=("run", "lr", "weight_decay", "risk", "risk_se"),
    show=show,
)
