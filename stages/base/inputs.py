"""What a stage has read: params, data and code, and whether that still stands there.

DVC looks at params, data and code when a stage has ended, and takes what it finds for what the stage used. What somebody edits
meanwhile would be recorded, and kept in the run cache, as the source of results that come of something else.
"""

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from stages.base.errors import UserError

CODE = Path(__file__).parent.parent
NO_RESULT_COMES_FROM = CODE / "console"
MENDED = "`dvc repro` makes results of what stands there now, `make reset` brings back the committed ones"
Values = Mapping[str, object]  # what stands at a place, by its parts


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sources() -> dict[Path, str]:
    """The hash of each module, by its file."""
    return {path: digest(path.read_bytes()) for path in CODE.rglob("*.py") if NO_RESULT_COMES_FROM not in path.parents}


_code = sources()  # before most of it is imported
_seen: dict[str, tuple[Values, Callable[[], Values]]] = {}
_watching = False


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let `check` know of all that is read within. Raises UserError at the end where that has changed."""
    global _watching
    _seen.clear()
    _watching = True
    try:
        yield
        check()
    finally:
        _watching = False


def remember(place: str, seen: Values, look: Callable[[], Values]) -> None:
    """Note what stands at a place, and how to look there again."""
    if _watching:
        _seen.setdefault(place, (seen, look))


def read(path: Path) -> bytes:
    """A file's content, which is remembered."""
    content = path.read_bytes()
    remember(str(path), {"": digest(content)}, lambda: {"": digest(path.read_bytes())})
    return content


def forget(path: Path) -> None:
    """Let go of a file that was read, and that the stage itself removes."""
    _seen.pop(str(path), None)


def check() -> None:
    """Raise UserError where what was read, within `watched`, is not what stands there now."""
    for changed in changes() if _watching else ():
        raise UserError(f"{changed} while this stage ran, so its results are not recorded: {MENDED}")


def changes() -> Iterator[str]:
    for place, (seen, look) in _seen.items():
        try:
            now = look()
        except (OSError, UserError):
            yield f"{place}: became unreadable"
            continue
        for key in {**seen, **now}:
            if seen.get(key) != now.get(key):
                yield f"{place}: {key} was {seen.get(key)} and became {now.get(key)}" if key else f"{place}: changed"
    for path in sorted(loaded() & _code.keys()):
        if not path.is_file() or digest(path.read_bytes()) != _code[path]:
            yield f"{path.relative_to(CODE.parent)}: changed"


def loaded() -> set[Path]:
    """The files of the modules that this process has imported."""
    return {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
