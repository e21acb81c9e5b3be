"""A study's part `results.py`: what its measurements say, beside what is known without training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.measure.rows import Runs, Table

Metrics = Mapping[str, Any]


class Better(Enum):
    """Which way a value is better. NEITHER is for what may be good or bad, such as a norm or the training loss."""

    LOWER = -1
    NEITHER = 0
    HIGHER = 1


LOWER, NEITHER, HIGHER = Better
Parameters = dict[str, NDArray[np.float64]]  # one set a trial
Headlines = dict[str, Better]  # value → which way it is better
OF_ARMS: Headlines = {
    "val_loss": LOWER,
    "diverged": LOWER,
    "weight_norm": NEITHER,
    "train_loss": NEITHER,
    "half_squared_norm": NEITHER,
}
OF_REGRESSION: Headlines = {"val_loss": LOWER, "val_r2": HIGHER} | OF_ARMS
OF_SWEEP: Headlines = {"val_loss_at_best": LOWER, "best_lambda": NEITHER}


@dataclass(frozen=True)
class Reference:
    """A row that is solved for, beside those that are trained.

    of     the run whose λ it has; none in a study without arms
    solve  (data, λ) → the parameters that minimise the data loss with its penalty
    boxed  they minimise the data loss alone, where every |w| is at most 1/λ
    """

    of: str
    solve: Callable[[Arrays, float], Parameters]
    boxed: bool = False


def solved(references: Mapping[str, Reference], arrays: Arrays, runs: Runs) -> dict[str, Parameters]:
    """Solve for each reference row, at the λ of its run."""
    return {row: each.solve(arrays, float(runs[each.of]["weight_decay"])) for row, each in references.items()}


@dataclass(frozen=True)
class Results:
    """What is measured of a study.

    swept      the arrays of data/<study>/sweep.npz that `sweep` reads, with their numbers of dimensions
    sweep      (section, data, swept) → the sweep's table and its summary
    evaluate   (section, data, trained runs by row) → metrics and curves; None for a study without arms
    references the rows of `evaluate` that are solved for; none where no optimum is known
    headlines  what metrics/<study>.json has, so that `dvc metrics diff`, `make diff`, `make report` and `make show` compare
               it; the values that the study is about come first
    rows       the rows of `evaluate` of which the headlines are told
    """

    swept: Mapping[str, int]
    sweep: Callable[[Any, Arrays, Mapping[str, NDArray]], tuple[Table, Metrics]]
    evaluate: Callable[[Any, Arrays, Runs], tuple[Metrics, Table]] | None = None
    references: Mapping[str, Reference] = field(default_factory=dict)
    headlines: Headlines = field(default_factory=lambda: OF_ARMS)
    rows: tuple[str, ...] = ("baseline", "wd", "null")

    def headline(self, metrics: Metrics, summary: Metrics) -> dict[str, Any]:
        """Pick the headlines: of each row of the arms, and of the sweep's summary and its rows under `sweep`."""
        arms = {row: self._told(metrics[row]) for row in self.rows if row in metrics}
        swept = {row: told for row, each in summary.items() if isinstance(each, Mapping) and (told := self._told(each))}
        return arms | {"sweep": self._told(summary) | swept}

    def _told(self, row: Metrics) -> dict[str, float]:
        return {name: value for name, value in row.items() if name in self.headlines and isinstance(value, (int, float))}
