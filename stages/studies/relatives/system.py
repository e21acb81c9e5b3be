"""relatives: one linear model without bias, a dense truth and a sparse one, to be learnt by weight decay and by its relatives.

Shapes: R trials, n training rows, m validation rows, d inputs, M masks of dropout.
"""

from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from stages.base.params import SGD, Count, Fractions, Grid, NonNegative, Positive, Section, Settings, Share, ascending
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, Treatment, of_arms

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error
TRUTHS = {"dense": "", "sparse": "sparse_"}  # truth → what its targets and weights are called before their names
LEVELS = 256  # of a mask's uniform numbers: a probability of dropout is a multiple of 1/256

NoMomentum = Annotated[float, Meta(ge=0, le=0, description="0, as proximal steps and stopping's closed form have no momentum")]


class GradientDescent(SGD, frozen=True):
    kind: ClassVar[str] = "sgd"
    momentum: NoMomentum


class Optimizers(Section, frozen=True):
    sgd: GradientDescent


class Methods(Section, frozen=True):
    """What the sweep trains beside the λ of its grid."""

    l1_ratio: Share
    dropout: Fractions
    dropout_steps: Count

    def __post_init__(self) -> None:
        ascending("dropout", self.dropout)


class Data(Section, frozen=True):
    train_rows: Count
    val_rows: Count
    inputs: Count
    nonzeros: Count
    weight_norm: Positive
    noise: NonNegative
    masks: Count
    evaluate_every: Count

    def __post_init__(self) -> None:
        if self.nonzeros > self.inputs:
            raise ValueError(f"nonzeros: expected at most {self.inputs}, the number of inputs")


class Relatives(Section, frozen=True):
    trials: Count
    steps: Count
    lr: Positive
    wd: NonNegative
    optimizers: Optimizers
    sweep: Grid
    methods: Methods
    system: Data

    def __post_init__(self) -> None:
        ascending("sweep", self.sweep, zero_first=True)


def draw(section: Relatives, streams: Streams) -> Arrays:
    """y = Xw* + N(0, noise²), X ~ N(0, 1), start 0. The same inputs and the same noise for both truths, of the same length.

    The dense truth has a uniform direction; the sparse one has equal weights of random signs in random places, else zeros.
    `masks` are uniform numbers from 0 to 255: at a probability of dropout p an input is kept where its number is below
    256·(1 − p).
    """
    system = section.system

    def trial(rng: Purpose) -> Arrays:
        direction = rng("dense truth").standard_normal(system.inputs)
        sparse, places = np.zeros(system.inputs), rng("sparse truth").permutation(system.inputs)[: system.nonzeros]
        sparse[places] = rng("signs").choice([-1.0, 1.0], size=system.nonzeros)
        weights = {"dense": direction, "sparse": sparse}
        shape = (system.masks, system.train_rows, system.inputs)
        arrays: Arrays = {
            "start_weight": np.zeros(system.inputs),
            "masks": rng("masks").integers(0, LEVELS, size=shape, dtype=np.uint8),
        }
        for truth, prefix in TRUTHS.items():
            arrays[f"{prefix}true_weight"] = system.weight_norm * weights[truth] / np.linalg.norm(weights[truth])
        for split, rows in (("train", system.train_rows), ("val", system.val_rows)):
            x = rng(f"{split} inputs").standard_normal((rows, system.inputs)).astype(np.float32).astype(np.float64)
            noise = system.noise * rng(f"{split} noise").standard_normal(rows)
            arrays[f"{split}_inputs"] = x
            for prefix in TRUTHS.values():
                arrays[f"{prefix}{split}_targets"] = x @ arrays[f"{prefix}true_weight"] + noise
        return arrays

    known = {"noise": np.array(system.noise), "steps": np.array(section.steps)}
    return single(streams.draw(section.trials, trial)) | known | {"evaluate_every": np.array(system.evaluate_every)}


def footprint(section: Relatives) -> int:
    """The masked rows of dropout, for two truths and once more as batches; and every step of gradient descent, twice."""
    system = section.system
    rows = (system.masks + 2) * system.train_rows + system.val_rows
    return 8 * 6 * section.trials * system.inputs * (rows + section.steps)


def of_truth(arrays: Arrays, truth: str) -> Arrays:
    """The data with the targets and the weights of one truth, under the names that a linear study has."""
    names = ("train_targets", "val_targets", "true_weight")
    return arrays | {name: arrays[f"{TRUTHS[truth]}{name}"] for name in names}


def sparse_truth(nonzeros: int, inputs: int) -> str:
    """What the truth with so many weights may be called."""
    return "sparse" if 2 * nonzeros <= inputs else f"{nonzeros} equal weights"


def kept(dropout: float) -> float:
    """The probability that an input is kept: a multiple of 1/256 above 0, nearest to 1 − dropout."""
    return max(round(LEVELS * (1 - dropout)), 1) / LEVELS


def steps_until(decays: NDArray, lr: float, longest: int) -> NDArray[np.int64]:
    """Where early stopping stops to be compared with λ: after the time lr·k = 1/λ, to the nearest step, and no later than
    `longest`, where λ = 0 ends.  (L,) → (L,)
    """
    with np.errstate(divide="ignore"):
        return np.clip(np.round(1 / (lr * np.asarray(decays))), 1, longest).astype(np.int64)


ARMS = {"baseline": ("baseline", "baseline_sparse"), "wd": ("wd", "wd_sparse")}


def treatments(settings: Settings) -> dict[str, Treatment]:
    section = settings.relatives
    return of_arms(ARMS, (settings.baseline, section.wd), section.lr, section.steps)


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
        "masks": 4,  # (R, M, n, d)
        "noise": 0,  # standard deviation
        "steps": 0,
        "evaluate_every": 0,
    },
    draw=draw,
    footprint=footprint,
    key="relatives",
    arms=ARMS,
    treatments=treatments,
)
