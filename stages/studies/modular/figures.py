"""modular, drawn."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing import curves
from stages.drawing.figures import Drawn, Figures
from stages.drawing.style import (
    BLACK,
    DECAY,
    RUNS,
    START,
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
    plain_numbers,
)
from stages.drawing.sweeps import by_decay

FRAMES, UNITS = 24, 48  # of the animation, about


def draw(_: Arrays, trained: Trained, table: Table, metrics: Metrics) -> dict[str, Drawn]:
    said = metrics["findings"]
    return {
        "accuracy": accuracy(table, metrics),
        "curves": curves.curves(table, metrics, {"null": "chance"}, x="step", title=said["curves"], log_x=True),
        "frequencies": frequencies(trained, table, metrics),
    }


def accuracy(table: Table, metrics: Metrics) -> Figure:
    """Training and validation accuracy over steps: memorised early, generalised late or not at all."""
    figure = Figure()
    axes = figure.subplots()
    accuracies(axes, table, metrics)
    axes.plot([], [], color=BLACK, label="pairs not trained on")
    axes.plot([], [], color=BLACK, linestyle="--", label="pairs trained on")
    axes.legend()
    axes.set(ylabel="right answers", xlabel="step")
    headline(figure, metrics["findings"]["accuracy"])
    return figure


def accuracies(axes: Axes, table: Table, metrics: Metrics) -> None:
    ends = []
    for run, colour, width in RUNS:
        path = curve(table, run)
        band(axes, path, "step", "train_accuracy", color=colour, linewidth=width, linestyle="--")
        band(axes, path, "step", "val_accuracy", color=colour, linewidth=width)
        ends.append((path["val_accuracy"][-1], label(metrics, run), colour))
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    log_steps(axes, path["step"])
    label_ends(axes, ends)


def frequencies(trained: Trained, table: Table, metrics: Metrics) -> Iterator[Figure]:
    """Draw how the weights of units divide among frequencies, in the first trial with decay, while accuracies change.

    Units stand in the order of the frequency that is strongest in the end; of many every second, every third and so on.
    """
    run = trained["wd"]
    shares, steps = run["spectrum"][0] / 255, run["steps"]  # (h, F, K), (K,)
    order = np.argsort(shares[..., -1].argmax(axis=1), kind="stable")[:: max(1, len(shares) // UNITS)]
    figure = Figure(dpi=90)
    course, picture = figure.subplots(1, 2)
    accuracies(course, table, metrics)
    course.set_xlabel("step")
    said = course.set_title("right answers", animated=True)
    now = course.axvline(1, color=START, linewidth=3, animated=True)
    spectrum = picture.imshow(shares[order, :, 0], cmap="Blues", vmin=0, vmax=1, aspect="auto", animated=True)
    spectrum.set(interpolation="nearest", extent=(0.5, shares.shape[1] + 0.5, 1, 0))
    picture.set(xlabel="frequency", yticks=[], ylabel="units", title=f"{label(metrics, 'wd')}: power of a unit's weights")
    picture.grid(visible=False)
    headline(figure, metrics["findings"]["frequencies"])
    for place in frames(steps):
        said.set_text(f"right answers, step {steps[place]:,}")
        now.set_xdata([max(int(steps[place]), int(steps[min(1, len(steps) - 1)]))] * 2)
        spectrum.set_data(shares[order, :, place])
        yield figure


def frames(steps: NDArray) -> list[int]:
    """Which evaluations to show: the first, and others whose steps grow by a constant factor."""
    if len(steps) < 3:
        return list(range(len(steps)))
    wanted = np.geomspace(steps[1], steps[-1], FRAMES)
    return [0, *dict.fromkeys(int(np.abs(steps - step).argmin()) for step in wanted)]


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"steps": grokking(table, summary)}


def grokking(table: Table, summary: Metrics) -> Figure:
    """Draw when each trial memorises and generalises, over λ."""
    figure = Figure()
    axes = figure.subplots()
    last_step = int(summary["steps"])
    own = [row for row in table if row["train_fraction"] == summary["train_fraction"]]
    axes.set(yscale="log", ylim=(0.6 * lowest(own, last_step), 2.6 * last_step), ylabel="step")
    weight_decays(axes, own, summary)
    plain_numbers(axes.yaxis)
    axes.plot([], [], "s", color=START, label="memorises")
    axes.plot([], [], "o", color=DECAY, label="generalises")
    axes.plot([], [], "o", color=BLACK, markerfacecolor="none", label=f"not within {last_step:,}")
    axes.legend()
    headline(figure, summary["findings"]["steps"])
    return figure


def weight_decays(axes: Axes, table: Table, summary: Metrics) -> None:
    """Each run a point above its λ; and the law of the time, 1/(lr·λ), through those where it was measured."""
    grid, runs = by_decay(table)
    last_step = int(summary["steps"])
    for place, rows in enumerate(runs):
        spread(axes, place, rows, "steps_to_memorise", 1.9 * last_step, "s", START)
        spread(axes, place, rows, "steps_to_generalise", 1.4 * last_step, "o", DECAY)
        if any(row["diverged"] for row in rows):
            axes.annotate("diverges", (place, 2.2 * last_step), ha="center", fontsize=11)
    on_law = [place for place, decay in enumerate(grid) if f"pace_at_{decay:g}" in summary]
    if len(on_law) > 1:
        expected = [summary["law"] / (summary["lr"] * grid[place]) for place in on_law]
        axes.plot(on_law, expected, color=BLACK, linewidth=1, linestyle="--")
        axes.annotate("∝ 1/(lr·λ)", (on_law[1], expected[1]), xytext=(6, 12), textcoords="offset points")
    axes.set_xticks(range(len(grid)), [f"{decay:g}" for decay in grid])
    axes.set(xlabel="λ")
    axes.grid(visible=False, axis="x")


def spread(axes: Axes, place: float, rows: Table, name: str, above: float, marker: str, colour: str) -> None:
    """A point a trial, side by side; hollow and at `above` where it does not get there."""
    for index, row in enumerate(rows):
        x = place + 0.11 * (index - (len(rows) - 1) / 2)
        reached = row[name] is not None and row[name] >= 0
        fill = colour if reached else "none"
        axes.plot(x, height(row[name], above), marker, color=colour, markerfacecolor=fill, markersize=6)


def height(step: float | None, above: float) -> float:
    return max(step, 1.0) if step is not None and step >= 0 else above


def lowest(table: Table, last_step: int) -> float:
    """The lowest point that is drawn."""
    return min(height(row[name], last_step) for row in table for name in ("steps_to_memorise", "steps_to_generalise"))


def panel(axes: Axes, table: Table, metrics: Metrics) -> None:
    curves.panel(axes, table, metrics, x="step", y="val_accuracy")
    log_steps(axes, curve(table, "wd")["step"])


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("weight_decay", "train_fraction", "diverged", "steps_to_memorise", "steps_to_generalise"),
    study=draw,
    panel=panel,
    panel_columns=("run", "step", "val_accuracy"),
    panel_rows=("baseline", "wd", "findings"),
)
