"""modular: (a + b) mod p, learnt from a part of all pairs by a quadratic network.

The system of Gromov, "Grokking modular arithmetic" (2023).
"""

from stages.base import addition
from stages.base.params import Accuracy, Count, Fraction, Fractions, Grid, Moments, Positive, Section, ascending
from stages.base.streams import Arrays, Streams
from stages.base.system import System, two_arms

CURVATURE = 2.0  # c of the data loss (c/2)·mean (ŷ − y)²: the mean squared error, on one-hot labels


class Train(Moments, frozen=True):
    train_fraction: Fraction
    steps: Count
    evaluate_every: Count
    lr: Positive


class Shares(Section, frozen=True):
    trials: Count
    train_fraction: Fractions
    wd: Grid

    def __post_init__(self) -> None:
        ascending("train_fraction", self.train_fraction)
        ascending("wd", self.wd, zero_first=True)


class Sweep(Section, frozen=True):
    wd: Grid
    shares: Shares

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)


class Report(Section, frozen=True):
    threshold: Accuracy


class Modular(Section, frozen=True):
    data: addition.Pairs
    train: Train
    sweep: Sweep
    report: Report


def draw(section: Modular, streams: Streams) -> Arrays:
    return addition.draw(section.data, streams)


def footprint(section: Modular) -> int:
    return addition.footprint(section.data)


SYSTEM = System(
    section=Modular,
    arrays=addition.DRAWN,
    draw=draw,
    footprint=footprint,
    key="modular",
    arms=two_arms(("",)),
)
