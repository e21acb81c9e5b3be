"""The edges of what runs: the smallest and the oddest experiments, numbers at the ends, machines that lack something."""

import json
import re
import subprocess
import sys

import pytest
from conftest import ARMED, ROOT, SYSTEMS, Clone

from stages import studies

SMALL = {f"{study}.data.trials": 1 for study in studies.NAMES}
SHORT = {"modular.train.steps": 20, "line.train.adam.epochs": 50, "descent.train.steps": 20}
EXTREMES = {
    "one of everything, no decay": {
        "wide.data.inputs": 1,
        "wide.data.train_rows": 1,
        "wide.data.val_rows": 1,
        "wide.train.batch_size": 50,
        "wide.train.lr": 0.001,
        "wd": 0,
        "line.wd": 0,
        "line.train.momentum": 0.5,
        "wide.train.momentum": 0.5,
        "modular.data.hidden": 1,
        "descent.data.inputs": 1,
        "descent.data.noise": 0,
        "equilibrium.wd": 0,
        "equilibrium.train.batch_size": 50,
        "equilibrium.train.momentum": 0.5,
        "equilibrium.data.inputs": 2,
        "equilibrium.data.rows": 1,
        "equilibrium.data.noise": 0,
    },
    "a million, stable": {
        "wd": 1e6,
        "wide.train.lr": 1e-7,
        "modular.train.lr": 1e-7,
        "line.wd": 1e6,
        "line.train.lr": 1e-7,
        "equilibrium.wd": 1e6,
        "equilibrium.train.lr": 1e-7,
        "modular.data.p": 2,
    },
}


def commands(study: str) -> list[str]:
    """All stages of a study."""
    trained = [f"stages.train {study} {arm}" for arm in SYSTEMS[study].arms]
    return [f"stages.generate {study}", *trained, *(f"stages.{verb} {study}" for verb in ("sweep", "evaluate", "plot"))]


@pytest.mark.slow
@pytest.mark.parametrize("case", EXTREMES)
def test_the_oddest_valid_experiments_run_through(case: str, reproduced: Clone) -> None:
    odd = list(studies.NAMES) if case.startswith("one") else ["line", "wide", "modular", "equilibrium"]
    try:
        for key, value in (SMALL | SHORT | EXTREMES[case]).items():
            if key.partition(".")[0] in (*odd, "wd"):
                reproduced.set(key, str(value))
        reproduced.stages(*(command for study in odd for command in commands(study)))
        armed = [study for study in ARMED if study in odd]
        explored = [study for study in odd if (ROOT / "stages" / "studies" / study / "explorer.py").exists()]
        reproduced.stages(f"stages.overview {' '.join(armed)}", f"stages.explorer {' '.join(explored)}", "stages.pages")
        for study in armed:
            rows = json.loads(reproduced.read(f"metrics/details/{study}.json"))
            assert rows["wd"]["trials"] == 1
            assert rows["wd"]["diverged"] == 0
            assert "val_loss_se" not in rows["wd"]  # one trial has no spread
    finally:
        reproduced.restore()


SILENT = [
    (">/dev/full", "standard output: expected to read or write it, got No space left on device; mend that and run again"),
    ("| true", "standard output: expected to read or write it, got Broken pipe; mend that and run again"),
]


@pytest.mark.parametrize(("redirection", "message"), SILENT)
def test_an_output_that_cannot_be_written_is_one_line(redirection: str, message: str, reproduced: Clone) -> None:
    said = reproduced.run(
        "bash", "-c", f"python -m stages.train wide baseline {redirection}; exit ${{PIPESTATUS[0]}}", check=False
    )
    assert (said.returncode, said.stderr) == (1, f"error: {message}\n")


def test_what_was_said_before_an_error_is_not_lost() -> None:
    """On a pipe, where Python keeps it back until the end."""
    code = """
from stages.base.errors import UserError
from stages.console.command import in_one_line
with in_one_line("x"):
    print("said")
    raise UserError("why")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "said\n", "error: x: why\n")


@pytest.mark.parametrize(
    ("environment", "limit", "message"),
    [
        *(
            (
                {"WEIGHT_DECAY_DEVICE": device},
                "unlimited",
                "WEIGHT_DECAY_DEVICE: expected cpu, cuda, or cuda:N for card N, got",
            )
            for device in ("meta", "hpu", "mps", "CPU", "\udcff")
        ),
        ({}, "500000", "expected at least 2 GiB of address space, got less: ulimit -v unlimited"),
    ],
    ids=["meta", "hpu", "mps", "CPU", "no UTF-8", "address space"],
)
def test_a_machine_that_cannot_train_is_one_line(
    environment: dict[str, str], limit: str, message: str, reproduced: Clone
) -> None:
    words = ["env", *(f"{name}={value}" for name, value in environment.items()), "bash", "-c"]
    said = reproduced.run(*words, f"ulimit -v {limit}; python -m stages.train wide wd", check=False)
    assert said.returncode == 1
    assert said.stderr.startswith(f"error: {message}")
    assert said.stderr.count("\n") == 1


@pytest.mark.slow
def test_memory_that_torch_does_not_get_is_one_line(reproduced: Clone) -> None:
    """A hundred thousand hidden units: the outputs of one layer alone are two thirds of a gigabyte."""
    try:
        reproduced.set("modular.data.hidden", "100000")
        reproduced.set("modular.data.p", "53")
        reproduced.set("modular.data.trials", "1")
        assert reproduced.stage("stages.generate", "modular").returncode == 0
        said = reproduced.run("bash", "-c", "ulimit -v 3000000; python -m stages.train modular wd", check=False)
        assert said.returncode == 1
        assert said.stderr.startswith("error: expected enough memory, got none left (")
        assert said.stderr.count("\n") == 1
    finally:
        reproduced.restore()


@pytest.mark.parametrize(
    ("key", "value", "rule", "zero"),
    [
        ("descent.data.weight_norm", "1.0e-50", "a number > 0", ""),
        ("line.adam_wd", "1.0e+308", "a number ≥ 0", " or 0"),
        ("wide.train.lr", "1.0e-300", "a number > 0", ""),
        ("line.data.slope", "-1.0e+31", "a number", " or 0"),
    ],
)
def test_numbers_at_the_ends_of_float64_are_refused(key: str, value: str, rule: str, zero: str, reproduced: Clone) -> None:
    try:
        reproduced.set(key, value)
        said = reproduced.stage("stages.check")
        assert said.returncode == 1
        assert re.fullmatch(rf"error: params\.yaml: {key}: expected {rule}, of size 1e-30 to 1e\+30{zero}, got .*\n", said.stderr)
    finally:
        reproduced.run("git", "checkout", "-q", ".")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1.0e-30", "1.0e+30"])
def test_numbers_within_them_run_through(size: str, reproduced: Clone) -> None:
    try:
        for key, value in (SMALL | SHORT | {"descent.data.trials": 3}).items():
            reproduced.set(key, str(value))
        for key in ("descent.data.weight_norm", "line.adam_wd", "wide.data.weight"):
            reproduced.set(key, size)
        if size == "1.0e-30":
            for key in ("wide.data.noise", "wide.data.start_std", "wide.data.intercept"):
                reproduced.set(key, size)
        reproduced.stages(*commands("line"), *commands("wide"), *commands("descent"))
        row = json.loads(reproduced.read("metrics/details/wide.json"))["wd"]
        assert row["val_loss"] > 0  # small, exact and not lost
        assert row["weight_norm"] > 0
    finally:
        reproduced.restore()
