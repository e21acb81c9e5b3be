"""modular: (a + b) mod p, learnt from a part of all pairs by a quadratic network.

The system of Gromov, "Grokking modular arithmetic" (2023).
"""

import numpy as np

from stages.base import addition
from stages.base.params import Accuracy, AdamW, Count, Fraction, Fractions, Grid, Positive, Section, Settings, ascending
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, Treatment, of_arms

CURVATURE = 2.0  # c of the data loss (c/2)·mean (ŷ − y)²: the mean squared error, on one-hot labels


class Optimizers(Section, frozen=True):
    adamw: AdamW


class Data(Section, frozen=True):
    hidden: Count
    train_fraction: Fraction
    start_scale: Positive
    evaluate_every: Count


class Shares(Section, frozen=True):
    trials: Count
    train_fraction: Fractions
    weight_decay: Grid

    def __post_init__(self) -> None:
        ascending("train_fraction", self.train_fraction)
        ascending("weight_decay", self.weight_decay, zero_first=True)


class Modular(Section, frozen=True):
    trials: Count
    p: addition.Modulus
    steps: Count
    lr: Positive
    threshold: Accuracy
    optimizers: Optimizers
    sweep: Grid
    shares: Shares
    system: Data

    def __post_init__(self) -> None:
        ascending("sweep", self.sweep, zero_first=True)


def draw(section: Modular, streams: Streams) -> Arrays:
    """All pairs (a, b) with label (a + b) mod p, split at random, and starts."""
    system = section.system

    def trial(rng: Purpose) -> Arrays:
        return addition.draw(
            rng, p=section.p, train_fraction=system.train_fraction, hidden=system.hidden, start_scale=system.start_scale
        )

    schedule = {"p": section.p, "steps": section.steps, "evaluate_every": system.evaluate_every}
    return single(streams.draw(section.trials, trial)) | {name: np.array(value) for name, value in schedule.items()}


def footprint(section: Modular) -> int:
    return addition.footprint(section.trials, section.p, section.system.hidden)


ARMS = {"baseline": ("baseline",), "wd": ("wd",)}


def treatments(settings: Settings) -> dict[str, Treatment]:
    section = settings.modular
    return of_arms(ARMS, (settings.baseline, settings.wd), section.lr, section.steps)


SYSTEM = System(
    section=Modular,
    arrays=addition.DRAWN | {"p": 0, "steps": 0, "evaluate_every": 0},
    draw=draw,
    footprint=footprint,
    key="modular",
    arms=ARMS,
    treatments=treatments,
)
