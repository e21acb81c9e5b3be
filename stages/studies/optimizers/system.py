"""optimizers: noisy rows of a linear model, trained by four optimisers. The rows are orthogonal, so every weight is for itself.

Beside them stand the Gaussian rows that they were made from, on which the weights depend on each other.
"""

import numpy as np

from stages.base.params import Count, Counts, Grid, Moments, Momentum, NonNegative, Positive, Positives, Section, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, two_arms

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error
ROWS = {"sgd": "", "momentum": "_momentum", "adam": "_adam", "adamw": "_adamw"}  # what an arm's rows are named after the arm
KINDS = tuple(ROWS)


class Data(Section, frozen=True):
    trials: Count
    rows: Count
    val_rows: Count
    inputs: Count
    weight_norm: Positive
    noise: NonNegative
    start_std: NonNegative

    def __post_init__(self) -> None:
        if self.rows < self.inputs:
            raise ValueError("rows: expected at least as many as inputs, so that they can be orthogonal")


class GradientDescent(Section, frozen=True):
    lr: Positive
    momentum: Momentum


class Train(Section, frozen=True):
    steps: Count
    evaluate_every: Count
    lr: Positive
    sgd: GradientDescent
    momentum: GradientDescent
    adam: Moments
    adamw: Moments


class Batches(Moments, frozen=True):
    size: Counts
    steps: Count
    lr: Positive

    def __post_init__(self) -> None:
        ascending("size", self.size)


class Sweep(Section, frozen=True):
    wd: Grid
    lr: Positives
    batches: Batches

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)
        ascending("lr", self.lr)


class Comparison(Section, frozen=True):
    wd: NonNegative
    data: Data
    train: Train
    sweep: Sweep


def draw(section: Comparison, streams: Streams) -> Arrays:
    """y = Xw* + N(0, noise²), w* of fixed length in a uniform direction, X Gaussian, or made orthogonal: XᵀX = nI.

    Shapes: T trials, n training rows, m validation rows, d inputs.
    """
    data = section.data

    def trial(rng: Purpose) -> Arrays:
        direction = rng("truth").standard_normal(data.inputs)
        weight = data.weight_norm * direction / np.linalg.norm(direction)
        gaussian = rng("inputs").standard_normal((data.rows, data.inputs))
        inputs = {
            "train": np.sqrt(data.rows) * np.linalg.qr(gaussian).Q,
            "general": gaussian,
            "val": rng("val inputs").standard_normal((data.val_rows, data.inputs)),
        }
        noise = {"train": data.noise * rng("noise").standard_normal(data.rows)}
        noise |= {"general": noise["train"], "val": data.noise * rng("val noise").standard_normal(data.val_rows)}
        arrays: Arrays = {"true_weight": weight, "start_weight": data.start_std * rng("start").standard_normal(data.inputs)}
        for split, rows in inputs.items():
            stored = rows.astype(np.float32).astype(np.float64)
            arrays |= {f"{split}_inputs": stored, f"{split}_targets": stored @ weight + noise[split]}
        return arrays

    return single(streams.draw(data.trials, trial)) | {"noise": np.array(data.noise), "seed": np.array(streams.seed)}


def footprint(section: Comparison) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    data = section.data
    return 8 * 6 * data.trials * (2 * data.rows + data.val_rows + 2) * (data.inputs + 1)


def general(arrays: Arrays) -> Arrays:
    """The data with Gaussian rows to train on."""
    return arrays | {f"train_{name}": arrays[f"general_{name}"] for name in ("inputs", "targets")}


SYSTEM = System(
    section=Comparison,
    arrays={
        "train_inputs": 3,  # (T, n, d), orthogonal columns
        "train_targets": 2,  # (T, n)
        "general_inputs": 3,  # (T, n, d)
        "general_targets": 2,  # (T, n)
        "val_inputs": 3,  # (T, m, d)
        "val_targets": 2,  # (T, m)
        "true_weight": 2,  # (T, d)
        "start_weight": 2,  # (T, d)
        "noise": 0,  # standard deviation
        "seed": Integers(0),  # of the batch orders
    },
    draw=draw,
    footprint=footprint,
    key="optimizers",
    arms=two_arms(tuple(ROWS.values())),
)
