"""modular, drawn."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing import curves
from stages.drawing.figures import Drawn, Figures
from stages.drawing.style import (
    BASELINE,
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
    wrapped,
)
from stages.drawing.sweeps import by_decay

FRAMES = 40  # of the animation


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


def accuracies(axes: Axes, table: Table, metrics: Metrics, *, apart: float = 0.085) -> None:
    ends = []
    for run, colour, width in RUNS:
        path = curve(table, run)
        band(axes, path, "step", "train_accuracy", color=colour, linewidth=width, linestyle="--")
        band(axes, path, "step", "val_accuracy", color=colour, linewidth=width)
        ends.append((path["val_accuracy"][-1], label(metrics, run), colour))
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    log_steps(axes, path["step"])
    label_ends(axes, ends, apart=apart)


def frequencies(trained: Trained, table: Table, metrics: Metrics) -> Iterator[Figure]:
    """The first trial with decay: how the weights of each unit divide among frequencies, while accuracies and norms change.

    Units stand in the order of the frequency that is strongest in the end.
    """
    run = trained["wd"]
    shares, steps = run["spectrum"][0] / 255, run["steps"]  # (h, F, K), (K,)
    order = np.argsort(shares[..., -1].argmax(axis=1), kind="stable")
    figure = Figure()
    panels = figure.subplot_mosaic([["course", "picture"], ["norm", "picture"]], height_ratios=(3, 2))
    course, norm, picture = (panels[name] for name in ("course", "norm", "picture"))
    accuracies(course, table, metrics, apart=0.15)
    course.set(xticklabels=[], title="right answers, step 0")
    norms = [(curve(table, arm), colour, width, label(metrics, arm)) for arm, colour, width in RUNS]
    for path, colour, width, _ in norms:
        band(norm, path, "step", "weight_norm", color=colour, linewidth=width)
    norm.set(ylim=(0, None), xlabel="step", title="‖w‖₂")
    log_steps(norm, norms[0][0]["step"])
    label_ends(norm, [(path["weight_norm"][-1], said, colour) for path, colour, _, said in norms], apart=0.22)
    now = [axes.axvline(max(int(steps[0]), 1), color=START, linewidth=2) for axes in (course, norm)]
    shape = shares.shape[1]
    image = picture.imshow(
        shares[order, :, 0], aspect="auto", cmap="Blues", vmin=0, vmax=1, extent=(0.5, shape + 0.5, 1, 0), interpolation="nearest"
    )
    picture.set(xlabel="frequency", yticks=[], ylabel="units", title=f"{label(metrics, 'wd')}: power of a unit's weights")
    picture.grid(visible=False)
    headline(figure, metrics["findings"]["frequencies"])
    for place in frames(steps):
        course.set_title(f"right answers, step {steps[place]:,}")
        for line in now:
            line.set_xdata([max(int(steps[place]), int(steps[min(1, len(steps) - 1)]))] * 2)
        image.set_data(shares[order, :, place])
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
    """When each trial memorises and generalises: over λ, and over the share of the pairs that it trains on."""
    figure = Figure()
    over_decay, over_share = figure.subplots(1, 2, width_ratios=(6, 5), sharey=True)
    last_step = int(summary["steps"])
    own = [row for row in table if row["train_fraction"] == summary["train_fraction"]]
    over_decay.set(yscale="log", ylim=(0.6 * lowest(table, last_step), 2.6 * last_step))
    weight_decays(over_decay, own, summary)
    shares(over_share, table, last_step)
    over_decay.set(ylabel="step", title=f"with {summary['train_fraction']:.0%} of the pairs")
    over_share.set_title(wrapped(summary["findings"]["shares"], 30))
    over_decay.plot([], [], "s", color=START, label="memorises")
    over_decay.plot([], [], "o", color=DECAY, label="generalises")
    over_decay.plot([], [], "o", color=BLACK, markerfacecolor="none", label=f"not within {last_step:,}")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1)
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
        axes.annotate("∝ 1/(lr·λ)", (on_law[1], expected[1]), xytext=(2, 10), textcoords="offset points")
    axes.set_xticks(range(len(grid)), [f"{decay:g}" for decay in grid])
    axes.set(xlabel="λ")
    axes.grid(visible=False, axis="x")


def shares(axes: Axes, table: Table, last_step: int) -> None:
    """λ = 0 in grey, the others of those that were trained on several shares in blue."""
    places = sorted({row["train_fraction"] for row in table})
    several = [decay for decay, rows in zip(*by_decay(table), strict=True) if len({row["train_fraction"] for row in rows}) > 1]
    ends = []
    for decay in several:
        colour = DECAY if decay else BASELINE
        means = []
        for place, share in enumerate(places):
            rows = [row for row in table if (row["weight_decay"], row["train_fraction"]) == (decay, share)]
            spread(axes, place, rows, "steps_to_generalise", 1.4 * last_step, "o", colour)
            means.append(np.mean([height(row["steps_to_generalise"], 1.4 * last_step) for row in rows]))
        axes.plot(range(len(places)), means, color=colour, linewidth=1)
        ends.append((float(means[-1]), f"λ = {decay:g}", colour))
    axes.set_xticks(range(len(places)), [f"{100 * place:.0f}" for place in places])
    axes.set(xlabel="% of the pairs trained on")
    axes.grid(visible=False, axis="x")
    label_ends(axes, ends)


def spread(axes: Axes, place: float, rows: Table, name: str, above: float, marker: str, colour: str) -> None:
    """A point a trial, side by side; hollow and at `above` where it does not get there."""
    for index, row in enumerate(rows):
        x = place + 0.09 * (index - (len(rows) - 1) / 2)
        reached = row[name] is not None and row[name] >= 0
        fill = colour if reached else "none"
        axes.plot(x, height(row[name], above), marker, color=colour, markerfacecolor=fill, markersize=4.5)


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
