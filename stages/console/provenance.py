"""What ran where: one line of JSON a stage run, in build/provenance.jsonl. Nothing reads it, and no result depends on it."""

import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from stages.base.errors import UserError

FILE = Path("build", "provenance.jsonl")
PACKAGES = ("dvc", "matplotlib", "msgspec", "numpy", "torch")


def record(words: Sequence[str], seconds: float) -> None:
    """Append a line. A stage does not fail where the line cannot be written."""
    line: dict[str, Any] = {
        "stage": " ".join(words),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "commit": _commit(),
        "params": hashlib.sha256(Path("params.yaml").read_bytes()).hexdigest() if Path("params.yaml").is_file() else None,
        "device": _device(),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    line |= {name: metadata.version(name) for name in PACKAGES}
    try:
        FILE.parent.mkdir(exist_ok=True)
        with FILE.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError:
        pass


def _commit() -> str | None:
    """HEAD, with a + where tracked files differ from it; None outside a repository."""
    try:
        words = ["git", "--no-optional-locks", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
        return subprocess.run(words, env=environment(), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, UserError, subprocess.CalledProcessError):
        return None


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


def _device() -> str | None:
    """The device that training took; None for a stage that does not train."""
    engine = sys.modules.get("stages.engine.machine")
    if engine is None:
        return None
    device = engine.device()
    return engine.torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
