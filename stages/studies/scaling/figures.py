"""scaling, drawn."""

from collections.abc import Sequence

import numpy as np

from stages.drawing.figures import Figures
from stages.drawing.style import (
    BLACK,
    DECAY,
    START,
    Axes,
    Figure,
    Metrics,
    Table,
    headline,
    label_ends,
    matplotlib,
    plain_numbers,
)
from stages.drawing.sweeps import column

NAMES = {"sgd": "SGD", "adamw": "AdamW"}


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"best": best(table, summary), "time": over_time(table, summary)}


def of_runs(table: Table) -> tuple[list[int], list[int]]:
    """The batch sizes and the numbers of rows."""
    return sorted({int(row["run"].split("_")[1]) for row in table}), sorted({int(row["rows"]) for row in table})


def best(table: Table, summary: Metrics) -> Figure:
    """The best λ over the number of rows, for the smallest and the largest batches; bars are what is not visibly worse."""
    batch_sizes, counts = of_runs(table)
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True, subplot_kw={"xscale": "log", "yscale": "log"})
    decays = sorted({row["weight_decay"] for row in table})
    floor = 0.6 * next((decay for decay in decays if decay), 1.0)
    for axes, optimizer in zip(panels, NAMES, strict=True):
        ends = []
        for place, (size, colour) in enumerate(zip(sorted({batch_sizes[0], batch_sizes[-1]}), (DECAY, START), strict=False)):
            found = [summary[f"{optimizer}_{size}_rows_{rows}"] for rows in counts]
            marks(axes, [rows * 1.06 ** (2 * place - 1) for rows in counts], found, floor, colour=colour)
            theory = [own["theory_lambda"] or np.nan for own in found]
            axes.plot(counts, theory, color=BLACK, linewidth=1)
            ends.append((theory[-1], f"batches of {size}" if optimizer == "adamw" else "", colour))
        axes.set(xlabel="n, number of rows", ylim=(floor, 1.6 * decays[-1] or 1.0), title=f"best λ, {NAMES[optimizer]}")
        for axis in (axes.xaxis, axes.yaxis):
            plain_numbers(axis)
        label_ends(axes, [end for end in ends if end[1] and np.isfinite(end[0])])
    panels[0].plot([], [], color=BLACK, linewidth=1, label="theory")
    panels[0].plot([], [], "|", color=BLACK, markersize=12, label="not visibly worse than the best")
    figure.legend(loc="outside lower center", ncols=2)
    headline(figure, summary["findings"]["best"])
    return figure


def marks(axes: Axes, places: Sequence[float], found: Sequence[Metrics], floor: float, *, colour: str) -> None:
    """A point at each best λ, and a bar over those that are not visibly worse; λ = 0 lies below the axis."""
    known = [(place, own) for place, own in zip(places, found, strict=True) if "best_lambda" in own]
    for place, own in known:
        axes.plot([place] * 2, [max(own["alike_from"], floor), own["alike_to"]], color=colour, linewidth=3, alpha=0.35)
    axes.plot([place for place, _ in known], [own["best_lambda"] or np.nan for _, own in known], "o", color=colour, markersize=6)


def over_time(table: Table, summary: Metrics) -> Figure:
    """AdamW's risk on the smallest batches for each number of rows, over λ and over its time scale; rings are the lowest."""
    batch_sizes, counts = of_runs(table)
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True, subplot_kw={"xscale": "log", "yscale": "log"})
    ends = []
    for place, rows in enumerate(counts):
        shade = matplotlib.colormaps["Blues"](0.4 + 0.6 * place / max(len(counts) - 1, 1))
        colour = matplotlib.colors.to_hex(shade)
        own = [row for row in table if (row["run"], row["rows"]) == (f"adamw_{batch_sizes[0]}", rows) and row["weight_decay"]]
        heights = column(own, "risk")
        for axes, x in zip(panels, ("weight_decay", "epochs"), strict=True):
            axes.plot(column(own, x), heights, color=colour)
            if np.isfinite(heights).any():
                lowest = int(np.nanargmin(heights))
                axes.plot(own[lowest][x], heights[lowest], "o", color=colour, markerfacecolor="white", markeredgewidth=2)
        if np.isfinite(heights).any():
            ends.append((heights[0], f"{rows:,} rows", colour))
    panels[0].set(xlabel="λ", title="risk, ‖w − w*‖², over λ")
    panels[1].set(xlabel="1/(lr·λ), epochs", title="over the time scale")
    for axes in panels:
        for axis in (axes.xaxis, axes.yaxis):
            plain_numbers(axis)
    label_ends(panels[1], ends)
    headline(figure, summary["findings"]["time"])
    return figure


COLUMNS = ("run", "rows", "weight_decay", "epochs", "risk")
FIGURES = Figures(sweep=sweep, sweep_columns=COLUMNS)
