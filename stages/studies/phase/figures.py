"""phase, drawn."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.drawing.figures import Figures
from stages.drawing.style import BLACK, Axes, Figure, Metrics, Table, headline, matplotlib
from stages.measure.arrivals import arrives

WORDS = {
    "soon": "generalises\nsoon",
    "late": "generalises\nlate: grokking",
    "by_heart": "learns by heart only",
    "neither": "not even\nby heart",
    "diverged": "diverges",
}
PLAIN = {"by_heart": "#d4d4d4", "neither": "#ffffff", "diverged": "#ffffff"}  # where there is no step for a colour


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"map": phases(table, summary)}


def phases(table: Table, summary: Metrics) -> Figure:
    """The step at which all trials generalise, over λ and the share of the pairs; what happens in words, its borders as lines."""
    figure = Figure()
    axes = figure.subplots()
    weight_decays, shares = (sorted({row[name] for row in table}) for name in ("weight_decay", "train_fraction"))
    cells = [
        [[row for row in table if (row["weight_decay"], row["train_fraction"]) == (x, y)] for x in weight_decays] for y in shares
    ]
    names = np.array([[rows[0]["phase"] for rows in line] for line in cells])  # (F, L)
    steps = np.array([[height(arrives(rows)) for rows in line] for line in cells])
    for name, colour in PLAIN.items():
        cover(axes, np.where(names == name, 0.0, np.nan), cmap=matplotlib.colors.ListedColormap([colour]))
    if not np.isnan(steps).all():
        low, high = np.nanmin(steps), np.nanmax(steps)
        image = cover(axes, steps, cmap="cividis_r", norm=matplotlib.colors.LogNorm(low, max(high, 1.01 * low)))
        bar = figure.colorbar(image, ax=axes, label="step at which it generalises", format="{x:g}")
        bar.ax.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        bar.ax.yaxis.set_minor_formatter("")
    for line in borders(names):
        axes.plot(*line, color=BLACK, linewidth=2.5, solid_capstyle="projecting")
    for name, words in WORDS.items():
        if (names == name).any():
            x, y = middle(names == name)
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            axes.text(x, y, words, ha="center", va="center", bbox=box)
    axes.set_xticks(range(len(weight_decays)), [f"{decay:g}" for decay in weight_decays])
    axes.set_yticks(range(len(shares)), [f"{100 * share:g}" for share in shares])
    axes.set(xlabel="λ", ylabel="% of the pairs trained on")
    axes.grid(visible=False)
    headline(figure, summary["findings"]["map"])
    return figure


def height(step: float | None) -> float:
    """On the logarithmic scale of the colours, which has no step 0."""
    return np.nan if step is None else max(step, 1.0)


def cover(axes: Axes, values: NDArray, **style: Any) -> matplotlib.image.AxesImage:
    """A cell a value, none where it is NaN."""
    return axes.imshow(np.ma.masked_invalid(values), origin="lower", aspect="auto", interpolation="nearest", **style)


def borders(names: NDArray) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Between each two neighbours of different phases: the x and the y of a line's ends.  (F, L)"""
    for y, x in np.argwhere(names[:, 1:] != names[:, :-1]).tolist():
        yield (x + 0.5, x + 0.5), (y - 0.5, y + 0.5)
    for y, x in np.argwhere(names[1:] != names[:-1]).tolist():
        yield (x - 0.5, x + 0.5), (y + 0.5, y + 0.5)


def middle(inside: NDArray) -> tuple[float, float]:
    """The middle, x and y, of the largest rectangle of cells that are all inside.  (F, L)"""
    height, width = inside.shape
    rectangles = [
        (bottom, top, left, right)
        for bottom in range(height)
        for top in range(bottom + 1, height + 1)
        for left in range(width)
        for right in range(left + 1, width + 1)
        if inside[bottom:top, left:right].all()
    ]
    bottom, top, left, right = max(rectangles, key=lambda each: (each[1] - each[0]) * (each[3] - each[2]))
    return (left + right - 1) / 2, (bottom + top - 1) / 2


FIGURES = Figures(sweep=sweep, sweep_columns=("weight_decay", "train_fraction", "phase", "steps_to_generalise"))
