"""Chunks and fits in a form that leaves the process: bytes for another one, arrays for a file, a name for what is in them."""

import hashlib
import io
import pickle
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.base.errors import UserError
from stages.base.streams import Arrays
from stages.engine.fit import Fit

CODE = Path(__file__).resolve().parents[1]


class Packer(pickle.Pickler):
    """Pickles each tensor as the array of its own numbers, in their order in memory; a view leaves the rest behind."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.seen: dict[int, tuple[Tensor, Any]] = {}

    def persistent_id(self, value: object) -> Any:
        if not isinstance(value, Tensor):
            return None
        if id(value) not in self.seen:
            order = sorted(range(value.ndim), key=value.stride().__getitem__, reverse=True)
            packed = (value.detach().permute(order).contiguous().cpu().numpy(), tuple(np.argsort(order).tolist()))
            self.seen[id(value)] = (value, packed)
        return self.seen[id(value)][1]


class Unpacker(pickle.Unpickler):
    """Reads what a Packer wrote, with its tensors on a device."""

    def __init__(self, content: bytes, device: torch.device) -> None:
        super().__init__(io.BytesIO(content))
        self.device = device
        self.seen: dict[int, tuple[Any, Tensor]] = {}

    def persistent_load(self, packed: Any) -> Tensor:
        array, order = packed
        if id(array) not in self.seen:
            self.seen[id(array)] = (array, torch.from_numpy(array).to(self.device).permute(order))
        return self.seen[id(array)][1]


def pack(value: object) -> bytes:
    """Raises UserError where a function in it cannot be imported by its name: another process could not find it."""
    file = io.BytesIO()
    try:
        Packer(file).dump(value)
    except (pickle.PicklingError, AttributeError) as error:
        raise UserError(f"a study's training.py: expected functions of the module's own, got another: {error}") from error
    return file.getvalue()


def unpack(content: bytes, device: torch.device) -> Any:
    return Unpacker(content, device).load()


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of the code of the pipeline and of some parts."""
    found = hashlib.sha256(code())
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()


@cache
def code() -> bytes:
    found = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        found.update(f"{path.relative_to(CODE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return found.digest()


def arrays(fitted: Fit) -> Arrays:
    """A fit as arrays, `parameters.<name>`, `history.<name>`, `diverged` and `steps`."""
    tensors = {f"{part}.{name}": value for part in ("parameters", "history") for name, value in getattr(fitted, part).items()}
    return {name: value.cpu().numpy() for name, value in (tensors | {"diverged": fitted.diverged}).items()} | {
        "steps": np.array(fitted.steps)
    }


def fit(found: Arrays, device: torch.device) -> Fit:
    """The fit whose arrays these are, on a device."""

    def part(prefix: str) -> dict[str, Tensor]:
        names = [name for name in found if name.startswith(prefix)]
        return {name.removeprefix(prefix): torch.from_numpy(found[name].copy()).to(device) for name in names}

    return Fit(part("parameters."), part("history."), found["steps"].tolist(), part("diverged")[""])
