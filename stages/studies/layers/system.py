"""layers: a noisy matrix of low rank, learnt as one matrix W and as a product UV; from all entries, and from some of them.

Srebro, Rennie, Jaakkola, "Maximum-Margin Matrix Factorization" (NIPS 2004): half of ‖U‖² + ‖V‖² is, at its least, the nuclear
norm of UV, the sum of its singular values.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from stages.base.params import Count, Fraction, Grid, Momentum, NonNegative, Positive, Section, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System

LAYERS = {"one": "one layer", "two": "two layers"}  # W, or UV
SEEN = ("all", "some")  # entries that are learnt from
RUNS = tuple(f"{layers}_{seen}" for seen in SEEN for layers in LAYERS)
Side = Annotated[int, Meta(ge=2, le=500, description="an integer from 2 to 500")]


class Data(Section, frozen=True):
    trials: Count
    rows: Side
    columns: Side
    rank: Count
    noise: NonNegative
    hidden: Fraction
    start_std: Positive

    def __post_init__(self) -> None:
        if self.rank > min(self.rows, self.columns):
            raise ValueError("rank: expected at most the smaller of rows and columns")


class Train(Section, frozen=True):
    steps: Count
    lr: Positive
    momentum: Momentum


class Sweep(Section, frozen=True):
    wd: Grid

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)


class Layers(Section, frozen=True):
    data: Data
    train: Train
    sweep: Sweep


def draw(section: Layers, streams: Streams) -> Arrays:
    """Y = AB/√r + N(0, noise²), A and B Gaussian with r columns and r rows; which entries are seen where some are hidden.

    Shapes: T trials, m rows, n columns, k = min(m, n).
    """
    data = section.data
    shape, width = (data.rows, data.columns), min(data.rows, data.columns)
    hidden = min(max(round(data.hidden * data.rows * data.columns), 1), data.rows * data.columns - 1)

    def trial(rng: Purpose) -> Arrays:
        left, right = (rng(name).standard_normal((side, data.rank)) for name, side in zip(("left", "right"), shape, strict=True))
        truth = left @ right.T / np.sqrt(data.rank)
        return {
            "truth": truth,
            "targets": truth + data.noise * rng("noise").standard_normal(shape),
            "seen": (rng("hidden").permutation(truth.size) >= hidden).reshape(shape),
            "start_left": data.start_std * rng("start left").standard_normal((data.rows, width)),
            "start_right": data.start_std * rng("start right").standard_normal((width, data.columns)),
        }

    return single(streams.draw(data.trials, trial))


def footprint(section: Layers) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients."""
    data = section.data
    return 8 * 6 * 3 * data.trials * (data.rows + data.columns) * max(data.rows, data.columns)


# name → dimensions: truth, targets and seen (T, m, n), start_left (T, m, k), start_right (T, k, n)
ARRAYS = dict.fromkeys(("truth", "targets", "start_left", "start_right"), 3) | {"seen": Integers(3)}
SYSTEM = System(section=Layers, arrays=ARRAYS, draw=draw, footprint=footprint, key="layers", arms={})
