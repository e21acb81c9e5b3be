"""Rounding: what is written is the same on every machine, and every digit of it is true.

Two machines agree on a float64 result to about fifteen digits, not to the last bit. The disagreement is about 2e-16 of the
largest number that went into the result: a small weight has the error of the large weights beside it, a small residual that
of its target. So values are rounded to a grid whose step is 2^−bits of that largest number. Differences, R² and standard
errors are computed from the rounded values, and rounded once more, to six digits, where they are written to be read.

More bits show smaller differences, and raise the chance that two machines round one value of a file differently. With the
bits below no value of the shipped studies was, with any of the kernels that were tried (docs/reproducibility.md).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

DIGITS = 6  # of what is written to be read
LOOK = 20  # bits of weights that are only looked at; they fit in float32
PATH = 30  # bits of weights from which metrics are computed, and of losses and norms before the end of a run
END = 36  # bits of losses and norms at the end of a run, from which differences between runs are taken

Floats = NDArray[np.float64]


def on_grid(values: ArrayLike, largest: ArrayLike, bits: ArrayLike) -> Floats:
    """Values rounded to multiples of 2^−bits·size, where size is `largest` rounded up to a power of two.

    For a value above `largest`, the size is that of the value. What is not finite stays as it is. Shapes broadcast.
    """
    values = np.asarray(values, dtype=np.float64)
    step = _step(values, largest, bits)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.where(step > 0, np.round(values / step) * step, values)


def losses_on_grid(losses: ArrayLike, of_zero: ArrayLike, bits: ArrayLike = END) -> Floats:
    """Squared losses, rounded so that their roots lie on a grid: roots are errors in the unit of the targets.

    `of_zero` is the loss of predicting zero. Its root is the size of the targets, which sets the grid. Shapes broadcast.
    """
    return np.square(on_grid(np.sqrt(losses), np.sqrt(of_zero), bits))


def resolution(losses: ArrayLike, of_zero: ArrayLike, bits: int = END) -> float:
    """The distance between two neighbours on the grid, at the largest of these losses. A smaller difference is not known."""
    roots = np.sqrt(np.asarray(losses, dtype=np.float64))
    with np.errstate(over="ignore", invalid="ignore"):
        gaps = 2 * roots * _step(roots, np.sqrt(of_zero), bits)
    return float(np.nanmax(gaps, initial=0.0, where=np.isfinite(gaps)))


def to_resolution(value: float, known_to: float) -> float:
    """A value, rounded to the decimals that `known_to`, its uncertainty, leaves."""
    return round(value, -math.ceil(math.log10(known_to))) if known_to > 0 else value


def significant(values: ArrayLike, digits: int = DIGITS) -> Floats:
    """Values rounded to significant decimal digits; any shape."""
    values = np.asarray(values, dtype=np.float64)
    rounded = [float(f"{value:.{digits}g}") for value in values.ravel().tolist()]
    return np.array(rounded, dtype=np.float64).reshape(values.shape)


def decade_above(difference: float) -> float:
    """The smallest power of ten above a difference that is pure rounding, at least 1e-15: the same on every machine.

    Raises ValueError where the difference is not finite.
    """
    if not math.isfinite(difference):
        raise ValueError(f"expected a finite difference, got {difference}")
    return 10.0 ** max(math.ceil(math.log10(difference)), -15) if difference > 0 else 1e-15


def _step(values: Floats, largest: ArrayLike, bits: ArrayLike) -> Floats:
    """The grid's step at each value, 0 where there is none."""
    size = np.maximum(np.abs(values), np.asarray(largest, dtype=np.float64))
    usable = np.isfinite(size) & (size > 0)
    with np.errstate(over="ignore", under="ignore"):
        return np.where(usable, 2.0 ** (np.ceil(np.log2(size, out=np.zeros_like(size), where=usable)) - np.asarray(bits)), 0.0)
