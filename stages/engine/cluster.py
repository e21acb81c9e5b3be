"""Training on the Ray cluster that RAY_ADDRESS names. The only module that imports Ray.

A task trains a part of a job: `runs_at_once` runs on a core, or, where the cluster has GPUs, an equal part on each of them. Code
travels as the package `stages`, with the job. Ray itself sends a task again whose worker or node is lost.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from stages.base.errors import UserError
from stages.engine.fit import Fit
from stages.engine.job import Job
from stages.engine.machine import VARIABLE, device
from stages.engine.work import Standing, as_arrays, elsewhere, joined, split

CLUSTER = "RAY_ADDRESS"
CODE = Path(__file__).resolve().parents[1]
try:
    import ray
    from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError
except ModuleNotFoundError as error:
    raise UserError(f"{CLUSTER} is set: expected the package ray, got none; `make extras` installs it") from error

RETRIES = 3  # of a task whose worker or node is lost
SECONDS = 2.0  # between two looks at the head
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # RFC 9113, 3.4: the preface, and settings without any
PATIENCE = 5  # looks at a head that does not answer


def fit(label: str, job: Job, standing: Standing) -> Fit:
    """Train a job on the cluster. Raises UserError where that cannot be, and MemoryError where a run is too large."""
    gpus = connect()
    parts = split(job, -(-job.runs // gpus) if gpus else job.runs_at_once)
    remote = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=min(gpus, 1))(train)
    rows = [[remote.remote(as_arrays(part)) for part in row] for row in parts]
    runs = {task: part.runs for row in zip(rows, parts, strict=True) for task, part in zip(*row, strict=True)}
    waiting, fits = list(runs), {}
    try:
        with named(label):
            for _ in looks(ray.get_runtime_context().gcs_address):
                ended, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=SECONDS)
                for task in ended:
                    fits[task] = ray.get(task).each(lambda array: torch.from_numpy(array.copy()).to(job.device))
                    standing.end(runs[task], {})
                if not waiting:
                    break
    except BaseException:
        with contextlib.suppress(RayError, OSError):
            for task in waiting:
                ray.cancel(task, force=True)
        raise
    return joined([[fits[task] for task in row] for row in rows])


def train(arrays: Job) -> Fit:
    """Train a part of a job, on a worker."""
    return elsewhere(arrays, device() if ray.get_gpu_ids() else torch.device("cpu"))


def connect() -> int:
    """Join the cluster, once → how many GPUs it has that may be used.

    Raises UserError where none answers at RAY_ADDRESS, or one with another Python or Ray.
    """
    address = os.environ[CLUSTER]
    if not ray.is_initialized():
        wanted = f"{CLUSTER}: expected host:port of the head of a Ray cluster that this process may join"
        if "://" in address or address == "local":
            raise UserError(f"{wanted}, got {address!r}")
        if ":" in address and not answers(address):
            raise UserError(f"{wanted}, got {address!r}, which does not answer")
        try:
            environment = {"py_modules": [str(CODE)], "excludes": ["__pycache__"]}
            os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # without it a task that is too large is tried for ever
            ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            raise UserError(f"{wanted}, got {address!r} ({' '.join(str(error).split())[:300]})") from error
        ray._private.worker._worker_logs_enabled = False  # pages about each lost node, for which Ray has no setting
        known = ray.cluster_resources()
        told = {"nodes": len(ray.nodes()), "CPUs": int(known.get("CPU", 0)), "GPUs": int(known.get("GPU", 0))}
        print(f"Ray cluster at {address}: {', '.join(f'{name}: {count}' for name, count in told.items())}", flush=True)
    return 0 if os.environ.get(VARIABLE) == "cpu" else int(ray.cluster_resources().get("GPU", 0))


@contextlib.contextmanager
def named(label: str) -> Iterator[None]:
    """Turn what Ray raises into one line that names the training; a user's mistake and a lack of memory stay what they are."""
    try:
        yield
    except (LocalRayletDiedError, OSError) as error:
        raise UserError(f"{CLUSTER}: expected the cluster to stay, got no answer any more; run it again, or without") from error
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, (UserError, MemoryError)):
            raise cause from None
        told = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        raise UserError(f"{label}: expected the cluster to train it, got {told}") from error


def looks(address: str) -> Iterator[None]:
    """Go on as long as the head answers, with some patience. Raises ConnectionError."""
    missed, next_look = 0, 0.0
    while missed < PATIENCE:
        if time.monotonic() >= next_look:
            missed, next_look = 0 if answers(address) else missed + 1, time.monotonic() + SECONDS
        yield
    raise ConnectionError


def answers(address: str) -> bool:
    """Tell whether a server at `host:port` answers a gRPC client. For one that accepts and stays silent Ray waits for ever."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS) as head:
            head.sendall(HELLO)
            head.recv(1)
    except (OSError, ValueError):
        return False
    return True
