"""Rounding: what is written is the same on every machine, and every digit of it is true.

Two machines agree on a float64 result to some fifteen digits, not to the last bit; and not relative to the number itself: a
small weight carries the noise of the large ones beside it, a small residual that of its target, about 2e-16 of them. So
values are put on a grid, 2^−bits of the largest number that they come from. What is computed from them, a difference, an R²,
a standard error, is rounded to six digits once, where it is written to be read.

More bits make smaller differences visible, and make it likelier that two machines round one value of a file apart. With the
bits below and the shipped studies that is less than one per cent for all files together.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

DIGITS = 6  # of what is written to be read
LOOK = 20  # bits of weights that are only looked at, and fit in float32
PATH = 30  # of weights from which metrics are computed, and of losses and norms on the way
END = 36  # of the losses and norms that a run ends with: differences between runs are taken from them

Floats = NDArray[np.float64]


def on_grid(values: ArrayLike, largest: ArrayLike, bits: ArrayLike) -> Floats:
    """Values rounded to multiples of 2^−bits of `largest`, itself rounded up to a power of two; a value beyond it, of itself.

    What is not finite stays as it is. Shapes broadcast.
    """
    values = np.asarray(values, dtype=np.float64)
    step = _step(values, largest, bits)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.where(step > 0, np.round(values / step) * step, values)


def losses_on_grid(losses: ArrayLike, of_zero: ArrayLike, bits: ArrayLike = END) -> Floats:
    """Losses whose roots, errors in the unit of the targets, are on the grid of the targets' own size.

    `of_zero` is the loss of predicting zero, the mean square of the targets on the losses' scale.
    """
    return np.square(on_grid(np.sqrt(losses), np.sqrt(of_zero), bits))


def resolution(losses: ArrayLike, of_zero: ArrayLike) -> float:
    """How far apart neighbours of the largest of these losses are on its grid: what is smaller, in a difference, is not known."""
    roots = np.sqrt(np.asarray(losses, dtype=np.float64))
    gaps = 2 * roots * _step(roots, np.sqrt(of_zero), END)
    return float(np.nanmax(gaps, initial=0.0, where=np.isfinite(gaps)))


def to_resolution(value: float, known_to: float) -> float:
    """A value without the decimals that are not known."""
    return round(value, -math.ceil(math.log10(known_to))) if known_to > 0 else value


def significant(values: ArrayLike, digits: int = DIGITS) -> Floats:
    """Values rounded to significant decimal digits; any shape."""
    values = np.asarray(values, dtype=np.float64)
    rounded = [float(f"{value:.{digits}g}") for value in values.ravel().tolist()]
    return np.array(rounded, dtype=np.float64).reshape(values.shape)


def decade_above(difference: float) -> float:
    """The smallest power of ten above a difference that is nothing but rounding, 1e-15 at least, so that it can be tracked.

    Raises ValueError where the difference is not finite.
    """
    if not math.isfinite(difference):
        raise ValueError(f"expected a finite difference, got {difference}")
    return 10.0 ** max(math.ceil(math.log10(difference)), -15) if difference > 0 else 1e-15


def _step(values: Floats, largest: ArrayLike, bits: ArrayLike) -> Floats:
    """The grid's step beneath each value, 0 where it has none."""
    size = np.maximum(np.abs(values), np.asarray(largest, dtype=np.float64))
    usable = np.isfinite(size) & (size > 0)
    with np.errstate(over="ignore", under="ignore"):
        return np.where(usable, 2.0 ** (np.ceil(np.log2(size, out=np.zeros_like(size), where=usable)) - np.asarray(bits)), 0.0)
