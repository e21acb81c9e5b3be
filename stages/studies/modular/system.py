"""modular: (a + b) mod p, learnt from a part of all pairs by a quadratic network.

The system of Gromov, "Grokking modular arithmetic" (2023).
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from stages.base.params import Accuracy, AdamW, Count, Fraction, Fractions, Grid, Positive, Section, ascending
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System

CURVATURE = 2.0  # c of the data loss (c/2)·mean (ŷ − y)²: the mean squared error, on one-hot labels
Modulus = Annotated[int, Meta(ge=2, le=10**4, description="an integer from 2 to 10⁴")]


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
    p: Modulus
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
    """All pairs (a, b) with label (a + b) mod p, split at random; starts N(0, (start_scale/(2·hidden)^⅓)²).

    Shapes: R trials, n training rows, m validation rows, p the modulus, h hidden units.
    """
    system, p = section.system, section.p
    pairs = np.stack(np.divmod(np.arange(p * p), p), axis=1)  # (p², 2)
    train_rows = rows_of(system.train_fraction, p)
    std = system.start_scale / (2 * system.hidden) ** (1 / 3)

    def trial(rng: Purpose) -> Arrays:
        shuffled = pairs[rng("split").permutation(p * p)]
        arrays: Arrays = {}
        for split, chosen in (("train", shuffled[:train_rows]), ("val", shuffled[train_rows:])):
            arrays |= {f"{split}_pairs": chosen, f"{split}_labels": chosen.sum(axis=1) % p}
        return arrays | {
            "start_hidden": std * rng("start hidden").standard_normal((2 * p, system.hidden)),
            "start_output": std * rng("start output").standard_normal((system.hidden, p)),
        }

    schedule = {"p": p, "steps": section.steps, "evaluate_every": system.evaluate_every}
    return single(streams.draw(section.trials, trial)) | {name: np.array(value) for name, value in schedule.items()}


def rows_of(train_fraction: float, p: int) -> int:
    """How many of the p² pairs are trained on: at least one, and not all."""
    return min(max(round(train_fraction * p * p), 1), p * p - 1)


def split_at(arrays: Arrays, train_fraction: float, trials: int) -> Arrays:
    """The data of the first trials with another share of the pairs to train on: the first rows in the order that was drawn."""
    rows, found = rows_of(train_fraction, int(arrays["p"])), dict(arrays)
    for name in ("pairs", "labels"):
        drawn = np.concatenate([arrays[f"train_{name}"], arrays[f"val_{name}"]], axis=1)
        found |= {f"train_{name}": drawn[:, :rows], f"val_{name}": drawn[:, rows:]}
    return {name: array[:trials] if array.ndim > 1 else array for name, array in found.items()}


def footprint(section: Modular) -> int:
    """The hidden units of all trials and pairs, six times over: there are more of them than of data or weights."""
    return 8 * 6 * section.trials * section.p**2 * section.system.hidden


SYSTEM = System(
    section=Modular,
    arrays={
        "train_pairs": 3,  # (R, n, 2)
        "train_labels": 2,  # (R, n)
        "val_pairs": 3,  # (R, m, 2)
        "val_labels": 2,  # (R, m)
        "start_hidden": 3,  # (R, 2p, h)
        "start_output": 3,  # (R, h, p)
        "p": 0,
        "steps": 0,
        "evaluate_every": 0,
    },
    draw=draw,
    footprint=footprint,
    key="modular",
    arms={"baseline": ("baseline",), "wd": ("wd",)},
)
