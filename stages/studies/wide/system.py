"""wide: 200 inputs on 20 rows, y = intercept + Σ weight·xᵢ + noise; the bias is spared.

Source: the weight-decay section of "Dive into Deep Learning" (Zhang, Lipton, Li, Smola).
"""

import numpy as np

from stages.base.params import SGD, Count, Counts, Grid, NonNegative, Number, Positive, Section, Settings, ascending
from stages.base.streams import Arrays, Purpose, Streams, orders, single
from stages.base.system import System, Treatment, of_arms

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error


class Optimizers(Section, frozen=True):
    sgd: SGD


class Data(Section, frozen=True):
    train_rows: Count
    val_rows: Count
    inputs: Count
    weight: Number
    intercept: Number
    noise: NonNegative
    start_std: NonNegative


class Map(Section, frozen=True):
    epochs: Counts

    def __post_init__(self) -> None:
        ascending("epochs", self.epochs)


class Wide(Section, frozen=True):
    trials: Count
    epochs: Count
    batch_size: Count
    lr: Positive
    optimizers: Optimizers
    system: Data
    sweep: Grid
    map: Map

    def __post_init__(self) -> None:
        ascending("sweep", self.sweep, zero_first=True)


def draw(section: Wide, streams: Streams) -> Arrays:
    """X ~ N(0, 1), y = intercept + Σ weight·xᵢ + N(0, noise²); start w₀ ~ N(0, start_std²), b₀ = 0.

    Shapes: R trials, n training rows, m validation rows, d inputs, E epochs, M epochs of the map's longest training.
    """
    system = section.system

    def trial(rng: Purpose) -> Arrays:
        arrays: Arrays = {}
        weight = np.full(system.inputs, system.weight)  # (d,)
        for split, rows in (("train", system.train_rows), ("val", system.val_rows)):
            x = rng(f"{split} inputs").standard_normal((rows, system.inputs)).astype(np.float32).astype(np.float64)
            noise = system.noise * rng(f"{split} noise").standard_normal(rows)
            arrays |= {f"{split}_inputs": x, f"{split}_targets": x @ weight + system.intercept + noise}
        start = system.start_std * rng("start").standard_normal(system.inputs)
        return arrays | {
            "start_weight": start,
            "start_bias": np.zeros(()),
            "true_weight": weight,
            "true_bias": np.array(system.intercept),
            "null": np.array(system.intercept),
            "order": orders(rng("order"), section.epochs, system.train_rows),
            "map_order": orders(rng("order"), section.map.epochs[-1], system.train_rows),
        }

    shared = {"batch_size": np.array(section.batch_size), "noise": np.array(system.noise)}
    return single(streams.draw(section.trials, trial)) | shared


def footprint(section: Wide) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    rows = section.system.train_rows + section.system.val_rows
    return 8 * 6 * section.trials * rows * (section.system.inputs + section.epochs + section.map.epochs[-1])


ARMS = {"baseline": ("baseline", "baseline_zero"), "wd": ("wd", "wd_penalty", "wd_zero")}


def treatments(settings: Settings) -> dict[str, Treatment]:
    section = settings.wide
    return of_arms(ARMS, (settings.baseline, settings.wd), section.lr, section.epochs)


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
        "order": 3,  # (R, E, n)
        "map_order": 3,  # (R, M, n), the same order for as long as both last
        "batch_size": 0,
        "noise": 0,  # standard deviation
    },
    draw=draw,
    footprint=footprint,
    key="wide",
    arms=ARMS,
    treatments=treatments,
)
