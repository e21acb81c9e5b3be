"""What every stage's command line shares: its arguments checked, a user's mistake in one line, Ctrl-C at once."""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from stages import provenance
from stages.science.errors import UserError


def run(main: Callable[..., None], *choices: Sequence[str]) -> None:
    """Call `main` with the command line's words, each of which must be among its choices. Exits 1 on a UserError."""
    started = time.monotonic()
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # λ on a terminal that has none
    name = f"python -m stages.{sys.argv[0].rpartition('/')[2].removesuffix('.py')}"
    try:
        words = sys.argv[1:]
        if len(words) != len(choices):
            raise UserError(f"{name}: expected {len(choices)} word(s), got {len(words)}")
        for word, allowed in zip(words, choices, strict=True):
            if word not in allowed:
                raise UserError(f"{name}: expected one of {', '.join(allowed)}, got {word!r}")
        main(*words)
        provenance.record([name, *words], time.monotonic() - started)
        gc.freeze()  # or Python searches all of torch for garbage before it ends: a third of a second
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with(parent: int) -> None:
    """End when DVC does, were it killed: nobody would know of what an orphan goes on to write."""
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)
