"""wide: 200 inputs on 20 rows, y = intercept + Σ weight·xᵢ + noise; the bias is spared.

Source: the weight-decay section of "Dive into Deep Learning" (Zhang, Lipton, Li, Smola).
"""

import numpy as np

from stages.base.params import Count, Counts, Grid, Momentum, NonNegative, Number, Positive, Section, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import Arm, System

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error


class Data(Section, frozen=True):
    trials: Count
    train_rows: Count
    val_rows: Count
    inputs: Count
    weight: Number
    intercept: Number
    noise: NonNegative
    start_std: NonNegative


class Train(Section, frozen=True):
    epochs: Count
    batch_size: Count
    lr: Positive
    momentum: Momentum


class Sweep(Section, frozen=True):
    wd: Grid
    epochs: Counts

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)
        ascending("epochs", self.epochs)


class Wide(Section, frozen=True):
    data: Data
    train: Train
    sweep: Sweep


def draw(section: Wide, streams: Streams) -> Arrays:
    """X ~ N(0, 1), y = intercept + Σ weight·xᵢ + N(0, noise²); start w₀ ~ N(0, start_std²), b₀ = 0.

    Shapes: R trials, n training rows, m validation rows, d inputs.
    """
    data = section.data

    def trial(rng: Purpose) -> Arrays:
        arrays: Arrays = {}
        weight = np.full(data.inputs, data.weight)  # (d,)
        for split, rows in (("train", data.train_rows), ("val", data.val_rows)):
            x = rng(f"{split} inputs").standard_normal((rows, data.inputs)).astype(np.float32).astype(np.float64)
            noise = data.noise * rng(f"{split} noise").standard_normal(rows)
            arrays |= {f"{split}_inputs": x, f"{split}_targets": x @ weight + data.intercept + noise}
        start = data.start_std * rng("start").standard_normal(data.inputs)
        return arrays | {
            "start_weight": start,
            "start_bias": np.zeros(()),
            "true_weight": weight,
            "true_bias": np.array(data.intercept),
            "null": np.array(data.intercept),
        }

    shared = {"noise": np.array(data.noise), "seed": np.array(streams.seed)}
    return single(streams.draw(data.trials, trial)) | shared


def footprint(section: Wide) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    data = section.data
    return 8 * 6 * data.trials * (data.train_rows + data.val_rows) * data.inputs


SYSTEM = System(
    section=Wide,
    arrays={
        "train_inputs": 3,  # (R, n, d)
        "train_targets": 2,  # (R, n)
        "val_inputs": 3,  # (R, m, d)
        "val_targets": 2,  # (R, m)
        "start_weight": 2,  # (R, d)
        "start_bias": 1,  # (R,)
        "true_weight": 2,  # (R, d)
        "true_bias": 1,  # (R,)
        "null": 1,  # (R,), the best constant: the true bias
        "noise": 0,  # standard deviation
        "seed": Integers(0),  # of the batch orders
    },
    draw=draw,
    footprint=footprint,
    key="wide",
    arms={
        "baseline": Arm(("baseline", "baseline_zero"), {"wd": "baseline"}),
        "wd": Arm(("wd", "wd_penalty", "wd_zero"), {"wd": "wd"}),
    },
)
