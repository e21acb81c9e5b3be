"""table: rows of a CSV file, divided anew in each trial: into rows to learn from, to choose λ on, and to judge it on.

Shapes: T trials, N rows of the file, n training rows, d inputs of the file, D of the model, P products, C classes.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from stages.base.errors import UserError
from stages.base.memory import must_fit
from stages.base.params import Count, Fraction, Fractions, Grid, Momentum, Section, Text, ascending
from stages.base.storage import Common, Integers, Words
from stages.base.streams import Arrays, Purpose, Streams
from stages.base.system import System
from stages.base.tables import MISSING, Encoded, Table, amounts_of, classes_of, encoded, other_columns, read_table

LEAST = 10  # rows of a file
NEGLIGIBLE = 1e-12  # a range that rounding has made, as a share of the mean
FEWEST = 3  # training rows
CURVATURE = 1.0  # c of the loss (c/2)·mean (ŷ − y)²
CONVERGED = 1e-6  # the largest share of an error that training may leave: what is written has six digits
Task = Annotated[Literal["regression", "classification"], Meta(description="regression or classification")]
Features = Annotated[Literal["linear", "quadratic"], Meta(description="linear or quadratic")]
Missing = Annotated[Literal["refuse", "mean"], Meta(description="refuse or mean")]
Anything = Annotated[str, Meta(description="names with commas between them")]
Floats = NDArray[np.float64]
Split = tuple[Floats, Floats]  # inputs (n, D), targets (n,)


class Data(Section, frozen=True):
    file: Text
    target: Text
    task: Task
    features: Features
    without: Anything
    missing: Missing
    trials: Count
    val: Fraction
    test: Fraction

    def __post_init__(self) -> None:
        if self.val + self.test >= 1:
            raise ValueError("test: expected less than 1 for validation and test rows together")


class Train(Section, frozen=True):
    steps: Count
    lr: Fraction
    momentum: Momentum


class Sweep(Section, frozen=True):
    wd: Grid
    rows: Fractions

    def __post_init__(self) -> None:
        ascending("wd", self.wd, zero_first=True)
        ascending("rows", self.rows)


class Rows(Section, frozen=True):
    data: Data
    train: Train
    sweep: Sweep


def draw(section: Rows, streams: Streams, content: bytes) -> Arrays:
    """The file's rows as numbers, and an order of them for each trial. Raises UserError at what cannot be learnt from."""
    data = section.data
    table = read_table(content, data.file, "table.data")
    count, names = (
        len(table.numbers),
        other_columns(table, data.target, [name.strip() for name in data.without.split(",") if name.strip()]),
    )
    if count < LEAST:
        raise UserError(f"{data.file}: expected at least {LEAST} rows below the header, got {count}")
    val, test = (max(round(share * count), 2) for share in (data.val, data.test))
    if count < val + test + FEWEST:
        raise UserError(f"{data.file}: expected {val + test + FEWEST} rows for validation, test and training, got {count}")
    classes, target = classes_of(table, data.target) if data.task == "classification" else ((), amounts_of(table, data.target))
    inputs = encoded(table, names, data.target)
    if data.missing == "refuse":
        refuse_gaps(table, inputs, names)
    terms = products(inputs.inputs) if data.features == "quadratic" else np.empty((0, 2), dtype=np.int64)
    size = len(inputs.names) + len(terms)
    must_fit(8 * 6 * size * max(count, size), "table.data.features", f"{size:,} inputs")

    def trial(rng: Purpose) -> Arrays:
        return {"order": rng("rows").permutation(count)}

    return streams.draw(data.trials, trial) | {
        "inputs": inputs.inputs,
        "target": target,
        "terms": terms,
        "names": np.array(inputs.names),
        "classes": np.array(classes, dtype=np.str_),
        "val_rows": np.array(val),
        "test_rows": np.array(test),
    }


def refuse_gaps(table: Table, inputs: Encoded, names: list[str]) -> None:
    """Raise UserError at the first missing input."""
    for row in np.flatnonzero(np.isnan(inputs.inputs).any(axis=1)).tolist():
        column = next(name for name in names if table.columns[name][row] in MISSING)
        raise table.wrong(column, "a value; or table.data.missing = mean, the mean of the training rows", row)


def products(inputs: Floats) -> NDArray[np.int64]:
    """The pairs of inputs whose product is another input: no square of two values, no two categories that exclude each other.

    (N, d) → (P, 2)
    """
    low, high = np.nanmin(inputs, axis=0), np.nanmax(inputs, axis=0)
    two = ((inputs == low) | (inputs == high) | np.isnan(inputs)).all(axis=0)
    ones = np.where(two, inputs == high, 1.0)

    def differs(one: int, other: int) -> bool:
        if not (two[one] and two[other]):
            return True
        both = ones[:, one] * ones[:, other]
        return one != other and bool(both.any()) and not any(np.array_equal(both, ones[:, each]) for each in (one, other))

    pairs = [(one, other) for one in range(inputs.shape[1]) for other in range(one, inputs.shape[1]) if differs(one, other)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def footprint(section: Rows, content: bytes) -> int:
    """The arrays six times over: a number for each cell, which has two characters or more, and an order for each trial."""
    return 8 * 6 * (len(content) // 2 + section.data.trials * content.count(b"\n") + 64)


@dataclass(frozen=True)
class Division:
    """The rows of a trial, standardised by the training rows among them."""

    train: Split
    val: Split
    test: Split


def sizes(section: Rows, arrays: Arrays) -> list[int]:
    """The numbers of training rows that are tried, ascending, at least 3; the last is all but validation and test rows."""
    whole = arrays["order"].shape[1] - int(arrays["val_rows"]) - int(arrays["test_rows"])
    return sorted({max(round(share * whole), FEWEST) for share in section.sweep.rows} | {whole})


def divided(arrays: Arrays, trial: int, rows: int) -> Division:
    """A trial's first training rows, so many of them, and its validation and test rows.

    Each input is centred and scaled to standard deviation 1 over the training rows, before products are taken and after it;
    what is missing is their mean. A target that is a number is centred alike, in units of its standard deviation in the file.
    """
    order, ends = arrays["order"][trial], np.cumsum([arrays["val_rows"], arrays["test_rows"]])
    val, test, train = np.split(order, ends)
    chosen = np.concatenate([train[:rows], val, test])
    inputs = standardised(arrays["inputs"][chosen], rows)
    if len(arrays["terms"]):
        one, other = arrays["terms"].T
        inputs = np.hstack([inputs, standardised(inputs[:, one] * inputs[:, other], rows)])
    target = arrays["target"][chosen]
    if not len(arrays["classes"]):
        target = (target - target[:rows].mean()) / unit(arrays)
    parts = (np.split(each, [rows, rows + len(val)]) for each in (inputs, target))
    return Division(*zip(*parts, strict=True))


def unit(arrays: Arrays) -> float:
    """The standard deviation of the target in the file."""
    return float(arrays["target"].std())


def standardised(inputs: Floats, rows: int) -> Floats:
    """Each column less its mean over the first rows, in units of its standard deviation there; constant there, it is 0.

    What is missing becomes the mean, before the standard deviation is taken.  (n, d)
    """
    gaps = np.isnan(inputs)
    known = rows - gaps[:rows].sum(axis=0)
    mean = np.where(gaps[:rows], 0, inputs[:rows]).sum(axis=0) / np.maximum(known, 1)
    centred = inputs - mean
    centred[gaps] = 0
    first = centred[:rows]
    constant = np.ptp(first, axis=0) <= NEGLIGIBLE * np.abs(mean)
    centred /= np.where(constant, 1, np.sqrt(np.einsum("nd,nd->d", first, first) / rows))
    centred[:, constant] = 0
    return centred


def input_names(arrays: Arrays) -> list[str]:
    """The names of all inputs of the model, of products too.  D of them"""
    names = [str(name) for name in arrays["names"]]
    return names + [f"{names[one]}²" if one == other else f"{names[one]}·{names[other]}" for one, other in arrays["terms"]]


SYSTEM = System(
    section=Rows,
    arrays={
        "inputs": Common(2),  # (N, d), NaN where one is missing
        "target": Common(1),  # (N,), numbers, or the places of classes
        "names": Words(1),  # (d,)
        "classes": Words(1),  # (C,), none in a regression
        "terms": Common(2),  # (P, 2), the inputs of each product
        "order": Integers(2),  # (T, N), of the rows: validation, test, training
        "val_rows": Integers(0),
        "test_rows": Integers(0),
    },
    draw=draw,
    footprint=footprint,
    key="table",
    arms={},
    files=("file",),
)
