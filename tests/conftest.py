"""Fixtures: the shipped params, small problems with known answers, throwaway clones of the working tree."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stages.provenance import environment
from stages.science import data, params
from stages.science.params import Params
from tools.verify import neutral

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = environment()  # for Git in ROOT, which it may trust by a user's own configuration only
# For all that tests start: not on the repository whose hook calls pytest, without a user's hooks and caches, and not as a part
# of the `make` that calls it, which would announce the folders that it enters.
HERE = {name: value for name, value in neutral().items() if not name.startswith(("MAKE", "MFLAGS"))}
os.environ.clear()
os.environ.update(HERE)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C, and so would all it starts


@pytest.fixture(scope="session")
def settings() -> Params:
    return params.load(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def line_arrays(settings: Params) -> dict[str, NDArray]:
    return data.line(settings.line, settings.seed)


@pytest.fixture(scope="session")
def wide_arrays(settings: Params) -> dict[str, NDArray]:
    return data.wide(settings.wide, settings.seed)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(request.param)


class Clone:
    """A throwaway copy of the working tree, under Git, with nothing trained, nothing cached and no environment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(words, cwd=ROOT, env=OUTSIDE, capture_output=True, check=True)
        for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
            if (ROOT / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, path / name)
        self.environment()
        for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
            self.run("git", *command)

    @classmethod
    def at(cls, path: Path) -> "Clone":
        """A clone that Git has made, of another clone."""
        clone = object.__new__(cls)
        clone.path = path
        clone.environment()
        return clone

    def environment(self) -> None:
        """Give it this interpreter's virtual environment, by another name."""
        (self.path / ".venv").mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (self.path / ".venv" / name).symlink_to(Path(sys.prefix, name))
        (self.path / ".venv" / ".ready").touch()

    def run(
        self, *command: str, check: bool = True, timeout: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here with this interpreter's `python` and `dvc` first on the path."""
        identity = {f"GIT_{who}_{what}": "test@example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            command,
            cwd=self.path,
            env=os.environ | identity | {"PATH": path} | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or result.returncode == 0, f"{command} exited {result.returncode}:\n{result.stdout}\n{result.stderr}"
        return result

    def stage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a stage's module as DVC would, whatever comes of it."""
        return self.run(sys.executable, "-m", *words, check=False)

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def set(self, key: str, value: str) -> None:
        """Replace a value of params.yaml in place, by its dotted key."""
        lines, depth, names = self.read("params.yaml").splitlines(), 0, key.split(".")
        for number, text in enumerate(lines):
            if text.startswith("  " * depth + names[depth] + ":"):
                if depth == len(names) - 1:
                    lines[number] = f"{'  ' * depth}{names[depth]}: {value}"
                    break
                depth += 1
        else:
            raise KeyError(key)
        (self.path / "params.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone after its first `dvc repro`, with one thread; a test that changes it must put it back.

    What Git already has, sweeps and figures, is not made again: `make verify` does that.
    """
    made = Clone(tmp_path_factory.mktemp("reproduced"))
    made.run("dvc", "repro", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    return made
