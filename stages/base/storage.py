"""Files in and out: whole, the same bytes on every machine, numbers in texts with six significant digits.

Nothing else opens a data file.
"""

import csv
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base import inputs
from stages.base.errors import UserError
from stages.base.rounding import significant

MADE_OF = "made_of"  # the member of an archive that says what its arrays come from


class Integers(int):
    """The number of dimensions of an array of integers or truth values; a plain `int` is that of an array of floats."""


class Words(int):
    """The number of dimensions of an array of texts, which may be empty."""


class Maybe(int):
    """The number of dimensions of an array that may be empty."""


class Common(Maybe):
    """The number of dimensions of an array that was read, not drawn: all trials share it, and it is exact."""


def save_arrays(path: Path, arrays: Mapping[str, NDArray], made_of: Mapping[str, Any] | None = None) -> None:
    """Write an .npz as `np.savez` does, but with the same bytes from every Python: its own headers changed in 3.11.4.

    `made_of` says what the arrays come from; it is written beside them.
    """
    told = {} if made_of is None else {MADE_OF: np.frombuffer(json.dumps(made_of, sort_keys=True).encode(), dtype=np.uint8)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in (dict(arrays) | told).items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    _replace(path, buffer.getvalue())


def load_arrays(
    path: Path, dimensions: Mapping[str, int], *, stage: str, exact: bool = False
) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Read an archive that must hold these names, where `exact` no others, with these dimensions; and what it is made of.

    Pickles are never loaded. Raises UserError, naming the file and the stage that writes it, where the file is missing, damaged
    or of another stage.
    """
    expected = f"{path}: expected the arrays that `dvc repro` writes at stage {stage}"
    try:
        archive = np.load(io.BytesIO(inputs.read(path)), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        arrays = {name: archive[name] for name in archive.files}
        made_of = json.loads(arrays.pop(MADE_OF).tobytes()) if MADE_OF in arrays else {}
        if not isinstance(made_of, dict):
            raise ValueError(f"no {MADE_OF}")
    except FileNotFoundError as error:
        raise UserError(f"{expected}, got no file") from error
    except Exception as error:  # whatever a damaged archive makes the parsers of zip and npy raise
        raise UserError(f"{expected}, got an unreadable file ({' '.join(str(error).split())[:80]})") from error
    for name, number in dimensions.items():
        if name not in arrays:
            raise UserError(f"{expected}, got no array {name!r}")
        if told := _unlike(arrays[name], number):
            raise UserError(f"{expected}, got {name!r} {told}")
    for name in arrays:
        if exact and name not in dimensions:
            raise UserError(f"{expected}, got an unexpected array {name!r}")
    return arrays, made_of


def _unlike(array: Any, number: int) -> str:
    """What is wrong with an array of so many dimensions; nothing where nothing is."""
    if not isinstance(array, np.ndarray):
        return "that is no array"
    if array.ndim != number:
        return f"of shape {array.shape}, not {number}-dimensional"
    kinds, told = ("f", "floats")
    if isinstance(number, Integers | Words):
        kinds, told = ("biu", "integers") if isinstance(number, Integers) else ("U", "texts")
    if not isinstance(number, Maybe) and array.dtype.kind not in kinds:
        return f"of type {array.dtype}, not {told}"
    return "" if array.size or isinstance(number, Maybe | Words) else f"of shape {array.shape}, which is empty"


def in_float64(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The arrays with their numbers in double precision; integers as they are."""
    return {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()}


def read_bytes(path: Path, key: str) -> bytes:
    """Read a file that params.yaml names at a key. Raises UserError where it cannot be read."""
    try:
        return inputs.read(path)
    except OSError as error:
        raise UserError(
            f"{path}: expected a file that can be read, as params.yaml names it at {key}, got {error.strerror}"
        ) from error


def save_metrics(path: Path, tree: Mapping[str, Any]) -> None:
    """JSON, a row's values under its name: {"wd": {"val_loss": …}}.

    Sorted keys, six significant digits. Raises ValueError at a number that is not finite.
    """
    text = json.dumps(_rounded(tree), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    _replace(path, f"{text}\n".encode())


def load_metrics(path: Path, rows: Iterable[str], *, stage: str) -> dict[str, Any]:
    """Read a metrics file that must have these rows. Raises UserError where it is missing, damaged or of another stage."""
    try:
        tree = json.loads(_read(path, stage))
        missing = [row for row in rows if not isinstance(tree[row], dict)] if isinstance(tree, dict) else ["(any)"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _foreign(path, stage, error) from error
    if missing:
        raise _foreign(path, stage, f"no row {missing[0]!r}")
    return tree


def save_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """CSV with the first row's keys as header, six significant digits, empty where there is no value."""
    rows = [_rounded(row) for row in rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _replace(path, buffer.getvalue().encode())


def load_table(path: Path, columns: Iterable[str], *, stage: str) -> list[dict[str, Any]]:
    """Read a table that must have these columns. Raises UserError where it is missing, damaged or of another stage."""
    reader = csv.DictReader(io.StringIO(_read(path, stage)), strict=True)
    try:
        rows = [{name: _parsed(text) for name, text in row.items()} for row in reader]
    except (csv.Error, TypeError, AttributeError) as error:
        raise _foreign(path, stage, error) from error
    for name in columns:
        if not rows or any(name not in row for row in rows):
            raise _foreign(path, stage, f"no column {name!r}")
    return rows


def save_bytes(path: Path, content: bytes) -> None:
    _replace(path, content)


def _parsed(text: str) -> Any:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _read(path: Path, stage: str) -> str:
    try:
        return inputs.read(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _foreign(path, stage, error) from error


def _foreign(path: Path, stage: str, got: object) -> UserError:
    if isinstance(got, FileNotFoundError):
        got = "no file"
    said = " ".join(f"{type(got).__name__}: {got}".split())[:80] if isinstance(got, Exception) else got
    return UserError(f"{path}: expected what `dvc repro` writes at stage {stage}, got {said}")


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(significant(value))
    return int(value) if isinstance(value, np.integer) else value


def _replace(path: Path, content: bytes) -> None:
    """Write beside, then rename: whoever looks sees the old file or the new one, never half of either.

    Where that fails, on a full disk, in a folder that may not be written, the old file stays and the OSError names the file.
    Raises UserError, and writes nothing, where something that was read is no longer what stands there.
    """
    inputs.check()
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            os.unlink(temporary)
        if isinstance(error, OSError):
            error.filename = str(path)  # and not the temporary one; a write that fails names none
        raise


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
