"""Noisy linear data with isotropic inputs, of many sizes: the first n rows are the data set of n.

Shapes: T trials, N the largest n, d inputs.
"""

import numpy as np
from numpy.typing import NDArray

from stages.base.params import Count, Counts, NonNegative, Positive, Section, ascending
from stages.base.rounding import losses_on_grid
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single

DRAWN = {
    "train_inputs": 3,  # (T, N, d)
    "train_targets": 2,  # (T, N)
    "true_weight": 2,  # (T, d)
    "noise": 0,  # standard deviation
    "rows": Integers(1),  # the numbers of rows n, ascending
}


class Rows(Section, frozen=True):
    trials: Count
    rows: Counts
    inputs: Count
    weight_norm: Positive
    noise: NonNegative

    def __post_init__(self) -> None:
        ascending("rows", self.rows)


def draw(data: Rows, streams: Streams) -> Arrays:
    """y = Xw* + N(0, noise²), X ~ N(0, 1), w* of fixed length in a uniform direction."""

    def trial(rng: Purpose) -> Arrays:
        inputs = rng("inputs").standard_normal((data.rows[-1], data.inputs)).astype(np.float32).astype(np.float64)
        direction = rng("truth").standard_normal(data.inputs)
        weight = data.weight_norm * direction / np.linalg.norm(direction)
        noise = data.noise * rng("noise").standard_normal(len(inputs))
        return {"train_inputs": inputs, "train_targets": inputs @ weight + noise, "true_weight": weight}

    return single(streams.draw(data.trials, trial)) | {"noise": np.array(data.noise), "rows": np.array(data.rows)}


def footprint(data: Rows) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    return 8 * 6 * data.trials * data.rows[-1] * data.inputs


def first_rows(arrays: Arrays, rows: int) -> Arrays:
    """The data set of n rows."""
    return arrays | {name: arrays[name][:, :rows] for name in ("train_inputs", "train_targets")}


def sizes(arrays: Arrays) -> tuple[int, float, float]:
    """d, ‖w*‖ and σ."""
    truth = arrays["true_weight"][0].astype(np.float64)
    return len(truth), float(np.linalg.norm(truth)), float(arrays["noise"])


def risk(weights: NDArray, truth: NDArray) -> NDArray[np.float64]:
    """‖w − w*‖², rounded as losses are: the squared error on unseen isotropic inputs, beyond the noise.

    (…, d), (…, d) → (…); shapes broadcast
    """
    return losses_on_grid(np.sum((weights - truth) ** 2, axis=-1), np.sum(truth**2, axis=-1))
