"""equilibrium: a model that sees only the direction of its weights, ŷ = x·w/‖w‖, as one behind a normalisation layer does."""

import numpy as np
from numpy.typing import NDArray

from stages.base.params import SGD, Count, Grid, NonNegative, Positive, Positives, Section, Settings, ascending
from stages.base.streams import Arrays, Purpose, Streams, orders, single
from stages.base.system import System, Treatment, of_arms

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error


class Optimizers(Section, frozen=True):
    sgd: SGD


class Map(Section, frozen=True):
    lr: Positives

    def __post_init__(self) -> None:
        ascending("lr", self.lr)


class Data(Section, frozen=True):
    inputs: Count
    rows: Count
    noise: NonNegative
    start_norm: Positive
    evaluate_every: Count

    def __post_init__(self) -> None:
        if self.inputs < 2:
            raise ValueError("inputs: expected at least 2, as one weight has no direction to learn")


class Equilibrium(Section, frozen=True):
    trials: Count
    epochs: Count
    batch_size: Count
    lr: Positive
    wd: NonNegative
    optimizers: Optimizers
    sweep: Grid
    map: Map
    system: Data

    def __post_init__(self) -> None:
        ascending("sweep", self.sweep, zero_first=True)


def draw(section: Equilibrium, streams: Streams) -> Arrays:
    """y = x·w* + N(0, noise²), x ~ N(0, 1), ‖w*‖ = 1; start of a fixed norm. Both directions are uniform.

    Shapes: R trials, n rows, d inputs, E epochs.
    """
    system = section.system

    def trial(rng: Purpose) -> Arrays:
        inputs = rng("inputs").standard_normal((system.rows, system.inputs)).astype(np.float32).astype(np.float64)
        truth, start = (direction(rng(purpose), system.inputs) for purpose in ("truth", "start"))
        return {
            "train_inputs": inputs,
            "train_targets": inputs @ truth + system.noise * rng("noise").standard_normal(system.rows),
            "true_weight": truth,
            "start_weight": system.start_norm * start,
            "order": orders(rng("order"), section.epochs, system.rows),
        }

    numbers = {"batch_size": np.array(section.batch_size), "evaluate_every": np.array(system.evaluate_every)}
    return single(streams.draw(section.trials, trial)) | numbers


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
    system = section.system
    return 8 * 6 * section.trials * (system.rows * (system.inputs + section.epochs + 1) + 2 * (system.inputs + 1) ** 2)


ARMS = {"baseline": ("baseline",), "wd": ("wd",)}


def treatments(settings: Settings) -> dict[str, Treatment]:
    section = settings.equilibrium
    return of_arms(ARMS, (settings.baseline, section.wd), section.lr, section.epochs)


SYSTEM = System(
    section=Equilibrium,
    arrays={
        "train_inputs": 3,  # (R, n, d)
        "train_targets": 2,  # (R, n)
        "true_weight": 2,  # (R, d)
        "start_weight": 2,  # (R, d)
        "order": 3,  # (R, E, n)
        "batch_size": 0,
        "evaluate_every": 0,  # steps
    },
    draw=draw,
    footprint=footprint,
    key="equilibrium",
    arms=ARMS,
    treatments=treatments,
)
