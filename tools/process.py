"""Git and DVC as tools start them: away from the variables of a calling Git, their own words in the error when they fail."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from stages.base.errors import UserError
from stages.console.provenance import environment

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
