"""Any number of runs in bounded memory and on all cores: in chunks, each on a core of its own.

Runs know nothing of each other, so it does not matter which of them share a chunk.
"""

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from stages.engine import fit as loop
from stages.engine.fit import Fit
from stages.engine.machine import cores
from stages.engine.memory import runs_that_fit
from stages.engine.problem import Problem

Report = Callable[[int, Any], None]  # a step, and what was measured then
Progress = Callable[[str, int], AbstractContextManager]  # label and number of steps → a context manager that gives a Report
Batches = Sequence[Tensor | None]


def fit_in_chunks(
    problem: Problem,
    batches: Batches,
    *,
    runs_at_once: int,
    weight_decay: float | Tensor,
    label: str,
    progress: Progress,
    **options: Any,
) -> Fit:
    """`fit` in chunks of at most `runs_at_once` runs, as many chunks at a time as there are cores for them.

    A GPU takes one chunk at a time, of as many runs as its free memory holds. Runs are split by trials, then by λ. When memory
    runs out, a chunk is halved, with one warning. Progress is the mean step of all runs.
    """
    decays = torch.as_tensor(weight_decay, dtype=torch.float64).reshape(-1)
    trials, workers = len(problem.train[1]), cores() if problem.train[1].device.type == "cpu" else 1
    if problem.train[1].device.type != "cpu":
        runs_at_once = runs_that_fit(problem, batches, options)
    of_trials, of_decays = _ranges(trials, runs_at_once // len(decays)), _ranges(len(decays), runs_at_once)
    with progress(label, len(batches)) as report:
        work = Work(report, trials * len(decays), runs_at_once, options)
        tasks = [
            functools.partial(work.fit, *_of_trials(problem, batches, some), decays[each])
            for some in of_trials
            for each in of_decays
        ]
        fits = iter(work.side_by_side(tasks, workers))
    return _joined([_joined([next(fits) for _ in of_decays], dim=1) for _ in of_trials], dim=0)


class Work:
    """What the chunks of one training share: the largest size that fits in memory, how far each is, whether to go on."""

    def __init__(self, report: Report, runs: int, size: int, options: dict[str, Any]) -> None:
        self.report, self.runs, self.largest, self.options = report, runs, size, options
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.reached: dict[object, tuple[int, dict[str, Tensor]]] = {}  # chunk → steps of all its runs, what was measured last

    def fit(self, problem: Problem, batches: Batches, decays: Tensor) -> Fit:
        """`fit`, in halves where a chunk is too large for the memory."""
        trials = len(problem.train[1])
        runs = trials * len(decays)
        if runs <= max(self.largest, 1):
            chunk = object()
            report = functools.partial(self.tell, chunk, runs)
            try:
                return loop.fit(problem, batches, weight_decay=decays, report=report, stop=self.stopped.is_set, **self.options)
            except MemoryError:
                if runs == 1:
                    raise
                self.halve(chunk, runs)
        if trials > 1:
            halves = (_of_trials(problem, batches, some) for some in _ranges(trials, -(-trials // 2)))
            return _joined([self.fit(*half, decays) for half in halves], dim=0)
        return _joined([self.fit(problem, batches, some) for some in decays.tensor_split(2)], dim=1)

    def halve(self, chunk: object, runs: int) -> None:
        with self.lock:
            self.reached.pop(chunk, None)
            if runs // 2 < self.largest:
                self.largest = runs // 2
                print(f"out of memory with {runs} runs at once: going on with {self.largest}", file=sys.stderr)

    def tell(self, chunk: object, runs: int, step: int, measured: dict[str, Tensor]) -> None:
        """Report the mean step of all runs, and what was last measured of each run that has begun."""
        with self.lock:
            self.reached[chunk] = (step * runs, measured)
            steps, each = zip(*self.reached.values(), strict=True)
            self.report(sum(steps) // self.runs, {name: torch.cat([one[name].flatten() for one in each]) for name in measured})

    def side_by_side(self, tasks: Sequence[Callable[[], Fit]], workers: int) -> list[Fit]:
        """What the tasks return, in their order. An error in one of them, or Ctrl-C, stops the others at their next step."""
        if min(workers, len(tasks)) == 1:
            return [task() for task in tasks]
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [future.result() for future in futures]


def _ranges(count: int, size: int) -> list[slice]:
    """0 … count in ranges of at most `size`, and at least 1, as equal as can be."""
    parts = -(-count // max(size, 1))
    return [slice(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _of_trials(problem: Problem, batches: Batches, trials: slice) -> tuple[Problem, Batches]:
    return problem.trials(trials), [rows if rows is None else rows[trials] for rows in batches]


def _joined(fits: Sequence[Fit], *, dim: int) -> Fit:
    """Fits of different trials (dim 0) or different λ (dim 1), as one."""
    if len(fits) == 1:
        return fits[0]
    parameters = {name: torch.cat([each.parameters[name] for each in fits], dim) for name in fits[0].parameters}
    history = {name: torch.cat([each.history[name] for each in fits], dim) for name in fits[0].history}
    return Fit(parameters, history, fits[0].steps, torch.cat([each.diverged for each in fits], dim))
