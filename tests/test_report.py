"""The report of a change: from small commits of metrics and figures, in a repository whose pipeline is not run.

What a reader of the Markdown sees is asked of another implementation of it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import yaml
from conftest import Clone, speaks_of
from test_tables import MARKDOWN, inline

from stages.base.errors import UserError
from tools import report as report_module
from tools.report import doubts, figures, gallery, params_of
from tools.sides import resolve, unreadable
from tools.tables import MARK

REPORT = ("-m", "tools.report")


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
    del rows["oracle"]
    write_details(clone, "wide", rows)
    rows = details(clone, "modular")
    rows["wd"] |= {"steps_to_generalise": -1, "generalised": 0.0}
    write_details(clone, "modular", rows)
    (clone.path / "plots/overview.png").write_bytes((clone.path / "plots/line_sweep/loss.png").read_bytes())
    (clone.path / "plots/descent_sweep/risk.png").unlink()
    clone.set("wd", "1")
    clone.run("git", "commit", "-qam", "numbers")
    clone.run("git", "update-ref", "refs/exps/ab/cdef/heavier", "HEAD")
    clone.run("git", "update-ref", "refs/remotes/origin/pushed", "HEAD")

    clone.run("git", "switch", "-q", "-c", "fewer", "main")
    tree = yaml.safe_load(clone.read("dvc.yaml"))
    studies, arms, _ = tree["vars"]
    studies["studies"].remove("line")
    del arms["arms"]["line"]
    (clone.path / "dvc.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    clone.run("git", "rm", "-q", "metrics/details/line.json", "metrics/details/line_sweep.json")
    clone.run("git", "commit", "-qam", "a study less")

    clone.run("git", "switch", "-q", "--orphan", "bare")
    (clone.path / "README.md").write_text("# Before\n", encoding="utf-8")
    clone.run("git", "add", "README.md")
    clone.run("git", "commit", "-qm", "nothing yet")
    clone.run("git", "switch", "-q", "main")
    clone.run("touch", ".venv/.ready")  # requirements.txt has gone and come back, and is younger
    return clone


def details(clone: Clone, name: str) -> dict[str, Any]:
    return json.loads(clone.read(f"metrics/details/{name}.json"))


def write_details(clone: Clone, name: str, rows: dict[str, Any]) -> None:
    (clone.path / "metrics" / "details" / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")


def report(clone: Clone, base: str) -> str:
    return clone.run(sys.executable, *REPORT, base).stdout


@pytest.mark.pipeline
def test_no_change_is_one_line(history: Clone) -> None:
    history.run("git", "switch", "-q", "readme")
    lines = report(history, "v1").splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("**Experiment: no change**, v1 (")


@speaks_of("wd", 3)
@pytest.mark.pipeline
def test_a_change_is_told_in_numbers_and_pictures(history: Clone) -> None:
    history.run("git", "switch", "-q", "metric")
    base, head = (history.run("git", "rev-parse", name).stdout.strip() for name in ("main", "HEAD"))
    text = report(history, "main")
    assert "| `wd` | 3 | 1 |" in text
    assert "⚠ head has results that are not those of its own code and params, of " in text
    assert "`train-wd@wide`" in text
    assert re.search(r"^\| `wd\.val_loss` \| 0\.\d+ ± \S+ \| 4\.5e-06 ± \S+ \| ÷ \d,\d+ \| better \|$", text, re.MULTILINE)
    steps = details(history, "modular_sweep")["steps"]
    assert re.search(
        rf"^\| `wd\.steps_to_generalise` \| [\d.]+ ± \S+ \| not within {steps:,} steps \|  \| worse \|$", text, re.MULTILINE
    )
    first, second, empty = text.splitlines()[3:6]
    assert first == f"- `modular`: no longer generalises with decay within {steps:,} steps."
    assert re.fullmatch(r"- `wide`: validation loss with decay 0\.\d+ → 4\.5e-06 \(÷ \d,\d+, unpaired\)\.", second)
    assert empty == ""
    wide = text.partition("**wide**")[2]
    assert wide.index("`wd.val_loss`") < wide.index("<details><summary>") < wide.index("</details>")
    assert "- new row `added`\n- removed row `oracle`" in text
    assert "metrics are unchanged." in text
    before, after = (f"![plots/overview.png](https://github.com/some/where/raw/{sha}/plots/overview.png)" for sha in (base, head))
    assert f"| {before} | {after} |" in text
    assert "| removed: `plots/descent_sweep/risk.png` |" in text
    assert text == report(history, "main")  # in the same order


@pytest.mark.pipeline
def test_a_base_without_metrics_has_only_new_rows(history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    text = report(history, "bare")
    assert re.search(r"^\*\*wide\*\*: new, \d+ metrics$", text, re.MULTILINE)
    assert "removed" not in text
    assert "\n0 of " in text


@pytest.mark.pipeline
def test_a_study_that_came_or_went_is_named(history: Clone) -> None:
    for head, base, fate in (("fewer", "main", "removed"), ("main", "fewer", "new")):
        history.run("git", "switch", "-q", head)
        text = report(history, base)
        assert re.search(rf"^\*\*line\*\*: {fate}, \d+ metrics$", text, re.MULTILINE)
        assert text.count("**") == 4  # a file of the arms, one of the sweep: the others have not changed
        assert text.splitlines()[3:5] == [f"- `line`: {fate}.", ""]


@pytest.mark.pipeline
def test_a_base_that_went_on_is_said_to_be_shown_backwards(history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    assert "⚠ fewer has 1 commit(s) that head has not" in report(history, "fewer")
    assert "commit(s)" not in report(history, "heavier")  # an experiment is no base to merge


@pytest.mark.pipeline
def test_the_working_tree_is_compared_and_its_changes_are_said(history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    history.set("line.wd", "0.5")
    try:
        text = report(history, "heavier")
    finally:
        history.run("git", "checkout", "-q", ".")
    assert "⚠ head has uncommitted changes in 1 file(s)" in text
    assert "| `line.wd` | 0.01 | 0.5 |" in text
    assert "⚠ heavier has results that are not those of its own code and params" in text


def test_bases_are_branches_tags_commits_and_experiments(history: Clone) -> None:
    sha = history.run("git", "rev-parse", "main").stdout.strip()
    assert [resolve(history.path, base) for base in ("main", "v1", sha[:10])] == [sha] * 3
    assert resolve(history.path, "heavier") == history.run("git", "rev-parse", "metric").stdout.strip()


@pytest.mark.parametrize("base", ["nowhere", "--help", "a b", "$(touch pwned)", "", "\udcff"])
def test_a_base_that_is_not_here_is_refused(base: str, history: Clone) -> None:
    fetch = r"`git fetch --tags origin '\+refs/heads/\*:refs/remotes/origin/\*'` brings every branch and tag"
    with pytest.raises(UserError, match=rf"^expected a branch, tag, commit or experiment, got .*, which is not here; {fetch}$"):
        resolve(history.path, base)


@pytest.fixture
def one_branch(history: Clone, tmp_path: Path) -> Path:
    """A clone of the last commit of one branch, as workflows make them."""
    place = tmp_path / "shallow"
    clone = ["git", "clone", "--quiet", "--depth=1", "--branch=readme", f"file://{history.path}", str(place)]
    subprocess.run(clone, check=True)
    return place


@pytest.mark.parametrize("base", ["origin/metric", "metric", "v1", "a commit", "a commit, abbreviated"])
def test_what_the_error_says_brings_the_base(base: str, history: Clone, one_branch: Path) -> None:
    sha = history.run("git", "rev-parse", "main" if base == "v1" else "metric").stdout.strip()
    base = {"a commit": sha, "a commit, abbreviated": sha[:10]}.get(base, base)
    with pytest.raises(UserError, match="which is not here; `git fetch --unshallow ") as refused:
        resolve(one_branch, base)
    command = re.findall(r"`(git .*)`", str(refused.value))[0]
    subprocess.run(["bash", "-c", command], cwd=one_branch, capture_output=True, check=True)
    assert resolve(one_branch, base) == sha


def test_a_shallow_clone_does_not_know_what_it_lacks(history: Clone, one_branch: Path) -> None:
    """main, from which the branch started, has nothing that the branch has not; `fewer` has."""
    for name in ("main", "fewer"):
        fetch = ["git", "fetch", "--quiet", "--depth=1", "origin", f"{name}:refs/remotes/origin/{name}"]
        subprocess.run(fetch, cwd=one_branch, check=True)
    bases = {name: resolve(one_branch, f"origin/{name}") for name in ("main", "fewer")}
    said = [line for name, commit in bases.items() for line in doubts(one_branch, commit, f"origin/{name}", ())]
    asked = [line.partition(" is unknown in a shallow clone: ")[0] for line in said]
    assert asked == [f"⚠ Whether origin/{name} has commits that head has not" for name in bases]
    (command,) = {found for line in said for found in re.findall(r"`(git .*)`", line)}
    subprocess.run(["bash", "-c", command], cwd=one_branch, capture_output=True, check=True)
    assert doubts(one_branch, bases["main"], "origin/main", ()) == []
    (line,) = doubts(one_branch, bases["fewer"], "origin/fewer", ())
    assert line.startswith("⚠ origin/fewer has 1 commit(s) that head has not")


GONE = {"generate@a": [{"changed outs": {"data/a.npz": "not in cache"}}], "evaluate@a": [{"changed deps": {"data/a": "deleted"}}]}
LACKING = {"train@a": [{"changed outs": {"data/a/wd.npz": "deleted"}}]}
FOLDER = {"evaluate@a": [{"changed deps": {"data/a": "modified"}}]}


@pytest.mark.parametrize(
    ("status", "stale"),
    [
        ({}, ""),
        (GONE, ""),
        (LACKING | FOLDER, ""),
        (FOLDER, "`evaluate@a`"),
        ({"train@b": [{"changed outs": {"data/ab/wd.npz": "deleted"}}]} | FOLDER, "`evaluate@a`"),
        (LACKING | FOLDER | {"plot@a": [{"changed deps": {"data/a": "modified", "metrics/a.json": "modified"}}]}, "`plot@a`"),
        (GONE | {"train@a": [{"changed deps": {"params.yaml": {"wd": "modified"}}}, "changed command"]}, "`train@a`"),
        ({"b": ["changed command"], "a": [{"changed deps": {"stages/x.py": "modified"}}]}, "`a`, `b`"),
    ],
)
def test_data_that_is_not_here_is_no_change(
    status: dict[str, Any], stale: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And a folder of which DVC says that it is modified may lack some."""
    monkeypatch.setattr(report_module, "run", lambda *words: subprocess.CompletedProcess(words, 0, json.dumps(status), ""))
    told = [f"⚠ head has results that are not those of its own code and params, of {stale}."] if stale else []
    assert report_module.unreproduced("head", tmp_path) == told


def test_git_gives_its_own_reason(history: Clone, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^expected `git .*` to work, got fatal: not a git repository"):
        resolve(tmp_path, "main")
    stranger = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    result = history.run(
        "env", *(f"{key}={value}" for key, value in stranger.items()), sys.executable, *REPORT, "main", check=False
    )
    assert result.returncode == 1
    assert re.fullmatch(r"error: report: expected `git .*` to work, got fatal: detected dubious ownership .*\n", result.stderr)


def test_without_a_base_the_command_line_says_what_is_missing(history: Clone) -> None:
    result = history.run(sys.executable, *REPORT, check=False)
    assert result.returncode == 1
    assert result.stderr == "error: report: expected a base to compare with, got none: make report BASE=origin/main\n"


@pytest.mark.parametrize(
    ("given", "environment", "got"),
    [
        ([], {}, "origin/main"),
        ([], {"BASE": "origin/$(shell touch pwned)"}, "origin/$(shell touch pwned)"),
        (["BASE=nowhere"], {"BASE": "elsewhere"}, "nowhere"),
        (["BASE=$(shell touch pwned)"], {}, "$(shell touch pwned)"),
        (["BASE=feat$x${y}$$z"], {}, "feat$x${y}$$z"),
        (['BASE=`touch pwned`;"#'], {}, '`touch pwned`;"#'),
    ],
)
def test_make_hands_the_base_on_as_it_is(given: list[str], environment: dict[str, str], got: str, history: Clone) -> None:
    known = (f"{name}={value}" for name, value in {"MAKEFLAGS": "", **environment}.items())
    result = history.run("env", *known, "make", "report", *given, check=False)
    assert f"got {got!r}, which is not here" in result.stderr
    assert not (history.path / "pwned").exists()


@pytest.fixture
def unchanged(history: Clone, tmp_path: Path) -> Iterator[tuple[Clone, str]]:
    """A repository, and a PATH on which DVC finds nothing changed."""
    dvc = tmp_path / "bin" / "dvc"
    dvc.parent.mkdir()
    dvc.write_text("#!/bin/sh\necho {}\n", encoding="utf-8")
    dvc.chmod(0o755)
    history.run("git", "switch", "-q", "main")
    yield history, f"{dvc.parent}{os.pathsep}{os.environ['PATH']}"
    history.run("rm", "-rf", "build")


@pytest.mark.parametrize(
    ("redirected", "got"), [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor"), ("| true", "Broken pipe")]
)
def test_where_it_cannot_be_printed_it_is_written_nevertheless(redirected: str, got: str, unchanged: tuple[Clone, str]) -> None:
    clone, path = unchanged
    command = f"set -o pipefail; {shlex.quote(sys.executable)} -m tools.report v1 {redirected}"
    result = clone.run("bash", "-c", command, check=False, PATH=path)
    assert result.returncode == 1
    said = f"error: report: standard output: expected to read or write it, got {got}; mend that and run again\n"
    assert result.stderr == said
    assert clone.read("build/report.md").startswith(f"{MARK}\n**Experiment: no change**, v1 (")


@pytest.mark.parametrize("kind", ["a file", "a folder that refuses"])
def test_a_build_that_cannot_be_written_is_one_line(kind: str, unchanged: tuple[Clone, str]) -> None:
    clone, path = unchanged
    if kind == "a file":
        (clone.path / "build").write_text("mine", encoding="utf-8")
    else:
        (clone.path / "build").symlink_to("/proc")
    result = clone.run(sys.executable, *REPORT, "v1", check=False, PATH=path)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"error: report: \S*/build/report\.md: expected to read or write it, got [\w ]+; .*\n", result.stderr)


def test_the_repository_of_a_calling_git_is_left_alone(unchanged: tuple[Clone, str], tmp_path: Path) -> None:
    """As in a hook or `git rebase --exec`, where Git says which repository it works on."""
    clone, path = unchanged
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    before = {name.relative_to(other): name.is_file() and name.read_bytes() for name in other.rglob("*")}
    result = clone.run(sys.executable, *REPORT, "v1", PATH=path, GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other))
    assert clone.run("git", "rev-parse", "--short=7", "main").stdout.strip() in result.stdout
    assert {name.relative_to(other): name.is_file() and name.read_bytes() for name in other.rglob("*")} == before


@pytest.mark.parametrize(("name", "shown"), [("a`b|<b>#1", r"a\x60b\x7c<b>#1"), ("@some/one", "@some/one"), ("__x__", "__x__")])
def test_a_branch_may_have_any_name(name: str, shown: str, unchanged: tuple[Clone, str]) -> None:
    clone, path = unchanged
    clone.run("git", "branch", name, "main")
    text = clone.run(sys.executable, *REPORT, name, PATH=path).stdout
    clone.run("git", "branch", "-D", name)
    commit = clone.run("git", "rev-parse", "--short=7", "main").stdout.strip()
    found = [(kind, content) for kind, content in inline(text) if content]
    assert found == [
        ("text", "Experiment: no change"),
        ("text", ", "),
        ("code_inline", shown),
        ("text", f" ({commit}) → {commit}."),
    ]


def test_no_word_that_is_no_utf8_stops_it(unchanged: tuple[Clone, str]) -> None:
    clone, path = unchanged
    clone.run("git", "branch", os.fsdecode(b"caf\xe9"), "main")
    result = clone.run(sys.executable, *REPORT, os.fsdecode(b"caf\xe9"), PATH=path)
    clone.run("git", "update-ref", "-d", os.fsdecode(b"refs/heads/caf\xe9"))
    assert "**Experiment: no change**, `caf\\udce9` (" in result.stdout
    assert result.stdout == clone.read("build/report.md")


def test_figures_may_have_any_name(tmp_path: Path) -> None:
    names = [
        b"plots/a (b)|c d.png",
        b"plots/\xff.png",
        b"plots/[x]`<b>`).png",
        b"plots/#1?.png",
        "plots/λ.png".encode(),
        b"plots/a\nb.png",
    ]
    for arguments in (["init", "-q"], ["remote", "add", "origin", "https://github.com/some/where"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    (tmp_path / "plots").mkdir()
    commits = []
    for content in (b"before", b"after"):
        for name in names:
            Path(tmp_path, os.fsdecode(name)).write_bytes(content)
        for arguments in (["add", "-A"], ["-c", "user.name=test", "-c", "user.email=test@example", "commit", "-qm", "some"]):
            subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
        commits.append(subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, check=True).stdout.strip())
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=tmp_path, check=True)
    found = figures(tmp_path, commits[0].decode())
    assert sorted(map(os.fsencode, found)) == sorted(names)
    page = MARKDOWN.parse("\n".join(gallery(tmp_path, commits[0].decode(), found)))
    pictures = [child for token in page for child in token.children or () if child.type == "image"]
    shown = [unquote_to_bytes(str(picture.attrs["src"])) for picture in pictures]
    expected = [
        b"https://github.com/some/where/raw/%s/%s" % (commit, name) for name in map(os.fsencode, found) for commit in commits
    ]
    assert shown == expected
    assert [token.type for token in page].count("td_open") == 2 * len(names)


def test_a_figure_that_cannot_be_shown_has_its_reason(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        words = ["git", "-c", "user.name=test", "-c", "user.email=test@example", *arguments]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    def draw(**pictures: str) -> None:
        for name, content in pictures.items():
            (tmp_path / "plots" / f"{name}.png").write_text(content, encoding="utf-8")

    git("init", "-q", "-b", "main")
    git("remote", "add", "origin", "https://github.com/some/where")
    (tmp_path / "plots").mkdir()
    draw(kept="1", gone="1", redrawn="1")
    git("add", "-A")
    git("commit", "-qm", "some")
    base = git("rev-parse", "HEAD")
    git("update-ref", "refs/remotes/origin/main", base)
    draw(kept="2", committed="2")
    git("rm", "-q", "plots/gone.png")
    git("add", "-A")
    git("commit", "-qm", "others")
    head = git("rev-parse", "HEAD")
    draw(redrawn="2", untracked="2")

    def shown() -> dict[str, list[str]]:
        cells = [row.strip("| ").split(" | ") for row in gallery(tmp_path, base, figures(tmp_path, base)) if ".png" in row]
        return {
            re.findall(r"plots/(\w+)", cell[0])[0]: [re.sub(r": `.*`|\(.*raw/", " ", text) for text in cell] for cell in cells
        }

    expected = {
        "committed": ["new ", f"![plots/committed.png] {head}/plots/committed.png)"],
        "gone": [f"![plots/gone.png] {base}/plots/gone.png)", "removed "],
        "kept": [f"![plots/kept.png] {sha}/plots/kept.png)" for sha in (base, head)],
        "redrawn": [f"![plots/redrawn.png] {base}/plots/redrawn.png)", "not in that commit "],
        "untracked": ["new ", "not in that commit "],
    }
    unpushed = {name: ["not pushed " if head in cell else cell for cell in cells] for name, cells in expected.items()}
    assert shown() == unpushed
    git("update-ref", "refs/remotes/origin/main", head)
    assert shown() == expected


TEXTS = {
    "metrics/torn.json": (b'{"wide": {"wd"', "Expecting ':' delimiter: line 1 column 15 (char 14)"),
    "metrics/deep.json": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too many levels"),
    "metrics/deeper.json": (b'{"a":' * 200 + b"1" + b"}" * 200, "201 levels, more than 100"),
    "metrics/long.json": (b'{"a": ' + b"1" * 5_000 + b"}", "Exceeds the limit (4300 digits) for integer string conversion"),
    "metrics/latin.json": (b'{"a": "\xe9"}', "'utf-8' codec can't decode byte 0xe9 in position 7"),
    "params.yaml": (b"wd: " + b"[" * 2_000 + b"]" * 2_000, "too many levels"),
    "dvc.lock": (b"wd: " + b"1" * 5_000, "Exceeds the limit (4300 digits)"),
    "dvc.yaml": (b"stages: [", "while parsing a flow node expected the node content, but found '<stream end>'"),
}


def test_what_dvc_cannot_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "fine.json").write_text('{"a": {"b": [1, null]}}', encoding="utf-8")
    for name, (content, _) in TEXTS.items():
        (tmp_path / name).write_bytes(content)
    found = unreadable(tmp_path, "*.yaml", "dvc.lock", "metrics/*.json")
    assert found.keys() == TEXTS.keys()
    for name, (_, why) in TEXTS.items():
        assert found[name].startswith(why)
        assert "\n" not in found[name]


@pytest.mark.pipeline
def test_a_torn_file_is_said_to_be_torn_and_not_to_be_removed(history: Clone) -> None:
    history.run("git", "switch", "-q", "-c", "torn", "main")
    (history.path / "metrics" / "details" / "line.json").write_text('{"line": ', encoding="utf-8")
    history.run("git", "commit", "-qam", "torn")
    history.run("git", "switch", "-q", "main")
    (history.path / "metrics" / "details" / "wide.json").write_text('{"wide": ', encoding="utf-8")
    try:
        text = report(history, "torn")
    finally:
        history.run("git", "checkout", "-q", ".")
        history.run("git", "branch", "-qD", "torn")
    for side, name in (("head", "wide"), ("torn", "line")):
        why = "`Expecting value: line 1 column 10 (char 9)`"
        assert (
            f"⚠ {side} has a file that cannot be read, `metrics/details/{name}.json` ({why}): its metrics are left out." in text
        )
        assert f"**{name}**" not in text
    assert not re.search(r"removed|: new", text)
    assert re.search(r"^(\d+) of \1 metrics are unchanged\.$", text, re.MULTILINE)


@pytest.mark.pipeline
@pytest.mark.parametrize("name", ["params.yaml", "dvc.lock"])
def test_where_dvc_reads_nothing_of_a_side_the_file_is_named(name: str, history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    (history.path / name).write_bytes(TEXTS[name][0])
    try:
        with pytest.raises(
            UserError, match=rf"^{name} of head: expected a file that DVC can read, got {re.escape(TEXTS[name][1])}"
        ):
            params_of(history.path, history.run("git", "rev-parse", "v1").stdout.strip(), [("head", history.path)])
    finally:
        history.run("git", "checkout", "-q", ".")
