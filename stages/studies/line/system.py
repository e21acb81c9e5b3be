"""line: y = slope·x + intercept without noise, four points, both parameters decaying. A first tutorial's system."""

import numpy as np

from stages.base.params import Count, Grid, Moments, Momentum, NonNegative, Number, Numbers, Positive, Section, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, two_arms

CURVATURE = 2.0  # c of the data loss (c/2)·mean (ŷ − y)²: the mean squared error


class Data(Section, frozen=True):
    trials: Count
    train_x: Numbers
    val_x: Numbers
    slope: Number
    intercept: Number


class Adam(Moments, frozen=True):
    """Adam, with a schedule and a learning rate of its own."""

    epochs: Count
    evaluate_every: Count
    lr: Positive


class Train(Section, frozen=True):
    epochs: Count
    batch_size: Count
    lr: Positive
    momentum: Momentum
    adam: Adam


class Sweep(Section, frozen=True):
    wd: Grid

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)


class Line(Section, frozen=True):
    wd: NonNegative
    adam_wd: NonNegative
    data: Data
    train: Train
    sweep: Sweep


def draw(section: Line, streams: Streams) -> Arrays:
    """The same rows in every trial; starts as `nn.Linear(1, 1)` draws them, U(−1, 1).

    Shapes: R trials, n training rows, m validation rows.
    """
    data, trials = section.data, section.data.trials

    def trial(rng: Purpose) -> Arrays:
        start = rng("start").uniform(-1, 1, size=2)
        return {"start_weight": start[:1], "start_bias": start[1]}

    shared: Arrays = {}
    for split, xs in (("train", data.train_x), ("val", data.val_x)):
        x = np.tile(np.array(xs)[:, None], (trials, 1, 1))  # (R, rows, 1)
        shared |= {f"{split}_inputs": x, f"{split}_targets": data.slope * x[..., 0] + data.intercept}
    truth = {"true_weight": np.full((trials, 1), data.slope), "true_bias": np.full(trials, data.intercept)}
    null = {"null": np.full(trials, shared["train_targets"].mean())}
    return single(shared | truth | null | streams.draw(trials, trial)) | {"seed": np.array(streams.seed)}


def footprint(section: Line) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    data = section.data
    return 8 * 6 * data.trials * 4 * (len(data.train_x) + len(data.val_x))


SYSTEM = System(
    section=Line,
    arrays={
        "train_inputs": 3,  # (R, n, 1)
        "train_targets": 2,  # (R, n)
        "val_inputs": 3,  # (R, m, 1)
        "val_targets": 2,  # (R, m)
        "start_weight": 2,  # (R, 1)
        "start_bias": 1,  # (R,)
        "true_weight": 2,  # (R, 1)
        "true_bias": 1,  # (R,)
        "null": 1,  # (R,), the best constant: the mean training target
        "seed": Integers(0),  # of the batch orders
    },
    draw=draw,
    footprint=footprint,
    key="line",
    arms=two_arms(("", "_adam"), weight_decays=("wd", "adam_wd")),
)
