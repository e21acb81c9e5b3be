"""modular, drawn."""

from collections.abc import Mapping, Sequence

import numpy as np

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing import curves
from stages.drawing.figures import Figures
from stages.drawing.style import BLACK, DECAY, RUNS, START, Axes, Figure, Metrics, Table, band, curve, label, log_steps
from stages.drawing.sweeps import by_decay


def draw(_: Arrays, __: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    return {
        "curves": curves.curves(table, metrics, {"null": "chance"}, x="step", log_x=True, title=metrics["findings"]["curves"]),
        "accuracy": accuracy(table, metrics),
    }


def accuracy(table: Table, metrics: Metrics) -> Figure:
    """Training and validation accuracy over steps: memorised early, generalised late or never."""
    figure = Figure(figsize=(9, 3.8))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (run, colour, _) in zip(panels, RUNS, strict=True):
        path = curve(table, run)
        band(axes, path, "step", "train_accuracy", color=colour, linestyle="--", label="training")
        band(axes, path, "step", "val_accuracy", color=colour, label="validation")
        steps, generalised = metrics[run]["steps_to_generalise"], metrics[run]["generalised"]
        late = f"generalises at step {steps:.0f}" if steps >= 0 else f"generalises in {generalised:.0%} of trials"
        early = "memorises" if metrics[run]["memorised"] == 1 else "does not memorise"
        ending = late if generalised else f"{early}, never generalises"
        axes.set(xlabel="step", title=f"{label(metrics, run)}: {ending}")
        log_steps(axes, path["step"])
        axes.legend(loc="upper left" if generalised else "center right")
    panels[0].set(ylabel="accuracy", ylim=(-0.03, 1.05))
    return figure


def grokking(table: Table, summary: Mapping[str, float]) -> Figure:
    """When each trial generalises, over λ: never, late, quick; and where it no longer learns the training pairs at all."""
    figure = Figure(figsize=(9, 4.2))
    axes = figure.subplots()
    threshold, last_step = summary["threshold"], int(summary["steps"])
    grid, runs = by_decay(table)
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


def _stretches(places: Sequence[int]) -> list[tuple[int, int]]:
    """The runs of neighbours among ascending places, first and last of each."""
    starts = [place for place in places if place - 1 not in places]
    ends = [place for place in places if place + 1 not in places]
    return list(zip(starts, ends, strict=True))


def _steps(table: Table) -> list[float]:
    """Every step at which a trial memorised or generalised."""
    steps = [row[name] for row in table for name in ("steps_to_memorise", "steps_to_generalise")]
    return [step for step in steps if step is not None and step >= 0]


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


def panel(axes: Axes, table: Table, metrics: Metrics) -> None:
    curves.panel(axes, table, metrics, x="step", y="val_accuracy")
    log_steps(axes, curve(table, "wd")["step"])


FIGURES = Figures(
    sweep=grokking,
    sweep_columns=("weight_decay", "val_loss"),
    study=draw,
    panel=panel,
    panel_columns=("run", "step", "val_accuracy"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
