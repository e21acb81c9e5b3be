"""The DAG, in throwaway clones: what it tracks, what a change re-runs, what it does again."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from conftest import ARMED, Clone


def ran(result: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", result.stdout))


def test_a_second_repro_does_nothing(reproduced: Clone) -> None:
    assert ran(reproduced.run("dvc", "repro")) == set()
    assert reproduced.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


@pytest.mark.slow
def test_a_change_of_lambda_reruns_the_treated_arms_and_what_follows(reproduced: Clone) -> None:
    try:
        assert ran(reproduced.run("dvc", "exp", "run", "-S", "wd=0.7")) == {  # a λ that no other test has put into the run cache
            "check",
            "train-wd@wide",
            "train-wd@modular",
            "evaluate@wide",
            "evaluate@modular",
            "plot@wide",
            "plot@modular",
            "overview",
        }
        diff = json.loads(reproduced.run("dvc", "metrics", "diff", "--json").stdout)
        assert set(diff) == {"metrics/wide.json", "metrics/modular.json"}
        assert all(name.startswith("wd.") for changes in diff.values() for name in changes)
        assert json.loads(reproduced.read("metrics/details/wide.json"))["wd"]["weight_decay"] == 0.7
        assert reproduced.run("git", "diff", "--stat", "params.yaml").stdout.count("1 insertion(+), 1 deletion(-)") == 1
        back = ran(reproduced.run("dvc", "exp", "run", "-S", "wd=3"))
        assert not any(name.startswith(("generate", "train", "sweep")) for name in back)  # from the run cache
        assert reproduced.run("git", "status", "--porcelain").stdout == ""
    finally:
        reproduced.run("git", "checkout", "-q", ".")
        reproduced.run("dvc", "checkout")


OF_TABLE = {"generate@table", "sweep@table", "evaluate-grid@table", "plot-grid@table", "explorer"}


@pytest.mark.slow
def test_a_table_of_ones_own_is_tracked_like_code(reproduced: Clone) -> None:
    """Another file, an edit of it and its removal: each is seen, and the report says what has changed."""
    mine = reproduced.path / "mine.csv"
    rows = [f"{row % 7},{'ab'[row % 2]},{(row * row) % 11}" for row in range(40)]
    mine.write_text("\n".join(["size,kind,price", *rows]) + "\n", encoding="utf-8")
    words = ("-S", "table.data.file=mine.csv", "-S", "table.data.target=price")
    try:
        reproduced.run("git", "add", "mine.csv")
        first = reproduced.run("dvc", "exp", "run", *words)
        assert ran(first) == {"check", "overview"} | OF_TABLE
        assert "table: With 24 training rows tuned λ " in first.stdout
        reproduced.run("git", "add", "-A")
        reproduced.run("git", "commit", "-qm", "mine")
        mine.write_text(mine.read_text(encoding="utf-8").replace("0,a,0", "0,a,7", 1), encoding="utf-8")
        assert ran(reproduced.run("dvc", "repro")) == {"overview"} | OF_TABLE
        said = reproduced.run(sys.executable, "-m", "tools.report", "HEAD").stdout
        assert re.search(r"^\| `mine\.csv` \| \d+ bytes, `\w{7}…` \| \d+ bytes, `\w{7}…` \|$", said, re.MULTILINE), said
        assert "`table`" in said
        mine.unlink()
        gone = reproduced.run("dvc", "repro", "generate@table", check=False)
        assert gone.returncode != 0
        assert "mine.csv" in gone.stderr
        assert "Traceback" not in gone.stderr
    finally:
        reproduced.run("git", "reset", "-q", "--hard", "HEAD~1")
        reproduced.restore()


@pytest.mark.slow
def test_lines_own_lambda_reruns_one_arm_and_make_reset_leaves_nothing(reproduced: Clone) -> None:
    try:
        done = ran(reproduced.run("dvc", "exp", "run", "-S", "line.wd=0.02"))
        assert done == {"check", "train-wd@line", "evaluate@line", "plot@line", "overview"}
        assert "λ = 0.02" in reproduced.read("README.md")
        assert reproduced.run("git", "diff", "--numstat", "params.yaml").stdout.split() == ["1", "1", "params.yaml"]
        reproduced.run("make", "reset")
        assert reproduced.run("git", "status", "--porcelain").stdout == ""
        assert ran(reproduced.run("dvc", "repro")) == set()
    finally:
        reproduced.restore()


BY_PART = {  # a key of each part → the stages that read it
    ("line.data.slope", 3): {"generate", "evaluate", "explorer"},
    ("line.train.adam.eps", 1e-7): {"train-baseline", "train-wd", "sweep", "evaluate", "explorer"},
    ("line.sweep.wd", (0, 1)): {"sweep", "evaluate", "explorer"},
    ("modular.report.threshold", 0.9): {"evaluate", "explorer"},
    ("phase.report.late", 2): {"evaluate-grid", "explorer"},
    ("baseline", 0.5): {"train-baseline", "evaluate"},
    ("line.adam_wd", 0.0002): {"train-wd", "evaluate"},  # a row of that arm
}


@pytest.mark.parametrize(("key", "value"), BY_PART)
def test_a_part_is_read_by_the_stages_of_its_name_and_the_later_ones(key: str, value: object, reproduced: Clone) -> None:
    """As DVC would run them. A study's part runs no other study."""
    reads, of = BY_PART[key, value], [key.partition(".")[0]] if "." in key else ARMED
    addresses = {f"{kind}@{study}" for study in of for kind in reads - {"explorer"}} | reads & {"explorer"} | {"check"}
    try:
        reproduced.set(key, list(value) if isinstance(value, tuple) else value)
        assert ran(reproduced.run("dvc", "repro", "--dry")) == addresses
    finally:
        reproduced.run("git", "checkout", "-q", ".")


def test_a_key_that_nobody_knows_is_refused_although_no_stage_reads_it(reproduced: Clone) -> None:
    try:
        result = reproduced.run("dvc", "exp", "run", "-S", "+wide.train.lrr=1", check=False)
        assert result.returncode != 0
        expected = "expected only epochs, batch_size, lr, momentum, got 'lrr'; did you mean 'lr'?"
        assert f"error: params.yaml: wide.train: {expected}" in result.stderr.splitlines()
    finally:
        reproduced.run("git", "checkout", "-q", ".")
        reproduced.run("dvc", "checkout")


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_the_next_run_goes_on(reproduced: Clone) -> None:
    output = reproduced.path / "data" / "line" / "baseline.npz"
    try:
        reproduced.set("line.train.adam.epochs", "1000000")  # minutes of training: it cannot be done before the signal
        process = subprocess.Popen(
            ["dvc", "repro", "train-baseline@line"],
            cwd=reproduced.path,
            env=os.environ | {"PATH": f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(600):
            if not output.exists():  # DVC removes what the stage is to make
                break
            time.sleep(0.1)
        time.sleep(4)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        started = time.monotonic()
        said, _ = process.communicate(timeout=60)
        assert time.monotonic() - started < 10  # at once, with room for a busy machine; training would go on for minutes
        assert process.returncode != 0
        assert "Traceback" not in said
        assert sorted(path.name for path in output.parent.iterdir()) == ["sweep.npz", "wd.npz"]
        reproduced.run("git", "checkout", "-q", ".")
        assert ran(reproduced.run("dvc", "repro")) <= {"check", "train-baseline@line"}
        assert reproduced.run("git", "status", "--porcelain").stdout == ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        reproduced.run("git", "checkout", "-q", ".")
        reproduced.run("dvc", "checkout")


def test_training_shows_a_bar_on_a_terminal_and_plain_lines_in_a_log(reproduced: Clone) -> None:
    command = [sys.executable, "-m", "stages.train", "wide", "baseline"]
    plain = reproduced.stage(*command[2:])
    assert re.search(
        r"^wide baseline: step 40/40, 4/4 runs, .* left train_loss [\d.e-]+ val_loss [\d.e-]+$", plain.stdout, re.MULTILINE
    )
    assert "\r" not in plain.stdout + plain.stderr
    main, worker = pty.openpty()
    fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    subprocess.run(command, cwd=reproduced.path, stdout=worker, stderr=worker, check=True)
    os.close(worker)
    shown = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(main)
    assert "wide baseline: 100%" in shown.decode()
    assert "val_loss=" in shown.decode()


@pytest.mark.slow
def test_an_experiment_in_another_folder_needs_nothing_from_this_one(reproduced: Clone) -> None:
    try:
        reproduced.run("dvc", "exp", "run", "--temp", "-S", "line.wd=0.1", "--name", "elsewhere", "evaluate@line")
        assert "elsewhere" in reproduced.run("dvc", "exp", "list").stdout
        assert reproduced.run("git", "status", "--porcelain").stdout == ""
    finally:
        reproduced.run("dvc", "exp", "remove", "elsewhere", check=False)


def test_dvc_draws_the_curves(reproduced: Clone) -> None:
    shown = json.loads(reproduced.run("dvc", "plots", "show", "--json").stdout)
    assert not shown.get("errors")
    assert {"metrics/line_curves.csv", "metrics/wide_sweep.csv"} <= set(shown["data"])
    for name, column in (("weight norm", "weight_norm"), ("training loss", "train_loss")):  # of all studies with arms
        rows = shown["data"][name][0]["content"]["data"]["values"]
        assert {row["filename"] for row in rows if row[column]} == {f"{study}_curves.csv" for study in ARMED}
    assert reproduced.run("dvc", "plots", "diff", "HEAD", "--json").returncode == 0
