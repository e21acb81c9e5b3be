"""line, drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import curves, loss_panel
from stages.drawing.figures import Figures
from stages.drawing.style import BLACK, RUNS, Figure, Metrics, Table, label
from stages.drawing.sweeps import sweep


def draw(arrays: Arrays, _: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    return {
        "curves": curves(table, metrics, {}, x="epoch"),
        "adam": curves(table, metrics, {}, x="epoch", suffix="_adam"),
        "fit": fit(arrays, metrics),
    }


def fit(arrays: Mapping[str, NDArray], metrics: Metrics) -> Figure:
    """The fitted lines, means over trials, against the data, and what they miss of the truth."""
    figure = Figure(figsize=(9, 3.8))
    fits, errors = figure.subplots(1, 2)
    points = {split: (arrays[f"{split}_inputs"][0, :, 0], arrays[f"{split}_targets"][0]) for split in ("train", "val")}
    every = np.concatenate([inputs for inputs, _ in points.values()])
    x = np.linspace(every.min() - 0.5, every.max() + 0.5, 101)
    slope, intercept = float(arrays["true_weight"][0, 0]), float(arrays["true_bias"][0])
    styles = [(run, colour, width, "-", label(metrics, run)) for run, colour, width in RUNS]
    for row, colour, width, style, said in (*styles, ("ridge", BLACK, 1.5, ":", f"limit at {label(metrics, 'wd')}")):
        y = metrics[row]["weight"] * x + metrics[row]["bias"]
        fits.plot(x, y, color=colour, linewidth=width, linestyle=style, label=said)
        errors.plot(x, y - slope * x - intercept, color=colour, linewidth=width, linestyle=style, label=said)
    fits.plot(*points["train"], "o", color=BLACK, label="training rows", zorder=3)
    fits.plot(*points["val"], "o", color="white", markeredgecolor=BLACK, label="validation rows", zorder=3)
    errors.axhline(0, color=BLACK, linewidth=1)
    fits.set(xlabel="x", ylabel="y", title="Fitted lines")
    errors.set(xlabel="x", ylabel=f"prediction − ({slope:g}x + {intercept:g})", title="What they miss")
    fits.legend()
    errors.legend()
    return figure


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("weight_decay", "val_loss"),
    study=draw,
    panel=partial(loss_panel, x="epoch", name="line"),
    panel_columns=("run", "epoch", "val_loss"),
    panel_rows=("baseline", "wd", "null"),
)
