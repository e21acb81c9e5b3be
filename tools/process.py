"""Git and DVC as tools start them: away from the variables of a calling Git, their own words in the error when they fail."""

import functools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stages.base.errors import UserError

Words = str | Path


def run(folder: Path, *words: Words, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program there, whatever comes of it. Names that are no UTF-8 come as `os.fsdecode` gives them."""
    done = _run(folder, words, env)
    told = [each.decode("utf-8", errors="surrogateescape") for each in (done.stdout, done.stderr)]
    return subprocess.CompletedProcess(done.args, done.returncode, *told)


def output(folder: Path, *words: Words, env: Mapping[str, str] | None = None) -> str:
    """What a program prints, stripped. Raises UserError with the program's own reason where it fails."""
    return content(folder, *words, env=env).decode("utf-8", errors="surrogateescape").strip()


def content(folder: Path, *words: Words, env: Mapping[str, str] | None = None) -> bytes:
    """What a program prints, byte for byte. Raises UserError with the program's own reason where it fails."""
    done = _run(folder, words, env)
    if done.returncode:
        raise UserError(f"expected `{' '.join(str(word) for word in words)}` to work, got {reason(done)}")
    return done.stdout


def reason(done: subprocess.CompletedProcess) -> str:
    """Why a program failed, in one line of at most 300 characters: its error, or what it said last."""
    told = done.stderr.decode("utf-8", errors="replace") if isinstance(done.stderr, bytes) else done.stderr
    lines = [" ".join(line.split()) for line in told.splitlines() if line.strip()]
    named = [line for line in lines if line.lower().startswith(("fatal:", "error:"))]
    return (named or lines[-1:] or [f"status {done.returncode}"])[0][:300]


def _run(folder: Path, words: tuple[Words, ...], env: Mapping[str, str] | None) -> subprocess.CompletedProcess[bytes]:
    known = environment() if env is None else env
    english = {**known, "LANGUAGE": "en"}  # what `reason` looks for is translated elsewhere
    return subprocess.run(words, cwd=folder, env=english, capture_output=True, check=False)


def environment() -> dict[str, str]:
    """This process's environment without the variables that tie Git to one repository: GIT_DIR, GIT_INDEX_FILE, ….

    Git sets them for its hooks, aliases and `rebase --exec`. With them, `git` and DVC in another folder would work on the
    repository of that Git.
    """
    return {name: value for name, value in os.environ.items() if name not in _local()}


@functools.cache
def _local() -> list[str]:
    """The names of those variables, as Git lists them. It is asked without any configuration, which might be broken."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    bare = others | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "rev-parse", "--local-env-vars"], cwd=os.sep, env=bare, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"expected `git` to work, got {' '.join(done.stderr.split())[:300] or f'status {done.returncode}'}")
    return done.stdout.split()
