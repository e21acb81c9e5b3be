"""(a + b) mod p: all pairs in a random order, a part of them to train on, and the start of a quadratic network.

Shapes: R trials, p the modulus, h hidden units.
"""

import itertools
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta

from stages.base.errors import UserError
from stages.base.params import Count, Positive, Section
from stages.base.storage import Integers
from stages.base.streams import Arrays, Purpose, Streams, single

Modulus = Annotated[int, Meta(ge=2, le=10**4, description="an integer from 2 to 10⁴")]
DRAWN = {
    "pairs": Integers(3),  # (R, p², 2), in a random order
    "start_hidden": 3,  # (R, 2p, h)
    "start_output": 3,  # (R, h, p)
    "p": Integers(0),
}


class Pairs(Section, frozen=True):
    trials: Count
    p: Modulus
    hidden: Count
    start_scale: Positive


def draw(data: Pairs, streams: Streams) -> Arrays:
    """All pairs (a, b) in a random order, and starts N(0, (start_scale/(2·hidden)^⅓)²)."""
    p, std = data.p, data.start_scale / (2 * data.hidden) ** (1 / 3)
    pairs = np.stack(np.divmod(np.arange(p * p), p), axis=1)  # (p², 2)

    def trial(rng: Purpose) -> Arrays:
        return {
            "pairs": pairs[rng("split").permutation(p * p)],
            "start_hidden": std * rng("start hidden").standard_normal((2 * p, data.hidden)),
            "start_output": std * rng("start output").standard_normal((data.hidden, p)),
        }

    return single(streams.draw(data.trials, trial)) | {"p": np.array(p)}


def rows_of(train_fraction: float, p: int) -> int:
    """How many of the p² pairs are trained on: at least one, and not all."""
    return min(max(round(train_fraction * p * p), 1), p * p - 1)


def true_share(train_fraction: float, p: int) -> float:
    """The share of the pairs that are trained on, as there are whole pairs only."""
    return rows_of(train_fraction, p) / p**2


def must_differ(train_fractions: Sequence[float], p: int, key: str) -> None:
    """Raise UserError where two shares, ascending, are the same number of pairs: there are whole pairs only."""
    for one, other in itertools.pairwise(train_fractions):
        if rows_of(one, p) == rows_of(other, p):
            told = f"{one:g} and {other:g}, both {rows_of(one, p)} of {p * p}"
            raise UserError(f"params.yaml: {key}: expected shares of different numbers of pairs, got {told}")


def split_at(arrays: Arrays, train_fraction: float) -> Arrays:
    """The data with the first of the pairs, this share of them, to train on, and the others for validation.

    Labels are (a + b) mod p.  `train_pairs` (R, n, 2), `train_labels` (R, n), and `val_…` alike
    """
    p, pairs = int(arrays["p"]), arrays["pairs"]
    rows, found = rows_of(train_fraction, p), dict(arrays)
    for split, chosen in (("train", pairs[:, :rows]), ("val", pairs[:, rows:])):
        found |= {f"{split}_pairs": chosen, f"{split}_labels": chosen.sum(axis=-1) % p}
    return found


def first_trials(arrays: Arrays, trials: int) -> Arrays:
    return {name: array[:trials] if array.ndim > 1 else array for name, array in arrays.items()}


def footprint(data: Pairs) -> int:
    """The hidden units of all trials and pairs, six times over: there are more of them than of data or weights."""
    return 8 * 6 * data.trials * data.p**2 * data.hidden
