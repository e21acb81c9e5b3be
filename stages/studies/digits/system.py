"""digits: images of handwritten digits, few of them to learn from; once with their labels, once with some of these wrong.

The images are those of Alpaydin, Kaynak, "Optical Recognition of Handwritten Digits" (UCI Machine Learning Repository, 1998),
as scikit-learn ships them: 1,797 of 8 × 8 pixels, each from 0 to 16.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.base.errors import UserError
from stages.base.params import Count, Grid, Moments, Momentum, NonNegative, Positive, Section, Share, ascending
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, two_arms

IMAGES, PIXELS, CLASSES, WHITE = 1797, 64, 10, 16  # `WHITE`: the largest value of a pixel
FILE = "sklearn/datasets/data/digits.csv.gz"
SHA256 = "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"  # of the numbers, a byte each, not of the file
CASES = {
    "logistic": "",
    "logistic_noisy": "_noisy",
    "network": "_network",
    "network_noisy": "_network_noisy",
}  # → its rows' suffix


class Data(Section, frozen=True):
    trials: Count
    train_rows: Count
    val_rows: Count
    wrong: Share
    hidden: Count

    def __post_init__(self) -> None:
        if self.train_rows + self.val_rows >= IMAGES:
            raise ValueError(f"val_rows: expected fewer than {IMAGES:,} rows for training and validation together")


class Network(Moments, frozen=True):
    """AdamW, with a schedule and a learning rate of its own."""

    steps: Count
    evaluate_every: Count
    lr: Positive


class Train(Section, frozen=True):
    steps: Count
    evaluate_every: Count
    lr: Positive
    momentum: Momentum
    network: Network


class Sweep(Section, frozen=True):
    wd: Grid
    network_wd: Grid

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)
        ascending("network_wd", self.network_wd, zero_first=True)


class Digits(Section, frozen=True):
    wd: NonNegative
    network_wd: NonNegative
    data: Data
    train: Train
    sweep: Sweep


def images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (N, 64) and labels (N,), from scikit-learn's own file: importing it would import SciPy, to read 57 kB of text.

    Raises UserError where the file is missing, or holds other numbers.
    """
    expected = f"{FILE}: expected the {IMAGES:,} digits that scikit-learn ships"
    try:
        numbers = np.loadtxt(Path(str(distribution("scikit-learn").locate_file(FILE))), delimiter=",", dtype=np.uint8, ndmin=2)
    except (PackageNotFoundError, OSError, EOFError, ValueError, OverflowError) as error:
        raise UserError(f"{expected}, got {type(error).__name__}: {' '.join(str(error).split())[:80]}") from error
    found = hashlib.sha256(numbers.tobytes()).hexdigest()
    if found != SHA256:
        raise UserError(f"{expected}, of SHA-256 {SHA256[:12]}…, got {found[:12]}…")
    return numbers[:, :PIXELS], numbers[:, PIXELS]


def draw(section: Digits, streams: Streams) -> Arrays:
    """All images, divided anew in each trial; of some training rows the label becomes another one. Starts of the network.

    The network's start has the variance 2/inputs where a ReLU follows and 1/inputs where none does (He, Zhang, Ren, Sun,
    "Delving Deep into Rectifiers", 2015).
    Shapes: T trials, n training rows, m validation rows, r the other images, which are the test rows, h hidden units.
    """
    data, (pixels, labels) = section.data, images()
    bounds = [data.train_rows, data.train_rows + data.val_rows]

    def trial(rng: Purpose) -> Arrays:
        parts = np.split(rng("split").permutation(IMAGES), bounds)
        arrays: Arrays = {}
        for split, rows in zip(("train", "val", "test"), parts, strict=True):
            arrays |= {f"{split}_pixels": pixels[rows], f"{split}_labels": labels[rows]}
        return arrays | {
            "wrong_labels": mislabelled(arrays["train_labels"], data.wrong, rng("wrong labels")),
            "start_hidden": start(rng("start hidden"), 2 / PIXELS, (PIXELS, data.hidden)),
            "start_output": start(rng("start output"), 1 / data.hidden, (data.hidden, CLASSES)),
        }

    return single(streams.draw(data.trials, trial)) | {"white": np.array(WHITE)}


def start(rng: np.random.Generator, variance: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Normal weights, as multiples of 2⁻¹²: the weight of a pixel that no image uses stays what it is without decay, and must
    not lie where its last bit decides to what it is rounded."""
    return np.round(2**12 * np.sqrt(variance) * rng.standard_normal(shape)) / 2**12


def mislabelled(labels: NDArray[np.uint8], share: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The labels with this share of them replaced, each by one of the other classes; a larger share replaces more.  (n,)"""
    order, shift = rng.permutation(len(labels)), rng.integers(1, CLASSES, size=len(labels))
    replaced = order[: round(share * len(labels))]
    wrong = labels.copy()
    wrong[replaced] = (labels[replaced] + shift[replaced]) % CLASSES
    return wrong


def footprint(section: Digits) -> int:
    """What an evaluation of the network holds of all images, six times over: pixels, hidden units, and their classes."""
    return 8 * 6 * section.data.trials * IMAGES * (PIXELS + section.data.hidden + CLASSES)


SYSTEM = System(
    section=Digits,
    arrays={
        "train_pixels": Integers(3),  # (T, n, 64)
        "train_labels": Integers(2),  # (T, n)
        "wrong_labels": Integers(2),  # (T, n), those of the training rows with some replaced
        "val_pixels": Integers(3),  # (T, m, 64)
        "val_labels": Integers(2),  # (T, m)
        "test_pixels": Integers(3),  # (T, r, 64)
        "test_labels": Integers(2),  # (T, r)
        "start_hidden": 3,  # (T, 64, h)
        "start_output": 3,  # (T, h, 10)
        "white": Integers(0),  # the largest value of a pixel
    },
    draw=draw,
    footprint=footprint,
    key="digits",
    arms=two_arms(tuple(CASES.values()), weight_decays=("wd", "network_wd")),
)
