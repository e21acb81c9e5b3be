"""What a stage has read is what stands there when it writes: params, data and code, edited while it runs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Clone

from stages.base import inputs
from stages.base.errors import UserError

MENDED = "`dvc repro` computes them from what stands there now, `make reset` restores the committed ones"


@pytest.fixture
def long(reproduced: Clone) -> Iterator[Clone]:
    """A clone in which an arm of `line` trains for seconds."""
    reproduced.set(f"{ADAM}.epochs", "20000")
    yield reproduced
    reproduced.restore()


def edited_while_it_trains(clone: Clone, name: str, old: str, new: str) -> subprocess.Popen[str]:
    """`dvc repro train@line-wd`; when the stage says that it trains, a file is edited."""
    process = subprocess.Popen(
        ["dvc", "repro", "--single-item", "train@line-wd"],
        cwd=clone.path,
        env=os.environ | {"PATH": f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("line, wd_adam: lr ="):
            break
    path = clone.path / name
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    return process


ADAM = "line.optimizers.adam"
OWN = f"params.yaml: {ADAM}"
EDITS = {
    "params": ("params.yaml", "  wd: 0.01 ", "  wd: 0.05 ", "params.yaml: line.wd was 0.01 and became 0.05"),
    "params of Adam": (
        "params.yaml",
        "  beta1: 0.9 ",
        "  beta1: 0.8 ",
        f"{OWN}.beta1 was 0.9 and became 0.8",
    ),
    "data": ("data/line.npz", "PK\3\4", "PK\3\5", "data/line.npz: changed"),
    "code": ("stages/engine/losses.py", '"""', '"""A comment. ', "stages/engine/losses.py: changed"),
}


@pytest.mark.pipeline
@pytest.mark.parametrize("what", EDITS)
def test_what_is_edited_while_a_stage_trains_ends_it_in_one_line(what: str, long: Clone) -> None:
    name, old, new, told = EDITS[what]
    lock = long.read("dvc.lock")
    kept = sorted((long.path / ".dvc" / "cache" / "runs").rglob("*"))
    process = edited_while_it_trains(long, name, old, new)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert [line for line in said.splitlines() if line.startswith("error: ")] == [
        f"error: {told} while this stage ran, so its results are not recorded: {MENDED}"
    ]
    assert "Traceback" not in said
    assert not (long.path / "data" / "line" / "wd.npz").exists()
    assert long.read("dvc.lock") == lock
    assert sorted((long.path / ".dvc" / "cache" / "runs").rglob("*")) == kept
    long.run("make", "reset")
    assert long.run("dvc", "repro", "train@line-wd").returncode == 0


@pytest.mark.pipeline
def test_what_no_result_comes_from_may_be_edited(long: Clone) -> None:
    """The progress bar, and the params of another study."""
    process = edited_while_it_trains(long, "stages/console/progress.py", '"""', '"""A comment. ')
    path = long.path / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("  lr: 0.25 ", "  lr: 0.2 "), encoding="utf-8")
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert (long.path / "data" / "line" / "wd.npz").exists()


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("key", "value", "row", "was", "now"),
    [
        ("line.wd", "0.05", "wd", "λ = 0.05, lr = 0.1, epochs = 10", "λ = 0.01, lr = 0.1, epochs = 10"),
        ("line.lr", "0.05", "baseline", "λ = 0, lr = 0.05, epochs = 10", "λ = 0, lr = 0.1, epochs = 10"),
        (
            f"{ADAM}.epochs",
            "200",
            "baseline_adam",
            "λ = 0, lr = 0.001, epochs = 200",
            "λ = 0, lr = 0.001, epochs = 100",
        ),
    ],
)
def test_evaluate_refuses_an_arm_that_was_trained_otherwise(
    key: str, value: str, row: str, was: str, now: str, reproduced: Clone
) -> None:
    arm = row.removesuffix("_adam")
    try:
        reproduced.set(key, value)
        said = reproduced.stage("stages.evaluate", "line")
        expected = f"data/line/{arm}.npz: expected {row} with {was}, as in params.yaml"
        assert said.stderr == f"error: {expected}, got {now}: dvc repro train@line-{arm}\n"
        assert said.returncode == 1
    finally:
        reproduced.restore()


def test_only_what_is_read_within_is_watched(tmp_path: Path) -> None:
    before, within = tmp_path / "before", tmp_path / "within"
    for path in (before, within):
        path.write_bytes(b"1")
    inputs.read(before)
    with inputs.watched():
        inputs.read(within)
        before.write_bytes(b"2")
        inputs.check()
        within.write_bytes(b"2")
        with pytest.raises(UserError, match=r"within: changed while this stage ran, so its results are not recorded: "):
            inputs.check()
        within.write_bytes(b"1")
    inputs.check()


def test_a_change_after_the_last_file_is_written_is_seen_too(tmp_path: Path) -> None:
    path = tmp_path / "read"
    path.write_bytes(b"1")
    with pytest.raises(UserError, match=r"read: became unreadable while this stage ran"), inputs.watched():  # noqa: PT012
        inputs.read(path)
        path.unlink()
