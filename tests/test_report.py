"""The report of a change: from small commits of metrics and figures, in a repository whose pipeline is not run.

What a reader of the Markdown sees is asked of another implementation of it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMITTED, ROOT, Clone, speaks_of
from markdown_it import MarkdownIt
from test_verify import Repository

from stages.base.errors import UserError
from tools import report as report_module
from tools.compared import Compared, Effect
from tools.report import code, doubts, figures, files_read, gallery, inputs_of, metrics, unreproduced

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def details(clone: Clone, name: str) -> dict[str, Any]:
    return json.loads(clone.read(f"metrics/details/{name}.json"))


def write_details(clone: Clone, name: str, rows: Mapping[str, Any]) -> None:
    (clone.path / "metrics" / "details" / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Branches: main; `readme` edits only that; `metric` edits metrics, rows, a figure and λ by hand; `bare` has nothing."""
    clone = Clone(tmp_path_factory.mktemp("history"))
    clone.run("git", "remote", "add", "origin", "git@github.com:some/where.git")
    clone.run("git", "tag", "v1")
    clone.run("git", "switch", "-q", "-c", "readme")
    (clone.path / "README.md").write_text("# Another\n", encoding="utf-8")
    clone.run("git", "commit", "-qam", "words")

    clone.run("git", "switch", "-q", "-c", "metric", "main")
    rows = details(clone, "wide")
    rows["wd"] |= {"val_loss": 4.5e-6, "val_r2": 0.5}
    rows["added"] = {"val_loss": 1.0}
    write_details(clone, "wide", rows)
    rows = details(clone, "modular")
    rows["wd"] |= {"steps_to_generalise": -1, "generalised": 0.0}
    write_details(clone, "modular", rows)
    (clone.path / "plots/overview.png").write_bytes((clone.path / "plots/line_sweep/loss.png").read_bytes())
    (clone.path / "plots/descent_sweep/risk.png").unlink()
    clone.set("wd", "1")
    clone.run("git", "commit", "-qam", "numbers")
    clone.run("git", "update-ref", f"refs/exps/ab/{'cd' * 19}/heavier", "HEAD")

    clone.run("git", "switch", "-q", "--orphan", "bare")
    (clone.path / "README.md").write_text("# Before\n", encoding="utf-8")
    clone.run("git", "add", "README.md")
    clone.run("git", "commit", "-qm", "nothing yet")
    clone.run("git", "switch", "-q", "main")
    return clone


def report(clone: Clone, base: str) -> str:
    return clone.run(sys.executable, "-m", "tools.report", base).stdout


def test_files_that_a_study_reads_are_those_that_no_stage_writes_beside_code_and_params() -> None:
    def dep(path: str, size: int) -> str:
        return f"    - path: {path}\n      hash: md5\n      md5: {'0123456789abcdef' * 2}\n      size: {size}\n"

    own = [dep("data/diabetes.csv", 18570), dep("my tables/mine.csv", 7)]
    others = ["stages/generate.py", "data/table.npz", "data/table", "data/table/sweep.npz", "metrics/details", "params.yaml"]
    found = files_read("".join([*own, *(dep(path, 1) for path in others)]))
    assert found == {"data/diabetes.csv": "18,570 bytes, `0123456…`", "my tables/mine.csv": "7 bytes, `0123456…`"}
    assert files_read(None) == {}
    committed = files_read((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    assert list(committed) == [COMMITTED.table.data.file]


@pytest.mark.slow
def test_no_change_is_one_line(history: Clone) -> None:
    history.run("git", "switch", "-q", "readme")
    text = report(history, "v1")
    assert re.fullmatch(r"\*\*Experiment: no change\*\*, `v1` \(\w{7}\) → \w{7}\.", text.splitlines()[0])
    assert history.read("build/report.md") == text


@speaks_of("wd", 3)
@pytest.mark.slow
def test_a_change_is_told_in_numbers_and_pictures(history: Clone) -> None:
    history.run("git", "switch", "-q", "metric")
    base, head = (history.run("git", "rev-parse", name).stdout.strip() for name in ("main", "HEAD"))
    text = report(history, "main")
    assert text.splitlines()[2] == "- `modular`: no longer generalises with decay."
    assert re.fullmatch(r"- `wide`: validation loss with decay ÷ \d,\d+\.", text.splitlines()[3])
    assert "| `wd` | `3` | `1` |" in text
    assert "⚠ head has results that are not those of its own code and params, of " in text
    assert "`train-wd@wide`" in text
    assert re.search(r"^\| `wd\.val_loss` \| 0\.\d+ ± \S+ \| 4\.5e-06 ± \S+ \| ÷ \d,\d+ \|  \| better \|$", text, re.MULTILINE)
    assert re.search(r"^\| `wd\.steps_to_generalise` \| [\d.]+ ± \S+ \| not reached \|  \|  \| worse \|$", text, re.MULTILINE)
    wide = text.partition("**wide**")[2]
    assert wide.index("`wd.val_loss`") < wide.index("<details>") < wide.index("| `added.val_loss` | – | 1 |")
    assert "metrics are unchanged." in text
    before, after = (f"![plots/overview.png](https://github.com/some/where/raw/{sha}/plots/overview.png)" for sha in (base, head))
    assert f"| {before} | {after} |" in text
    assert re.search(r"^\| !\[plots/descent_sweep/risk\.png\]\(\S+\) \| removed \|$", text, re.MULTILINE)
    assert text == report(history, "main")  # in the same order


@pytest.mark.slow
def test_a_base_without_metrics_has_only_new_studies(history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    text = report(history, "bare")
    assert re.search(r"^\*\*wide\*\*: new, \d+ metrics$", text, re.MULTILINE)
    assert "removed" not in text
    assert "\n0 of " in text


@pytest.mark.slow
def test_the_working_tree_is_compared_and_its_changes_are_said(history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    history.set("line.wd", "0.5")
    try:
        text = report(history, "heavier")
        told = [line for line in text.splitlines() if line.startswith("⚠")]
    finally:
        history.run("git", "checkout", "-q", ".")
    assert told[0] == "⚠ head has uncommitted changes in 1 file: numbers are theirs, pictures the last commit's."
    assert not any("shown backwards" in line for line in told)  # an experiment is no base to merge
    assert "| `line.wd` | `0.01` | `0.5` |" in text
    sha = history.run("git", "rev-parse", "bare").stdout.strip()
    assert "⚠ `bare` has 1 commit that head has not, shown backwards: merge them first." in doubts(history.path, sha, "bare")


DATA = {
    "generate@a": [{"changed outs": {"data/a.npz": "modified"}}],
    "train@a": [{"changed outs": {"data/a/wd.npz": "modified"}}],
}
FOLLOWS = {"evaluate@a": [{"changed deps": {"data/a": "modified", "data/a.npz": "modified"}}]}
GONE = {"generate@a": [{"changed outs": {"data/a.npz": "not in cache"}}], "evaluate@a": [{"changed deps": {"data/a": "deleted"}}]}
LACKING = {"train@a": [{"changed outs": {"data/a/wd.npz": "deleted"}}]}
FOLDER = {"evaluate@a": [{"changed deps": {"data/a": "modified"}}]}
OTHERS = "⚠ data/ has another commit's data: `dvc checkout` brings those of head."


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({}, ""),
        (GONE, ""),
        (LACKING | FOLDER, ""),
        (DATA | FOLLOWS, OTHERS),  # after `git checkout` of a branch
        (FOLDER, "`evaluate@a`"),
        ({"train@b": [{"changed outs": {"data/ab/wd.npz": "deleted"}}]} | FOLDER, "`evaluate@a`"),
        (LACKING | {"plot@a": [{"changed deps": {"data/a": "modified", "metrics/a.json": "modified"}}]}, "`plot@a`"),
        (GONE | {"train@a": [{"changed deps": {"params.yaml": {"wd": "modified"}}}, "changed command"]}, "`train@a`"),
        (DATA | FOLLOWS | {"plot@a": [{"changed outs": {"plots/a": "modified"}}]}, "`plot@a`"),
        ({"b": ["changed command"], "a": [{"changed deps": {"stages/x.py": "modified"}}]}, "`a`, `b`"),
    ],
)
def test_data_of_another_commit_or_none_is_no_change_of_results(status: dict[str, Any], told: str) -> None:
    """And a folder of which DVC says that it is modified may lack some."""
    stale = f"⚠ head has results that are not those of its own code and params, of {told}: `make repro`."
    assert list(unreproduced(status)) == ([told if told == OTHERS else stale] if told else [])


@pytest.mark.slow
def test_a_branch_checked_out_without_its_data_is_told_to_check_them_out(reproduced: Clone) -> None:
    head = reproduced.run("git", "rev-parse", "HEAD").stdout.strip()
    try:
        reproduced.run("dvc", "exp", "run", "-S", "line.wd=0.2", "evaluate@line")
        reproduced.run("git", "checkout", "-q", ".")
        assert OTHERS in doubts(reproduced.path, head, "HEAD")
        reproduced.run("dvc", "checkout")
        assert list(doubts(reproduced.path, head, "HEAD")) == []
    finally:
        reproduced.restore()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a|b", "a|b"), ("a\nb", "a b"), ("<b>*x*", "<b>*x*"), ("[0.9, 0.999]", "[0.9, 0.999]"), ("![x](y)", "![x](y)")],
)
def test_a_table_stays_one_whatever_stands_in_it(name: str, shown: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GitHub table, where `\\|` is a bar in code too."""
    told = json.dumps({"params.yaml": {f"x.{name}": {"old": name, "new": 1}}})
    monkeypatch.setattr(report_module, "output", lambda *_: told)
    tokens = MARKDOWN.parse("\n".join(inputs_of(tmp_path, "HEAD")))
    cells = [child for token in tokens for child in token.children or () if child.type != "text"]
    assert [(cell.type, cell.content) for cell in cells] == [("code_inline", text) for text in (f"x.{shown}", shown, "1")]
    assert code(f"{name}`").count("\n") == 0


def test_of_the_same_trials_the_change_is_that_of_their_pairs() -> None:
    changes = {"wide.wd.val_loss": (1.0, 0.9), "wide.wd.val_loss_se": (0.3, 0.4)}
    told = metrics(Compared(changes, {"wide.wd.val_loss": Effect(-0.1, 0.01, 16)}))
    assert told[-3] == "| `wd.val_loss` | 1 ± 0.3 | 0.9 ± 0.4 | -10 % ± 1 % | 16 | better |"
    assert metrics(Compared(changes, {}))[-3] == "| `wd.val_loss` | 1 ± 0.3 | 0.9 ± 0.4 | -10 % ± 50 % |  | within ± |"


def test_a_figure_is_shown_from_its_commit_or_has_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = Repository(tmp_path)

    def draw(**pictures: str) -> None:
        for name, content in pictures.items():
            (tmp_path / "plots" / f"{name}.png").write_text(content, encoding="utf-8")

    git("remote", "add", "origin", "https://gitlab.org/some/where.git")
    (tmp_path / "plots").mkdir()
    draw(**{"kept (1)": "1", "gone": "1"})
    base = git.commit()
    draw(**{"kept (1)": "2", "committed": "2"})
    git("rm", "-q", "plots/gone.png")
    head, where = git.commit(), "https://gitlab.org/some/where/raw"
    draw(untracked="2")
    rows = [row for row in gallery(tmp_path, base, figures(tmp_path, base)) if ".png" in row]
    kept = [f"![plots/kept (1).png]({where}/{sha}/plots/kept%20%281%29.png)" for sha in (base, head)]
    assert rows == [
        f"| new: `plots/committed.png` | ![plots/committed.png]({where}/{head}/plots/committed.png) |",
        f"| ![plots/gone.png]({where}/{base}/plots/gone.png) | removed |",
        f"| {kept[0]} | {kept[1]} |",
        "| new: `plots/untracked.png` | not committed |",
    ]
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/fork")
    assert f"(https://github.com/a/fork/raw/{base}/plots/gone.png)" in "".join(gallery(tmp_path, base, ["plots/gone.png"]))


@pytest.mark.slow
def test_what_dvc_cannot_read_is_one_line(history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    (history.path / "params.yaml").write_text("wd: [", encoding="utf-8")
    try:
        with pytest.raises(UserError, match=r"^expected `dvc .*` to work, got .*params\.yaml"):
            report_module.report(history.path, "v1")
    finally:
        history.run("git", "checkout", "-q", ".")


@pytest.mark.slow
def test_what_is_longer_than_a_comment_is_cut_in_the_file_alone(
    history: Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(report_module, "ROOT", tmp_path)
    monkeypatch.setattr(report_module, "report", lambda *_: "x" * 100_000)
    report_module.main(["HEAD"])
    assert (
        (tmp_path / "build" / "report.md").read_text(encoding="utf-8").endswith("x\n\nCut here: `make report` prints the rest.\n")
    )


@pytest.mark.slow
def test_the_repository_of_a_calling_git_is_left_alone(history: Clone, tmp_path: Path) -> None:
    """As in a hook or `git rebase --exec`, where Git says which repository it works on."""
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    before = {name.relative_to(other): name.is_file() and name.read_bytes() for name in other.rglob("*")}
    history.run("git", "switch", "-q", "main")
    result = history.run(sys.executable, "-m", "tools.report", "v1", GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other))
    assert history.run("git", "rev-parse", "--short=7", "main").stdout.strip() in result.stdout
    assert {name.relative_to(other): name.is_file() and name.read_bytes() for name in other.rglob("*")} == before
