"""What goes wrong: kills, full disks, places that cannot be written, damaged caches, names that a shell would run.

A stage is hit at random moments, drawn from a fixed seed, and must leave each of its outputs whole or absent; DVC must find
its way back to the same bytes.
"""

import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Clone

pytestmark = pytest.mark.slow
VICTIMS = ("stage", "dvc", "both", "Ctrl-C")
MOMENTS = 4  # for each stage; the victims take turns
DETAILS = ["metrics/details/wide.json", "metrics/details/wide_sweep.json"]
# stages with how many seconds it takes and what it makes
STAGES = {
    "train-wd@wide": (1.6, ["data/wide/wd.npz"]),
    "evaluate@wide": (2, [f"metrics/wide{rest}" for rest in (".json", "_curves.csv", "_sweep.csv")] + DETAILS),
    "overview": (1.2, ["plots/overview.png"]),
}


@pytest.fixture
def restored(reproduced: Clone) -> Iterator[Clone]:
    """The reproduced clone, put back afterwards."""
    yield reproduced
    reproduced.restore()


def processes(session: int) -> dict[int, str]:
    """The living processes of a session, with their command lines (Linux)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, own = path.joinpath("stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0:4:3]
            if int(own) == session and state != "Z":
                found[int(path.name)] = path.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
    return found


def hit(clone: Clone, stage: str, victim: str, delay: float) -> None:
    """Start a stage under DVC and, so many seconds after it began, kill the victim; nothing of it may live on."""
    path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"
    dvc = subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", stage],
        cwd=clone.path,
        env=os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    at_work: list[int] = []
    while dvc.poll() is None and not at_work:
        at_work = [pid for pid, words in processes(dvc.pid).items() if "-m stages." in words]
        time.sleep(0.01)
    time.sleep(delay)
    if victim == "Ctrl-C":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(dvc.pid, signal.SIGINT)
    for pid in {"stage": at_work, "dvc": [dvc.pid], "both": [*at_work, dvc.pid]}.get(victim, []):
        with contextlib.suppress(ProcessLookupError):  # it had ended
            os.kill(pid, signal.SIGKILL)
    dvc.wait(timeout=60)
    deadline = time.monotonic() + 5
    while (alive := processes(dvc.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive, f"{victim} killed, and yet there lives {alive}"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_any_moment_leaves_no_half_and_no_orphan(stage: str, restored: Clone) -> None:
    lasts, outputs = STAGES[stage]
    whole = {name: digest(restored.path / name) for name in outputs}
    rng = random.Random(stage)
    for moment in range(MOMENTS):
        hit(restored, stage, VICTIMS[moment % len(VICTIMS)], rng.uniform(0, lasts))
        left = {name for name in outputs if (restored.path / name).exists()}
        assert {name: digest(restored.path / name) for name in left} == {name: whole[name] for name in left}
    recover(restored)
    assert restored.run("git", "status", "--porcelain").stdout == ""
    assert {name: digest(restored.path / name) for name in outputs} == whole


def recover(clone: Clone) -> None:
    """`make repro`, which puts right DVC's own lock files and reproduces.

    Where a kill cut dvc.lock short but left it readable, it would run all later stages again, so Git gives it back first.
    """
    clone.run("git", "checkout", "-q", "dvc.lock")
    clone.run("make", "repro")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_lock_files_that_a_kill_cut_short_are_put_right(share: float, restored: Clone) -> None:
    """DVC writes neither of them in one piece: a kill at the wrong moment, and every command fails until they are mended."""
    lock = restored.path / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(text[: text.index("- path: ", int(share * len(text) * 0.99)) + 4], encoding="utf-8")
    rwlock = restored.path / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text("", encoding="utf-8")
    assert restored.run("dvc", "repro", check=False).returncode != 0
    restored.run("make", "repro")
    assert restored.run("git", "status", "--porcelain").stdout == ""


def writing_at_most(size: int, clone: Clone, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a stage's module where no file may have more bytes."""
    return subprocess.run(
        [sys.executable, "-B", "-m", *words],  # Python cuts its bytecode to this size too, and later runs read what is left
        cwd=clone.path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("stages.generate", "wide"), "data/wide.npz"),
        (("stages.train", "wide", "wd"), "data/wide/wd.npz"),
        (("stages.sweep", "wide"), "data/wide/sweep.npz"),
        (("stages.evaluate", "wide"), "metrics/wide_curves.csv"),
        (("stages.evaluate", "phase"), "metrics/phase_sweep.csv"),
        (("stages.plot", "wide"), "plots/wide/curves.png"),
        (("stages.overview", "wide"), "plots/overview.png"),
        (("stages.explorer", "wide"), "plots/explorer.html"),
    ],
)
def test_a_full_disk_and_a_place_that_cannot_be_written_are_named(words: tuple[str, ...], name: str, restored: Clone) -> None:
    """A quota of 2,000 bytes a file, or of half of a smaller one; then a folder where the file should be."""
    path = restored.path / name
    quota = min(2_000, path.stat().st_size // 2)
    before, names = digest(path), sorted(path.parent.iterdir())

    full = writing_at_most(quota, restored, *words)
    assert full.returncode == 1
    assert full.stderr == f"error: {name}: expected to read or write it, got File too large; mend that and run again\n"
    assert (digest(path), sorted(path.parent.iterdir())) == (before, names)

    path.unlink()
    path.mkdir()
    taken = restored.stage(*words)
    assert taken.returncode == 1
    assert taken.stderr.startswith(f"error: {name}: expected to read or write it, got ")
    assert taken.stderr.count("\n") == 1
    path.rmdir()


def test_a_read_only_folder_is_named(restored: Clone) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes anywhere")
    (restored.path / "metrics").chmod(0o555)
    try:
        result = restored.stage("stages.evaluate", "phase")
    finally:
        (restored.path / "metrics").chmod(0o755)
    assert result.returncode == 1
    assert result.stderr.startswith("error: metrics/phase_sweep.csv: expected to read or write it, got ")


def test_a_disk_that_is_full_to_the_last_byte_loses_nothing(restored: Clone) -> None:
    """data/ on a file system of one megabyte, where the machine lets a test mount one."""
    data = restored.path / "data"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(data)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        restored.set("wide.data.trials", 16)
        result = restored.stage("stages.generate", "wide")
        assert result.returncode == 1
        assert result.stderr == (
            "error: data/wide.npz: expected to read or write it, got No space left on device; mend that and run again\n"
        )
        assert list(data.iterdir()) == []
    finally:
        subprocess.run(["umount", str(data)], check=True)


@pytest.mark.parametrize("damage", ["a bit", "the end", "everything"])
def test_a_damaged_object_in_the_cache_is_made_anew(damage: str, restored: Clone) -> None:
    lock = restored.read("dvc.lock")
    md5 = lock.partition("path: data/wide.npz")[2].partition("md5: ")[2][:32]
    cached, path = restored.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:], restored.path / "data/wide.npz"
    content = bytearray(cached.read_bytes())
    content[len(content) // 2] ^= 1
    cached.chmod(0o644)
    cached.write_bytes({"a bit": bytes(content), "the end": bytes(content[:5_000]), "everything": b"nothing"}[damage])
    path.unlink()
    restored.run("dvc", "checkout", "data/wide.npz", check=False)
    restored.run("dvc", "repro")
    assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == md5
    assert hashlib.md5(cached.read_bytes(), usedforsecurity=False).hexdigest() == md5
    assert restored.run("git", "status", "--porcelain").stdout == ""


def test_no_name_and_no_value_reaches_a_shell(tmp_path: Path) -> None:
    """A folder whose name is a program, values that are, a branch and an experiment that are."""
    folder = tmp_path / "-a; touch pwned $(touch pwned) `touch pwned`\n'\" b"
    folder.mkdir()
    clone = Clone(folder)
    clone.run("git", "checkout", "-q", "-b", "b;touch$IFS'pwned'")
    clone.run("dvc", "repro", "generate@line", "train-wd@line")
    assert clone.run("git", "status", "--porcelain").stdout == ""
    for value in ("$(touch pwned)", "-1; touch pwned `touch pwned`", "\ntouch pwned"):
        clone.set("line.wd", json.dumps(value))
        result = clone.run("dvc", "repro", "train-wd@line", check=False)
        assert result.returncode != 0
        assert "error: params.yaml: line.wd: expected a number ≥ 0, got " in result.stderr
        clone.run("git", "checkout", "-q", "params.yaml")
    refused = clone.run("dvc", "exp", "run", "--name", "x;touch pwned", "-S", "line.wd=0.5", "train-wd@line", check=False)
    assert refused.returncode != 0
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("changes", "words", "product"),
    [
        ({"wide.data.inputs": 10_000_000}, "generate wide", "rows × inputs"),
        ({"modular.data.p": 10_000}, "generate modular", "rows × inputs"),
        ({"descent.data.trials": 10_000_000}, "generate descent", "rows × inputs"),
        ({"line.data.trials": 1_000, "line.train.epochs": 10_000_000}, "train line wd", "epochs × rows"),
        ({"line.data.trials": 1_000, "line.train.epochs": 10_000_000}, "sweep line", "epochs × rows"),
        ({"wide.data.trials": 1_000, "wide.data.inputs": 1, "wide.sweep.epochs": [1, 10_000_000]}, "sweep wide", "epochs × rows"),
        ({"equilibrium.data.trials": 100, "equilibrium.train.epochs": 10_000_000}, "train equilibrium wd", "epochs × rows"),
    ],
)
def test_a_study_that_does_not_fit_in_memory_is_refused_at_once(
    changes: dict[str, object], words: str, product: str, restored: Clone
) -> None:
    """Before it is drawn, or where orders of batches are: before it is trained."""
    verb, study = words.split()[:2]
    for key, value in changes.items():
        restored.set(key, value)
    if verb != "generate":
        restored.stages(f"stages.generate {study}")
    started = time.monotonic()
    result = restored.stage(*f"stages.{words}".split())
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: params.yaml: {study}: expected trials × {product} of at most ")
    assert result.stderr.count("\n") == 1
    assert time.monotonic() - started < 10  # a second, with room for a busy machine
