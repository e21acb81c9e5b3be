"""Fixtures: the shipped params, small problems with known answers, throwaway clones of the working tree."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is there: tests share the cores, and threads wait for the slowest core

import contextlib
import csv
import fcntl
import functools
import importlib.util
import io
import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import yaml
from msgspec import structs

from stages import studies
from stages.base import params
from stages.base.params import Section
from stages.base.streams import Arrays, Streams
from stages.base.system import System
from stages.engine.job import Job
from stages.engine.train import train
from stages.engine.training import Training
from tools.process import environment
from tools.verify import neutral

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = environment()  # for Git in ROOT, which it may trust by a user's own configuration only
# For all that tests start: not on the repository whose hook calls pytest, without a user's hooks and caches, and not as a part
# of the `make` that calls it, which would announce the folders that it enters.
HERE = {
    name: value
    for name, value in neutral().items()
    if not name.startswith(("MAKE", "MFLAGS", "PYTEST_ADDOPTS", "PYTHONUNBUFFERED"))
}
ASKED = {name: value for name, value in os.environ.items() if name == "PYTEST_ADDOPTS"}
os.environ.clear()
os.environ.update(HERE | ASKED)
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C, and so would all it starts


CPU = torch.device("cpu")
SYSTEMS = {study: studies.part(study, System) for study in studies.NAMES}
TRAINING = {study: studies.part(study, Training) for study in studies.NAMES}
ARMED = [study for study, system in SYSTEMS.items() if system.arms]
SECTIONS = {study: system.section for study, system in SYSTEMS.items()}


def silent(label: str, steps: int, **_: int) -> contextlib.AbstractContextManager:
    """Progress that shows nothing."""
    return contextlib.nullcontext(lambda *_: None)


fit = functools.partial(train, progress=silent)  # what a stage hands to a study's `sweep`


def contents(study: str, section: Any) -> list[bytes]:
    """What stands in the files that a study reads."""
    return [(ROOT / getattr(section.data, key)).read_bytes() for key in SYSTEMS[study].files]


def draw(study: str, section: Section, seed: int = 0) -> Arrays:
    """A study's data, as `generate` writes it."""
    return SYSTEMS[study].draw(section, Streams(seed, SYSTEMS[study].key), *contents(study, section))


def at(settings: Any, key: str) -> Any:
    """The value at a dotted key: `at(settings, "line.wd")`."""
    return functools.reduce(getattr, key.split("."), settings)


def changed(settings: Any, values: Mapping[str, Any]) -> Any:
    """A copy of settings, or of a section, with other values at dotted keys: `changed(settings, {"wide.data.trials": 2})`."""
    for key, value in values.items():
        first, _, rest = key.partition(".")
        new = changed(getattr(settings, first), {rest: value}) if rest else value
        settings = structs.replace(settings, **{first: new})
    return settings


def decays_of(study: str, arm: str, settings: Any) -> dict[str, float]:
    """The λ of an arm, by the names of the arguments of the study's `jobs`."""
    section = at(settings, study)
    keys = SYSTEMS[study].arms[arm].weight_decays.items()
    return {name: getattr(section if hasattr(section, key) else settings, key) for name, key in keys}


def jobs_of(study: str, settings: Any, arrays: Arrays, device: torch.device = CPU) -> dict[str, Job]:
    """The job of every row of a study's arms."""
    found: dict[str, Job] = {}
    for arm, known in SYSTEMS[study].arms.items():
        jobs = TRAINING[study].jobs(at(settings, study), arrays, device, **decays_of(study, arm, settings))
        found |= {row: jobs[row.removeprefix(arm)] for row in known.rows}
    return found


def metrics(name: str) -> dict[str, Any]:
    """What metrics/details/<name>.json holds, as committed."""
    return json.loads((ROOT / "metrics" / "details" / f"{name}.json").read_text(encoding="utf-8"))


def table(name: str) -> list[dict[str, Any]]:
    """What metrics/<name>.csv holds, as committed; None where a cell is empty."""

    def parsed(key: str, text: str) -> Any:
        return text if key in ("run", "phase") else float(text) if text else None

    with (ROOT / "metrics" / f"{name}.csv").open(encoding="utf-8") as file:
        return [{key: parsed(key, text) for key, text in row.items()} for row in csv.DictReader(file)]


COMMITTED = params.read_all(SECTIONS, path=ROOT / "params.yaml")


@pytest.fixture(scope="session")
def settings() -> Any:
    """params.yaml as it is committed, by attributes: `settings.wide.train.lr`."""
    return COMMITTED


def speaks_of(key: str, decay: float) -> pytest.MarkDecorator:
    """Mark a test of what is published, answered or written of one λ. It is left out where another is committed."""
    return pytest.mark.skipif(at(COMMITTED, key) != decay, reason=f"of what is known of {key} = {decay:g} alone")


@pytest.fixture(scope="session")
def line_arrays(settings: Any) -> Arrays:
    return draw("line", settings.line)


@pytest.fixture(scope="session")
def wide_arrays(settings: Any) -> Arrays:
    return draw("wide", settings.wide)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


EXTRAS = {"browser", "server", "ray"}  # fixtures of what `make extras` installs


def pytest_configure(config: pytest.Config) -> None:
    """Drop PYTEST_ADDOPTS, but where it is for the workers that are to start: they read the names of files from it."""
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        os.environ.pop("PYTEST_ADDOPTS", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if EXTRAS & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", ()))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"left out: {count} test{'s' * (count > 1)}, {reason}")
    if terminalreporter.config.option.markexpr == "not slow":
        terminalreporter.write_line("left out: what takes minutes: make extras && PYTEST_ADDOPTS='-m slow' make test")


@pytest.fixture(scope="session")
def ray() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("no Ray here: make extras installs it")


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
        (self.path / ".venv" / ".ready").write_text(f"{self.path.resolve()}\n", encoding="utf-8")

    def run(
        self, *command: str, check: bool = True, timeout: float = 900, **environment: str
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

    def stages(self, *commands: str) -> None:
        """Run stages one after the other, without DVC."""
        for command in commands:
            done = self.stage(*command.split())
            assert done.returncode == 0, f"{command}: {done.stderr}"

    def stage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a stage's module here, whatever comes of it: in this process, as importing torch is most of what a small one costs.

        So the code is that of the tests, whatever stands in the clone.
        """
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        status: Any = 0
        with contextlib.ExitStack() as stack:
            for each in (
                contextlib.chdir(self.path),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                mock.patch.object(sys, "argv", [f"{words[0].replace('.', '/')}.py", *words[1:]]),
                mock.patch("os.dup2"),  # of the streams of this process
                warnings.catch_warnings(),
            ):
                stack.enter_context(each)
            warnings.simplefilter("ignore")
            try:
                runpy.run_module(words[0], run_name="__main__")
            except SystemExit as ended:
                status = ended.code
        said = [each.buffer.getvalue().decode() for each in (out, err)]
        return subprocess.CompletedProcess(words, status, *said)

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def set(self, key: str, value: object) -> None:
        """Replace a value of params.yaml in place, a list too, by its dotted key."""
        lines, depth, names = self.read("params.yaml").splitlines(), 0, key.split(".")
        for number, text in enumerate(lines):
            if text.startswith("  " * depth + names[depth] + ":"):
                if depth == len(names) - 1:
                    indent = "  " * depth
                    items = [f"{indent}- {item}" for item in value] if isinstance(value, list) else []
                    comment = "" if items else re.sub(r"^[^#]*?(?=\s*#|$)", "", text, count=1)
                    lines[number] = f"{indent}{names[depth]}:{'' if items else f' {value}'}{comment}"
                    while lines[number + 1 :] and lines[number + 1].lstrip().startswith("- "):
                        del lines[number + 1]
                    lines[number + 1 : number + 1] = items
                    break
                depth += 1
        else:
            raise KeyError(key)
        (self.path / "params.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def restore(self) -> None:
        """What Git and DVC know of the last commit, put back; what they do not know, gone."""
        self.run("git", "checkout", "-q", ".")
        self.run("git", "clean", "-qfd", "data", "metrics", "plots")
        self.run("dvc", "checkout", "--force")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


TINY = {  # every study, so small that a stage takes no longer than its imports; with the λ that ship, whichever are committed
    "baseline": 0,
    "wd": 3,
    "line.wd": 0.01,
    "line.adam_wd": 0.0001,
    "relatives.wd": 0.2,
    "equilibrium.wd": 0.1,
    "optimizers.wd": 5,
    "digits.wd": 0.001,
    "digits.network_wd": 1,
    "line.data.trials": 2,
    "line.train.adam.epochs": 100,
    "wide.data.trials": 4,
    "wide.sweep.epochs": [1, 12],
    "modular.data.trials": 1,
    "modular.data.p": 7,
    "modular.train.steps": 20,
    "modular.sweep.wd": [0, 1, 3],
    "modular.sweep.shares.trials": 1,
    "modular.sweep.shares.train_fraction": [0.5],
    "modular.data.hidden": 16,
    "equilibrium.data.trials": 2,
    "equilibrium.train.epochs": 2,
    "descent.data.trials": 3,
    "descent.train.steps": 100,
    "descent.data.rows": [5, 10, 20],
    "descent.data.inputs": 10,
    "relatives.data.trials": 2,
    "relatives.train.steps": 20,
    "relatives.sweep.wd": [0, 0.2, 1],
    "relatives.sweep.dropout": [0.25],
    "relatives.sweep.dropout_steps": 4,
    "relatives.data.train_rows": 12,
    "relatives.data.val_rows": 10,
    "relatives.data.inputs": 6,
    "relatives.data.nonzeros": 2,
    "relatives.data.masks": 2,
    "optimizers.data.trials": 2,
    "optimizers.train.steps": 20,
    "optimizers.sweep.wd": [0, 1, 10],
    "optimizers.sweep.lr": [0.01, 0.02],
    "optimizers.sweep.batches.size": [1, 20],
    "optimizers.sweep.batches.steps": 40,
    "optimizers.data.inputs": 5,
    "optimizers.data.rows": 20,
    "optimizers.data.val_rows": 10,
    "phase.data.trials": 1,
    "phase.data.p": 5,
    "phase.train.steps": 10,
    "phase.sweep.wd": [0, 1],
    "phase.sweep.train_fraction": [0.5, 0.8],
    "phase.data.hidden": 8,
    "digits.data.trials": 2,
    "digits.train.steps": 20,
    "digits.train.network.steps": 20,
    "digits.sweep.wd": [0, 0.001, 0.01],
    "digits.sweep.network_wd": [0, 1],
    "digits.data.hidden": 8,
    "scaling.data.trials": 2,
    "scaling.data.rows": [12, 24],
    "scaling.data.inputs": 4,
    "scaling.sweep.wd": [0, 0.1, 1],
    "scaling.sweep.batch_size": [4, 6],
    "scaling.train.epochs": 2,
    "layers.data.trials": 2,
    "layers.data.rows": 6,
    "layers.data.columns": 5,
    "layers.data.rank": 2,
    "layers.sweep.wd": [0, 1, 3],
    "layers.train.steps": 30,
    "table.data.trials": 3,
    "table.train.steps": 100,
    "table.sweep.wd": [0, 0.1, 3],
    "table.sweep.rows": [0.2],
}


def commands(clone: Clone, stage: str) -> list[str]:
    """What a stage of dvc.yaml runs, as `Clone.stages` takes it."""
    listed = yaml.safe_load(clone.read("dvc.yaml"))["stages"][stage]["cmd"]
    return [each.replace("sh stages/run ", "stages.") for each in ([listed] if isinstance(listed, str) else listed)]


def tiny(path: Path) -> Clone:
    """A clone with `TINY` params, all its stages run in this process, and committed as DVC would after `dvc repro`."""
    path.mkdir()
    made = Clone(path)
    for key, value in TINY.items():
        made.set(key, value)
    for study, system in SYSTEMS.items():
        arms = [f"stages.train {study} {arm}" for arm in system.arms]
        made.stages(f"stages.generate {study}", *arms, *(f"stages.{verb} {study}" for verb in ("sweep", "evaluate", "plot")))
    made.stages(*(command for stage in ("overview", "explorer") for command in commands(made, stage)))
    made.run("dvc", "commit", "--force", "--quiet", timeout=1200)
    made.run("git", "commit", "-qam", "tiny")
    assert made.run("git", "status", "--porcelain").stdout == ""
    return made


@pytest.fixture(scope="session")
def reproduced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with `TINY` params, reproduced; a test that changes it must put it back.

    The shipped params prove nothing more about DVC, stages and errors; `make verify` runs them. Of several workers the first
    reproduces, and each has a copy.
    """
    own = tmp_path_factory.mktemp("reproduced") / "clone"
    if not hasattr(request.config, "workerinput"):
        return tiny(own)
    shared = tmp_path_factory.getbasetemp().parent / "reproduced"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            tiny(own).path.rename(shared)
    shutil.copytree(shared, own, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    copied = Clone.at(own)
    copied.run(
        "git", "update-index", "-q", "--refresh"
    )  # or Git writes all files anew, and make installs a newer requirements.txt
    return copied
