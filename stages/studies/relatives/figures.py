"""relatives, drawn."""

from functools import partial
from typing import Any

import numpy as np

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import curves, panel
from stages.drawing.figures import Figures
from stages.drawing.style import BASELINE, BLACK, DECAY, START, Axes, Figure, Metrics, Table, headline, label_ends, plain_numbers
from stages.drawing.sweeps import column

STOPPED = "#009e73"  # early stopping, where it stands beside weight decay
NAMES = {
    "none": "none",
    "l2": "L2",
    "early_stopping": "early stopping",
    "dropout": "dropout",
    "elastic_net": "elastic net",
    "l1": "ℓ1",
}
COLOURS = {"none": BASELINE, "elastic_net": START, "l1": START}  # of methods, if not `DECAY`


def draw(_: Arrays, __: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    return {"curves": curves(table, metrics, {"null": "w = 0"}, x="step", title=metrics["findings"]["curves"], log_x=True)}


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"risk": risks(summary), "paths": paths(table, summary)}


def risks(summary: Metrics) -> Figure:
    """The risk of each method, tuned in each trial, where the truth is dense and where it is sparse."""
    figure = Figure()
    sides = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, truth in zip(sides, ("dense", "sparse"), strict=True):
        found = summary[truth]
        if "risk" in found["l2"]:
            axes.axvline(found["l2"]["risk"], color=DECAY, linewidth=1)
        for place, method in enumerate(NAMES):
            if "risk" not in found[method]:
                continue
            value, error = found[method]["risk"], found[method].get("risk_se", 0)
            colour = COLOURS.get(method, DECAY)
            axes.errorbar(value, place, xerr=error, fmt="o", color=colour, markersize=7, elinewidth=1.5)
            beside: dict[str, Any] = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 12}
            axes.annotate(f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.2g}", (value + error, place), **beside)
        axes.axvline(summary["signal"] ** 2, color=BLACK, linewidth=1, linestyle=":")
        axes.set_xlabel("risk, ‖w − w*‖²")
        axes.set_title(summary["titles"][truth])
    every = [
        found[method]["risk"] for found in (summary["dense"], summary["sparse"]) for method in NAMES if "risk" in found[method]
    ]
    span(sides[0], "x", [*every, summary["signal"] ** 2])
    sides[0].set_yticks(range(len(NAMES)), list(NAMES.values()))
    sides[0].set_ylim(len(NAMES) - 0.5, -0.8)
    for colour, said in ((DECAY, "keeps every weight"), (START, "makes weights exactly 0")):
        sides[0].plot([], [], "o", color=colour, label=said)
    sides[0].plot([], [], color=BLACK, linewidth=1, linestyle=":", label="w = 0")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1)
    headline(figure, summary["findings"]["risk"])
    return figure


def paths(table: Table, summary: Metrics) -> Figure:
    """Early stopping beside L2: their risks over the time t = 1/λ; and over the length of the weights, beside ℓ1."""
    figure = Figure()
    over_time, over_norm = figure.subplots(1, 2, sharey=True)
    ends = []
    for method, colour, marker in (("l2", DECAY, "o"), ("early_stopping", STOPPED, "s")):
        rows = [row for row in table if row["run"] == f"dense_{method}" and row["strength"] > 0 and row["risk"] is not None]
        times = 1 / column(rows, "strength") if method == "l2" else summary["lr"] * column(rows, "strength")
        order = np.argsort(times)
        over_time.plot(times[order], column(rows, "theory")[order], color=colour, linewidth=1.5)
        over_time.errorbar(times, column(rows, "risk"), errors(rows), fmt=marker, color=colour, markersize=5, elinewidth=1.2)
        over_time.plot([], [], marker, color=colour, markersize=5, label=NAMES[method])
    over_time.plot([], [], color=BLACK, linewidth=1.5, label="exact")
    over_time.legend(loc="upper left")
    over_time.set(xscale="log", xlabel="time t = lr·step, or 1/λ", title="risk, dense truth")
    plain_numbers(over_time.xaxis)
    for method, colour, marker in (("l2", DECAY, "o"), ("early_stopping", STOPPED, "s"), ("l1", START, "^")):
        rows = [row for row in table if row["run"] == f"sparse_{method}" and row["risk"] is not None]
        if not rows:
            continue
        rows = sorted(rows, key=lambda row: row["weight_norm"])
        over_norm.plot(
            column(rows, "weight_norm"), column(rows, "risk"), color=colour, marker=marker, markersize=5, linewidth=0.8
        )
        ends.append((min(row["risk"] for row in rows), NAMES[method], colour))
    over_norm.set(xlabel="‖w‖₂, the weights' length", xlim=(0, None), title=f"risk, {summary['titles']['sparse']}")
    over_time.set_ylim(0, None)
    label_ends(over_norm, ends)
    headline(figure, summary["findings"]["paths"])
    return figure


def errors(rows: Table) -> Any:
    return np.nan_to_num(column(rows, "risk_se"))


def span(axes: Axes, which: str, values: list[float]) -> None:
    """A log axis around positive values."""
    positive = [value for value in values if value > 0] or [1.0]
    axes.set(**{f"{which}scale": "log", f"{which}lim": (min(positive) / 1.5, max(positive) * 2)})
    plain_numbers({"x": axes.xaxis, "y": axes.yaxis}[which])


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("run", "strength", "risk", "risk_se", "weight_norm", "theory"),
    study=draw,
    panel=partial(panel, x="step", y="val_loss"),
    panel_columns=("run", "step", "val_loss"),
    panel_rows=("baseline", "wd", "findings"),
)
