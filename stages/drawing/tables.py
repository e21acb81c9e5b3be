"""What drawings are made from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = Sequence[Mapping[str, Any]]
Metrics = Mapping[str, Any]
Curve = Mapping[str, NDArray]


def column(table: Table, name: str) -> NDArray:
    """A column of numbers, NaN where a cell is empty."""
    return np.array([np.nan if row[name] is None else row[name] for row in table], dtype=float)
