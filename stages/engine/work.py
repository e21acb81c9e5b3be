"""How the runs of a job are trained on this machine: in parts one after the other, or in worker processes.

Runs know nothing of each other, so it does not matter which of them share a part, nor where it is trained.
"""

import contextlib
import functools
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.base.orphans import end_with
from stages.engine import fit as loop
from stages.engine.fit import Fit
from stages.engine.job import Job
from stages.engine.machine import cores

Report = Callable[[int, Mapping[str, Tensor], int], None]  # the mean step of all runs, what was measured last, runs that ended
Progress = Callable[..., AbstractContextManager]  # label, number of steps, runs= → gives a Report


@dataclass
class Standing:
    """How far the runs of a training are."""

    steps: int
    runs: int
    report: Report = lambda *_: None
    ended: int = 0

    def tell(self, runs: int, step: int, measured: Mapping[str, Tensor]) -> None:
        """Report that some runs are at a step."""
        self.report((self.ended * self.steps + runs * step) // self.runs, measured, self.ended)

    def end(self, runs: int, measured: Mapping[str, Tensor]) -> None:
        """Report that some runs have ended."""
        self.ended += runs
        self.tell(0, 0, measured)


def in_parts(job: Job, size: int, standing: Standing) -> Fit:
    """Train a job, at most `size` runs at once, and fewer where memory runs out. Raises MemoryError where one is too many."""
    while True:
        standing.ended = 0
        try:
            return joined([[_part(part, standing) for part in row] for row in split(job, size)])
        except MemoryError:
            size = min(size, job.runs)
            if size == 1:
                raise
            print(f"out of memory with {size} runs at once: going on with {size // 2}", file=sys.stderr)
            size //= 2


def _part(part: Job, standing: Standing) -> Fit:
    last: Mapping[str, Tensor] = {}

    def report(step: int, measured: Mapping[str, Tensor]) -> None:
        nonlocal last
        last = measured
        standing.tell(part.runs, step, measured)

    fitted = loop.fit(part, report=report)
    standing.end(part.runs, last)
    return fitted


def elsewhere(arrays: Job, device: torch.device) -> Fit:
    """Train a job that came from another process, as arrays, on a device; the fit goes back as arrays."""
    job = arrays.each(lambda array: torch.from_numpy(array).to(device))
    return in_parts(job, job.runs, Standing(len(job.schedule.batches), job.runs)).each(lambda value: value.cpu().numpy())


def as_arrays(job: Job) -> Job:
    """The job as another process gets it: a tensor would bring along all of which it is a part."""
    return job.each(lambda value: value.cpu().numpy())


def in_processes(job: Job, size: int, standing: Standing) -> Fit:
    """Train a job of the CPU in worker processes, a core each. An error in one of them, or Ctrl-C, ends all."""
    pool, cpu, parts = workers(cores()), torch.device("cpu"), split(job, size)
    try:
        with without_interrupt():  # a worker leaves Ctrl-C to this process
            rows = [[pool.submit(elsewhere, as_arrays(part), cpu) for part in row] for row in parts]
        runs = {future: part.runs for row in zip(rows, parts, strict=True) for future, part in zip(*row, strict=True)}
        for future in as_completed(runs):
            future.result()
            standing.end(runs[future], {})
    except BaseException as error:
        for process in multiprocessing.active_children():
            process.kill()
        workers.cache_clear()
        if isinstance(error, BrokenProcessPool):
            raise MemoryError("a process that trained was ended") from error
        raise
    return joined([[future.result().each(torch.from_numpy) for future in row] for row in rows])


@functools.cache
def workers(count: int) -> ProcessPoolExecutor:
    """Worker processes for all trainings of this process: each takes the time to import torch. The first parts start them."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=begin_worker, initargs=(os.getpid(),))


def begin_worker(parent: int) -> None:
    end_with(parent)
    gc.freeze()  # or Python searches all of torch for garbage before it ends


@contextlib.contextmanager
def without_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back, here for as long as this lasts, and for ever in the processes that are started within."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def split(job: Job, size: int) -> list[list[Job]]:
    """Parts of at most `size` runs, split by trials, then by λ: a row of parts for each share of the trials."""
    count = len(job.decay.weight_decays)
    return [[job.part(some, each) for each in ranges(count, size)] for some in ranges(job.trials, size // count)]


def ranges(count: int, size: int) -> list[slice]:
    """0 … count in ranges of at most `size`, and at least 1, as equal as can be."""
    parts = -(-count // max(size, 1))
    return [slice(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def joined(rows: Sequence[Sequence[Fit]]) -> Fit:
    """The fits of all parts of a job as one: a row holds different λ, a column different trials."""
    return _along([_along(row, dim=1) for row in rows], dim=0)


def _along(fits: Sequence[Fit], *, dim: int) -> Fit:
    if len(fits) == 1:
        return fits[0]
    parameters = {name: torch.cat([each.parameters[name] for each in fits], dim) for name in fits[0].parameters}
    history = {name: torch.cat([each.history[name] for each in fits], dim) for name in fits[0].history}
    return Fit(parameters, history, fits[0].steps, torch.cat([each.diverged for each in fits], dim))
