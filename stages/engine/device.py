"""Where training runs, and what it says when that has no memory left."""

import contextlib
import os
from collections.abc import Iterator

import torch

from stages.base.errors import UserError

VARIABLE = "WEIGHT_DECAY_DEVICE"


def device() -> torch.device:
    """The GPU where there is one, else the CPU; the environment variable WEIGHT_DECAY_DEVICE overrides."""
    wanted = os.environ.get(VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.empty(0, device=wanted).device
        if found.type not in ("cpu", "cuda"):
            raise RuntimeError("training needs float64 and numbers to read")
        return found
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{VARIABLE}: expected a device of this machine (cpu, cuda), got {wanted!r} ({reason})") from error


@contextlib.contextmanager
def out_of_memory() -> Iterator[None]:
    """Raise MemoryError where torch runs out of memory, on a device or on the CPU. torch itself raises a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error) or "not enough memory" in str(error):
            raise MemoryError(f"torch: {str(error).splitlines()[0].rpartition('Allocator: ')[2]}") from error
        raise
