"""What ran where: one line of JSON a stage run, in build/provenance.jsonl. Nothing reads it, and no result depends on it."""

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

FILE = Path("build", "provenance.jsonl")
PACKAGES = ("dvc", "matplotlib", "numpy", "scikit-learn", "torch")


def record(words: Sequence[str], seconds: float) -> None:
    """Append a line; where that cannot be written the stage is none the worse."""
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
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _device() -> str | None:
    """The device that training took; None for a stage that does not train."""
    training = sys.modules.get("stages.science.training")
    if training is None:
        return None
    device = training.device()
    return training.torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
