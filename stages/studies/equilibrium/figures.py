"""equilibrium, drawn."""

from functools import partial

import numpy as np

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import panel
from stages.drawing.figures import Figures
from stages.drawing.style import (
    BLACK,
    RUNS,
    Figure,
    Metrics,
    Table,
    band,
    blues,
    curve,
    headline,
    label,
    label_ends,
    log_steps,
    loss_axis,
    plain_numbers,
)
from stages.drawing.sweeps import by_decay, means


def draw(_: Arrays, __: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    return {"norm": norms(table, metrics)}


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


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"risk": risks(table, summary)}


def risks(table: Table, summary: Metrics) -> Figure:
    """The mean risk of each learning rate over λ, and beside it over lr·λ; hollow where the norm had no time to settle."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True, subplot_kw={"xscale": "log", "yscale": "log"})
    decaying = [row for row in table if row["product"] > 0]
    rates = sorted({row["lr"] for row in decaying})
    for rate, colour in zip(rates, blues(len(rates)), strict=True):
        decays, runs = by_decay([row for row in decaying if row["lr"] == rate])
        heights = np.array(means(runs, "risk"))
        early = np.array([not rows[0]["settled"] for rows in runs])
        for axes, x in zip(panels, (np.array(decays), [rows[0]["product"] for rows in runs]), strict=True):
            axes.plot(x, heights, color=colour)
            axes.plot(x, np.where(early, np.nan, heights), "o", color=colour)
            axes.plot(x, np.where(early, heights, np.nan), "o", color=colour, markerfacecolor="white", markeredgewidth=1.5)
        for end in np.flatnonzero(np.isfinite(heights))[-1:]:
            at = (decays[end], heights[end])
            panels[0].annotate(f"{rate:g}", at, (0, 8), textcoords="offset points", ha="center", color=colour)
    for axes in panels:
        axes.margins(y=0.12)
        plain_numbers(axes.xaxis)
        plain_numbers(axes.yaxis)
    panels[1].set(xlabel="lr·λ", title="the same over lr·λ")
    panels[0].set(xlabel="λ", title="over λ, at lr = …", ylabel="risk, ½‖w/‖w‖ − w*‖²")
    if not all(row["settled"] for row in decaying):
        panels[1].plot([], [], "o", color=BLACK, markerfacecolor="white", label="not settled")
        panels[1].legend(loc="lower right")
    headline(figure, summary["findings"]["risk"])
    return figure


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("lr", "product", "weight_decay", "settled", "risk"),
    study=draw,
    panel=partial(panel, x="step", y="val_loss"),
    panel_columns=("run", "step", "val_loss"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
