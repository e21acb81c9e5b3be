"""What a kill or a merge leaves behind is put right; what is whole stays as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Clone
from test_reset import Small

from stages.base.errors import UserError
from tools import mend
from tools.reset import reset

LOCK = (ROOT / "dvc.lock").read_text(encoding="utf-8")


@pytest.fixture
def lone(tmp_path: Path) -> Path:
    """A repository with this project's lock; no DVC is called."""
    (tmp_path / "params.yaml").write_text("wd: 3\n", encoding="utf-8")
    (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    for words in (["init", "-q"], ["add", "dvc.lock"], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("cut", ["- pa", "    cm", "      md5: 0", "  train-baseline@wi", "", "\n<<<<<<< HEAD\n"])
def test_a_lock_that_was_cut_short_is_taken_from_git(cut: str, lone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lone / "dvc.lock").write_text((LOCK[: LOCK.index("  train-baseline@wide")] if cut else "") + cut, encoding="utf-8")
    mend.main(lone)
    assert (lone / "dvc.lock").read_text(encoding="utf-8") == LOCK
    assert capsys.readouterr().out == "mended, as a kill of DVC or a merge had left it: dvc.lock\n"


@pytest.mark.parametrize(
    ("content", "goes"), [("", True), ('{"a": {"re', True), ("{}", False), ('{"/x": {"write": {"pid": 1}}}', False)]
)
def test_only_a_torn_rwlock_is_removed(content: str, goes: bool, lone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That of a DVC that lives is valid JSON."""
    rwlock = lone / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text(content, encoding="utf-8")
    mend.main(lone)
    assert rwlock.exists() is not goes
    assert (".dvc/tmp/rwlock" in capsys.readouterr().out) is goes


def test_where_nothing_is_torn_it_is_silent_and_imports_neither_dvc_nor_torch(lone: Path) -> None:
    code = "import json, sys; from tools import mend; mend.main(); print(json.dumps([*sys.modules]))"
    known = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=lone, env=known, capture_output=True, text=True, check=True)
    assert {"dvc", "torch", "numpy"}.isdisjoint(json.loads(done.stdout))  # the one line is this
    assert (lone / "dvc.lock").read_text(encoding="utf-8") == LOCK


@pytest.mark.slow
def test_of_two_lambdas_params_decide_and_dvc_computes_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = Small(tmp_path)
    for branch, wd in (("theirs", 1), ("ours", 2)):
        small.run("git", "switch", "-qc", branch, "main")
        small.write("params.yaml", f"wd: {wd}\n")
        small.run("dvc", "repro", "-q")
        small.run("git", "commit", "-qam", branch)
    merge = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", "merge", "-q", "theirs"],
        cwd=small.path,
        capture_output=True,
        check=False,
    )
    assert merge.returncode == 1
    with pytest.raises(UserError, match=r"^params\.yaml: expected one value a key, got a merge's conflict marks: choose by hand"):
        mend.main(small.path)
    with pytest.raises(UserError, match=r"^expected no merge under way, got files in conflict: `git merge --abort`, or docs/"):
        reset(small.path)
    assert "<<<<<<<" in small.read("dvc.lock")
    small.write("params.yaml", "wd: 1\n")
    mend.main(small.path)
    assert capsys.readouterr().out.endswith(" dvc.lock, metrics/study.json, plots/study/a.png\n")
    assert small.read("metrics/study.json") == "wd: 2\n"
    small.run("dvc", "repro", "-q")
    small.run("git", "add", "-A")
    small.run("git", "commit", "-qm", "merged")
    assert small.run("git", "diff", "theirs", "--stat") == ""


@pytest.mark.slow
def test_branches_with_the_lambdas_of_two_studies_merge_by_the_commands_of_the_page(reproduced: Clone) -> None:
    """params.yaml merges by itself; what was computed of it is in conflict."""
    page = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    commands = page.partition("## Two branches, two λ")[2].partition("```sh\n")[2].partition("```")[0]
    try:
        for branch, key in (("theirs", "relatives.wd"), ("ours", "line.wd")):
            reproduced.run("git", "switch", "-qc", branch, "main")
            reproduced.run("dvc", "exp", "run", "-S", f"{key}=0.05")
            reproduced.run("git", "commit", "-qam", branch)
        assert reproduced.run("git", "merge", "-q", "theirs", check=False).returncode == 1
        assert "<<<<<<<" in reproduced.read("dvc.lock")
        reproduced.run("bash", "-e", "-c", commands, GIT_EDITOR="true")
        assert reproduced.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
        assert reproduced.run("git", "status", "--porcelain").stdout == ""
        for study in ("line", "relatives"):
            assert json.loads(reproduced.read(f"metrics/details/{study}.json"))["wd"]["weight_decay"] == 0.05
            assert "λ = 0.05" in reproduced.read(f"stages/studies/{study}/README.md")
    finally:
        reproduced.run("git", "merge", "--abort", check=False)
        reproduced.run("git", "switch", "-q", "--force", "main")
        reproduced.run("git", "branch", "-qD", "ours", "theirs")
        reproduced.restore()
