"""Reads a figure as an eye does: a word names what has its colour, or looks like the sample beside it in a legend."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.drawing.style import Axes, Figure, matplotlib

BLACK = "#000000"


def panel(figure: Figure, title: str) -> Axes:
    """The axes whose title holds these words."""
    (found,) = [axes for axes in figure.axes if title in heading(axes)]
    return found


def heading(axes: Axes) -> str:
    return plain(axes.get_title(loc="left"))


def points(axes: Axes, *words: str, **look: str) -> NDArray[np.float64]:
    """All points of the lines that every word fits, sorted.  (n, 2)

    `look` is what else they have: a `mark`, or a `dash`.
    """
    found = [np.asarray(line.get_xydata(), dtype=float) for line in lines(axes, words, look)]
    return pairs(*np.concatenate([np.empty((0, 2)), *found]).T)


def level(axes: Axes, word: str) -> list[float]:
    """Where straight lines cross the axes that the word fits, sorted."""
    found = [line.get_xydata() for line in axes.lines if across(line) and fitting(axes, line, word)]
    return sorted({float(known[0, 1] if known[:, 0].tolist() == [0, 1] else known[0, 0]) for known in map(np.asarray, found)})


def colour_of(axes: Axes, word: str) -> str:
    """The colour of a word, or of its sample in a legend."""
    (found,) = {each["color"] for each in looks(axes, word)}
    return found


def bars(axes: Axes, known: str) -> list[NDArray[np.float64]]:
    """The heights of the filled histograms in a colour."""
    patches: list[Any] = list(axes.patches)
    return [patch.get_data().values for patch in patches if patch.get_fill() and colour(patch.get_facecolor()) == known]


def image(axes: Axes) -> NDArray[np.float64]:
    """The last picture on the axes, NaN where it is not drawn."""
    return np.ma.filled(np.ma.asarray(axes.images[-1].get_array()), np.nan)


def text(axes: Axes, word: str) -> tuple[float, float]:
    """Where the word points to, or stands: its place in the data's coordinates."""
    (found,) = [each for each in axes.texts if plain(each.get_text()) == word]
    return getattr(found, "xy", found.get_position())


def end_labels(axes: Axes) -> Iterator[tuple[str, float, list[float]]]:
    """The words beside the right edge, how high they stand, and where the lines of their colour end, or are
    lowest: as shares of the axes."""
    to_axes = axes.transData + axes.transAxes.inverted()
    for word in axes.texts:
        if word.get_transform() == axes.transAxes and word.get_position()[0] > 1:
            own = [line.get_xydata() for line in axes.lines if colour(line.get_color()) == colour(word.get_color())]
            known = [each[np.isfinite(each).all(axis=1)] for each in map(np.asarray, own)]
            heights = [height for each in known if len(each) for height in (each[-1, 1], each[:, 1].min())]
            ends = [to_axes.transform((axes.get_xlim()[1], height))[1] for height in heights]
            yield word.get_text(), word.get_position()[1], np.clip(ends, 0, 1).tolist()


def tick(axes: Axes, which: str, word: str) -> float:
    """The place at which an axis has this word."""
    axis = getattr(axes, f"{which}axis")
    labels = [plain(each.get_text()) for each in axis.get_ticklabels()]
    return float(axis.get_ticklocs()[labels.index(word)])


def pairs(x: Any, y: Any) -> NDArray[np.float64]:
    """Points that should be there, sorted, without those that cannot be drawn.  (n, 2)"""
    known = np.column_stack(np.broadcast_arrays(np.atleast_1d(np.asarray(x, dtype=float)), np.asarray(y, dtype=float)))
    known = known[np.isfinite(known).all(axis=1)]
    return known[np.lexsort(known.T[::-1])]


def plain(said: str) -> str:
    return " ".join(said.split())


def lines(axes: Axes, words: tuple[str, ...], look: Mapping[str, str]) -> Iterator[Any]:
    """Those that show data."""
    for line in axes.lines:
        if not across(line) and fits(line, look) and all(fitting(axes, line, word) for word in words):
            yield line


def across(line: Any) -> bool:
    ends = [list(line.get_xdata()), list(line.get_ydata())]
    return [0, 1] in ends and line.get_transform() != line.axes.transData


def fitting(axes: Axes, line: Any, word: str) -> bool:
    return any(fits(line, each) for each in looks(axes, word))


def fits(line: Any, wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= look_of(line).items()


def looks(axes: Axes, word: str) -> list[dict[str, str]]:
    """What a word names: the look of its sample in a legend of the figure, else the colour in which it stands on the axes.

    A black sample stands for any colour. A text names a colour alone.
    """
    figure = axes.figure
    legends = [each for each in (*(other.get_legend() for other in figure.axes), *figure.legends) if each]
    samples = [pair for each in legends for pair in zip(each.get_texts(), each.legend_handles, strict=True)]
    named = [look_of(sample) for said, sample in samples if plain(said.get_text()) == word]
    if named:
        return [{name: value for name, value in each.items() if (name, value) != ("color", BLACK)} for each in named]
    texts = [each for each in axes.texts if plain(each.get_text()) == word]
    assert texts, f"expected {word!r} on {heading(axes)!r}, got {[each.get_text() for each in axes.texts]}"
    return [{"color": colour(each.get_color())} for each in texts]


def look_of(drawn: Any) -> dict[str, str]:
    line = drawn if hasattr(drawn, "get_marker") else drawn.lines[0]  # of error bars
    dash, mark, face = line.get_linestyle(), str(line.get_marker()), str(line.get_markerfacecolor())
    known = {"color": colour(line.get_color()), "dash": dash if dash != "None" else ""}
    if mark not in ("None", ""):
        known |= {"mark": mark, "fill": "hollow" if face in ("none", "white") else "full"}
    return known


def colour(known: Any) -> str:
    return matplotlib.colors.to_hex(known)
