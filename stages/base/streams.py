"""Random draws: a stream of its own for each trial and purpose, so that nothing that is added changes what was drawn.

Shapes: R trials, n rows, E epochs.
A draw depends on the seed, the study's key, the trial and the purpose alone. More trials, more epochs or another study
change no existing draw, and no λ changes any. Arrays are stored as float32: no machine's last bit of `exp` or of a matrix
product gets into a file. Training promotes them to float64.
"""

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.base.errors import UserError
from stages.base.memory import must_fit

Arrays = dict[str, NDArray]
Purpose = Callable[[str], np.random.Generator]


@dataclass(frozen=True)
class Streams:
    """The random streams of one study."""

    seed: int
    key: str

    def stream(self, trial: int, purpose: str) -> np.random.Generator:
        """The generator of one purpose in one trial, independent of every other (NumPy's SeedSequence spawn keys)."""
        key = (zlib.crc32(self.key.encode()), trial, zlib.crc32(purpose.encode()))
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def draw(self, trials: int, draw: Callable[[Purpose], Arrays]) -> Arrays:
        """Draw every trial from its own streams, and stack the trials along a leading axis.

        `draw` gets a function from a purpose to its generator, and returns one trial's arrays.
        """
        drawn = [draw(functools.partial(self.stream, trial)) for trial in range(trials)]
        return {name: np.stack([arrays[name] for arrays in drawn]) for name in drawn[0]}


def orders(arrays: Arrays, key: str, epochs: int) -> NDArray:
    """A study's batch orders: one permutation of the training rows an epoch, from a stream of each trial's own.  (T, E, n)

    More epochs go on where fewer end. `seed` is that of the data. Raises UserError where they are too many for the memory.
    """
    trials, rows = arrays["train_targets"].shape
    must_fit(8 * 6 * trials * epochs * rows, key, "trials × epochs × rows")
    streams = [Streams(int(arrays["seed"]), key).stream(trial, "order") for trial in range(trials)]
    return np.stack([[stream.permutation(rows) for _ in range(epochs)] for stream in streams])


def single(arrays: Arrays) -> Arrays:
    """Floating-point arrays as float32, integers as they are. Raises UserError where a number is beyond float32's range."""
    with np.errstate(over="ignore", invalid="ignore"):
        stored = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    for name, array in stored.items():
        if not np.isfinite(array).all():
            raise UserError(f"params.yaml: expected data within the range of float32, got {name} beyond it")
    return stored
