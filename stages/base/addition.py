"""(a + b) mod p: all pairs with their sums, a part of them to train on, and the start of a quadratic network.

Shapes: R trials, n training rows, m validation rows, p the modulus, h hidden units.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from stages.base.streams import Arrays, Purpose

Modulus = Annotated[int, Meta(ge=2, le=10**4, description="an integer from 2 to 10⁴")]
DRAWN = {
    "train_pairs": 3,  # (R, n, 2)
    "train_labels": 2,  # (R, n)
    "val_pairs": 3,  # (R, m, 2)
    "val_labels": 2,  # (R, m)
    "start_hidden": 3,  # (R, 2p, h)
    "start_output": 3,  # (R, h, p)
}


def draw(rng: Purpose, *, p: int, train_fraction: float, hidden: int, start_scale: float) -> Arrays:
    """One trial of `DRAWN`: pairs (a, b) with label (a + b) mod p, starts N(0, (start_scale/(2·hidden)^⅓)²)."""
    pairs = np.stack(np.divmod(np.arange(p * p), p), axis=1)  # (p², 2)
    train_rows = rows_of(train_fraction, p)
    std = start_scale / (2 * hidden) ** (1 / 3)
    shuffled = pairs[rng("split").permutation(p * p)]
    arrays: Arrays = {}
    for split, chosen in (("train", shuffled[:train_rows]), ("val", shuffled[train_rows:])):
        arrays |= {f"{split}_pairs": chosen, f"{split}_labels": chosen.sum(axis=1) % p}
    return arrays | {
        "start_hidden": std * rng("start hidden").standard_normal((2 * p, hidden)),
        "start_output": std * rng("start output").standard_normal((hidden, p)),
    }


def rows_of(train_fraction: float, p: int) -> int:
    """How many of the p² pairs are trained on: at least one, and not all."""
    return min(max(round(train_fraction * p * p), 1), p * p - 1)


def split_at(arrays: Arrays, train_fraction: float) -> Arrays:
    """The data with another share of the pairs to train on: the first rows in the order that was drawn."""
    rows, found = rows_of(train_fraction, int(arrays["p"])), dict(arrays)
    for name in ("pairs", "labels"):
        drawn = np.concatenate([arrays[f"train_{name}"], arrays[f"val_{name}"]], axis=1)
        found |= {f"train_{name}": drawn[:, :rows], f"val_{name}": drawn[:, rows:]}
    return found


def first_trials(arrays: Arrays, trials: int) -> Arrays:
    return {name: array[:trials] if array.ndim > 1 else array for name, array in arrays.items()}


def footprint(trials: int, p: int, hidden: int) -> int:
    """The hidden units of all trials and pairs, six times over: there are more of them than of data or weights."""
    return 8 * 6 * trials * p**2 * hidden
