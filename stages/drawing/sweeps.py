"""A sweep over λ: points are runs or their means, diamonds what theory expects."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.drawing.style import BLACK, DECAY, DIAMOND, Figure, Table


def sweep(table: Table, summary: Mapping[str, float]) -> Figure:
    """Validation and training loss at the end, over λ: each trial a point, the mean a line, theory where it is exact."""
    figure = Figure(figsize=(9, 4))
    panels = figure.subplots(1, 2)
    grid, runs = by_decay(table)
    smallest = grid[1] if len(grid) > 1 else 1.0
    points = {"color": DECAY, "alpha": 0.25, "markersize": 5}
    for axes, name in zip(panels, ("val_loss", "train_loss"), strict=True):
        labels = ("a trial", "mean over trials") if axes is panels[0] else (None, None)
        axes.plot(column(table, "weight_decay"), column(table, name), ".", label=labels[0], **points)
        axes.plot(grid, means(runs, name), color=DECAY, marker="o", markersize=4, label=labels[1])
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        axes.set(xlim=(-0.2 * smallest, 1.3 * grid[-1]), yscale="log", xlabel="λ")
    if "theory" in table[0]:
        panels[0].plot(grid, means(runs, "theory"), "D", label="theory", **DIAMOND)
    panels[0].axhline(summary["val_loss_of_null"], color=BLACK, linewidth=1, linestyle=":", label="best constant")
    if "best_lambda" in summary:
        best = summary["best_lambda"]
        panels[0].axvline(best, color=DECAY, linewidth=1, linestyle="--", label=f"best λ = {best:g}")
    names = [f"val_loss_at_{place}" for place in ("zero", "best", "end")]
    at = " → ".join(f"{summary[name]:.3g}" for name in names) if all(name in summary for name in names) else "some runs diverged"
    panels[0].set(ylabel="validation loss", title=f"Validation: {at}")
    panels[1].set(ylabel="training loss", title="Training: too much λ underfits")
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def column(table: Table, name: str) -> NDArray:
    return np.array([np.nan if row[name] is None else row[name] for row in table], dtype=float)


def means(runs: Sequence[Table], name: str) -> list[float]:
    """The mean over the trials at each λ, NaN where all of them diverged."""
    columns = [column(rows, name) for rows in runs]
    return [float(np.nanmean(column)) if not np.isnan(column).all() else np.nan for column in columns]


def by_decay(table: Table) -> tuple[list[float], list[Table]]:
    """The grid of a sweep's table, and the rows at each λ."""
    grid = sorted({row["weight_decay"] for row in table})
    return grid, [[row for row in table if row["weight_decay"] == decay] for decay in grid]
