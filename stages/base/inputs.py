"""What a stage has read: params, data and code, and whether that still stands there.

DVC looks at params, data and code when a stage has ended, and takes what it finds for what the stage used. What somebody edits
meanwhile would be recorded, and kept in the run cache, as the source of results that were computed from something else.
"""

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from stages.base.errors import UserError

CODE = Path(__file__).parent.parent
NO_RESULT_COMES_FROM = CODE / "console"
MENDED = "`dvc repro` computes them from what stands there now, `make reset` restores the committed ones"
Values = Mapping[str, object]  # what stands at a place, by its parts


def digest(whole: bytes) -> str:
    return hashlib.sha256(whole).hexdigest()


def sources() -> dict[Path, str | None]:
    """The hash of each module, and of what lies beside it: a style, the page's scripts."""
    files = (path for path in CODE.rglob("*.*") if path.suffix not in (".md", ".pyc") and not path.name.startswith("."))
    return {path: content(path) for path in files if NO_RESULT_COMES_FROM not in path.parents}


def content(path: Path) -> str | None:
    """The hash of a file, None where there is none to read."""
    try:
        return digest(path.read_bytes())
    except OSError:
        return None


_code = sources()  # before most of it is imported
_seen: dict[tuple[str, ...], tuple[Values, Callable[[], Values]]] = {}  # a place and the keys that were read there
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
        _seen.setdefault((place, *seen), (seen, look))


def read(path: Path) -> bytes:
    """A file's content, which is remembered."""
    whole = path.read_bytes()
    remember(str(path), {"": digest(whole)}, lambda: {"": digest(path.read_bytes())})
    return whole


def forget(path: Path) -> None:
    """Let go of a file that was read, and that the stage itself removes."""
    _seen.pop((str(path), ""), None)


def check() -> None:
    """Raise UserError where what was read, within `watched`, is not what stands there now."""
    if _watching and (changed := next(changes(), None)):
        raise UserError(f"{changed} while this stage ran, so its results are not recorded: {MENDED}")


def changes() -> Iterator[str]:
    for (place, *_), (seen, look) in _seen.items():
        try:
            now = look()
        except (OSError, UserError):
            yield f"{place}: became unreadable"
            continue
        for key in {**seen, **now}:
            if seen.get(key) != now.get(key):
                yield f"{place}: {key} was {seen.get(key)} and became {now.get(key)}" if key else f"{place}: changed"
    for path in used():
        if content(path) != _code[path]:
            yield f"{path.relative_to(CODE.parent)}: changed"


def used() -> list[Path]:
    """The modules that this process has imported, and what is not Python beside them."""
    imported = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    folders = {path.parent for path in imported}
    return sorted(path for path in _code if path in imported or (path.suffix != ".py" and path.parent in folders))
