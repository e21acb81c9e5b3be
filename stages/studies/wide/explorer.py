"""wide, at every λ and length of training.

Shapes: T trials, L decays, M lengths of training, K evaluations, d weights.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import LOOK, on_grid
from stages.base.storage import Integers
from stages.base.streams import Arrays, orders
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, OverSteps, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table
from stages.measure import linear
from stages.measure.explored import doubt, effects, lowest, notes, over_trials, thinned
from stages.measure.findings import counted, per_cent
from stages.measure.linear import PARTS
from stages.studies.wide.system import CURVATURE, SYSTEM, Wide
from stages.theory.trajectory import sgd_parts

FORGOTTEN = 0.01  # a start of whose loss this share is left


def show(section: Wide, arrays: Arrays, swept: Mapping[str, NDArray], _: Table, summary: Metrics) -> Shown:
    weight_decays, lengths = swept["weight_decay"], swept["map_epochs"].astype(int)
    order = orders(arrays, SYSTEM.key, int(lengths[-1]))
    lost = np.moveaxis(swept["map_diverged"][0], 2, 1)  # (T, M, L)
    known = np.where(lost, np.nan, 1.0)
    ended = np.moveaxis(swept["map_val_loss"][0], 2, 1)
    val_loss = over_trials(ended * known)
    kept = thinned(np.arange(lengths[-1] + 1), lengths.tolist())  # (K,)
    paths = {name: during(swept[f"path_{name}"][..., kept], kept, lengths, known) for name in ("train_loss", "val_loss")}
    norms = during(swept["path_weight_norm"][..., kept], kept, lengths, known)
    parts = parts_of_error(section, arrays, swept, order, kept)  # (T, L, K) each
    expected = np.sum([*parts.values()], axis=0) + float(arrays["noise"]) ** 2 / 2
    at_ends = np.searchsorted(kept, lengths)
    left = np.moveaxis(parts["excess_start"][..., at_ends], 2, 1) * known
    norm_at_ends = np.moveaxis(swept["path_weight_norm"][..., lengths], 2, 1) * known
    level, null = ("best constant", summary["val_loss_of_null"]), linear.rows(arrays, {}, {}, CURVATURE)["null"]["val_loss"]
    best = [lowest(val_loss[0][m], lost[:, m]) for m in range(len(lengths))]
    by_epoch = {"x_title": "epoch", "x": kept.tolist(), "until": lengths.tolist()}
    return Shown(
        title=f"{section.data.inputs:,} inputs, {section.data.train_rows:,} rows",
        question="Where does the gain of weight decay come from?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("epochs", lengths.tolist(), int(np.abs(np.log(lengths / section.train.epochs)).argmin())),
        charts=(
            OverDecays(
                "Validation loss at the end",
                "λ",
                "validation loss",
                lines=(
                    Line("validation", *val_loss),
                    Line("expected", in_theory(summary, lengths.tolist(), len(weight_decays)), theory=True),
                ),
                level=level,
            ),
            OverSteps(
                "Loss while it learns",
                y_title="loss",
                lines=(
                    Line("training", *paths["train_loss"]),
                    Line("validation", *paths["val_loss"]),
                    Line("expected", during(expected, kept, lengths, known)[0], theory=True),
                ),
                level=level,
                **by_epoch,
            ),
            OverSteps("Norm while it learns", y_title="‖w‖₂", lines=(Line("‖w‖₂", *norms),), **by_epoch),
            weights(section, arrays, swept, order, known),
        ),
        said=[
            sentences(
                weight_decays, ended[:, m], lost[:, m], left[:, m], linear.half_square(arrays["start_weight"]), epochs, null
            )
            for m, epochs in enumerate(lengths)
        ],
        facts=(
            ("validation loss", Line("validation loss", *val_loss)),
            ("of it from the start", Line("left of the start", *over_trials(left))),
            ("‖w‖₂", Line("‖w‖₂", *over_trials(norm_at_ends))),
        ),
        best=best,
        of_best="lowest validation loss",
        finding=summary["findings"]["map"],
        doubt=[doubt(ended[:, m], lost[:, m], best[m]) for m in range(len(lengths))],
        trials=len(lost),
        notes=notes(weight_decays, lost[:, -1], when=f" within {counted(int(lengths[-1]), 'epoch')}"),
        words=[
            f"A linear model learns {section.data.inputs:,} weights, which are truly all alike; λ·w joins the gradient",
            f"A row is an example: {section.data.inputs:,} inputs, one for each weight, and the target; there are "
            f"{counted(section.data.train_rows, 'row')} to learn from",
            "The random starting weights add to the validation loss; what training and decay leave of that is from the start",
            "Expected is the exact mean over noise, starts and validation rows, of which the trials are a sample",
        ],
    )


def during(histories: NDArray, epochs: NDArray, lengths: NDArray, known: NDArray) -> tuple[NDArray, NDArray]:
    """Means and errors of histories up to each length of training.  (T, L, K), (K,), (M,), (T, M, L) → (M, L, K) each"""
    within = np.where(epochs <= lengths[:, None], 1.0, np.nan)  # (M, K)
    return over_trials(histories[:, None] * known[..., None] * within[:, None])


def parts_of_error(
    section: Wide, arrays: Arrays, swept: Mapping[str, NDArray], order: NDArray, epochs: NDArray
) -> dict[str, NDArray]:
    """The exact parts of the expected error after each of these epochs, which begin with 0.  (K,) → (T, L, K) each"""
    with np.errstate(over="ignore", invalid="ignore"):
        trained = linear.excess_parts(
            arrays,
            swept["weight_decay"],
            order,
            batch_size=section.train.batch_size,
            lr=float(swept["lr"]),
            momentum=float(swept["momentum"]),
            epochs=epochs[1:].tolist(),
        )
    of_start, of_truth = linear.half_square(arrays["start_weight"]), linear.truth_size(arrays)
    at_start = dict(zip(PARTS, (of_start, of_truth, np.zeros_like(of_truth)), strict=True))
    first = {part: np.broadcast_to(each[:, None, None], trained[part][..., :1].shape) for part, each in at_start.items()}
    return {part: np.concatenate([first[part], trained[part]], axis=2) for part in PARTS}


def in_theory(summary: Metrics, lengths: list[int], weight_decays: int) -> NDArray:
    """The expected validation loss, NaN where it is unknown.  (M, L)"""
    found = [summary["map"]["random"][f"epochs_{length}"]["theory"] for length in lengths]
    return np.array(found, dtype=float).reshape(len(lengths), weight_decays)


def weights(section: Wide, arrays: Arrays, swept: Mapping[str, NDArray], order: NDArray, known: NDArray) -> Weights:
    """The first trial's weights: trained ones are computed exactly, as SGD on a linear model can be, for every length."""
    first, weight_decays = {name: array[:1] for name, array in arrays.items() if array.ndim}, swept["weight_decay"]
    start = np.append(first["start_weight"], first["start_bias"][:, None], axis=1)  # (1, d + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        trained = sgd_parts(
            first["train_inputs"],
            first["train_targets"][..., None],
            start[..., None],
            order[:1],
            weight_decays,
            batch_size=section.train.batch_size,
            epochs=swept["map_epochs"].astype(int).tolist(),
            lr=float(swept["lr"]),
            momentum=float(swept["momentum"]),
        )[0, :, :, 0, :-1]  # (L, M, d)
    final = np.moveaxis(trained, 1, 0) * known[0][..., None]
    size = np.abs(start[0, :-1]).max()
    return Weights(
        "The weights of the first trial",
        "weight",
        "value",
        x=list(range(1, final.shape[2] + 1)),
        series=(
            ("random start", np.broadcast_to(first["start_weight"][0], final.shape)),
            ("trained", on_grid(final, size, LOOK)),
        ),
        truth=first["true_weight"],
    )


def sentences(
    weight_decays: NDArray, val_loss: NDArray, lost: NDArray, left: NDArray, start: NDArray, epochs: int, null: NDArray
) -> list[str]:
    """What each λ does to the validation loss, and how much is left of the start.  (L,), (T, L), (T, L), (T, L), (T,), (T,)"""
    said = effects(weight_decays, val_loss, lost, when=f" after {counted(int(epochs), 'epoch')}", null=null)
    if not start.any():
        return said
    shares = over_trials(left)[0] / start.mean()
    return [f"{each}; {forgotten(share)}" if np.isfinite(share) else each for each, share in zip(said, shares, strict=True)]


def forgotten(share: float) -> str:
    """What is left of the loss that the random start brings."""
    return "the random start is forgotten" if share < FORGOTTEN else f"{per_cent(share)} of what the random start adds is left"


EXPLORER = Explorer(
    swept={
        "weight_decay": 1,
        "lr": 0,
        "momentum": 0,
        "map_epochs": Integers(1),
        "map_val_loss": 4,
        "map_diverged": Integers(4),
        "path_train_loss": 3,
        "path_val_loss": 3,
        "path_weight_norm": 3,
    },
    columns=("weight_decay",),
    show=show,
)
