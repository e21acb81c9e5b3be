"""Figures of sweeps, over λ: points are runs or their means, diamonds what theory expects."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.science.figures import BASELINE, BLACK, DECAY, DIAMOND, START, Axes, Figure, Table


def sweep(table: Table, summary: Mapping[str, float]) -> Figure:
    """Validation and training loss at the end, over λ: each trial a point, the mean a line, theory where it is exact."""
    figure = Figure(figsize=(9, 4))
    panels = figure.subplots(1, 2)
    grid, runs = _by_decay(table)
    smallest = grid[1] if len(grid) > 1 else 1.0
    points = {"color": DECAY, "alpha": 0.25, "markersize": 5}
    for axes, name in zip(panels, ("val_loss", "train_loss"), strict=True):
        labels = ("a trial", "mean over trials") if axes is panels[0] else (None, None)
        axes.plot(_column(table, "weight_decay"), _column(table, name), ".", label=labels[0], **points)
        axes.plot(grid, _means(runs, name), color=DECAY, marker="o", markersize=4, label=labels[1])
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        axes.set(xlim=(-0.2 * smallest, 1.3 * grid[-1]), yscale="log", xlabel="λ")
    if "theory" in table[0]:
        panels[0].plot(grid, _means(runs, "theory"), "D", label="theory", **DIAMOND)
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


def grokking(table: Table, summary: Mapping[str, float]) -> Figure:
    """When each trial generalises, over λ: never, late, quick; and where it no longer learns the training pairs at all."""
    figure = Figure(figsize=(9, 4.2))
    axes = figure.subplots()
    threshold, last_step = summary["threshold"], int(summary["steps"])
    grid, runs = _by_decay(table)
    position = dict(zip(grid, range(len(grid)), strict=True))
    arrivals = [_arrival(rows) for rows in runs]
    helped = [place for place, arrival in enumerate(arrivals) if arrival < arrivals[0]]
    for first, last in _stretches(helped):
        axes.axvspan(first - 0.5, last + 0.5, color=DECAY, alpha=0.12, linewidth=0)
        said = f"λ from {grid[first]:g} to {grid[last]:g}" if first < last else f"λ = {grid[first]:g}"
        axes.annotate(
            f"decay helps: {said}", ((first + last) / 2, 0.03), xycoords=("data", "axes fraction"), ha="center", wrap=True
        )
    never, first_drawn = 1.25 * last_step, 0.5 * min((step for step in _steps(table) if step > 0), default=last_step)
    for row in table:
        x = position[row["weight_decay"]] + 0.12 * (row["trial"] - (max(r["trial"] for r in table)) / 2)
        for name, colour, marker in (("steps_to_memorise", START, "s"), ("steps_to_generalise", DECAY, "o")):
            reached = row[name] is not None and row[name] >= 0
            axes.plot(
                x,
                max(row[name], first_drawn) if reached else never,
                marker,
                color=colour,
                markerfacecolor=colour if reached else "none",
                markersize=7,
            )
    for decay, rows, arrival in zip(grid, runs, arrivals, strict=True):
        fate = _fate(rows, threshold) if arrival == np.inf else "quickest" if arrival == min(arrivals) else "late"
        axes.annotate(fate, (position[decay], 1.42 * last_step), ha="center", va="bottom", fontsize=10)
    axes.plot([], [], "s", color=START, label=f"memorises: {threshold:.0%} of the training pairs")
    axes.plot([], [], "o", color=DECAY, label=f"generalises: {threshold:.0%} of the other pairs")
    axes.plot([], [], "o", color=BLACK, markerfacecolor="none", label=f"not within {last_step} steps")
    axes.set(
        yscale="log",
        xlabel="λ",
        ylabel="step",
        ylim=(None, 2.1 * last_step),
        title="Too little decay never generalises, too much never learns",
    )
    axes.set_xticks(range(len(grid)), [f"{decay:g}" for decay in grid])
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def descent(table: Table, summary: Mapping[str, Any], closed_form: tuple[Sequence[float], Sequence[float]]) -> Figure:
    """Risk over the number of rows, peaked at n = d without decay; and over Λ at the peak, a U.

    `closed_form`: numbers of rows and the expected risk of each at Λ = 0.
    """
    figure = Figure(figsize=(9, 4.4))
    descents, bowl = figure.subplots(1, 2, width_ratios=(3, 2))
    penalties, best, inputs = sorted({row["penalty"] for row in table}), summary["theory_penalty"], summary["inputs"]
    counts = sorted({row["rows"] for row in table})
    middle = min(counts, key=lambda rows: abs(rows - inputs))
    some = [penalty for penalty in penalties if 0 < penalty < best][-2:-1]
    for penalty, colour in zip([0.0, *some, best], (BASELINE, START, DECAY), strict=False):
        _risks(descents, [row for row in table if row["penalty"] == penalty], "rows", color=colour)
        label = f"Λ = {penalty:g}" + (", best in theory" if penalty == best else "")
        descents.plot([], [], "o", color=colour, label=label)
    _risks(bowl, [row for row in table if row["rows"] == middle], "penalty", color=DECAY)
    smallest = penalties[1] if len(penalties) > 1 else 1.0
    bowl.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    bowl.axvline(best, color=DECAY, linewidth=1, linestyle="--")
    bowl.annotate(f"Λ* = {best:g}", (best, 0.95), xycoords=("data", "axes fraction"), xytext=(5, 0), textcoords="offset points")
    descents.axvline(inputs, color=BLACK, linewidth=1, linestyle=":")
    descents.annotate("n = d", (inputs, 0.03), xycoords=("data", "axes fraction"), xytext=(5, 0), textcoords="offset points")
    descents.set(
        yscale="log",
        xlabel=f"n, rows of {inputs:.0f} inputs",
        ylabel="risk, ‖w − w*‖²",
        title="A peak at n = d, but not with the best decay",
    )
    bowl.set(yscale="log", xlabel="Λ = nλ", title=f"The U over Λ at n = {middle:.0f}")
    descents.plot(*closed_form, color=BLACK, linewidth=1, label="closed form at Λ = 0, infinite at n = d")
    descents.plot([], [], "D", **DIAMOND, label="exact theory")
    descents.plot([], [], "o", color=BLACK, markerfacecolor="none", label="solved: training cannot get there")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _risks(axes: Axes, rows: Table, x: str, *, color: str) -> None:
    """Measured risks with their errors, hollow where the solver stood in for training, in the diamonds that theory expects."""
    places, risks, errors = (_column(rows, name) for name in (x, "risk", "risk_se"))
    axes.plot(places, risks, color=color, linewidth=1, alpha=0.5)
    axes.plot(places, _column(rows, "theory"), "D", zorder=4, **DIAMOND)
    for trained, fill in ((1, color), (0, "white")):
        own = _column(rows, "trained") == trained
        style: dict[str, Any] = {"fmt": "o", "color": color, "markerfacecolor": fill, "markersize": 4.5, "capsize": 2}
        axes.errorbar(places[own], risks[own], errors[own], zorder=3, **style)


def _stretches(places: Sequence[int]) -> list[tuple[int, int]]:
    """The runs of neighbours among ascending places, first and last of each."""
    starts = [place for place in places if place - 1 not in places]
    ends = [place for place in places if place + 1 not in places]
    return list(zip(starts, ends, strict=True))


def _steps(table: Table) -> list[float]:
    """Every step at which a trial memorised or generalised."""
    steps = [row[name] for row in table for name in ("steps_to_memorise", "steps_to_generalise")]
    return [step for step in steps if step is not None and step >= 0]


def _column(table: Table, name: str) -> NDArray:
    return np.array([np.nan if row[name] is None else row[name] for row in table], dtype=float)


def _means(runs: Sequence[Table], name: str) -> list[float]:
    """The mean over the trials at each λ, NaN where all of them diverged."""
    columns = [_column(rows, name) for rows in runs]
    return [float(np.nanmean(column)) if not np.isnan(column).all() else np.nan for column in columns]


def _by_decay(table: Table) -> tuple[list[float], list[Table]]:
    """The grid of a sweep's table, and the rows at each λ."""
    grid = sorted({row["weight_decay"] for row in table})
    return grid, [[row for row in table if row["weight_decay"] == decay] for decay in grid]


def _arrival(rows: Table) -> float:
    """The mean step at which the trials at one λ generalise, infinite unless all of them do."""
    steps = [row["steps_to_generalise"] for row in rows]
    return float(np.mean(steps)) if all(step is not None and step >= 0 for step in steps) else np.inf


def _fate(rows: Table, threshold: float) -> str:
    """What becomes of trials that do not generalise, in a word."""
    if any(row["diverged"] for row in rows):
        return "diverges"
    if all(row["train_accuracy"] >= threshold for row in rows):
        return "never"
    return "collapses" if all(row["weight_norm"] < 1e-3 for row in rows) else "underfits"
