"""All experiments of this commit in one picture, build/compare.png: an axis for each number that differs. `make compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.errors import UserError
from stages.base.storage import save_bytes
from stages.console.command import in_one_line
from stages.drawing import style
from tools.experiments import Experiment, differing, short, shown, telling
from tools.tables import real
from tools.verify import printable

ROOT = Path(__file__).resolve().parent.parent
NAMES = {"val_accuracy": "validation\naccuracy", "val_loss": "validation\nloss", "weight_norm": "‖w‖₂"}
AXES, LONGEST = 6, 20  # at most so many, or names overlap; letters of an experiment's name
WIDTH, HEIGHT, FONT = 8.0, 4.5, 12  # inches, points
LINE, ABOVE, BELOW = 1.25 * FONT / 72, 0.7, 1.15  # inches: from a name to the next, around the axes


def main() -> None:
    found = shown(ROOT)
    left_out = found.left_out
    if not numeric(found.rows):
        got = f"{len(found.rows)} alike" + (f" (left out: {left_out})" if left_out else "")
        raise UserError(f"expected two experiments of this commit that differ, got {got}: dvc exp run -S wd=1")
    path = ROOT / "build" / "compare.png"
    save_bytes(path, style.png(parallel(found.rows)))
    print(f"{path.relative_to(ROOT)}: {len(found.rows)} experiments")
    if left_out:
        print(f"left out: {left_out}")
    undrawn = [place for place in numeric(found.rows) if place not in drawn(found.rows)]
    if undrawn:
        print(f"no room for {', '.join(undrawn)}")
    gaps = {place: sum(not real(row.values.get(place)) for row in found.rows) for place in drawn(found.rows)}
    if any(gaps.values()):
        print("gaps: " + ", ".join(f"{count} without {place}" for place, count in gaps.items() if count))


def numeric(rows: Sequence[Experiment]) -> list[str]:
    """The places of differing numbers, params first."""
    return [place for place in differing(rows) if len({row.values[place] for row in rows if real(row.values.get(place))}) > 1]


def drawn(rows: Sequence[Experiment]) -> list[str]:
    places = numeric(rows)
    kept = telling(rows, places)[:AXES]
    return [place for place in places if place in kept]


def parallel(rows: Sequence[Experiment]) -> style.Figure:
    """Parallel coordinates: a line an experiment, with its name at its end; an axis for each number that differs, params first.

    Coloured by the first, which stands beside the name if it is a param. A line has a gap where its experiment has no number.
    """
    places = drawn(rows)
    values = np.array([[row.values[place] if real(row.values.get(place)) else np.nan for place in places] for row in rows])
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    scale = np.maximum(abs(low), abs(high))  # or the difference of two of the largest floats is no float
    heights = (values / scale - low / scale) / (high / scale - low / scale)
    titles = [title(place, rows) for place in places]
    names = [label(row, places[0], titles[0]) for row in rows]

    inner = max(HEIGHT - ABOVE - BELOW, LINE * len(rows))
    tall, left, right = inner + ABOVE + BELOW, max(map(width, titles[0].splitlines())) / 2 + 0.15, max(map(width, names)) + 0.4
    wide = WIDTH - left - right
    figure = style.Figure(figsize=(WIDTH, tall))
    figure.set_layout_engine("none")
    axes = figure.add_axes((left / WIDTH, BELOW / tall, wide / WIDTH, inner / tall))
    shades = colours(values[:, 0])
    for line, colour in zip(heights, shades, strict=True):
        axes.plot(range(len(places)), line, color=colour, linewidth=2.5, marker="o", clip_on=False)
    ends = [max(np.flatnonzero(np.isfinite(line)), default=0) for line in heights]
    targets = [float(np.nan_to_num(line[end], nan=0.5)) for line, end in zip(heights, ends, strict=True)]
    for name, colour, end, target, height in zip(names, shades, ends, targets, apart(targets, LINE / inner), strict=True):
        straight = {"arrowstyle": "-", "color": colour, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
        where: dict[str, Any] = {"textcoords": "axes fraction", "va": "center", "annotation_clip": False, "arrowprops": straight}
        axes.annotate(name, (end, target), (1 + 0.3 / wide, height), fontsize=FONT, parse_math=False, **where)
    for place in range(len(places)):
        axes.plot([place, place], [0, 1], color=style.BLACK, linewidth=1, zorder=1)
        for height, value, side in ((-0.03, low[place], "top"), (1.03, high[place], "bottom")):
            axes.text(place, height, f"{value:.3g}", ha="center", va=side, fontsize=FONT)
    axes.set_xticks(range(len(places)), titles, parse_math=False, fontsize=FONT)
    axes.set(yticks=[], ylim=(0, 1), xlim=(0, max(len(places) - 1, 1)))
    said = f"{len(rows)} experiments, coloured by {' '.join(titles[0].split())}"
    figure.text(0.1 / WIDTH, 1 - 0.12 / tall, said, va="top", fontsize=FONT + 1, fontweight="bold", parse_math=False)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0, pad=24)
    return figure


def label(row: Experiment, place: str, title: str) -> str:
    """An experiment's name, which may be anything, and its value of the param that gives the colour."""
    name = printable(row.name if len(row.name) <= LONGEST else f"{row.name[: LONGEST - 1]}…")
    return f"{name}, {title} = {row.params[place]:g}" if real(row.params.get(place)) else name


def title(place: str, rows: Sequence[Experiment]) -> str:
    """`wide validation loss`, or a param's short key."""
    study, _, value = place.partition(".wd.")
    if any(place in row.results for row in rows):
        return f"{study}\n{NAMES[value]}"
    return short(place, [key for row in rows for key in row.params])


def colours(values: NDArray) -> list[Any]:
    """From dark to light in the order of the values; grey for what has none."""
    known = np.unique(values[np.isfinite(values)])
    ranks = np.searchsorted(known, values) / max(len(known) - 1, 1)
    shades = style.matplotlib.colormaps["viridis"]
    return [shades(0.85 * rank) if np.isfinite(value) else "0.7" for rank, value in zip(ranks, values, strict=True)]


def apart(targets: Sequence[float], gap: float) -> list[float]:
    """Places in [0, 1] as near to the targets as names one above the other allow, in the same order."""
    order = sorted(range(len(targets)), key=lambda index: targets[index])
    places = [0.0] * len(targets)
    lowest = 0.0
    for index in order:
        places[index] = lowest = max(targets[index], lowest)
        lowest += gap
    highest = 1.0
    for index in reversed(order):
        places[index] = highest = min(places[index], highest)
        highest -= gap
    return places


def width(text: str) -> float:
    """Of a line of text in inches."""
    figure = style.Figure()
    return figure.text(0, 0, text, fontsize=FONT, parse_math=False).get_window_extent().width / figure.dpi


if __name__ == "__main__":
    with in_one_line("compare"):
        main()
