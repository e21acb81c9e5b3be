"""descent: double descent. Ridge on n isotropic Gaussian rows, no intercept, for many n and many Λ = nλ.

The setting of Nakkiran, Venkat, Kakade, Ma, "Optimal Regularization Can Mitigate Double Descent" (ICLR 2021).
"""

from stages.base import isotropic
from stages.base.isotropic import DRAWN, Rows
from stages.base.params import Count, Grid, Momentum, Positive, Section, ascending
from stages.base.streams import Arrays, Streams
from stages.base.system import System

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error
CONVERGED = 1e-6  # the largest share of an error that training may leave: what is written has six digits


class Train(Section, frozen=True):
    steps: Count
    lr: Positive
    momentum: Momentum


class Sweep(Section, frozen=True):
    penalty: Grid

    def __post_init__(self) -> None:
        ascending("penalty", self.penalty, zero_first=True)


class Descent(Section, frozen=True):
    data: Rows
    train: Train
    sweep: Sweep


def draw(section: Descent, streams: Streams) -> Arrays:
    return isotropic.draw(section.data, streams)


def footprint(section: Descent) -> int:
    return isotropic.footprint(section.data)


SYSTEM = System(section=Descent, arrays=DRAWN, draw=draw, footprint=footprint, key="descent", arms={})
