"""What training takes of a machine: a device, its cores, its memory."""

import contextlib
import ctypes
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from stages.base.errors import UserError

VARIABLE = "WEIGHT_DECAY_DEVICE"
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a Linux container: microseconds of CPU time, in so many of real time


def device() -> torch.device:
    """The GPU where there is one, made repeatable, else the CPU; the environment variable WEIGHT_DECAY_DEVICE overrides."""
    asked = os.environ.get(VARIABLE)
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")  # torch has pages on a driver that is too old, or a card that it does not know
        wanted = asked or ("cuda" if torch.cuda.is_available() else "cpu")
        expected = f"{VARIABLE}: expected cpu, cuda, or cuda:N for card N, got {wanted!r}"
        if not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
            raise UserError(expected)
        try:
            found = torch.ones(1, device=wanted).neg().device  # computes: for an old card torch may have no program
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"{expected} ({first_line(error)}); to train on the CPU: export {VARIABLE}=cpu") from error
    if doubts and not asked and wanted == "cpu":
        print(f"training on the CPU, as torch says: {first_line(doubts[0].message)}", file=sys.stderr)
    if found.type == "cuda":
        repeatable()
    return found


def first_line(told: object) -> str:
    return str(told).strip().partition("\n")[0][:300]


def repeatable() -> None:
    """Have a GPU give the same bits each time, and products in full precision (no TF32), from now on in this process.

    Without it the terms of a sum are added in the order in which they happen to be ready. cuBLAS reads its variable at the first
    product of matrices.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # `use_deterministic_algorithms`, but that imports the compiler: a second
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # it writes each tensor twice
    torch.set_float32_matmul_precision("highest")


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory that nobody uses, those among them that torch keeps from earlier tensors."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def cores() -> int:
    """OMP_NUM_THREADS where it is set, else as many cores as this process may use: its affinity, within a container's quota."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked):
        return int(asked)
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        found = min(found, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # no such container, or "max": no quota
        pass
    return max(found, 1)


def one_core_an_operation() -> None:
    """Keep each operation of torch on the core of its caller, in this process: the others are for other runs.

    An operation of a tenth of a millisecond that is shared out among cores waits for the slowest of them, and on a busy machine
    that is a long wait.
    """
    torch.set_num_threads(1)


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed, up to a gibibyte, also blocks of a megabyte. Other C libraries have no such function.

    Fresh pages for each temporary cost more than to fill them.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, 2**25)  # the largest that glibc takes
        library.mallopt(TRIM_THRESHOLD, 2**30)


@contextlib.contextmanager
def out_of_memory() -> Iterator[None]:
    """Raise MemoryError where torch runs out of memory, on a device or on the CPU. torch itself raises a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error) or "not enough memory" in str(error):
            raise MemoryError(f"torch: {str(error).splitlines()[0].rpartition('Allocator: ')[2]}") from error
        raise
