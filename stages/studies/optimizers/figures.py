"""optimizers, drawn: Adam, whose decay is coupled, in orange, AdamW in blue."""

from functools import partial

import numpy as np

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import panel
from stages.drawing.figures import Figures
from stages.drawing.style import (
    BASELINE,
    BLACK,
    DECAY,
    Figure,
    Metrics,
    Table,
    blues,
    headline,
    label,
    label_ends,
)
from stages.drawing.sweeps import decay_axis
from stages.drawing.tables import column

LOOK = {"adam": "#d55e00", "adamw": DECAY}  # optimiser → its colour
NAMES = {"adam": "Adam", "adamw": "AdamW"}
BINS = 60


def draw(arrays: Arrays, trained: Trained, _: Table, metrics: Metrics) -> dict[str, Figure]:
    return {"weights": weights(arrays, trained, metrics)}


def weights(arrays: Arrays, trained: Trained, metrics: Metrics) -> Figure:
    """Every weight of every trial above that of least squares, with Adam and with AdamW; beside it their histograms."""
    figure = Figure()
    scatter, histogram = figure.subplots(1, 2, width_ratios=(5, 2), sharey=True)
    decay = metrics["wd"]["weight_decay"]
    inputs, targets = (arrays[f"train_{name}"].astype(np.float64) for name in ("inputs", "targets"))
    least = np.einsum("tnd,tn->td", inputs, targets) / inputs.shape[1]  # as the columns are orthogonal, of length √n
    reach = 1.05 * float(np.abs(least).max())
    height = min(reach, 1.7 / decay) if decay else reach
    line = np.linspace(-reach, reach, 401)
    scatter.plot(line, line, color=BASELINE, linewidth=1.5)
    scatter.annotate("λ = 0", (0.93 * height,) * 2, (8, 0), textcoords="offset points", va="center", color=BASELINE)
    exact = {"adam": line / (1 + decay), "adamw": np.clip(line, -1 / decay, 1 / decay) if decay else line}
    for (kind, ends), side in zip(exact.items(), ("left", "right"), strict=True):
        run, colour = trained[f"wd_{kind}"], LOOK[kind]
        kept = ~run["diverged"]
        scatter.plot(least[kept].ravel(), run["weight"][kept].ravel(), ".", color=colour, markersize=6, alpha=0.5)
        scatter.plot(line, ends, color=BLACK, linewidth=0.8)
        place = -0.98 * reach if side == "left" else 0.98 * reach
        at = (place, float(np.interp(place, line, ends)))
        shift = (0, 11 if side == "left" else 7)
        scatter.annotate(NAMES[kind], at, shift, textcoords="offset points", ha=side, color=colour, weight="bold")
        shares, edges = np.histogram(run["weight"][kept], np.linspace(-height, height, BINS))
        share = shares / max(run["weight"][kept].size, 1)
        histogram.stairs(share, edges, orientation="horizontal", color=colour, fill=True, alpha=0.5)
    scatter.plot([], [], color=BLACK, linewidth=0.8, label="exact")
    scatter.legend(loc="lower right")
    if decay:
        for axes in (scatter, histogram):
            for wall in (-1 / decay, 1 / decay):
                axes.axhline(wall, color=BLACK, linewidth=0.8, linestyle=":")
        scatter.annotate(f"1/λ = {1 / decay:g}", (-0.98 * reach, 1 / decay), (0, 4), textcoords="offset points")
    scatter.set(
        xlim=(-reach, reach),
        ylim=(-height, height),
        xlabel="weight of least squares",
        title=f"trained weight, {label(metrics, 'wd')}",
    )
    histogram.set(xlabel="share of the weights")
    headline(figure, metrics["findings"]["weights"])
    return figure


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"batches": batches(table, summary)}


def batches(table: Table, summary: Metrics) -> Figure:
    """The risk of AdamW over λ for each batch size, between ridge's and the box's."""
    figure = Figure()
    axes = figure.subplots()
    for oracle, dash in (("ridge", ":"), ("box", "--")):
        rows = [row for row in table if row["run"] == oracle]
        axes.plot(column(rows, "weight_decay"), column(rows, "risk"), color=BLACK, linewidth=1.5, linestyle=dash, zorder=3)
        lowest = min(zip(column(rows, "risk"), column(rows, "weight_decay"), strict=True))
        axes.annotate(f"exact: {oracle}", lowest[::-1], (0, -20), textcoords="offset points", ha="center")
    trained = [row for row in table if row["run"] == "adamw" and row["batch_size"] is not None]
    sizes, ends = sorted({row["batch_size"] for row in trained}), []
    for size, colour in zip(sizes, blues(len(sizes)), strict=True):
        rows = [row for row in trained if row["batch_size"] == size]
        axes.plot(column(rows, "weight_decay"), column(rows, "risk"), marker="o", color=colour)
        if np.isfinite(end := column(rows, "risk")[-1]):
            ends.append((float(end), f"{size:g}", colour))
    decay_axis(axes, sorted({row["weight_decay"] for row in table}))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title="risk, ‖w − w*‖², of AdamW on batches of …", ylim=(0, None))
    label_ends(axes, ends)
    headline(figure, summary["findings"]["batches"])
    return figure


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("run", "batch_size", "weight_decay", "risk"),
    study=draw,
    panel=partial(panel, x="step", y="val_loss"),
    panel_columns=("run", "step", "val_loss"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
