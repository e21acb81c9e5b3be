"""equilibrium, at every lr·λ with every learning rate.

Shapes: H learning rates, T trials, L products lr·λ, K evaluations.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider
from stages.drawing.tables import Metrics, Table, column
from stages.measure import linear
from stages.measure.explored import effects, lowest, notes, over_trials, thinned
from stages.measure.findings import at_most, counted
from stages.studies.equilibrium.system import Equilibrium
from stages.studies.equilibrium.theory import ALIKE, apart

COLUMNS = ("risk", "late_norm", "late_norm_theory", "settled")


def show(section: Equilibrium, arrays: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    rates, products, null = swept["lr"], swept["product"], linear.half_square(arrays["true_weight"])
    lost = swept["diverged"].astype(bool).swapaxes(0, 1)  # (T, H, L)
    kept = thinned(swept["path_steps"])
    steps = swept["path_steps"].astype(int)[kept]
    known = np.where(lost, np.nan, 1.0)
    paths = {name: swept[f"path_{name}"][..., kept].swapaxes(0, 1) * known[..., None] for name in ("val_loss", "weight_norm")}
    paths["effective_lr"] = rates[:, None, None] / np.where(paths["weight_norm"] > 0, paths["weight_norm"], np.nan) ** 2
    ends = {name: column(table, name).reshape(*lost.shape[1:], -1).transpose(2, 0, 1) for name in COLUMNS}  # (T, H, L) each
    means = {name: over_trials(each) for name, each in ends.items()}  # (H, L) each
    settled = ends["settled"][0] > 0
    late = np.where(steps >= steps[-1] / 2, means["late_norm_theory"][0][..., None], np.nan)  # (H, L, K)
    lines = {
        "val_loss": [Line("validation", *over_trials(paths["val_loss"]))],
        "weight_norm": [Line("‖w‖₂", *over_trials(paths["weight_norm"])), Line("where it settles, in theory", late, theory=True)],
        "effective_lr": [Line("lr/‖w‖²", *over_trials(paths["effective_lr"]))],
    }
    lines["effective_lr"].append(Line("where it settles, in theory", rates[:, None, None] / late**2, theory=True))
    settles = [
        [norm_said(bool(settled[h, place]), means["late_norm"][0][h, place], int(steps[-1])) for place in range(len(products))]
        for h in range(len(rates))
    ]
    alike = [alike_said(ends["risk"][..., place], settled[:, place]) for place in range(len(products))]
    by_step = {"x_title": "step", "x": steps.tolist(), "log_x": True}
    return Shown(
        title="Normalised weights",
        question="What does decay do where the length of the weights does not count?",
        decay=Slider("lr·λ", products.tolist()),
        second=Slider("lr", rates.tolist(), int(np.flatnonzero(rates == section.train.lr)[0])),
        charts=(
            OverDecays("Risk over the second half", "lr·λ", "risk", log_y=True, lines=at_all_rates(means["risk"], rates)),
            OverSteps("Norm while it learns", y_title="‖w‖₂", log_y=True, lines=lines["weight_norm"], **by_step),
            OverSteps("Effective learning rate", y_title="lr/‖w‖²", log_y=True, lines=lines["effective_lr"], **by_step),
            OverSteps("Risk while it learns", y_title="risk", log_y=True, lines=lines["val_loss"], **by_step),
        ),
        said=[
            sentences(
                swept["weight_decay"][h], products, ends["risk"][:, h], lost[:, h], f" at lr = {rate:g}", settles[h], alike, null
            )
            for h, rate in enumerate(rates.tolist())
        ],
        facts=(
            ("risk", Line("risk", *means["risk"])),
            ("‖w‖₂ over the second half", Line("‖w‖₂", *means["late_norm"])),
            ("‖w‖₂ in theory", Line("theory", means["late_norm_theory"][0], theory=True)),
        ),
        best=[lowest(means["risk"][0][h], lost[:, h]) for h in range(len(rates))],
        of_best="lowest risk",
        finding=summary["findings"]["panel"],
        trials=len(lost),
        notes=list(
            dict.fromkeys(
                note
                for h, rate in enumerate(rates.tolist())
                for note in notes(swept["weight_decay"][h], lost[:, h], when=f" with lr = {rate:g}")
            )
        ),
        words=[
            "The model predicts x·w/‖w‖: only the direction of the weights counts, not their length",
            "Risks and norms are means over the second half of training, as they fluctuate",
            "Where the norm has not settled, a small learning rate has not turned the weights far: "
            "there decay helps, as it raises the effective learning rate",
            "A norm settles where decay takes as much from it in a step as the gradient adds",
            "lr/‖w‖², the effective learning rate, is how far a step turns the weights, for a gradient of a given size",
        ],
    )


def sentences(
    weight_decays: NDArray,
    products: NDArray,
    risk: NDArray,
    lost: NDArray,
    when: str,
    settles: list[str],
    alike: list[list[str]],
    null: NDArray,
) -> list[str]:
    """What each lr·λ does to the risk, whether the norm settles, and whether other learning rates have the same risk.

    (L,), (L,), (T, L), (T, L), (T,)
    """
    said = effects(weight_decays, risk, lost, value="risk", when=when, null=null)
    named = [
        (f"λ = {decay:g}", f"lr·λ = {product:g}, that is λ = {decay:g},")
        for decay, product in zip(weight_decays, products, strict=True)
    ]
    of_risk = [each.replace(*name, 1) for each, name in zip(said, named, strict=True)]
    return ["; ".join([one, norm, *others]) for one, norm, others in zip(of_risk, settles, alike, strict=True)]


def at_all_rates(risk: tuple[NDArray, NDArray], rates: NDArray) -> list[Line]:
    """The risk with each learning rate, the same whichever is chosen.  (H, L) each"""
    means, errors = (np.tile(each[:, None], (1, len(rates), 1)) for each in risk)  # (H, H, L)
    return [Line(f"lr = {rate:g}", means[h], errors[h]) for h, rate in enumerate(rates.tolist())]


def norm_said(settled: bool, norm: float, steps: int) -> str:
    return f"‖w‖₂ settles at {norm:.3g}" if settled else f"‖w‖₂ does not settle within {counted(steps, 'step')}"


def alike_said(risk: NDArray, settled: NDArray) -> list[str]:
    """Whether the learning rates that settle end at the same risk, if there are several.  (T, H), (H,)"""
    if settled.sum() < 2:
        return []
    gap, count = apart(risk[:, settled].T), int(settled.sum())
    some = f"all {count} learning rates" if settled.all() else f"the {count} learning rates that settle"
    within = at_most(gap, 2)
    return [f"{some} have the same risk, within {within}" if gap <= ALIKE else f"the risks of {some} differ by up to {within}"]


READ = {"lr": 1, "product": 1, "weight_decay": 2, "diverged": Integers(3)}
READ |= {"path_steps": Integers(1), "path_val_loss": 4, "path_weight_norm": 4}
EXPLORER = Explorer(swept=READ, columns=("weight_decay", *COLUMNS), show=show)
