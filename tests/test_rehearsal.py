"""The workflows rehearsed: their steps, in order, on pull requests to a bare repository.

The steps are the workflow's own lines. What keeps them short: the pipeline is cut to `wide` without its sweep, and `make test`
to one module of tests.
"""

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Clone
from test_workflow import WORKFLOWS, steps

pytestmark = pytest.mark.pipeline
FORGE = {"GITHUB_REPOSITORY": "some/where", "GITHUB_SERVER_URL": "https://github.com", "CI": "true"}


def cut_to_wide(clone: Clone) -> None:
    """The same stages, commands and dependencies, of one study; results of the others are gone."""
    tree: dict[str, Any] = yaml.safe_load(clone.read("dvc.yaml"))
    for name in ("overview", "explorer", "sweep", "evaluate-sweep", "plot-sweep"):
        del tree["stages"][name]
    del tree["plots"]
    for stage in tree["stages"].values():
        if "foreach" not in stage:  # of no study
            continue
        items = stage["foreach"]
        kept = [name for name in items if name.startswith("wide")]
        stage["foreach"] = {name: items[name] for name in kept} if isinstance(items, dict) else kept
    (clone.path / "dvc.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    clone.run("git", "rm", "-rq", "dvc.lock", "metrics", "plots")


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with three branches, pushed to its bare `origin`: λ changed and reproduced, a metric edited, words edited."""
    clone = Clone(tmp_path_factory.mktemp("author"))
    cut_to_wide(clone)
    clone.run("dvc", "repro")
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "one study")

    clone.run("git", "switch", "-qc", "lighter")
    clone.set("wd", "1")
    clone.run("dvc", "repro")
    clone.run("git", "commit", "-qam", "wd: 1")

    clone.run("git", "switch", "-qc", "edited", "main")
    for name in ("metrics/details/wide.json", "metrics/wide.json"):
        path = clone.path / name
        tree = json.loads(path.read_text(encoding="utf-8"))
        tree["wd"]["val_loss"] = 0.009
        path.write_text(json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_name("extra.json").write_text("{}\n", encoding="utf-8")
    (clone.path / "plots" / "wide" / "parts.png").write_bytes(b"drawn by hand")
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "a better number, and a file that no stage makes")

    clone.run("git", "switch", "-qc", "words", "main")
    (clone.path / "README.md").write_text("# Another\n", encoding="utf-8")
    clone.run("git", "commit", "-qam", "words")

    bare = tmp_path_factory.mktemp("origin")
    clone.run("git", "init", "-q", "--bare", "-b", "main", str(bare))
    clone.run("git", "remote", "add", "origin", str(bare))
    clone.run("git", "push", "-q", "--all", "origin")
    return clone


def checked_out(author: Clone, branch: str, path: Path) -> Clone:
    """What the forge checks out of a pull request: the merge of its branch into main, on no branch."""
    origin = author.run("git", "remote", "get-url", "origin").stdout.strip()
    subprocess.run(["git", "clone", "-q", origin, str(path)], check=True)
    clone = Clone.at(path)
    clone.run("git", "checkout", "-q", "--detach", "origin/main")
    clone.run("git", "merge", "-q", "--no-ff", "-m", "merge", f"origin/{branch}")
    return clone


def rehearsed(clone: Clone, branch: str) -> tuple[dict[str, subprocess.CompletedProcess[str]], str]:
    """Run experiment.yml's steps as for a pull request; what each gave, and the summary."""
    summary = clone.path.with_suffix(".summary")
    known = {"github.base_ref": "main", "github.event.pull_request.head.sha": commit(clone, f"origin/{branch}")}
    written = WORKFLOWS["experiment.yml"]["jobs"]["check"]["env"]
    environment = {name: re.sub(r"\$\{\{ (.+?) \}\}", lambda found: known[found[1]], value) for name, value in written.items()}
    environment |= FORGE | {
        "GITHUB_STEP_SUMMARY": str(summary),
        "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
        "PYTEST_ADDOPTS": "tests/test_compare.py -m 'not pipeline'",
    }
    given: dict[str, subprocess.CompletedProcess[str]] = {}
    for step in steps("experiment.yml"):
        if "run" not in step or (step["run"] == "make ssh" and importlib.util.find_spec("dvc_ssh") is None):
            continue  # actions of the forge; what a user without a network has not asked for
        if any(result.returncode for result in given.values()) and "!cancelled()" not in step.get("if", ""):
            continue
        variables = (f"{name}={value}" for name, value in environment.items())
        given[step["run"]] = clone.run("env", *variables, "bash", "-e", "-c", step["run"], check=False)
    return given, summary.read_text(encoding="utf-8")


def commit(clone: Clone, name: str) -> str:
    return clone.run("git", "rev-parse", name).stdout.strip()


def test_a_change_of_lambda_passes_and_is_reported(author: Clone, tmp_path: Path) -> None:
    clone = checked_out(author, "lighter", tmp_path / "clone")
    given, summary = rehearsed(clone, "lighter")
    assert [result.returncode for result in given.values()] == [0] * len(given), given
    assert re.search(r"\b\d\d passed", given["make test"].stdout)
    assert "are what its code produces, byte for byte" in given["make verify"].stdout
    assert "| `wd` | 3 | 1 |" in summary
    table, verdict = (
        r"\| `wd\.val_loss` \| 0\.\d+ ± 0\.\d+ \| 0\.\d+ ± 0\.\d+ \| \+\d+ % \| worse \|",
        r"\+\d+ % ± [\d.]+ % \(unpaired\)",
    )
    assert re.search(rf"^{table}$", summary, re.MULTILINE)
    assert re.search(rf"^- `wide`: validation loss with decay {verdict}\.$", summary, re.MULTILINE)  # as its sweep is cut
    base, head = commit(clone, "origin/main"), commit(clone, "origin/lighter")  # and not the merge, which nobody else has
    assert f"### Experiment: origin/main ({base[:7]}) → {head[:7]}" in summary
    assert all(f"(https://github.com/some/where/raw/{sha}/plots/wide/curves.png)" in summary for sha in (base, head))
    assert "⚠" not in summary
    assert clone.read("build/report.md") == summary


def test_an_edited_metric_stops_at_the_gate_which_names_it(author: Clone, tmp_path: Path) -> None:
    given, summary = rehearsed(checked_out(author, "edited", tmp_path / "clone"), "edited")
    assert [step for step, result in given.items() if result.returncode] == ["make verify"]
    said = given["make verify"].stdout.splitlines()
    produced = json.loads(author.run("git", "show", "main:metrics/wide.json").stdout)["wd"]["val_loss"]
    assert f"metrics/wide.json: wd.val_loss: committed 0.009, produced {produced}" in said
    assert "metrics/extra.json: committed, but not produced" in said
    assert any(line.startswith("plots/wide/parts.png: 13 bytes committed, other ") for line in said)
    assert "⚠ head has results that are not those of its own code and params, of `evaluate@wide`" in summary


def test_words_are_no_change(author: Clone, tmp_path: Path) -> None:
    given, summary = rehearsed(checked_out(author, "words", tmp_path / "clone"), "words")
    assert all(result.returncode == 0 for result in given.values()), given
    assert summary.splitlines()[1].startswith("**Experiment: no change**, origin/main (")
