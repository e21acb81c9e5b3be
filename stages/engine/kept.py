"""Chunks that are finished, kept until their stage has written its output: a killed stage goes on where it stopped.

A chunk's name says all that its numbers come from: code, problem, batches, λ and options. So what is found under it is right.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

from stages.base import inputs
from stages.base.errors import UserError
from stages.base.storage import Integers, load_arrays, save_arrays
from stages.engine import packing
from stages.engine.chunk import Chunk
from stages.engine.fit import Fit

CHUNKS = Path("build", "chunks")
WORTH_KEEPING = 0.5  # seconds of training; less is trained again as soon as it is read
_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextlib.contextmanager
def until_written(stage: str) -> Iterator[None]:
    """Within it finished chunks are kept, and forgotten at its end; an error or a kill leaves them for the next time."""
    token = _folder.set(CHUNKS / stage)
    try:
        yield
    finally:
        _folder.reset(token)
    shutil.rmtree(CHUNKS / stage, ignore_errors=True)


def keep(chunk: Chunk, fitted: Fit, seconds: float) -> None:
    """Write a chunk that took long enough, if its stage asked for it."""
    folder = _folder.get()
    if folder and seconds >= WORTH_KEEPING:
        name = chunk.name
        with contextlib.suppress(OSError):  # a convenience: no stage fails for it
            save_arrays(folder / f"{name}.npz", packing.arrays(fitted))


def find(chunks: Sequence[Chunk]) -> dict[Chunk, Fit]:
    """Those of the chunks that were kept. A damaged one is none."""
    folder, found = _folder.get(), {}
    if folder and folder.is_dir():
        for chunk in chunks:
            path = folder / f"{chunk.name}.npz"
            with contextlib.suppress(UserError, KeyError):
                arrays, _ = load_arrays(path, {"steps": Integers(1), "diverged": Integers(2)}, stage="")
                found[chunk] = packing.fit(arrays, chunk.share.problem.train[1].device)
            inputs.forget(path)
    return found
