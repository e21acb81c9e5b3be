"""A study's part `results.py`: what its measurements say, beside what is known without training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.measure.rows import Runs, Table

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """What is measured of a study.

    swept      the arrays of data/<study>/sweep.npz that `sweep` reads, with their numbers of dimensions
    sweep      (section, data, swept) → the sweep's table and its summary
    evaluate   (section, data, trained runs by row) → metrics and curves; None for a study without arms
    optimum    (data, λ) → the parameters that minimise the data loss with its penalty, one set a trial; None where no such
               optimum is known. Reference rows are computed with it.
    """

    swept: Mapping[str, int]
    sweep: Callable[[Any, Arrays, Mapping[str, NDArray]], tuple[Table, Metrics]]
    evaluate: Callable[[Any, Arrays, Runs], tuple[Metrics, Table]] | None = None
    optimum: Callable[[Arrays, float], dict[str, NDArray[np.float64]]] | None = None
