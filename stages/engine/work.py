"""What the chunks of one training share, and how they are trained on this machine.

Light chunks are trained one after the other. Heavy ones are trained in worker processes, one a core: threads of one process would
wait for each other between the short operations of torch.
"""

import contextlib
import functools
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from stages.base.orphans import end_with
from stages.base.streams import Arrays
from stages.engine import fit as loop
from stages.engine import kept, packing
from stages.engine.chunk import Chunk
from stages.engine.fit import Fit

CLUSTER = "RAY_ADDRESS"  # the environment variable that Ray itself reads
Report = Callable[[int, Mapping[str, Tensor], int], None]  # the mean step of all runs, what was measured last, chunks finished
Progress = Callable[..., AbstractContextManager]  # label, number of steps, runs=, chunks=, kept= steps → gives a Report


def train_packed(share: bytes, rest: bytes, size: int, device: torch.device) -> tuple[Arrays, float, int]:
    """In any process: train a chunk, at most `size` of its runs at once.

    → its fit, the seconds it took, the largest size that fitted in memory
    """
    chunk = Chunk.unpacked(share, rest, device)
    work = Work("", [chunk], steps=len(chunk.share.schedule.batches), size=size)
    fitted, seconds = work.train(chunk)
    return packing.arrays(fitted), seconds, work.largest


class Work:
    """What the chunks of one training share: the largest size that fits in memory, and how far each is."""

    def __init__(self, label: str, chunks: Sequence[Chunk], *, steps: int, size: int) -> None:
        self.label, self.chunks, self.steps, self.largest = label, chunks, steps, size
        self.runs = sum(chunk.runs for chunk in chunks)
        self.report: Report = lambda *_: None
        self.reached: dict[Chunk, tuple[int, Mapping[str, Tensor]]] = {}  # steps of all its runs, what was measured last
        self.fits: dict[Chunk, Fit] = {}  # of the chunks that are finished

    def begin(self) -> list[Chunk]:
        """Take what was kept; the other chunks are left to train."""
        self.fits = kept.find(self.chunks)
        self.reached = {chunk: (self.steps * chunk.runs, {}) for chunk in self.fits}
        if self.fits:
            print(f"{self.label}: {len(self.fits)} of {len(self.chunks)} chunks were kept when it was stopped", flush=True)
        return [chunk for chunk in self.chunks if chunk not in self.fits]

    def train(self, chunk: Chunk) -> tuple[Fit, float]:
        """The one function that trains a chunk, wherever it runs: its fit, and the seconds that it took."""
        started = time.monotonic()
        return self.fit(chunk), time.monotonic() - started

    def fit(self, chunk: Chunk) -> Fit:
        """`fit`, in halves where a chunk is too large for the memory."""
        if chunk.runs <= max(self.largest, 1):
            try:
                return loop.fit(chunk.job, report=functools.partial(self.tell, chunk))
            except MemoryError:
                if chunk.runs == 1:
                    raise
                self.reached.pop(chunk, None)
                self.at_most(chunk.runs // 2, chunk.runs)
        halves, dim = chunk.halves()
        return joined([self.fit(half) for half in halves], dim=dim)

    def at_most(self, size: int, runs: int) -> None:
        if size < self.largest:
            self.largest = size
            if self.label:  # a worker's parent says it
                print(f"out of memory with {runs} runs at once: going on with {size}", file=sys.stderr)

    def tell(self, chunk: Chunk, step: int, measured: Mapping[str, Tensor]) -> None:
        """Take note of how far a chunk is."""
        self.reached[chunk] = (step * chunk.runs, measured)
        self.say()

    def finish(self, chunk: Chunk, fitted: Fit, seconds: float) -> None:
        kept.keep(chunk, fitted, seconds)
        self.fits[chunk] = fitted
        self.say()

    def take(self, chunk: Chunk, size: int, found: Arrays, seconds: float, largest: int) -> None:
        """Take what another process has trained, at most `size` of its runs at once."""
        if largest < size:
            self.at_most(largest, size)
        fitted = packing.fit(found, chunk.share.problem.train[1].device)
        self.reached[chunk] = (self.steps * chunk.runs, {})
        self.finish(chunk, fitted, seconds)

    def say(self) -> None:
        """Report the mean step of all runs, and what was last measured of each run that has begun here."""
        each = [measured for _, measured in self.reached.values() if measured]
        together = {name: torch.cat([one[name].flatten() for one in each]) for name in (each[0] if each else ())}
        self.report(self.step(), together, len(self.fits))

    def step(self) -> int:
        """The mean over all runs."""
        return sum(steps for steps, _ in self.reached.values()) // self.runs

    def one_by_one(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self.finish(chunk, *self.train(chunk))

    def in_processes(self, chunks: Sequence[Chunk], count: int) -> None:
        """Train chunks of the CPU in worker processes. An error in one of them, or Ctrl-C, ends all."""
        pool = workers(count)
        cpu, shares = torch.device("cpu"), {share: share.packed() for share in {chunk.share for chunk in chunks}}
        try:
            with without_interrupt():  # a worker leaves Ctrl-C to this process
                futures = {
                    pool.submit(train_packed, shares[chunk.share], chunk.packed(), min(self.largest, chunk.runs), cpu): chunk
                    for chunk in chunks
                }
            for future in as_completed(futures):
                chunk = futures[future]
                self.take(chunk, min(self.largest, chunk.runs), *future.result())
        except BaseException as error:
            for process in multiprocessing.active_children():
                process.kill()
            workers.cache_clear()
            if isinstance(error, BrokenProcessPool):
                raise MemoryError("a process that trained was ended") from error
            raise


@functools.cache
def workers(count: int) -> ProcessPoolExecutor:
    """Worker processes for all trainings of this process: each takes the time to import torch. The first chunks start them."""
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


def joined(fits: Sequence[Fit], *, dim: int) -> Fit:
    """Fits of different trials (dim 0) or different λ (dim 1), as one."""
    if len(fits) == 1:
        return fits[0]
    parameters = {name: torch.cat([each.parameters[name] for each in fits], dim) for name in fits[0].parameters}
    history = {name: torch.cat([each.history[name] for each in fits], dim) for name in fits[0].history}
    return Fit(parameters, history, fits[0].steps, torch.cat([each.diverged for each in fits], dim))
