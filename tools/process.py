"""Git and DVC as tools start them: away from the variables of a calling Git, their own words in the error when they fail."""

import functools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stages.science.errors import UserError


@functools.cache
def environment() -> dict[str, str]:
    """This process's environment without what Git tells its hooks, aliases and `rebase --exec`: GIT_DIR, GIT_INDEX_FILE, ….

    With those set, `git` in another folder, and DVC there, would work on the caller's repository.
    """
    words = ["git", "rev-parse", "--local-env-vars"]
    local = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return {name: value for name, value in os.environ.items() if name not in local}


def run(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program there, whatever comes of it. Names that are no UTF-8 come as `os.fsdecode` gives them."""
    return subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
    )


def output(folder: Path, *words: str | Path) -> str:
    """What a program prints, stripped. Raises UserError with the program's own reason where it fails."""
    done = run(folder, *words)
    if done.returncode:
        raise UserError(f"expected `{said(words)}` to work, got {reason(done)}")
    return done.stdout.strip()


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Why a program failed, in one line of at most 300 characters: what it said last on standard error."""
    lines = [" ".join(line.split()) for line in done.stderr.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))), lines[-1] if lines else "")
    return told[:300] or f"status {done.returncode}"


def said(words: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in words)
