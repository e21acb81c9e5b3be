"""Chunks on a Ray cluster, if the environment variable RAY_ADDRESS names one. The only module that imports Ray.

What travels. Code: the package `stages`, with the job. Data: each share of the trials once to the object store, which hands it to
a node once. A chunk: its λ and options. Back: its fit, as arrays. Which chunks there are does not depend on the cluster, and
`Work.train` trains each, here as there; so the result is the same.

Where. A chunk takes a GPU where the cluster has one that is free, else a CPU. The first chunk on a GPU has it alone and says
what share of the memory it took; later ones take so much of a GPU. At most twice as many chunks are under way as find room, so
that no worker waits and nothing piles up.

What goes wrong. A chunk whose worker or node is lost is sent again, in smaller parts where memory was short. One that fails
ATTEMPTS times ends the sweep in one line. So does a head that no longer answers. Ctrl-C cancels what runs. Finished chunks are
kept by this process, so nothing that came back is lost.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch

from stages.base.errors import UserError
from stages.base.streams import Arrays
from stages.engine import packing
from stages.engine.chunk import Chunk, Share
from stages.engine.chunks import Work
from stages.engine.machine import device

try:
    import ray
except ModuleNotFoundError as error:
    raise UserError("RAY_ADDRESS is set: expected the package ray, got none; `make ray` installs it") from error


def train(data: bytes, rest: bytes, size: int) -> tuple[Arrays, float, int]:
    """On a worker: train a chunk.  → its fit, the seconds it took, the largest size that fitted in memory"""
    where = device() if ray.get_gpu_ids() else torch.device("cpu")
    (problem, batches), (decays, options) = packing.unpack(data, where), packing.unpack(rest, where)
    chunk = Chunk(Share(problem, batches), decays, options)
    work = Work("", [chunk], steps=len(batches), size=size)
    fitted, seconds = work.train(chunk)
    return packing.arrays(fitted), seconds, work.largest


def run(work: Work, chunks: Sequence[Chunk]) -> None:
    connect()
    waiting = deque(chunks)
    running: dict[Any, Chunk] = {}
    data = {id(share): ray.put(share.packed()) for share in {chunk.share for chunk in chunks}}
    remote = ray.remote(max_retries=0)(train)
    while waiting or running:
        while waiting and len(running) < 2 * ray.cluster_resources().get("CPU", 1):
            chunk = waiting.popleft()
            rest = packing.pack((chunk.decays, dict(chunk.options)))
            running[remote.remote(data[id(chunk.share)], rest, work.largest)] = chunk
        done, _ = ray.wait(list(running))
        for reference in done:
            chunk = running.pop(reference)
            arrays, seconds, _ = ray.get(reference)
            fitted = packing.fit(arrays, chunk.share.problem.train[1].device)
            work.tell(chunk, work.steps, {})
            work.finish(chunk, fitted, seconds)


def connect() -> None:
    if not ray.is_initialized():
        ray.init(runtime_env={"py_modules": [str(packing.CODE)]}, log_to_driver=False, logging_level="CRITICAL")
