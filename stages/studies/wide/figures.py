"""wide, drawn."""

import itertools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import curves
from stages.drawing.figures import Figures
from stages.drawing.style import BLACK, RUNS, START, Axes, Figure, Metrics, Table, headline, label, label_ends, matplotlib
from stages.drawing.sweeps import decay_axis

PARTS = {  # part of the error → its name, its colour, and that of its name beside it
    "start": ("start", START, "#8a5a00"),
    "shrinkage": ("signal\nnot learnt", "#bbbbbb", "#444444"),
    "noise": ("noise fitted", "#cc79a7", "#8a3d68"),
}
BREAK = "\n"
THIN, INVISIBLE = 0.15, 0.002  # of the longest bar: a shorter segment has no room for its name, or cannot be seen
RING: dict[str, Any] = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2, "linestyle": ""}
BOX: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # behind text that stands on a line
OUTSIDE = 0.004  # share of the weights that are too far out to be drawn


def draw(arrays: Arrays, trained: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    final = {run: trained[run]["weight"][~trained[run]["diverged"]] for run, *_ in RUNS}  # (≤ R, d)
    truth, said = float(arrays["true_weight"][0, 0]), metrics["findings"]
    return {
        "curves": curves(table, metrics, {"null": "best\nconstant"}, x="epoch", title=said["curves"]),
        "weights": weights(arrays["start_weight"], final, truth, metrics),
        "parts": parts(metrics),
    }


def weights(start: NDArray, final: Mapping[str, NDArray], truth: float, metrics: Metrics) -> Figure:
    """Histograms of all trials' weights, before and after training, their means, and the true weight."""
    figure = Figure()
    axes = figure.subplots()
    low, high = np.quantile(np.concatenate([start, *final.values()]), [OUTSIDE / 2, 1 - OUTSIDE / 2])
    edges = np.linspace(min(low, truth, 0.0), max(high, truth, 0.0), 50)
    far = "left" if truth >= 0 else "right"  # from the truth, as seen from zero
    axes.axvline(truth, color=BLACK, linewidth=1.5)
    side = "right" if truth - edges[0] < 0.8 * (edges[-1] - edges[0]) else "left"
    beside(axes, f"truth {truth:g}", (truth, 0.93), side, xycoords=("data", "axes fraction"))
    histogram(axes, start, edges, START, linewidth=2)
    beside(axes, "random start", outline(start, edges, 0.1), "left", color=START)
    for (run, colour, width), place in zip(RUNS, (0.92, None), strict=True):
        histogram(axes, final[run], edges, colour, linewidth=2)
        histogram(axes, final[run], edges, colour, alpha=0.25, fill=True)
        axes.plot(final[run].mean(), 0.03, "^", color=colour, markersize=5 * width, transform=axes.get_xaxis_transform())
        beside(axes, label(metrics, run), outline(final[run], edges, place), "right" if place else far, color=colour)
    axes.plot([], [], "^", color=BLACK, markersize=10, label="mean")
    axes.legend(loc="upper left" if far == "left" else "upper right")
    axes.set(xlabel="weight", ylabel="share of all trials' weights", ylim=(0, None))
    headline(figure, metrics["findings"]["weights"])
    return figure


def histogram(axes: Axes, values: NDArray, edges: NDArray, colour: str, **style: Any) -> None:
    axes.stairs(np.histogram(values, edges)[0] / values.size, edges, color=colour, **style)


def outline(values: NDArray, edges: NDArray, share: float | None) -> tuple[float, float]:
    """Where a histogram's outline is at this share of its values, counted from the left; without one its highest place."""
    heights = np.histogram(values, edges)[0] / values.size
    place = int(heights.argmax()) if share is None else int(np.searchsorted(edges, np.quantile(values, share))) - 1
    place = min(max(place, 0), len(heights) - 1)
    return (edges[place] + edges[place + 1]) / 2, heights[place]


def beside(axes: Axes, text: str, place: tuple[float, float], side: str, **style: Any) -> None:
    """Write on one side of a place."""
    aligned, away = ("right", -10) if side == "left" else ("left", 10)
    axes.annotate(text, place, xytext=(away, 4), textcoords="offset points", ha=aligned, **style)


def parts(metrics: Metrics) -> Figure:
    """The expected validation loss of both arms, split exactly into what is left of the start, lost signal, fitted noise."""
    figure = Figure()
    axes = figure.subplots()
    ends = stacked(axes, metrics, across=True)
    for part, (named, _, colour) in PARTS.items():
        sizes = [metrics[run][f"excess_{part}"] for run, *_ in RUNS]
        if 0 < max(sizes) < INVISIBLE * max(ends.values()):
            said = f"{named.replace(BREAK, ' ')}: too thin to see\n({' and '.join(map(plain, sizes))})"
            axes.annotate(said, (1, 0.06), xycoords="axes fraction", ha="right", color=colour, bbox=BOX)
    constant = metrics["null"]["population_loss"] - metrics["oracle"]["population_loss"]
    axes.axvline(constant, color=BLACK, linewidth=2, linestyle=":")
    beside(axes, "best constant", (constant, 0.5), "right", va="center")
    axes.set(yticks=range(len(RUNS)), yticklabels=[arm(metrics, run) for run, *_ in RUNS], ylim=(1.8, -0.5))
    axes.set(xlabel="expected validation loss beyond the noise", xlim=(0, 1.03 * max(*ends.values(), constant)))
    axes.locator_params(axis="x", nbins=6)
    axes.grid(visible=False, axis="y")
    headline(figure, metrics["findings"]["parts"])
    return figure


def stacked(axes: Axes, metrics: Metrics, *, across: bool) -> dict[str, float]:
    """Draw a bar for each arm, of the parts of its error, named where there is room. Returns their sums."""
    ends = {run: sum(metrics[run][f"excess_{part}"] for part in PARTS) for run, *_ in RUNS}
    for position, (run, *_) in enumerate(RUNS):
        edge = 0.0
        for part, (named, fill, colour) in PARTS.items():
            size = metrics[run][f"excess_{part}"]
            (axes.barh if across else axes.bar)(position, size, 0.6 if across else 0.95, edge, color=fill)
            said, middle = f"{named}\n{plain(size)}" if across else named.replace(" ", BREAK), edge + size / 2
            if size >= THIN * max(ends.values()):
                x, y = (middle, position) if across else (position, middle)
                axes.text(x, y, said, ha="center", va="center", fontsize=12)
            elif across and edge == 0:
                axes.text(0, position - 0.33, f" {said.replace(BREAK, ' ')}", va="bottom", color=colour)
            edge += size
    return ends


def arm(metrics: Metrics, run: str) -> str:
    """`λ = 3`, and on how many trials the numbers stand where some diverged."""
    trials, lost = metrics[run]["trials"], metrics[run]["diverged"]
    return label(metrics, run) + (f"\n{trials - lost} of {trials} trials" if lost else "")


def plain(value: float) -> str:
    """Three digits, without a power of ten where that can be read."""
    return f"{Decimal(f'{value:.2e}'):f}" if 1e-7 < value < 1e6 else f"{value:.3g}"


def panel(axes: Axes, _: Table, metrics: Metrics) -> None:
    """The two bars of `parts`, upright."""
    ends = stacked(axes, metrics, across=False)
    axes.set(xticks=range(len(RUNS)), xticklabels=[arm(metrics, run) for run, *_ in RUNS], ylim=(0, 1.03 * max(ends.values())))
    axes.set(ylabel="expected loss beyond the noise")
    constant = metrics["null"]["population_loss"] - metrics["oracle"]["population_loss"]
    axes.axhline(constant, color=BLACK, linewidth=2, linestyle=":")
    label_ends(axes, [(constant, "best\nconstant", BLACK)])
    axes.locator_params(axis="y", nbins=6)
    axes.grid(visible=False, axis="x")


def sweep(_: Table, summary: Metrics) -> dict[str, Figure]:
    return {"map": over_lengths(summary)}


def over_lengths(summary: Metrics) -> Figure:
    """Draw the validation loss over λ, above that of the best constant: a curve a length of training, from the random start.

    Lines are theory, points means. Both are compared with the best constant's loss, so that what the validation rows happen
    to be cancels.
    """
    figure = Figure()
    axes, found = figure.subplots(), summary["map"]
    weight_decays, lengths = found["weight_decay"], found["epochs"]
    lines = []
    for epochs, shade in zip(lengths, matplotlib.colormaps["viridis_r"](np.linspace(0.15, 1, len(lengths))), strict=True):
        here = found["random"][f"epochs_{epochs}"]
        measured = above(here["val_loss"], summary["val_loss_of_null"])
        lines += axes.plot(weight_decays, above(here["theory"], found["theory_of_null"]), color=shade)
        axes.plot(weight_decays, measured, "o", color=shade, markersize=5)
        if "best_lambda" in here:
            best = weight_decays.index(here["best_lambda"])
            axes.plot(weight_decays[best], measured[best], color=shade, **RING)
    axes.axhline(0, color=BLACK, linewidth=1.5, linestyle=":")
    decay_axis(axes, weight_decays)
    axes.set_ylabel("loss above the best constant's")
    figure.draw_without_rendering()  # so that the limits are final
    units = [" epoch" + "s" * (lengths[0] != 1), *[""] * (len(lengths) - 1)]
    for line, height, epochs, unit in zip(lines, np.linspace(0.8, 0.4, len(lengths)), lengths, units, strict=True):
        on_the_way_down(axes, line, height, f"{epochs:,}" + unit)
    for said, look in {"theory": {}, "mean": {"marker": "o", "markersize": 5, "linestyle": ""}, "best λ": RING}.items():
        axes.plot([], [], label=said, **({"color": BLACK} | look))
    axes.legend(handlelength=1)
    label_ends(axes, [(0.0, "best\nconstant", BLACK)])
    headline(figure, summary["findings"]["map"])
    return figure


def on_the_way_down(axes: Axes, line: Any, height: float, text: str) -> None:
    """Write on a curve where it first falls through a height, a share of the axes'; nowhere if it does not."""
    places = (axes.transData + axes.transAxes.inverted()).transform(line.get_xydata())
    for (x, y), (next_x, next_y) in itertools.pairwise(places):
        if y >= height > next_y:
            place = x + (next_x - x) * (y - height) / (y - next_y)
            style: dict[str, Any] = {"color": line.get_color(), "weight": "bold", "ha": "center", "va": "center"}
            axes.text(place, height, text, transform=axes.transAxes, bbox=BOX, **style)
            return


def above(values: Sequence[float | None], constant: float) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=float) - constant


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("weight_decay", "val_loss"),
    study=draw,
    panel=panel,
    panel_columns=("run",),
    panel_rows=("baseline", "wd", "null", "oracle", "findings"),
)
