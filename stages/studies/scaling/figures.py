"""scaling, drawn."""

import numpy as np

from stages.drawing.figures import Figures
from stages.drawing.style import (
    BASELINE,
    BLACK,
    DECAY,
    START,
    Figure,
    Metrics,
    Table,
    blues,
    headline,
    label_ends,
    plain_numbers,
)
from stages.drawing.tables import column
from stages.studies.scaling.system import OPTIMIZERS

LOG = {"xscale": "log", "yscale": "log"}


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    batch_sizes = sorted({int(row["run"].split("_")[1]) for row in table})
    counts = sorted({int(row["rows"]) for row in table})
    return {"best": best(table, summary, batch_sizes, counts), "time": over_time(table, summary, batch_sizes, counts)}


def best(table: Table, summary: Metrics, batch_sizes: list[int], counts: list[int]) -> Figure:
    """The best λ over the number of rows, on the smallest and the largest batches; bars are what is not visibly worse.

    An arrowhead is a best λ of 0.
    """
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True, subplot_kw=LOG)
    grid = [decay for decay in sorted({row["weight_decay"] for row in table}) if decay] or [1.0]
    floor = 0.6 * grid[0]  # λ = 0 lies below it
    for axes, (optimizer, name) in zip(panels, OPTIMIZERS.items(), strict=True):
        ends, looks = [], ((0.94, DECAY), (1.06, START))  # side by side, in two colours
        for (shift, colour), size in zip(looks, sorted({batch_sizes[0], batch_sizes[-1]}), strict=False):
            found = [summary[f"{optimizer}_{size}_rows_{rows}"] | {"at": shift * rows} for rows in counts]
            known = [own for own in found if "best_lambda" in own]
            bars = [np.maximum(column(known, f"alike_{end}"), floor) for end in ("from", "to")]
            axes.vlines(column(known, "at"), *bars, color=colour, linewidth=3, alpha=0.35)
            axes.plot(column(known, "at"), column(known, "best_lambda"), "o", color=colour, markersize=6)
            zeros = [own["at"] for own in known if not own["best_lambda"]]
            axes.plot(zeros, [1.15 * floor] * len(zeros), "v", color=colour, markersize=6)
            axes.plot(counts, column(found, "theory_lambda"), color=colour if optimizer == "adamw" else BLACK, linewidth=1)
            ends.append((max(found[-1]["theory_lambda"], floor), f"batches of {size}", colour))
        axes.set(xlabel="n, number of rows", ylim=(floor, 1.6 * grid[-1]), title=f"best λ, {name}")
        for axis in (axes.xaxis, axes.yaxis):
            plain_numbers(axis)
    label_ends(axes, ends)
    panels[0].plot([], [], color=BLACK, linewidth=1, label="theory")
    panels[0].plot([], [], color=BASELINE, linewidth=6, alpha=0.35, label="not visibly worse than the best")
    figure.legend(loc="outside lower center", ncols=2)
    headline(figure, summary["findings"]["best"])
    return figure


def over_time(table: Table, summary: Metrics, batch_sizes: list[int], counts: list[int]) -> Figure:
    """AdamW's risk on the smallest batches for each number of rows, over λ and over its time scale; rings are the best."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True, subplot_kw=LOG)
    run, ends = f"adamw_{batch_sizes[0]}", []
    for rows, colour in zip(counts, blues(len(counts)), strict=True):
        own = [row for row in table if (row["run"], row["rows"]) == (run, rows) and row["weight_decay"]]
        rings = [row for row in own if row["weight_decay"] == summary[f"{run}_rows_{rows}"].get("best_lambda")]
        for axes, x in zip(panels, ("weight_decay", "epochs"), strict=True):
            axes.plot(column(own, x), column(own, "risk"), color=colour)
            axes.plot(column(rings, x), column(rings, "risk"), "o", color=colour, markerfacecolor="white", markeredgewidth=2)
        ends += [(row["risk"], f"{rows:,} rows", colour) for row in own[:1] if row["risk"] is not None]
    panels[0].set(xlabel="λ", title="risk over λ")
    panels[1].set(xlabel="1/(lr·λ), epochs", title="risk over the time scale")
    for axes in panels:
        for axis in (axes.xaxis, axes.yaxis):
            plain_numbers(axis)
    label_ends(panels[1], ends)
    headline(figure, summary["findings"]["time"])
    return figure


FIGURES = Figures(sweep=sweep, sweep_columns=("run", "rows", "weight_decay", "epochs", "risk"))
