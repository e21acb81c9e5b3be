"""Back to the committed experiment, in a small repository: what belongs to an experiment goes, and nothing else."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from stages.base.errors import UserError
from tools.reset import reset

pytestmark = pytest.mark.slow
DVC_YAML = """\
stages:
  train:
    cmd:
    - mkdir -p metrics plots/study
    - for each in data.txt metrics/study.json plots/study/a.png; do cp params.yaml $each; done
    params: [wd]
    outs: [data.txt]
    metrics: [{metrics/study.json: {cache: false}}]
    plots: [{plots/study: {cache: false}}]
"""


class Small:
    """A pipeline of one stage, reproduced and committed with `wd: 3`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("dvc.yaml", DVC_YAML)
        self.write("params.yaml", "wd: 3\n")
        self.write("code.py", "pass\n")
        for words in ("git init -q -b main", "dvc init -q", "dvc repro -q", "git add -A", "git commit -qm small"):
            self.run(*words.split())
        assert self.status() == ""

    def run(self, *words: str) -> str:
        identity = {f"GIT_{who}_{what}": "test@example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(words, cwd=self.path, env=os.environ | identity, capture_output=True, text=True, check=True)
        return done.stdout

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def status(self) -> str:
        return self.run("git", "status", "--porcelain")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def test_after_an_experiment_all_is_as_committed(small: Small) -> None:
    small.write("params.yaml", "wd: 1\n")
    small.run("dvc", "repro", "-q")
    assert small.read("data.txt") == small.read("metrics/study.json") == "wd: 1\n"
    commit = small.run("git", "rev-parse", "--short", "HEAD").strip()
    assert reset(small.path) == f"reset: 4 files of params, metrics and plots restored, and data, to {commit}"
    assert small.status() == ""
    names = ("params.yaml", "data.txt", "metrics/study.json", "plots/study/a.png")
    assert [small.read(name) for name in names] == ["wd: 3\n"] * 4
    assert small.run("dvc", "status").startswith("Data and pipelines are up to date")
    assert reset(small.path).startswith("reset: 0 files ")


def test_what_git_believes_unchanged_is_restored_too(small: Small) -> None:
    """DVC may leave a file of the same size and time in Git's index."""
    path = small.path / "params.yaml"
    before = path.stat()
    small.run("git", "config", "core.trustctime", "false")
    path.write_bytes(b"wd: 1\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for file in (small.path / ".git").glob("index"):
        os.utime(file, ns=(before.st_atime_ns + 10**10, before.st_mtime_ns + 10**10))  # so that no file is younger than it
    assert small.status() == ""
    assert reset(small.path).startswith("reset: 1 file ")
    assert small.read("params.yaml") == "wd: 3\n"


def test_nothing_else_is_touched(small: Small) -> None:
    """Neither code, nor what is staged, nor files that Git does not know or is told to ignore."""
    kept = {
        "code.py": "mine\n",
        "dvc.yaml": DVC_YAML + "# mine\n",
        "notes.txt": "mine\n",
        "metrics/notes.txt": "mine\n",
        "plots/study/b.png": "mine\n",
        "metrics/staged.json": "mine\n",
    }
    for name, text in kept.items():
        small.write(name, text)
    small.run("git", "add", "metrics/staged.json", "code.py")
    small.write("params.yaml", "wd: 1\n")
    small.run("git", "add", "params.yaml")
    (small.path / "metrics" / "study.json").unlink()
    said = reset(small.path)
    assert said.startswith("reset: 2 files of params, metrics and plots restored")
    assert said.endswith("; left where they are, as Git does not know them: metrics/notes.txt, plots/study/b.png")
    assert {name: small.read(name) for name in kept} == kept
    assert small.read("params.yaml") == small.read("metrics/study.json") == "wd: 3\n"
    assert "params.yaml" not in small.status()


def test_an_edited_table_of_the_users_is_no_result(small: Small) -> None:
    """DVC keeps it after `dvc add`, and its checkout of all would put the old one back, without a word."""
    small.write("mine.csv", "a,b\n1,2\n")
    small.run("dvc", "add", "-q", "mine.csv")
    small.run("git", "add", "-A")
    small.run("git", "commit", "-qm", "a table")
    small.write("mine.csv", "a,b\n1,3\n")
    small.write("data.txt", "edited")
    reset(small.path)
    assert (small.path / "mine.csv").read_text(encoding="utf-8") == "a,b\n1,3\n"
    assert (small.path / "data.txt").read_text(encoding="utf-8") == "wd: 3\n"


def test_data_that_is_not_in_the_cache_is_said_to_be_missing(small: Small) -> None:
    small.write("params.yaml", "wd: 1\n")
    (small.path / "data.txt").unlink()
    small.run("rm", "-rf", ".dvc/cache")
    assert re.search(r" restored, and data, to \w+; some data are not in the cache: dvc repro computes them$", reset(small.path))
    assert small.read("params.yaml") == "wd: 3\n"


def test_where_dvc_fails_its_reason_is_said(small: Small) -> None:
    small.write("dvc.yaml", "stages: none\n")
    with pytest.raises(UserError, match=r"^0 files restored; expected `dvc checkout` to restore data too, got .*; dvc repro "):
        reset(small.path)


def test_without_anything_committed_it_is_refused(tmp_path: Path) -> None:
    for words in (["init", "-q"], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x", "--allow-empty"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    with pytest.raises(UserError, match=r"^expected a commit with params\.yaml, dvc\.lock, metrics, plots, got none of them$"):
        reset(tmp_path)
