"""A chunk: some trials of a training at some of its λ, and all that is needed to train them, in any process.

Shapes: T trials, L decays, b rows of a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from stages.engine import packing
from stages.engine.problem import Problem

Batches = Sequence[Tensor | None]


@dataclass(frozen=True, eq=False)
class Share:
    """What some trials are trained on, at whatever λ: their own problem and their own rows (T, b) of each batch."""

    problem: Problem
    batches: Batches
    first: int = 0  # of its trials, in the whole training

    @property
    def trials(self) -> int:
        return len(self.problem.train[1])

    def of(self, some: slice) -> "Share":
        cut = {id(rows): rows[some] for rows in self.batches if rows is not None}
        batches = [rows if rows is None else cut[id(rows)] for rows in self.batches]
        return Share(self.problem.trials(some), batches, self.first + some.start)

    def packed(self) -> bytes:
        """For another process. Thousands of batches travel as one tensor: by themselves they would take longer than training."""
        distinct = {id(rows): rows for rows in self.batches if rows is not None}
        together = torch.cat([*distinct.values()], dim=1) if distinct else torch.empty(0, 0)
        places = {rows: place for place, rows in enumerate(distinct)}
        order = [None if rows is None else places[id(rows)] for rows in self.batches]
        return packing.pack((self.problem, together, [rows.shape[1] for rows in distinct.values()], order))

    @classmethod
    def unpacked(cls, content: bytes, device: torch.device) -> "Share":
        problem, together, sizes, order = packing.unpack(content, device)
        distinct = together.split(sizes, dim=1) if sizes else ()
        return cls(problem, [None if place is None else distinct[place] for place in order])

    @cached_property
    def name(self) -> str:
        return packing.digest([self.packed()])


@dataclass(frozen=True, eq=False)
class Chunk:
    share: Share  # the same object for all chunks of the same trials
    decays: Tensor  # (L,)
    options: Mapping[str, Any]  # of `fit`

    @property
    def runs(self) -> int:
        return self.share.trials * len(self.decays)

    @cached_property
    def name(self) -> str:
        """The same for the same numbers alone: it says code, data and parameters."""
        return packing.digest([self.share.name.encode(), packing.pack((self.decays, dict(self.options)))])

    def halves(self) -> tuple[list["Chunk"], int]:
        """Two chunks, and the axis along which their fits are joined: trials (0), or λ (1) where there is but one trial."""
        if self.share.trials > 1:
            some = ranges(self.share.trials, -(-self.share.trials // 2))
            return [replace(self, share=self.share.of(each)) for each in some], 0
        return [replace(self, decays=each) for each in self.decays.tensor_split(2)], 1

    def __str__(self) -> str:
        first, last = (f"{float(each):g}" for each in (self.decays[0], self.decays[-1]))
        trials = [str(self.share.first + each) for each in (1, self.share.trials)]
        return f"λ = {' to '.join(dict.fromkeys([first, last]))}, trial {' to '.join(dict.fromkeys(trials))}"


def ranges(count: int, size: int) -> list[slice]:
    """0 … count in ranges of at most `size`, and at least 1, as equal as can be."""
    parts = -(-count // max(size, 1))
    return [slice(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def split(problem: Problem, batches: Batches, decays: Tensor, options: Mapping[str, Any], size: int) -> list[list[Chunk]]:
    """Chunks of at most `size` runs, split by trials, then by λ: a row of chunks for each share of the trials."""
    whole, of_decays = Share(problem, batches), ranges(len(decays), size)
    shares = [whole.of(some) for some in ranges(whole.trials, size // len(decays))]
    return [[Chunk(share, decays[each], options) for each in of_decays] for share in shares]
