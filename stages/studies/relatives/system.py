"""relatives: one linear model without bias, a dense truth and a sparse one, to be learnt by weight decay and by its relatives.

Shapes: R trials, n training rows, m validation rows, d inputs, M masks of dropout.
"""

import numpy as np
from numpy.typing import NDArray

from stages.base.params import Count, Fractions, Grid, NonNegative, Positive, Section, Share, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, two_arms

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error
TRUTHS = {"dense": "", "sparse": "sparse_"}  # truth → what its targets and weights are called before their names
LEVELS = 256  # of a mask's uniform numbers: a probability of dropout is a multiple of 1/256


class Data(Section, frozen=True):
    trials: Count
    train_rows: Count
    val_rows: Count
    inputs: Count
    nonzeros: Count
    weight_norm: Positive
    noise: NonNegative
    masks: Count

    def __post_init__(self) -> None:
        if self.nonzeros > self.inputs:
            raise ValueError(f"nonzeros: expected at most {self.inputs}, the number of inputs")


class Train(Section, frozen=True):
    """Gradient descent without momentum: proximal steps and the closed form of early stopping have none."""

    steps: Count
    evaluate_every: Count
    lr: Positive


class Sweep(Section, frozen=True):
    wd: Grid
    l1_ratio: Share
    dropout: Fractions
    dropout_steps: Count

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)
        ascending("dropout", self.dropout)


class Relatives(Section, frozen=True):
    wd: NonNegative
    data: Data
    train: Train
    sweep: Sweep


def draw(section: Relatives, streams: Streams) -> Arrays:
    """y = Xw* + N(0, noise²), X ~ N(0, 1), start 0. The same inputs and the same noise for both truths, of the same length.

    The dense truth has a uniform direction; the sparse one has equal weights of random signs in random places, else zeros.
    `masks` are uniform numbers from 0 to 255: at a probability of dropout p an input is kept where its number is below
    256·(1 − p).
    """
    data = section.data

    def trial(rng: Purpose) -> Arrays:
        direction = rng("dense truth").standard_normal(data.inputs)
        sparse, places = np.zeros(data.inputs), rng("sparse truth").permutation(data.inputs)[: data.nonzeros]
        sparse[places] = rng("signs").choice([-1.0, 1.0], size=data.nonzeros)
        weights = {"dense": direction, "sparse": sparse}
        shape = (data.masks, data.train_rows, data.inputs)
        arrays: Arrays = {
            "start_weight": np.zeros(data.inputs),
            "masks": rng("masks").integers(0, LEVELS, size=shape, dtype=np.uint8),
        }
        for truth, prefix in TRUTHS.items():
            arrays[f"{prefix}true_weight"] = data.weight_norm * weights[truth] / np.linalg.norm(weights[truth])
        for split, rows in (("train", data.train_rows), ("val", data.val_rows)):
            x = rng(f"{split} inputs").standard_normal((rows, data.inputs)).astype(np.float32).astype(np.float64)
            noise = data.noise * rng(f"{split} noise").standard_normal(rows)
            arrays[f"{split}_inputs"] = x
            for prefix in TRUTHS.values():
                arrays[f"{prefix}{split}_targets"] = x @ arrays[f"{prefix}true_weight"] + noise
        return arrays

    return single(streams.draw(data.trials, trial)) | {"noise": np.array(data.noise)}


def footprint(section: Relatives) -> int:
    """The masked rows of dropout six times over, for two truths and once more as batches."""
    data = section.data
    return 8 * 6 * data.trials * data.inputs * ((data.masks + 2) * data.train_rows + data.val_rows)


def of_truth(arrays: Arrays, truth: str) -> Arrays:
    """The data with the targets and the weights of one truth, under the names that a linear study has."""
    names = ("train_targets", "val_targets", "true_weight")
    return arrays | {name: arrays[f"{TRUTHS[truth]}{name}"] for name in names}


def sparse_truth(nonzeros: int, inputs: int) -> str:
    """What the truth with so many weights may be called: sparse where at most a quarter are not zero."""
    return "sparse" if 4 * nonzeros <= inputs else "1 weight" if nonzeros == 1 else f"{nonzeros} equal weights"


def kept(dropout: float) -> float:
    """The probability that an input is kept: a multiple of 1/256 above 0, nearest to 1 − dropout."""
    return max(round(LEVELS * (1 - dropout)), 1) / LEVELS


def steps_until(weight_decays: NDArray, lr: float, longest: int) -> NDArray[np.int64]:
    """Where early stopping stops to be compared with λ: after the time lr·k = 1/λ, to the nearest step, and no later than
    `longest`, where λ = 0 ends.  (L,) → (L,)
    """
    with np.errstate(divide="ignore"):
        return np.clip(np.round(1 / (lr * np.asarray(weight_decays))), 1, longest).astype(np.int64)


SYSTEM = System(
    section=Relatives,
    arrays={
        "train_inputs": 3,  # (R, n, d)
        "train_targets": 2,  # (R, n), of the dense truth
        "val_inputs": 3,  # (R, m, d)
        "val_targets": 2,  # (R, m)
        "true_weight": 2,  # (R, d)
        "sparse_train_targets": 2,  # (R, n)
        "sparse_val_targets": 2,  # (R, m)
        "sparse_true_weight": 2,  # (R, d)
        "start_weight": 2,  # (R, d)
        "masks": Integers(4),  # (R, M, n, d)
        "noise": 0,  # standard deviation
    },
    draw=draw,
    footprint=footprint,
    key="relatives",
    arms=two_arms(("", "_sparse")),
)
