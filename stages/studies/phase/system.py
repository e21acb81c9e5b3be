"""phase: the network of `modular` again, for each λ on each share of the pairs."""

from stages.base import addition
from stages.base.params import Accuracy, Count, Fractions, Grid, Moments, Positive, Ratio, Section, ascending
from stages.base.streams import Arrays, Streams
from stages.base.system import System

CURVATURE = 2.0  # c of the data loss (c/2)·mean (ŷ − y)²: the mean squared error, on one-hot labels


class Train(Moments, frozen=True):
    steps: Count
    evaluate_every: Count
    lr: Positive


class Sweep(Section, frozen=True):
    wd: Grid
    train_fraction: Fractions

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)
        ascending("train_fraction", self.train_fraction)


class Report(Section, frozen=True):
    threshold: Accuracy
    late: Ratio


class Phase(Section, frozen=True):
    data: addition.Pairs
    train: Train
    sweep: Sweep
    report: Report


def draw(section: Phase, streams: Streams) -> Arrays:
    return addition.draw(section.data, streams)


def footprint(section: Phase) -> int:
    return addition.footprint(section.data)


SYSTEM = System(
    section=Phase,
    arrays=addition.DRAWN,
    draw=draw,
    footprint=footprint,
    key="phase",
    arms={},
)
