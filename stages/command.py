"""What every command line here shares, a stage's and a tool's: a mistake in one line, Ctrl-C at once, its words checked."""

import contextlib
import errno
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from stages import provenance
from stages.science.errors import UserError

WRITING = (errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG, errno.EDQUOT)


def run(main: Callable[..., None], *choices: Sequence[str]) -> None:
    """Call a stage's `main` with the command line's words, each of which must be among its choices."""
    started = time.monotonic()
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    name = f"python -m stages.{sys.argv[0].rpartition('/')[2].removesuffix('.py')}"
    with in_one_line():
        words = sys.argv[1:]
        if len(words) != len(choices):
            raise UserError(f"{name}: expected {len(choices)} word(s), got {len(words)}")
        for word, allowed in zip(words, choices, strict=True):
            if word not in allowed:
                raise UserError(f"{name}: expected one of {', '.join(allowed)}, got {word!r}")
        main(*words)
        provenance.record([name, *words], time.monotonic() - started)
    gc.freeze()  # or Python searches all of torch for garbage before it ends: a third of a second


@contextlib.contextmanager
def in_one_line(name: str = "") -> Iterator[None]:
    """End with status 1 and one line on standard error, `error: <name>: …`, at whatever a user can mend: a UserError, what
    the operating system refuses (a file, standard output, a program that is not there), memory that ran out. Ctrl-C is 130.
    """
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # λ on a terminal that has none
    try:
        yield
        sys.stdout.flush()
        return
    except KeyboardInterrupt:
        status, told = 130, ""
    except UserError as error:
        status, told = 1, str(error)
    except MemoryError as error:
        status, told = 1, f"expected enough memory, got none left{f' ({error})' if str(error) else ''}"
    except OSError as error:
        status, told = 1, f"{_place(error)}expected to read or write it, got {error.strerror or error}; mend that and run again"
    dead = [1]  # or Python complains at its end of what could not be flushed
    try:
        if told:
            print("error: " + (f"{name}: " if name else "") + " ".join(told.splitlines()), file=sys.stderr, flush=True)
    except OSError:
        dead.append(2)
    for number in dead:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    sys.exit(status)


def _place(error: OSError) -> str:
    """The file or program that an error is about; one that names none, of writing, is about standard output."""
    if isinstance(error.filename, (str, bytes, os.PathLike)):
        return f"{os.fsdecode(error.filename)}: "
    return "standard output: " if error.errno in WRITING else ""


def _open_what_is_closed() -> None:
    """Give closed standard streams a descriptor that refuses to be used, or the next file that is opened takes their place."""
    for name, mode, wrong in (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_RDONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, wrong), mode, encoding="utf-8"))  # noqa: SIM115


def _end_with(parent: int) -> None:
    """Exit if DVC dies, so that no orphan writes outputs that nobody tracks."""
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)
