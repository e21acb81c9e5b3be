"""The style of every figure: λ = 0 in grey, weight decay in blue, theory and references in thin black.

A curve is the mean over trials, its band one standard error of that mean. `png` turns a figure into bytes that are the same
on every day.
"""

import contextlib
import io
import itertools
import os
import textwrap
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# matplotlib reads a user's settings when it is imported; imported from within its own folder, it reads its own instead. So
# only this module imports it, and all others take its classes from here.
os.environ["MPLBACKEND"] = "agg"
with contextlib.chdir(str(distribution("matplotlib").locate_file("matplotlib/mpl-data"))):
    import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from stages.drawing.colours import BASELINE, BLACK, DECAY, START
from stages.drawing.tables import Curve, Metrics, Table

STYLE = Path(__file__).with_name("style.mplstyle")
matplotlib.rcParams.update(matplotlib.rc_params_from_file(STYLE, fail_on_error=True))  # on top of matplotlib's defaults

RUNS = (("baseline", BASELINE, 3.5), ("wd", DECAY, 2.0))  # the wider line shows where the two coincide
LINE = 56  # characters of a title in a line
DIAMOND: dict[str, Any] = {"markersize": 7, "markerfacecolor": "none", "markeredgewidth": 0.8, "color": BLACK}
__all__ = ["BASELINE", "BLACK", "DECAY", "DIAMOND", "RUNS", "START", "Axes", "Curve", "Figure", "Metrics", "Table", "matplotlib"]


def png(figure: Figure) -> bytes:
    """A picture of 256 colours: a third of the bytes of one of all colours, and nothing that an eye misses."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    image = Image.open(drawn).convert("RGB")
    image.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()


def gif(frames: Iterator[Figure]) -> bytes:
    """Write an animation without end, which stays a second on its last frame, whose palette it has.

    All frames are one figure, of which only artists with `animated` change.
    """
    images: list[Image.Image] = []
    for figure in frames:
        if not images:
            canvas = FigureCanvasAgg(figure)
            canvas.draw()  # all else
            still, moving = canvas.copy_from_bbox(figure.bbox), figure.findobj(Artist.get_animated)
        canvas.restore_region(still)
        for artist in moving:
            figure.draw_artist(artist)
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    palette, buffer = images[-1].quantize(32, method=Image.Quantize.FASTOCTREE), io.BytesIO()
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [120] * (len(images) - 1) + [1500]
    images[0].save(buffer, format="gif", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()


def curve(table: Table, run: str) -> Curve:
    """One run's columns of a curves table; empty arrays where the run is not in it."""
    rows = [row for row in table if row["run"] == run]
    return {name: np.array([row[name] for row in rows], dtype=float) for name in table[0] if name != "run"}


def label(metrics: Metrics, run: str) -> str:
    """`λ = 3`, the λ of a run."""
    return f"λ = {metrics[run]['weight_decay']:g}"


def blues(count: int) -> list[str]:
    """So many shades of one colour, from light to dark, for curves in an order."""
    shades = matplotlib.colormaps["Blues"](np.linspace(0.55 if count > 1 else 1, 1, count))
    return [matplotlib.colors.to_hex(shade) for shade in shades]


def headline(figure: Figure, text: str) -> None:
    """A figure's message, over the whole width."""
    figure.suptitle(wrapped(text, LINE), x=0.01, horizontalalignment="left")


def wrapped(text: str, width: int) -> str:
    """In lines of so many characters at most; `λ = 3` stays together."""
    return "\n".join(textwrap.wrap(text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"), width))


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], *, apart: float = 0.085) -> None:
    """Write what each curve is beside its end: height, text, colour. Texts that would overlap are moved apart.

    Call it when the limits of the axes are final. `apart` is a line's height as a share of the axes'.
    """
    to_axes, right = axes.transData + axes.transAxes.inverted(), axes.get_xlim()[1]
    wanted = [float(np.clip(to_axes.transform((right, height))[1], 0, 1)) for height, _, _ in ends]
    order = sorted(range(len(ends)), key=wanted.__getitem__)
    halves = [apart / 2 * (1 + ends[index][1].count("\n")) for index in order]
    places = [wanted[index] for index in order]
    for one, other in itertools.pairwise(range(len(places))):
        places[other] = max(places[other], places[one] + halves[one] + halves[other])
    ceiling = 1.0 + apart / 2
    for index in reversed(range(len(places))):
        places[index] = min(places[index], ceiling - halves[index])
        ceiling = places[index] - halves[index]
    for place, index in zip(places, order, strict=True):
        _, text, colour = ends[index]
        axes.text(1.02, place, text, transform=axes.transAxes, color=colour, verticalalignment="center")


def loss_axis(axes: Axes) -> None:
    """A log axis where losses span more than a decade; else a linear one from 0, whose ticks are easier to read."""
    low, high = axes.dataLim.intervaly
    if low > 0 and high > 10 * low:
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
    else:
        axes.set_ylim(0, None)


def plain_numbers(axis: Axis) -> None:
    """On a log axis 0.1, 1 and 10 in place of powers of ten; with 3 between them below three decades, with 2 and 5 within one."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log":
        between = (1,) if high >= 1000 * low else (1, 3) if high > 10 * low else (1, 2, 5)
        axis.set_major_locator(matplotlib.ticker.LogLocator(subs=between))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")


def log_steps(axes: Axes, steps: NDArray) -> None:
    """A log axis from the first evaluation after the start."""
    axes.set_xscale("log")
    if len(steps) > 2:
        axes.set_xlim(steps[1], steps[-1])
    plain_numbers(axes.xaxis)


def band(axes: Axes, path: Curve, x: str, y: str, **style: Any) -> None:
    """A curve with its band."""
    axes.plot(path[x], path[y], **style)
    error = np.nan_to_num(path[f"{y}_se"])
    axes.fill_between(path[x], path[y] - error, path[y] + error, color=style["color"], alpha=0.2, linewidth=0)
