"""What every stage's command line shares: its arguments checked, a user's mistake in one line, Ctrl-C at once."""

import gc
import sys
from collections.abc import Callable, Sequence

from stages.science.errors import UserError


def run(main: Callable[..., None], *choices: Sequence[str]) -> None:
    """Call `main` with the command line's words, each of which must be among its choices. Exits 1 on a UserError."""
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
        gc.freeze()  # or Python searches all of torch for garbage before it ends: a third of a second
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
