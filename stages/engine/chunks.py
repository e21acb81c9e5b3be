"""Any number of runs in bounded memory: so many at a time."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from stages.engine import fit as loop
from stages.engine.fit import Fit
from stages.engine.problem import Problem

Progress = Callable[[str, int], AbstractContextManager]  # label and number of steps → a context manager that gives a report


def fit_in_chunks(
    problem: Problem,
    batches: Sequence[Tensor | None],
    *,
    runs_at_once: int,
    weight_decay: Tensor,
    label: str,
    progress: Progress,
    **options: Any,
) -> Fit:
    """`fit` with at most `runs_at_once` runs at a time.

    Larger batches are split, by trials and then by λ. When memory runs out, the batch is halved, with one warning. Progress
    counts the steps of all runs.
    """
    largest, done = runs_at_once, 0

    def told(runs: int) -> Callable[[int, Any], None]:
        before = done
        return lambda step, measured: report(before + step * runs, measured)

    def fitted(part: Problem, steps: Sequence[Tensor | None], decays: Tensor) -> Fit:
        nonlocal largest, done
        trials = len(part.train[1])
        runs = trials * len(decays)
        if runs <= max(largest, 1):
            try:
                found = loop.fit(part, steps, weight_decay=decays, report=told(runs), **options)
            except MemoryError:
                if runs == 1:
                    raise
                largest = runs // 2
                print(f"out of memory with {runs} runs at once: going on with {largest}", file=sys.stderr)
            else:
                done += len(steps) * runs
                return found
        if trials > 1:
            halves = ((0, trials // 2), (trials // 2, trials))
            own = [[rows if rows is None else rows[slice(*half)] for rows in steps] for half in halves]
            return _joined([fitted(part.trials(*half), rows, decays) for half, rows in zip(halves, own, strict=True)], dim=0)
        return _joined([fitted(part, steps, some) for some in decays.tensor_split(2)], dim=1)

    with progress(label, len(batches) * len(problem.train[1]) * len(weight_decay)) as report:
        return fitted(problem, batches, weight_decay)


def _joined(fits: Sequence[Fit], *, dim: int) -> Fit:
    """Fits of different trials (dim 0) or different λ (dim 1), as one."""
    parameters = {name: torch.cat([each.parameters[name] for each in fits], dim) for name in fits[0].parameters}
    history = {name: torch.cat([each.history[name] for each in fits], dim) for name in fits[0].history}
    return Fit(parameters, history, fits[0].steps, torch.cat([each.diverged for each in fits], dim))
