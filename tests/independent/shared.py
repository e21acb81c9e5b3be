"""The tree of a result; batch orders; optimisers, which give from a start (R, …, D) every θ on the way, the start first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from exact import ROUNDING, Array, Number, Table, Values, means
from numpy.typing import NDArray

Rate = float | Array  # a learning rate or one for each step (K,); a λ or one for each weight, of θ's shape
Gradient = Callable[[Array, int], Array]  # θ (R, …, D) and the step's number → the same shape


@dataclass(frozen=True)
class Results:
    """What a study's files hold. `descent` is a sweep alone."""

    sweep: Table
    summary: dict[str, Any]
    metrics: dict[str, dict[str, Number]] = field(default_factory=dict)
    curves: Table = field(default_factory=list)


def orders(seed: int, study: str, data: dict[str, NDArray], epochs: int) -> NDArray[np.int64]:
    """The order of the training rows in each epoch, one permutation after the other from a stream of each trial's own.

    A stream is NumPy's for the seed of params.yaml and the hashes of what it is for: study, trial, "order".  (R, epochs, n)
    """
    trials, rows = data["train_targets"].shape
    places = [(crc32(study.encode()), trial, crc32(b"order")) for trial in range(trials)]
    streams = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place)) for place in places]
    return np.array([[stream.permutation(rows) for _ in range(epochs)] for stream in streams])


def batches_of(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """The rows (R, b) of each step; the last batch of an epoch may be shorter."""
    _, epochs, rows = order.shape
    return [order[:, epoch, first : first + size] for epoch in range(epochs) for first in range(0, rows, size)]


def sgd(gradient: Gradient, start: Array, steps: int, *, lr: Rate, momentum: float) -> list[Array]:
    path, velocity = [start], np.zeros_like(start)
    for step, rate in enumerate(np.broadcast_to(lr, steps)):
        velocity = momentum * velocity + gradient(path[-1], step)
        path.append(path[-1] - rate * velocity)
    return path


def adam(
    gradient: Gradient, start: Array, steps: int, *, lr: Rate, beta1: float, beta2: float, eps: float, decoupled: Rate = 0.0
) -> list[Array]:
    """With `decoupled` λ AdamW. Coupled decay is part of the gradient, here as in `sgd`."""
    path, first, second = [start], np.zeros_like(start), np.zeros_like(start)
    for step, rate in enumerate(np.broadcast_to(lr, steps), start=1):
        slope = gradient(path[-1], step - 1)
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope**2
        direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)
        path.append((1 - rate * decoupled) * path[-1] - rate * direction)
    return path


def evaluated(steps: int, every: int) -> list[int]:
    """The steps at which a run is evaluated: the start, every so many, the end."""
    return sorted({*range(0, steps, every), steps})


def in_errors(gap: Values) -> Number:
    """A mean over trials in units of its standard error."""
    mean, error = means({"gap": gap}).values()
    score = mean.value / error.value
    return Number(score, ROUNDING * float(np.max(gap.size)) * (1 + abs(score)) / error.value)
