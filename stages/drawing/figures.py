"""A study's part `figures.py`: what is drawn of it, from tracked files."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.style import Axes, Figure, Metrics, Table

Drawn = Figure | Iterator[Figure]  # a figure, or one that changes from frame to frame


@dataclass(frozen=True)
class Figures:
    sweep: Callable[[Table, Metrics], Mapping[str, Figure]]  # the sweep's table and summary
    sweep_columns: tuple[str, ...]  # of that table, without which it cannot be drawn
    study: Callable[[Arrays, Trained, Table, Metrics], Mapping[str, Drawn]] | None = None  # data, runs, curves, metrics
    panel: Callable[[Axes, Table, Metrics], None] | None = None  # of the overview: curves, metrics
    panel_columns: tuple[str, ...] = ()  # of the curves, without which it cannot be drawn
    panel_rows: tuple[str, ...] = ()  # of the metrics, alike
