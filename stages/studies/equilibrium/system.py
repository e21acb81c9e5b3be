"""equilibrium: a model that sees only the direction of its weights, ŷ = x·w/‖w‖, as one behind a normalisation layer does."""

import numpy as np
from numpy.typing import NDArray

from stages.base.params import Count, Grid, Moments, Momentum, NonNegative, Positive, Positives, Section, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, two_arms

ADAPTIVE = {"adam": "Adam with L2", "adamw": "AdamW"}  # how an optimiser is named → how it is called
CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error


class Data(Section, frozen=True):
    trials: Count
    inputs: Count
    rows: Count
    noise: NonNegative
    start_norm: Positive

    def __post_init__(self) -> None:
        if self.inputs < 2:
            raise ValueError("inputs: expected at least 2, as one weight has no direction to learn")


class Train(Section, frozen=True):
    epochs: Count
    batch_size: Count
    evaluate_every: Count
    lr: Positive
    momentum: Momentum


class Adaptive(Moments, frozen=True):
    scale: Positives
    wd: Positive
    lr: Positive

    def __post_init__(self) -> None:
        ascending("scale", self.scale)


class Sweep(Section, frozen=True):
    product: Grid
    lr: Positives
    adaptive: Adaptive

    def __post_init__(self) -> None:
        ascending("product", self.product, zero_first=True)
        ascending("lr", self.lr)


class Equilibrium(Section, frozen=True):
    wd: NonNegative
    data: Data
    train: Train
    sweep: Sweep


def draw(section: Equilibrium, streams: Streams) -> Arrays:
    """y = x·w* + N(0, noise²), x ~ N(0, 1), ‖w*‖ = 1; start of a fixed norm. Both directions are uniform.

    Shapes: R trials, n rows, d inputs.
    """
    data = section.data

    def trial(rng: Purpose) -> Arrays:
        inputs = rng("inputs").standard_normal((data.rows, data.inputs)).astype(np.float32).astype(np.float64)
        truth, start = (direction(rng(purpose), data.inputs) for purpose in ("truth", "start"))
        return {
            "train_inputs": inputs,
            "train_targets": inputs @ truth + data.noise * rng("noise").standard_normal(data.rows),
            "true_weight": truth,
            "start_weight": data.start_norm * start,
        }

    return single(streams.draw(data.trials, trial)) | {"seed": np.array(streams.seed)}


def direction(rng: np.random.Generator, inputs: int) -> NDArray[np.float64]:
    """A unit vector, uniform over the sphere.  → (d,)"""
    drawn = rng.standard_normal(inputs)
    return drawn / np.linalg.norm(drawn)


def unseen(arrays: Arrays) -> Arrays:
    """The validation rows: √d and −√d at one input and 0 at all others, with targets without noise.

    On these half the mean squared error is exactly ½‖ŵ − w*‖², the expected excess loss on unseen isotropic rows.
    → inputs (R, 2d, d), targets (R, 2d)
    """
    truth = arrays["true_weight"].astype(np.float64)
    trials, size = truth.shape
    rows = np.sqrt(size) * np.concatenate([np.eye(size), -np.eye(size)])
    targets = np.sqrt(size) * np.concatenate([truth, -truth], axis=1)
    return {"val_inputs": np.broadcast_to(rows, (trials, *rows.shape)).copy(), "val_targets": targets}


def footprint(section: Equilibrium) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    data = section.data
    return 8 * 6 * data.trials * (data.rows * (data.inputs + 1) + 2 * (data.inputs + 1) ** 2)


SYSTEM = System(
    section=Equilibrium,
    arrays={
        "train_inputs": 3,  # (R, n, d)
        "train_targets": 2,  # (R, n)
        "true_weight": 2,  # (R, d)
        "start_weight": 2,  # (R, d)
        "seed": Integers(0),  # of the batch orders
    },
    draw=draw,
    footprint=footprint,
    key="equilibrium",
    arms=two_arms(("",)),
)
