"""line: y = slope·x + intercept without noise, four points, both parameters decaying. A first tutorial's system."""

import numpy as np

from stages.base.params import SGD, Adam, Count, Grid, NonNegative, Number, Numbers, Positive, Section, Settings, ascending
from stages.base.streams import Arrays, Purpose, Streams, orders, single
from stages.base.system import System, Treatment

CURVATURE = 2.0  # c of the data loss (c/2)·mean (ŷ − y)²: the mean squared error


class OwnAdam(Adam, frozen=True):
    """Adam with a schedule, a learning rate and a λ of its own."""

    epochs: Count
    evaluate_every: Count
    lr: Positive
    wd: NonNegative


class Optimizers(Section, frozen=True):
    sgd: SGD
    adam: OwnAdam


class Data(Section, frozen=True):
    slope: Number
    intercept: Number
    train_x: Numbers
    val_x: Numbers


class Line(Section, frozen=True):
    trials: Count
    epochs: Count
    batch_size: Count
    lr: Positive
    wd: NonNegative
    optimizers: Optimizers
    system: Data
    sweep: Grid

    def __post_init__(self) -> None:
        ascending("sweep", self.sweep, zero_first=True)


def draw(section: Line, streams: Streams) -> Arrays:
    """The same rows in every trial; starts as `nn.Linear(1, 1)` draws them, U(−1, 1).

    Shapes: R trials, n training rows, m validation rows, E epochs.
    """
    system, trials = section.system, section.trials

    def trial(rng: Purpose) -> Arrays:
        start = rng("start").uniform(-1, 1, size=2)
        return {"start_weight": start[:1], "start_bias": start[1], "order": orders(rng("order"), section.epochs, rows)}

    rows = len(system.train_x)
    shared: Arrays = {}
    for split, xs in (("train", system.train_x), ("val", system.val_x)):
        x = np.tile(np.array(xs)[:, None], (trials, 1, 1))  # (R, rows, 1)
        shared |= {f"{split}_inputs": x, f"{split}_targets": system.slope * x[..., 0] + system.intercept}
    truth = {"true_weight": np.full((trials, 1), system.slope), "true_bias": np.full(trials, system.intercept)}
    null = {"null": np.full(trials, shared["train_targets"].mean())}
    return single(shared | truth | null | streams.draw(trials, trial)) | {"batch_size": np.array(section.batch_size)}


def footprint(section: Line) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    rows = len(section.system.train_x) + len(section.system.val_x)
    return 8 * 6 * section.trials * (section.epochs + 4) * rows


def treatments(settings: Settings) -> dict[str, Treatment]:
    sgd, adam, baseline = settings.line, settings.line.optimizers.adam, settings.baseline
    return {
        "baseline": Treatment(baseline, sgd.lr, sgd.epochs),
        "baseline_adam": Treatment(baseline, adam.lr, adam.epochs),
        "wd": Treatment(sgd.wd, sgd.lr, sgd.epochs),
        "wd_adam": Treatment(adam.wd, adam.lr, adam.epochs),
    }


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
        "order": 3,  # (R, E, n)
        "batch_size": 0,
    },
    draw=draw,
    footprint=footprint,
    key="line",
    arms={"baseline": ("baseline", "baseline_adam"), "wd": ("wd", "wd_adam")},
    treatments=treatments,
)
