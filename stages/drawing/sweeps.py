"""A sweep over λ: points are runs or their means, diamonds what theory expects."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.drawing.style import BLACK, DECAY, DIAMOND, Axes, Figure, Table, headline, label_ends, loss_axis
from stages.drawing.tables import column


def sweep(table: Table, summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Validation loss at the end, over λ: each trial a point, the mean a line, theory where it is exact."""
    figure = Figure()
    axes = figure.subplots()
    grid, runs = by_decay(table)
    axes.plot(column(table, "weight_decay"), column(table, "val_loss"), ".", color=DECAY, alpha=0.3, label="a trial")
    axes.plot(grid, means(runs, "val_loss"), color=DECAY, marker="o", markersize=5, label="mean over trials")
    if "theory" in table[0]:
        axes.plot(grid, means(runs, "theory"), "D", label="exact theory", **DIAMOND)
    decay_axis(axes, grid)
    loss_axis(axes)
    axes.axhline(summary["val_loss_of_null"], color=BLACK, linewidth=1, linestyle=":")
    lost = [decay for decay, rows in zip(grid, runs, strict=True) if any(row["diverged"] for row in rows)]
    if lost:
        axes.plot(lost, [1.0] * len(lost), "x", color=BLACK, transform=axes.get_xaxis_transform(), label="some trials diverged")
    axes.set(ylabel="validation loss")
    label_ends(axes, [(summary["val_loss_of_null"], "best\nconstant", BLACK)])
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.93))
    headline(figure, summary["findings"]["loss"])
    return {"loss": figure}


def decay_axis(axes: Axes, grid: Sequence[float]) -> None:
    """λ on a log axis, with a place for 0."""
    smallest = grid[1] if len(grid) > 1 else 1.0
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    axes.set(xlim=(-0.2 * smallest, 1.3 * grid[-1] or 1.0), xlabel="λ")


def means(runs: Sequence[Table], name: str) -> list[float]:
    """The mean over the trials at each λ, NaN where all of them diverged."""
    columns = [column(rows, name) for rows in runs]
    return [float(np.nanmean(column)) if not np.isnan(column).all() else np.nan for column in columns]


def by_decay(table: Table) -> tuple[list[float], list[Table]]:
    """The grid of a sweep's table, and the rows at each λ."""
    grid = sorted({row["weight_decay"] for row in table})
    return grid, [[row for row in table if row["weight_decay"] == decay] for decay in grid]
