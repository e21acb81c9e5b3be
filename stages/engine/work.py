"""What the chunks of one training share, and how they are trained side by side on this machine."""

import functools
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from stages.engine import fit as loop
from stages.engine import kept
from stages.engine.chunk import Chunk
from stages.engine.fit import Fit

CLUSTER = "RAY_ADDRESS"  # the environment variable that Ray itself reads
Report = Callable[[int, Mapping[str, Tensor], int], None]  # the mean step of all runs, what was measured last, chunks finished
Progress = Callable[..., AbstractContextManager]  # label, number of steps, runs=, chunks=, kept= steps → gives a Report


class Work:
    """What the chunks of one training share: the largest size that fits in memory, how far each is, whether to go on."""

    def __init__(self, label: str, chunks: Sequence[Chunk], *, steps: int, size: int) -> None:
        self.label, self.chunks, self.steps, self.largest = label, chunks, steps, size
        self.runs = sum(chunk.runs for chunk in chunks)
        self.report: Report = lambda *_: None
        self.lock, self.stopped = threading.Lock(), threading.Event()
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
                return loop.fit(chunk.job, report=functools.partial(self.tell, chunk), stop=self.stopped.is_set)
            except MemoryError:
                if chunk.runs == 1:
                    raise
                self.halve(chunk)
        halves, dim = chunk.halves()
        return joined([self.fit(half) for half in halves], dim=dim)

    def halve(self, chunk: Chunk) -> None:
        with self.lock:
            self.reached.pop(chunk, None)
            self.at_most(chunk.runs // 2, chunk.runs)

    def at_most(self, size: int, runs: int) -> None:
        if size < self.largest:
            self.largest = size
            print(f"out of memory with {runs} runs at once: going on with {size}", file=sys.stderr)

    def tell(self, chunk: Chunk, step: int, measured: Mapping[str, Tensor]) -> None:
        """Take note of how far a chunk is."""
        with self.lock:
            self.reached[chunk] = (step * chunk.runs, measured)
            self.say()

    def finish(self, chunk: Chunk, fitted: Fit, seconds: float) -> None:
        kept.keep(chunk, fitted, seconds)
        with self.lock:
            self.fits[chunk] = fitted
            self.say()

    def say(self) -> None:
        """Report the mean step of all runs, and what was last measured of each run that has begun here."""
        each = [measured for _, measured in self.reached.values() if measured]
        together = {name: torch.cat([one[name].flatten() for one in each]) for name in (each[0] if each else ())}
        self.report(self.step(), together, len(self.fits))

    def step(self) -> int:
        """The mean over all runs."""
        return sum(steps for steps, _ in self.reached.values()) // self.runs

    def side_by_side(self, chunks: Sequence[Chunk], workers: int) -> None:
        """Train chunks, each on a core of its own. An error in one of them, or Ctrl-C, stops the others at their next step."""
        if min(workers, len(chunks)) <= 1:
            for chunk in chunks:
                self.finish(chunk, *self.train(chunk))
            return
        with ThreadPoolExecutor(workers) as pool:
            futures = {pool.submit(self.train, chunk): chunk for chunk in chunks}
            try:
                for future in as_completed(futures):
                    self.finish(futures[future], *future.result())
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def joined(fits: Sequence[Fit], *, dim: int) -> Fit:
    """Fits of different trials (dim 0) or different λ (dim 1), as one."""
    if len(fits) == 1:
        return fits[0]
    parameters = {name: torch.cat([each.parameters[name] for each in fits], dim) for name in fits[0].parameters}
    history = {name: torch.cat([each.history[name] for each in fits], dim) for name in fits[0].history}
    return Fit(parameters, history, fits[0].steps, torch.cat([each.diverged for each in fits], dim))
