"""The report of a change: from small commits of metrics and figures, in a repository whose pipeline is not run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Clone

from tools.report import ReportError, resolve
from tools.tables import metrics_tables, number, relative, verdict

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
    path = clone.path / "metrics" / "wide.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    rows = tree["wide"]
    rows["wd"] |= {"val_loss": 4.5e-6, "val_r2": 0.5}
    rows["added"] = {"val_loss": 1.0}
    del rows["oracle"]
    path.write_text(json.dumps(tree), encoding="utf-8")
    path = clone.path / "metrics" / "modular.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree["modular"]["wd"]["steps_to_generalise"] = -1
    path.write_text(json.dumps(tree), encoding="utf-8")
    (clone.path / "plots/overview.png").write_bytes((clone.path / "plots/line_sweep.png").read_bytes())
    (clone.path / "plots/descent_sweep.png").unlink()
    clone.set("wd", "1")
    clone.run("git", "commit", "-qam", "numbers")
    clone.run("git", "update-ref", "refs/exps/ab/cdef/heavier", "HEAD")

    clone.run("git", "switch", "-q", "-c", "fewer", "main")
    tree = yaml.safe_load(clone.read("dvc.yaml"))
    del tree["stages"]["evaluate"]["foreach"]["line"]
    (clone.path / "dvc.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    clone.run("git", "rm", "-q", "metrics/line.json")
    clone.run("git", "commit", "-qam", "a study less")

    clone.run("git", "switch", "-q", "--orphan", "bare")
    (clone.path / "README.md").write_text("# Before\n", encoding="utf-8")
    clone.run("git", "add", "README.md")
    clone.run("git", "commit", "-qm", "nothing yet")
    clone.run("git", "switch", "-q", "main")
    return clone


def report(clone: Clone, base: str) -> str:
    return clone.run(sys.executable, *REPORT, base).stdout


@pytest.mark.pipeline
def test_no_change_is_one_line(history: Clone) -> None:
    history.run("git", "switch", "-q", "readme")
    lines = report(history, "v1").splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("**Experiment: no change**, v1 (")


@pytest.mark.pipeline
def test_a_change_is_told_in_numbers_and_pictures(history: Clone) -> None:
    history.run("git", "switch", "-q", "metric")
    base, head = (history.run("git", "rev-parse", name).stdout.strip() for name in ("main", "HEAD"))
    text = report(history, "main")
    assert "| `wd` | 3 | 1 |" in text
    assert "⚠ head has results that are not those of its own code and params, of " in text
    assert "`train@wide-wd`" in text
    assert "| `wd.val_loss` | 0.01053 ± 0.00031 | 4.5e-06 ± 0.00031 | ÷ 2,340 | better |" in text
    assert "| `wd.steps_to_generalise` | 455 ± 5 | never ± 5 |  | worse |" in text
    wide = text.partition("**wide**")[2]
    assert wide.index("`wd.val_loss`") < wide.index("<details><summary>") < wide.index("</details>")
    assert "- new row `added`\n- removed row `oracle`" in text
    assert "metrics are unchanged." in text
    before, after = (f"![plots/overview.png](https://github.com/some/where/raw/{sha}/plots/overview.png)" for sha in (base, head))
    assert f"| {before} | {after} |" in text
    assert "| no `plots/descent_sweep.png` |" in text
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
        assert text.count("**") == 2  # the others have not changed


def test_what_is_within_the_error_is_said_to_be() -> None:
    error = {"wide.wd.val_loss_se": (0.2, 0.3)}
    for new, said in ((0.8, "better, within ±"), (0.5, "better"), (2.0, "worse")):
        (told,) = [words for words in metrics_tables(error | {"wide.wd.val_loss": (1.0, new)}) if words.startswith("| `")]
        assert told.endswith(f"| {said} |")


def test_a_change_of_the_error_alone_is_a_change_and_is_not_counted_twice() -> None:
    text = metrics_tables({"wide.wd.val_loss": (1.0, 1.0), "wide.wd.val_loss_se": (0.2, 0.3), "wide.wd.bias": (1.0, 1.0)})
    assert [words for words in text if words.startswith("| `")] == ["| `wd.val_loss` | 1 ± 0.2 | 1 ± 0.3 |  |  |"]
    assert text[-1] == "1 of 2 metrics are unchanged."


@pytest.mark.pipeline
def test_a_base_that_went_on_is_said_to_be_shown_backwards(history: Clone) -> None:
    history.run("git", "switch", "-q", "main")
    assert "⚠ fewer has 1 commit(s) that head has not" in report(history, "fewer")
    assert "commit(s)" not in report(history, "heavier")  # an experiment is no base to merge


def test_a_new_value_of_a_row_is_no_new_row() -> None:
    text = metrics_tables({"wide.wd.val_loss": (1.0, 1.0), "wide.wd.added": (None, 2.0), "wide.best": (None, 3.0)})
    assert [words for words in text if words.startswith("| `")] == ["| `best` | – | 3 |  |  |", "| `wd.added` | – | 2 |  |  |"]
    assert not any("row" in words for words in text)


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


@pytest.mark.parametrize("base", ["nowhere", "--help", "a b", "$(touch pwned)", ""])
def test_a_base_that_is_not_here_is_refused(base: str, history: Clone) -> None:
    with pytest.raises(ReportError, match=r"^expected a branch, tag, commit or experiment, got .*git fetch origin may bring it$"):
        resolve(history.path, base)


def test_a_shallow_clone_says_how_to_deepen_it(history: Clone, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{history.path}", str(shallow)], check=True)
    with pytest.raises(ReportError, match="this clone is shallow: git fetch --unshallow origin"):
        resolve(shallow, "v0")


def test_without_a_base_the_command_line_says_what_is_missing(history: Clone) -> None:
    result = history.run(sys.executable, *REPORT, check=False)
    assert result.returncode == 1
    assert result.stderr == "error: report: expected a base to compare with, got none: make report BASE=origin/main\n"


def test_numbers_have_the_digits_that_tell_them_apart() -> None:
    assert number("x", 4e-6, other=5e-6) == "4e-06"
    assert number("x", 1.23456, other=1.23461) == "1.23456"
    assert number("x", 0.0105312, other=0.02) == "0.01053"
    assert number("x", None, other=1.0) == "–"
    assert relative("x", 2.0, 1.0) == "-50 %"
    assert relative("x", -2.0, -1.0) == "+50 %"
    assert relative("x", 2.0, 23.456) == "× 11.7"
    assert relative("x", 0.01, 4e-6) == "÷ 2,500"
    assert [relative("x", old, 1.0) for old in (0.0, -1.0)] == ["", ""]
    assert relative("wide.wd.val_r2", 0.1, 0.2) == ""


@pytest.mark.parametrize(
    ("place", "old", "new", "said"),
    [
        ("wide.wd.val_loss", 2.0, 1.0, "better"),
        ("wide.wd.val_r2", 0.1, 0.2, "better"),
        ("modular.wd.val_accuracy", 1.0, 0.2, "worse"),
        ("modular.wd.steps_to_generalise", 455, -1, "worse"),
        ("modular.wd.steps_to_generalise", -1, 455, "better"),
        ("modular.wd.weight_norm", 1.0, 2.0, ""),
        ("wide.wd_minus_null.val_loss", 1.0, 2.0, ""),
        ("descent_sweep.rows_50.risk_at_zero", 1.0, 2.0, "worse"),
    ],
)
def test_better_and_worse_are_said_of_what_has_a_direction(place: str, old: float, new: float, said: str) -> None:
    assert verdict(place, old, new) == said
