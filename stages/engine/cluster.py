"""Chunks on a Ray cluster, if the environment variable RAY_ADDRESS names one. The only module that imports Ray.

What travels. Code: the package `stages`, with the job. Data: each share of the trials once to the object store, which hands it to
a node once. A chunk: its λ and options. Back: its fit, as arrays. Which chunks there are does not depend on the cluster, and
`train_packed` trains each, here as there; so the result is the same.

Where. A chunk takes a GPU where the cluster has one, else a CPU. The first chunk on a GPU has it alone and says what share of the
memory it took; later ones ask for as much. At most twice as many chunks are under way as find room, so that no worker waits and
nothing piles up.

What goes wrong. A chunk whose worker or node is lost is sent again, in smaller parts where memory was short. One that is lost
ATTEMPTS times ends the sweep in one line. So does a head that no longer answers. Ctrl-C cancels what runs. Finished chunks are
kept by this process, so nothing that came back is lost.
"""

import atexit
import contextlib
import logging
import math
import os
import socket
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from stages.base.errors import UserError
from stages.base.streams import Arrays
from stages.engine import packing
from stages.engine.chunk import Chunk, Share
from stages.engine.machine import VARIABLE, device
from stages.engine.work import CLUSTER, Work, train_packed

try:
    import ray
    from ray.exceptions import LocalRayletDiedError, OutOfMemoryError, RayError, RayTaskError
except ModuleNotFoundError as error:
    raise UserError(f"{CLUSTER} is set: expected the package ray, got none; `make extras` installs it") from error

ATTEMPTS = 4
SECONDS = 2.0  # between two looks at the head and the nodes
PATIENCE = 5  # looks at a head that does not answer
AGAIN = f"finished chunks are kept: run it again, or without {CLUSTER}"
CUDA = 2**29  # bytes of a GPU that a process takes before it has a tensor


def train(data: bytes, rest: bytes, size: int) -> tuple[tuple[Arrays, float, int], float]:
    """On a worker: `train_packed`, and the share of a GPU's memory that it took."""
    where = device() if ray.get_gpu_ids() else torch.device("cpu")
    found, taken = train_packed(data, rest, size, where), 1.0
    if where.type == "cuda":
        taken = (torch.cuda.max_memory_reserved() + CUDA) / torch.cuda.get_device_properties(where).total_memory
    return found, taken


def run(work: Work, chunks: Sequence[Chunk]) -> None:
    """Train chunks on the cluster, each where there is room. Raises UserError where that cannot be, and what `fit` raises."""
    connect()
    Sweep(work, chunks).run()


def connect() -> None:
    """Raises UserError where no cluster answers at RAY_ADDRESS, or one with another Python or Ray."""
    if ray.is_initialized():
        return
    address = os.environ[CLUSTER]
    wanted = f"{CLUSTER}: expected host:port of the head of a Ray cluster that this process may join"
    if "://" in address or address == "local":
        raise UserError(f"{wanted}, got {address!r}")
    if ":" in address and not answers(address):
        raise UserError(f"{wanted}, got {address!r}, which does not answer")
    try:
        environment = {"py_modules": [str(packing.CODE)], "excludes": ["__pycache__"]}
        ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise UserError(f"{wanted}, got {address!r} ({' '.join(str(error).split())[:300]})") from error
    ray._private.worker._worker_logs_enabled = False  # pages about each lost node, for which Ray has no setting
    known = resources()
    cores, gpus = (sum(int(node.get(kind, 0)) for node in known) for kind in ("CPU", "GPU"))
    print(f"Ray cluster at {address}: nodes: {len(known)}, CPUs: {cores}, GPUs: {gpus}", flush=True)
    say_if_ended("expected the cluster to stay, got this process ended, by a kill or by Ray, as the cluster is gone")


def resources() -> list[dict[str, float]]:
    """Of each node that lives, how much it has of what a chunk may ask for."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def say_if_ended(told: str) -> None:
    """Have another process say it if this one ends without a word: Ray exits where its own part of this machine is gone."""
    words = ["sh", "-c", 'read said || echo "$0" >&2', f"error: {CLUSTER}: {told}; {AGAIN}"]
    watcher = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(watcher.communicate, b"said\n")


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def there(address: str) -> Iterator[None]:
    """Around a call of Ray: raise UserError where it fails because the head is gone, or this machine's own part of Ray."""
    try:
        yield
    except (LocalRayletDiedError, OSError) as error:
        told = f"expected the cluster to stay, got no answer any more at {address}, or from Ray on this machine"
        raise UserError(f"{CLUSTER}: {told}; {AGAIN}") from error


class Sweep:
    """The chunks of one training on the cluster: which wait, which are under way and where, how often each was lost."""

    def __init__(self, work: Work, chunks: Sequence[Chunk]) -> None:
        self.work, self.waiting = work, deque(chunks)
        self.running: dict[Any, tuple[Chunk, int, bool]] = {}  # of each task: its chunk, its size, whether it asked for a GPU
        self.data: dict[Share, Any] = {}
        self.lost: Counter[Chunk] = Counter()
        self.share = 1.0  # of a GPU, for a chunk
        self.address = ray.get_runtime_context().gcs_address
        self.missed, self.next_look, self.nodes = 0, 0.0, list[dict[str, float]]()
        self.remote = ray.remote(max_retries=0)(train)

    def run(self) -> None:
        try:
            while self.waiting or self.running:
                self.look()
                self.send()
                with there(self.address):
                    ended, _ = ray.wait(list(self.running), timeout=SECONDS)
                for task in ended:
                    self.take(task)
        except BaseException:
            with contextlib.suppress(RayError, OSError):
                for task in self.running:
                    ray.cancel(task, force=True)
            raise

    def look(self) -> None:
        """Every few seconds, whether the head is there and which nodes are."""
        if time.monotonic() < self.next_look:
            return
        with there(self.address):
            self.missed = 0 if answers(self.address) else self.missed + 1
            if self.missed >= PATIENCE:
                raise ConnectionError
            if not self.missed:
                self.nodes = resources()
        self.next_look = time.monotonic() + SECONDS

    def send(self) -> None:
        """Give chunks to the cluster while there is room; at least one, so that a cluster that can grow does."""
        room = room_for(self.share, self.nodes, gpus=os.environ.get(VARIABLE) != "cpu")
        used = Counter(on_gpu for _, _, on_gpu in self.running.values())
        while self.waiting and (not self.running or any(used[kind] < 2 * room[kind] for kind in room)):
            on_gpu = used[True] < 2 * room[True]
            used[on_gpu] += 1
            chunk = self.waiting.popleft()
            rest = chunk.packed()
            size = min(self.work.largest, chunk.runs)
            asked = self.remote.options(num_cpus=1, num_gpus=self.share if on_gpu else 0)
            with there(self.address):
                if chunk.share not in self.data:
                    self.data[chunk.share] = ray.put(chunk.share.packed())
                self.running[asked.remote(self.data[chunk.share], rest, size)] = (chunk, size, on_gpu)

    def take(self, task: Any) -> None:
        """What came of a task: a fit, or a loss."""
        chunk, size, on_gpu = self.running.pop(task)
        try:
            with there(self.address):
                found, taken = ray.get(task)
        except RayError as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            if isinstance(cause, (UserError, MemoryError)):
                raise cause from None
            if isinstance(cause, OutOfMemoryError) and size > 1:
                self.work.at_most(size // 2, size)
            else:
                self.lost[chunk] += 1
            if self.lost[chunk] == ATTEMPTS:
                told = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
                raise UserError(f"{self.work.label}, {chunk}: expected it to train, got {ATTEMPTS} failures; {told}") from None
            self.waiting.appendleft(chunk)
            return
        if on_gpu:
            self.share = min(1.0, max(math.ceil(100 * taken) / 100, self.share if self.share < 1 else 0))
        self.work.take(chunk, size, *found)


def room_for(share: float, nodes: Sequence[dict[str, float]], *, gpus: bool) -> dict[bool, int]:
    """How many chunks find room at once on GPUs (True), so much of one each, and on the CPUs of nodes without any (False)."""
    room = {True: 0, False: 0}
    for node in nodes:
        cores, count = int(node.get("CPU", 0)), int(node.get("GPU", 0)) if gpus else 0
        room[count > 0] += min(cores, count * int(1 / share)) if count else cores
    return room
