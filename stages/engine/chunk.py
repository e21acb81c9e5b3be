"""A chunk: some trials of a job at some of its λ, which can be trained in any process.

Shapes: T trials, L decays, b rows of a batch.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from stages.engine import packing
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.problem import Problem, Schedule


@dataclass(frozen=True, eq=False)
class Share:
    """Data of some trials, the same for all λ: their problem, and their rows (T, b) of each batch."""

    problem: Problem
    schedule: Schedule
    first: int = 0  # of its trials, in the whole training

    @property
    def trials(self) -> int:
        return len(self.problem.train[1])

    def of(self, some: slice) -> "Share":
        cut = {id(rows): rows[some] for rows in self.schedule.batches if rows is not None}
        batches = [rows if rows is None else cut[id(rows)] for rows in self.schedule.batches]
        return Share(self.problem.trials(some), replace(self.schedule, batches=batches), self.first + some.start)

    def packed(self) -> bytes:
        """For another process. Thousands of batches travel as one tensor: by themselves they would take longer than training."""
        batches = self.schedule.batches
        distinct = {id(rows): rows for rows in batches if rows is not None}
        together = torch.cat([*distinct.values()], dim=1) if distinct else torch.empty(0, 0)
        places = {rows: place for place, rows in enumerate(distinct)}
        order = [None if rows is None else places[id(rows)] for rows in batches]
        sizes = [rows.shape[1] for rows in distinct.values()]
        return packing.pack((self.problem, replace(self.schedule, batches=[]), together, sizes, order))

    @classmethod
    def unpacked(cls, content: bytes, device: torch.device) -> "Share":
        problem, schedule, together, sizes, order = packing.unpack(content, device)
        distinct = together.split(sizes, dim=1) if sizes else ()
        return cls(problem, replace(schedule, batches=[None if place is None else distinct[place] for place in order]))

    @cached_property
    def name(self) -> str:
        return packing.digest([self.packed()])


@dataclass(frozen=True, eq=False)
class Chunk:
    share: Share  # the same object for all chunks of the same trials
    whole: Job
    decay: Decay

    @property
    def job(self) -> Job:
        return replace(self.whole, problem=self.share.problem, schedule=self.share.schedule, decay=self.decay)

    @property
    def runs(self) -> int:
        return self.share.trials * len(self.decay.weight_decays)

    def packed(self) -> bytes:
        """What is not its share, for another process."""
        whole = self.whole
        return packing.pack((whole.optimizer, whole.lr, self.decay, whole.watch, whole.enough))

    @classmethod
    def unpacked(cls, share: bytes, rest: bytes, device: torch.device) -> "Chunk":
        data, parts = Share.unpacked(share, device), packing.unpack(rest, device)
        job = Job(data.problem, data.schedule, *parts)
        return cls(data, job, job.decay)

    @cached_property
    def name(self) -> str:
        """The same for the same numbers alone: it says code, data and parameters."""
        return packing.digest([self.share.name.encode(), self.packed()])

    def at(self, some: slice) -> "Chunk":
        return replace(self, decay=replace(self.decay, weight_decays=self.decay.weight_decays[some]))

    def halves(self) -> tuple[list["Chunk"], int]:
        """Two chunks, and the axis along which their fits are joined: trials (0), or λ (1) where there is but one trial."""
        if self.share.trials > 1:
            some = ranges(self.share.trials, -(-self.share.trials // 2))
            return [replace(self, share=self.share.of(each)) for each in some], 0
        count = len(self.decay.weight_decays)
        return [self.at(each) for each in ranges(count, -(-count // 2))], 1

    def __str__(self) -> str:
        first, last = (f"{each:g}" for each in (self.decay.weight_decays[0], self.decay.weight_decays[-1]))
        trials = [str(self.share.first + each) for each in (1, self.share.trials)]
        return f"λ = {' to '.join(dict.fromkeys([first, last]))}, trial {' to '.join(dict.fromkeys(trials))}"


def ranges(count: int, size: int) -> list[slice]:
    """0 … count in ranges of at most `size`, and at least 1, as equal as can be."""
    parts = -(-count // max(size, 1))
    return [slice(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def split(job: Job, size: int) -> list[list[Chunk]]:
    """Chunks of at most `size` runs, split by trials, then by λ: a row of chunks for each share of the trials."""

    whole, count = Chunk(Share(job.problem, job.schedule), job, job.decay), len(job.decay.weight_decays)
    shares = [whole.share.of(some) for some in ranges(whole.share.trials, size // count)]
    return [[replace(whole, share=share).at(each) for each in ranges(count, size)] for share in shares]
