"""The workflows: linted, pinned, no more rights than they need, and nothing in them but calls of make."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from conftest import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS: dict[str, Any] = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yml"))}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE))


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in WORKFLOWS[name]["jobs"].values() for step in job["steps"]]


def test_a_linter_finds_nothing() -> None:
    result = subprocess.run(["zizmor", "--offline", "--no-progress", str(FOLDER)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_and_runs_cancelled(name: str) -> None:
    for step in steps(name):
        assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
    assert WORKFLOWS[name]["concurrency"]["cancel-in-progress"] in (True, "${{ github.event_name == 'pull_request' }}")


def test_what_runs_a_forks_code_may_only_read() -> None:
    check = WORKFLOWS["experiment.yml"]
    assert set(check[True]) == {"pull_request", "push"}  # YAML 1.1 reads `on` as true
    assert check["permissions"] == {"contents": "read"}
    assert "permissions" not in check["jobs"]["check"]
    assert "secrets." not in (FOLDER / "experiment.yml").read_text(encoding="utf-8")


def test_what_may_write_runs_no_code_of_the_pull_request() -> None:
    comment = WORKFLOWS["comment.yml"]
    assert set(comment[True]) == {"workflow_run"}
    assert comment["permissions"] == {}
    assert comment["jobs"]["comment"]["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    checkout, call = steps("comment.yml")
    assert checkout["with"] == {"ref": "${{ github.event.repository.default_branch }}", "persist-credentials": False}
    assert call["run"] == "make comment"
    run = "github.event.workflow_run"  # in the environment, where no shell reads what a fork has named
    told = {"RUN": "id", "COMMIT": "head_sha", "HEAD_REPOSITORY": "head_repository.full_name", "HEAD_BRANCH": "head_branch"}
    known = {"GH_TOKEN": "github.token", "GH_REPO": "github.repository"} | {name: f"{run}.{key}" for name, key in told.items()}
    assert comment["jobs"]["comment"]["env"] == {name: f"${{{{ {value} }}}}" for name, value in known.items()}


def test_the_logic_is_in_make() -> None:
    """Each forge's file sets up, tests, verifies and reports, by nothing but calls of make."""
    gitlab = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))["experiment"]
    github = [step["run"] for step in steps("experiment.yml") if "run" in step]
    for calls in (github, gitlab["script"] + gitlab["after_script"]):
        found = [re.fullmatch(r'make (?:--silent )?([a-z]+)(?: >> "\$GITHUB_STEP_SUMMARY")?', call) for call in calls]
        assert [call[1] for call in found if call] == ["ssh", "browser", "ray", "test", "verify", "report"]
        assert len(found) == 6
    assert {"ssh", "browser", "ray", "test", "verify", "report", "comment", "site"} <= TARGETS
