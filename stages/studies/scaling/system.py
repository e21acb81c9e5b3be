"""scaling: which λ for how many rows? Isotropic Gaussian rows, no intercept; SGD and AdamW, on batches."""

import numpy as np

from stages.base import isotropic
from stages.base.isotropic import DRAWN, Rows
from stages.base.params import Count, Counts, Grid, Moments, Positive, Section, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Streams
from stages.base.system import System

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}  # how a run's name begins → how the optimiser is called


class Descent(Section, frozen=True):
    lr: Positive


class AdamW(Moments, frozen=True):
    lr: Positive


class Train(Section, frozen=True):
    epochs: Count
    sgd: Descent
    adamw: AdamW


class Sweep(Section, frozen=True):
    wd: Grid
    batch_size: Counts

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)
        ascending("batch_size", self.batch_size)


class Scaling(Section, frozen=True):
    data: Rows
    train: Train
    sweep: Sweep


def draw(section: Scaling, streams: Streams) -> Arrays:
    return isotropic.draw(section.data, streams) | {"seed": np.array(streams.seed)}


def footprint(section: Scaling) -> int:
    return isotropic.footprint(section.data)


SYSTEM = System(
    section=Scaling,
    arrays=DRAWN | {"seed": Integers(0)},  # of the batch orders
    draw=draw,
    footprint=footprint,
    key="scaling",
    arms={},
)
