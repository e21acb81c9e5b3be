"""A study's part `explorer.py`: what the page shows of it at every λ of its sweep.

Shapes: L decays; M values of a second slider, 1 where the study has none, or where all of them have the same; K evaluations; d
weights. What is unknown, because a trial diverged or a run is missing, is NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.drawing.tables import Metrics, Table


@dataclass(frozen=True)
class Slider:
    """Values that the reader moves through, ascending."""

    name: str  # "λ", "lr·λ", "epochs", "lr"
    values: Sequence[float]
    start: int = 0  # where it stands at first


@dataclass(frozen=True)
class Line:
    """A mean over trials. A `theory` line is exact, and is drawn thin."""

    name: str  # "training", "validation", "AdamW"
    values: NDArray  # (M, L, K) over steps, (M, L) over λ
    error: NDArray | None = None  # its standard error, alike
    theory: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Chart:
    """One of three charts: over steps at one λ, over λ, and the weights at one λ."""

    title: str  # "Loss while it learns"
    x_title: str
    y_title: str
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class OverSteps(Chart):
    """Curves at the chosen λ over steps, or over numbers of rows; those of the smallest λ behind them in grey.

    `until` cuts x where the second slider says.
    """

    x: Sequence[float] = ()  # (K,)
    lines: Sequence[Line] = ()
    until: Sequence[float] | None = None  # (M,)
    level: tuple[str, float] | None = None  # a horizontal line, such as the accuracy that counts as generalising


@dataclass(frozen=True)
class OverDecays(Chart):
    """What each λ ends with, a marker at the chosen one. The U-curve; x is the slider's."""

    lines: Sequence[Line] = ()
    level: tuple[str, float] | None = None  # a horizontal line, such as the best constant


@dataclass(frozen=True)
class Weights(Chart):
    """Bars or points at the chosen λ: the weights of one trial, or their spectrum, beside the truth."""

    x: Sequence[float | str] = ()  # (d,); names, where the weights have some
    series: Sequence[tuple[str, NDArray]] = ()  # name, (M, L, d)
    truth: NDArray | None = None  # (M, d)
    walls: NDArray | None = None  # (M, L): |w| ≤ this; NaN where there is none
    bars: bool = False


@dataclass(frozen=True)
class Shown:
    """What the page shows of a study."""

    title: str  # "200 inputs, 20 rows"
    question: str
    decay: Slider
    charts: Sequence[Chart]  # up to five, the first the largest; those over λ show λ = 0 alone until the best λ is predicted
    said: Sequence[Sequence[str]]  # (M, L) sentences, each true of its λ
    facts: Sequence[tuple[str, Line]]  # numbers beside the sentence: ("validation loss", (M, L)), ("‖w‖₂", …), two to four
    best: Sequence[int | None]  # (M,) the place of the best λ, None where none is known
    of_best: str  # what the reader is to predict, after "the": "lowest validation loss", "earliest generalisation"
    finding: str = ""  # of the whole sweep, said with the best λ
    trials: int = 0  # beside the numbers
    absent: str = "unknown"  # what stands for a number that is NaN
    second: Slider | None = None
    doubt: Sequence[str] = ("",)  # (M,) said with the best λ: "but not visibly below the one without decay"
    notes: Sequence[str] = ()  # "2 of 16 trials diverged at λ = 100"; "a single trial has no standard error"
    words: Sequence[str] = ()  # what the page explains of its own terms: "Ridge is what L2 comes to in the end"


@dataclass(frozen=True)
class Explorer:
    """The part. `show` gets the study's section without its λ, its data, its sweep, the sweep's table and its summary."""

    swept: Mapping[str, int]  # the arrays of data/<study>/sweep.npz that it reads, with their numbers of dimensions
    columns: Sequence[str]  # of metrics/<study>_sweep.csv, alike
    show: Callable[[Any, Arrays, Mapping[str, NDArray], Table, Metrics], Shown]
    grid: tuple[str, str] | None = ("weight_decay", "weight_decay")  # the λ of the sweep and of its table; None: it has no array
