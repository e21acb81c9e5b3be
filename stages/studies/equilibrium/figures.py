"""equilibrium, drawn."""

import itertools
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import curves, panel
from stages.drawing.figures import Figures
from stages.drawing.style import (
    BLACK,
    RUNS,
    Axes,
    Figure,
    Metrics,
    Table,
    band,
    curve,
    headline,
    label,
    label_ends,
    log_steps,
    loss_axis,
    matplotlib,
    plain_numbers,
)
from stages.drawing.sweeps import decay_axis, means

MARKS = "osDv^P"  # of the learning rates
SHADES = matplotlib.colormaps["Blues"]


def draw(_: Arrays, __: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    said = metrics["findings"]
    return {
        "norm": norms(table, metrics),
        "curves": curves(table, metrics, {"null": "w = 0"}, x="step", title=said["curves"], norms=False, log_x=True),
    }


def norms(table: Table, metrics: Metrics) -> Figure:
    """The norm over steps, and beside it the effective learning rate, with what theory expects in equilibrium."""
    figure = Figure()
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, ("weight_norm", "effective_lr"), strict=True):
        ends = []
        for run, colour, width in RUNS:
            path = curve(table, run)
            band(axes, path, "step", name, color=colour, linewidth=width)
            ends.append((path[name][-1], label(metrics, run), colour))
        axes.set(xlabel="step")
        log_steps(axes, path["step"])
        loss_axis(axes)
        label_ends(axes, ends)
    panels[0].set_title("‖w‖₂, the weights' length")
    panels[1].set_title("lr/‖w‖², effective learning rate")
    if norm := metrics["wd"].get("late_norm_theory"):
        for axes, expected in zip(panels, (norm, metrics["wd"]["lr"] / norm**2), strict=True):
            line = axes.axhline(expected, color=BLACK, linewidth=1, linestyle="--", zorder=3)
        figure.legend([line], [f"theory's equilibrium, {label(metrics, 'wd')}"], loc="outside lower center")
    headline(figure, metrics["findings"]["norm"])
    return figure


def sweep(table: Table, summary: Mapping[str, Any]) -> dict[str, Figure]:
    return {"risk": risks(table, summary), "angle": angles(table, summary)}


def risks(table: Table, summary: Metrics) -> Figure:
    """The risk over lr·λ, each learning rate with a mark of its own."""
    figure = Figure()
    axes = figure.subplots()
    points(axes, table, "risk")
    products, _ = by(table, "product")
    decay_axis(axes, products)
    axes.set_xticks([each for each in products if each == 0 or each == 10.0 ** round(math.log10(each))] or products)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(yscale="log", xlabel="lr·λ", title="risk, ½‖w/‖w‖ − w*‖²")
    finish(figure, axes, summary["findings"]["risk"])
    return figure


def angles(table: Table, summary: Metrics) -> Figure:
    """The angle of a step over lr·λ, beside theory's."""
    figure = Figure()
    axes = figure.subplots()
    turning = [row for row in table if row["product"] > 0]
    points(axes, turning, "angle")
    theory = sorted({(row["product"], row["angle_theory"]) for row in turning if row["angle_theory"] is not None})
    if theory:
        axes.plot(*zip(*theory, strict=True), color=BLACK, linewidth=1, zorder=4, label="arccos(1 − lr·λ)")
    axes.set(xscale="log", yscale="log", xlabel="lr·λ", title="angle of a step, in degrees")
    finish(figure, axes, summary["findings"]["angle"])
    return figure


def points(axes: Axes, table: Table, value: str) -> None:
    """The mean over trials at each lr·λ: a line and marks for each learning rate, hollow where the norm had no time to settle.

    Marks shrink from one learning rate to the next, so that each is seen through the next.
    """
    rates = sorted({row["lr"] for row in table})
    for place, (rate, mark) in enumerate(zip(rates, itertools.cycle(MARKS), strict=False)):
        share = place / max(len(rates) - 1, 1)
        style: dict[str, Any] = {"color": SHADES(0.4 + 0.6 * share), "markersize": 14 - 9 * share}
        products, runs = by([row for row in table if row["lr"] == rate], "product")
        known = means(runs, value)
        axes.plot(products, known, color=style["color"], linewidth=1.5, zorder=1 + share)
        axes.plot([], [], mark, label=f"lr = {rate:g}", **style)
        for product, rows, height in zip(products, runs, known, strict=True):
            fill = style["color"] if rows[0]["settled"] else "white"
            axes.plot(product, height, mark, markerfacecolor=fill, markeredgewidth=1.5, zorder=2 + share, **style)
    if not all(row["settled"] for row in table):
        axes.plot([], [], "o", color=BLACK, markersize=8, markerfacecolor="white", label="norm not settled")


def by(table: Table, name: str) -> tuple[list[float], list[Table]]:
    """The values of a column, and the rows of each."""
    values = sorted({row[name] for row in table})
    return values, [[row for row in table if row[name] == value] for value in values]


def finish(figure: Figure, axes: Axes, said: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    plain_numbers(axes.yaxis)
    headline(figure, said.replace("(1 − lr", "(1\N{NO-BREAK SPACE}−\N{NO-BREAK SPACE}lr"))


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("lr", "product", "settled", "risk", "angle", "angle_theory"),
    study=draw,
    panel=partial(panel, x="step", y="val_loss"),
    panel_columns=("run", "step", "val_loss"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
