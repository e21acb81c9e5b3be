"""The one exception that a user is meant to read."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: one line saying what was expected, what came, and where."""


def meant(word: str, known: Iterable[str]) -> str:
    """A word that is none of those known, with the one that looks like it: `'lrr'; did you mean 'lr'?`."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"{word!r}" + (f"; did you mean {close[0]!r}?" if close else "")
