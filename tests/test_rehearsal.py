"""Two pull requests to a bare repository: another λ, as its author types it, and a metric that is edited by hand.

What keeps them short: the pipeline is cut to the studies of the README's table, or to `wide`, and `make test` to what can tell
which λ is committed. The second goes through the workflow's own lines.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import COMMITTED, ROOT, Clone
from test_workflow import WORKFLOWS

pytestmark = pytest.mark.slow
FORGE = {"GITHUB_REPOSITORY": "some/where", "GITHUB_SERVER_URL": "https://github.com", "CI": "true"}


def cut(clone: Clone, kept: tuple[str, ...], *gone: str) -> None:
    """Leave the same stages, commands and dependencies, of these studies."""
    tree: dict[str, Any] = yaml.safe_load(clone.read("dvc.yaml"))
    for name in ("explorer", "evaluate-grid", "plot-grid", *gone):
        del tree["stages"][name]
    arms, _ = (known for each in tree["vars"] for known in each.values())
    tree["vars"] = [{"arms": {study: arms[study] for study in kept}}]
    for name in ("generate", "sweep"):
        tree["stages"][name]["foreach"] = {study: tree["stages"][name]["foreach"][study] for study in kept}
    del tree["plots"]
    (clone.path / "dvc.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with a branch on which a metric is edited, pushed to its bare `origin`. Results of other studies are gone."""
    clone = Clone(tmp_path_factory.mktemp("author"))
    cut(clone, ("wide",), "overview")
    clone.run("git", "rm", "-rq", "dvc.lock", "metrics", "plots")
    clone.run("dvc", "repro")
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "one study")

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
        "PYTEST_ADDOPTS": "tests/test_streams.py",  # which reads no results
    }
    given: dict[str, subprocess.CompletedProcess[str]] = {}
    for step in WORKFLOWS["experiment.yml"]["jobs"]["check"]["steps"]:
        if "run" not in step or step["run"] == "make extras":
            continue  # actions of the forge; what a user without a network has not asked for
        if any(result.returncode for result in given.values()) and "!cancelled()" not in step.get("if", ""):
            continue
        variables = (f"{name}={value}" for name, value in environment.items())
        given[step["run"]] = clone.run("env", *variables, "bash", "-e", "-c", step["run"], check=False)
    return given, summary.read_text(encoding="utf-8")


def commit(clone: Clone, name: str) -> str:
    return clone.run("git", "rev-parse", name).stdout.strip()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone of the project as it ships, with all its results, pushed to its bare `origin`."""
    clone = Clone(tmp_path_factory.mktemp("user"))
    cut(clone, ("line", "wide", "modular"))
    clone.run("git", "commit", "-qam", "three studies")
    bare = tmp_path_factory.mktemp("shipped")
    clone.run("git", "init", "-q", "--bare", "-b", "main", str(bare))
    clone.run("git", "remote", "add", "origin", str(bare))
    clone.run("git", "push", "-q", "origin", "main")
    return clone


CHECKS = "params readme results wide modular"  # the tests that can tell which λ of `wide` and `modular` is committed
BELONGS = re.compile(r"params\.yaml|dvc\.lock|metrics/.*|plots/.*|README\.md|stages/studies/\w+/README\.md")


def test_a_pull_request_with_another_lambda_is_green_without_a_hand_on_any_file(user: Clone) -> None:
    """What is typed: `dvc exp run -S wd=…`, `git commit -a`, `make test`, `make report`."""
    decay = 0 if COMMITTED.wd == 1 else 1
    user.run("git", "switch", "-qc", f"wd-{decay}", "main")
    user.run("dvc", "exp", "run", "-S", f"wd={decay}", timeout=1800)
    changed = [line.split()[-1] for line in user.run("git", "status", "--porcelain").stdout.splitlines()]
    assert {"params.yaml", "README.md", "stages/studies/wide/README.md", "stages/studies/modular/README.md"} <= set(changed)
    assert all(BELONGS.fullmatch(name) for name in changed), changed
    user.run("git", "commit", "-qam", f"wd: {decay}")
    files = " ".join([*(f"tests/test_{name}.py" for name in CHECKS.split()), "-k 'not pytorch or wide or modular'"])
    checked = user.run("make", "test", MYPY_CACHE_DIR=str(ROOT / ".mypy_cache"), PYTEST_ADDOPTS=files, check=False)
    assert checked.returncode == 0, checked.stdout[-3000:]
    report = user.run("make", "report", BASE="origin/main").stdout
    assert f"| `wd` | `{COMMITTED.wd:g}` | `{decay}` |" in report
    assert "⚠" not in report
    reads_as(user.read("README.md"), decay, json.loads(user.read("metrics/details/wide.json")))


def reads_as(readme: str, decay: int, wide: dict[str, Any]) -> None:
    """The README speaks of the λ that is committed: in its bullets, in its table, beside its command."""
    bullets = {
        name: line for line in readme.splitlines() for name in ("200 inputs, 20 rows", "(a + b) mod 31") if f"- **{name}" in line
    }
    assert len(bullets) == 2
    for line in bullets.values():
        assert re.search(rf"λ = {decay}\b", line)
        assert not re.search(r"λ = 3\b", line)
    loss = re.findall(rf"^\|  \| {decay} \| (\S+) ± ", readme.partition("`wide`: 200")[2], re.MULTILINE)[0]
    assert float(loss) == pytest.approx(wide["wd"]["val_loss"], rel=1e-2)
    assert f"the λ that these results have, `-S wd={decay}`" in readme


def test_an_edited_metric_stops_at_the_gate_which_names_it(author: Clone, tmp_path: Path) -> None:
    given, summary = rehearsed(checked_out(author, "edited", tmp_path / "clone"), "edited")
    assert [step for step, result in given.items() if result.returncode] == ["make verify"]
    said = given["make verify"].stdout.splitlines()
    produced = json.loads(author.run("git", "show", "main:metrics/wide.json").stdout)["wd"]["val_loss"]
    assert f"metrics/wide.json: wd.val_loss: committed 0.009, produced {produced}" in said
    assert "metrics/extra.json: committed, but not produced" in said
    assert any(line.startswith("plots/wide/parts.png: 13 bytes committed, other ") for line in said)
    assert "⚠ head has results that are not those of its own code and params, of `evaluate@wide`" in summary
