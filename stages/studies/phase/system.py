"""phase: the network of `modular` again, for each λ on each share of the pairs."""

import numpy as np

from stages.base import addition
from stages.base.params import Accuracy, AdamW, Count, Fractions, Grid, Positive, Ratio, Section, ascending
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System

CURVATURE = 2.0  # c of the data loss (c/2)·mean (ŷ − y)²: the mean squared error, on one-hot labels


class Optimizers(Section, frozen=True):
    adamw: AdamW


class Data(Section, frozen=True):
    hidden: Count
    start_scale: Positive
    evaluate_every: Count


class Phase(Section, frozen=True):
    trials: Count
    p: addition.Modulus
    steps: Count
    lr: Positive
    threshold: Accuracy
    late: Ratio
    optimizers: Optimizers
    sweep: Grid
    train_fraction: Fractions
    system: Data

    def __post_init__(self) -> None:
        ascending("sweep", self.sweep, zero_first=True)
        ascending("train_fraction", self.train_fraction)


def draw(section: Phase, streams: Streams) -> Arrays:
    """All pairs (a, b) with label (a + b) mod p, split at the first share of the pairs, and starts."""
    system = section.system

    def trial(rng: Purpose) -> Arrays:
        share = section.train_fraction[0]
        return addition.draw(rng, p=section.p, train_fraction=share, hidden=system.hidden, start_scale=system.start_scale)

    schedule = {"p": section.p, "steps": section.steps, "evaluate_every": system.evaluate_every}
    return single(streams.draw(section.trials, trial)) | {name: np.array(value) for name, value in schedule.items()}


def footprint(section: Phase) -> int:
    return addition.footprint(section.trials, section.p, section.system.hidden)


SYSTEM = System(
    section=Phase,
    arrays=addition.DRAWN | {"p": 0, "steps": 0, "evaluate_every": 0},
    draw=draw,
    footprint=footprint,
    key="phase",
    arms={},
)
