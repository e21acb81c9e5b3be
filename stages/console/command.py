"""What every command line here shares, a stage's and a tool's: its words are checked, and a mistake is one line."""

import contextlib
import errno
import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from stages.base import inputs
from stages.base.errors import UserError, meant
from stages.base.orphans import end_with

WRITING = (errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG, errno.EDQUOT)


def run(main: Callable[..., None], *choices: Sequence[str] | None, several: bool = False) -> None:
    """Call a stage's `main` with the words of the command line.

    There must be a word for each of the choices, and it must be among them; where the choices are None, any word will do.
    If `several`, there must be at least one word, all from the first choices.
    """
    if "DVC_STAGE" in os.environ:
        end_with(int(os.environ.get("STARTED_BY", os.getppid())))
    name = f"python -m stages.{sys.argv[0].rpartition('/')[2].removesuffix('.py')}"
    with in_one_line():
        words = sys.argv[1:]
        if several and words:
            choices = (choices[0],) * len(words)
        if len(words) != len(choices):
            wanted = " ".join([name, *(each.upper() for each in inspect.signature(main).parameters)]) + " …" * several
            raise UserError(f"expected {wanted}, got {' '.join([name, *words])}")
        for word, allowed in zip(words, choices, strict=True):
            if allowed is not None and word not in allowed:
                raise UserError(f"{name}: expected one of {', '.join(allowed)}, got {meant(word, allowed)}")
        with inputs.watched():
            main(*words)
    gc.freeze()  # or Python searches all of torch for garbage before it ends: a third of a second


@contextlib.contextmanager
def in_one_line(name: str = "") -> Iterator[None]:
    """Turn every error that a user can mend into one line on standard error, `error: <name>: …`, and exit status 1.

    Such errors are a UserError, an OSError (a file, standard output or a program cannot be used) and a MemoryError.
    Ctrl-C exits with status 130 and says nothing. Any other exception is a defect, and keeps its traceback.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):  # a closed one is None
        stream.reconfigure(errors="backslashreplace")  # λ on a terminal that has none
    try:
        yield
        if sys.stdout:
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
    line = "error: " + (f"{name}: " if name else "") + " ".join(told.splitlines()) + "\n" if told else ""
    for number, stream, last in ((1, sys.stdout, ""), (2, sys.stderr, line)):  # what was said before the error comes first
        try:
            if stream:
                stream.write(last)
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # or Python complains at its end of what could not be flushed
    sys.exit(status)


def _place(error: OSError) -> str:
    """The file or program that an error names; a failed write that names none was to standard output."""
    if isinstance(error.filename, (str, bytes, os.PathLike)):
        return f"{os.fsdecode(error.filename)}: "
    return "standard output: " if error.errno in WRITING else ""
