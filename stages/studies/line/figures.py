"""line, drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import curves, panel
from stages.drawing.figures import Figures
from stages.drawing.style import BLACK, RUNS, Figure, Metrics, Table, headline, label, label_ends
from stages.drawing.sweeps import sweep


def draw(arrays: Arrays, _: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    said = metrics["findings"]
    return {
        "curves": curves(table, metrics, {}, x="epoch", title=said["curves"]),
        "adam": curves(table, metrics, {}, x="epoch", title=said["adam"], suffix="_adam", norms=False),
        "fit": fit(arrays, metrics),
    }


def fit(arrays: Mapping[str, NDArray], metrics: Metrics) -> Figure:
    """What the fitted lines, means over trials, miss of the truth; and where the rows lie."""
    figure = Figure()
    axes = figure.subplots()
    rows = {split: arrays[f"{split}_inputs"][0, :, 0] for split in ("train", "val")}
    every = np.concatenate([*rows.values()])
    x = np.array([every.min() - 0.5, every.max() + 0.5])
    slope, intercept = float(arrays["true_weight"][0, 0]), float(arrays["true_bias"][0])
    runs = [(run, colour, width, label(metrics, run)) for run, colour, width in RUNS]
    ends = [(0.0, f"y = {slope:g}x + {intercept:g}", BLACK)]
    for row, colour, width, said in (*runs, ("ridge", BLACK, 2.0, f"{label(metrics, 'wd')},\ntrained to the end")):
        missed = (metrics[row]["weight"] - slope) * x + metrics[row]["bias"] - intercept
        axes.plot(x, missed, color=colour, linewidth=width, linestyle="--" if row == "ridge" else "-")
        ends.append((missed[-1], said, colour))
    axes.axhline(0, color=BLACK, linewidth=1)
    axes.plot(rows["train"], np.zeros_like(rows["train"]), "o", color=BLACK, label="x of a training row", zorder=3)
    axes.plot(
        rows["val"], np.zeros_like(rows["val"]), "o", color="white", markeredgecolor=BLACK, label="of a validation row", zorder=3
    )
    axes.set(xlabel="x", ylabel="predicted y − true y", xlim=tuple(x))
    axes.legend(loc="upper left")
    label_ends(axes, ends)
    headline(figure, metrics["findings"]["fit"])
    return figure


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("weight_decay", "diverged", "val_loss"),
    study=draw,
    panel=partial(panel, x="epoch", y="val_loss"),
    panel_columns=("run", "epoch", "val_loss"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
