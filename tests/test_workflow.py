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


def test_what_runs_code_may_only_read() -> None:
    """And what may write runs none, on pull requests of this repository's own branches alone."""
    check, comment = WORKFLOWS["experiment.yml"]["jobs"]["check"], WORKFLOWS["experiment.yml"]["jobs"]["comment"]
    assert set(WORKFLOWS["experiment.yml"][True]) == {"pull_request", "push"}  # YAML 1.1 reads `on` as true
    assert WORKFLOWS["experiment.yml"]["permissions"] == {"contents": "read"}
    assert "permissions" not in check
    assert "secrets." not in (FOLDER / "experiment.yml").read_text(encoding="utf-8")
    assert comment["permissions"] == {"pull-requests": "write"}
    assert "github.event.pull_request.head.repo.full_name == github.repository" in comment["if"]
    assert [step.get("run", step.get("uses", "").partition("@")[0]) for step in comment["steps"]] == [
        "actions/download-artifact",
        'gh pr comment "$NUMBER" --edit-last --create-if-none --body-file report.md',
    ]
    pages = WORKFLOWS["pages.yml"]["jobs"]
    assert pages["build"]["permissions"] == {"contents": "read"}
    assert pages["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert ["run" in step for step in pages["deploy"]["steps"]] == [False]


def test_the_logic_is_in_make() -> None:
    """Each forge's file sets up, tests, verifies and reports, by nothing but calls of make."""
    gitlab = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))["experiment"]
    github = [step["run"] for step in WORKFLOWS["experiment.yml"]["jobs"]["check"]["steps"] if "run" in step]
    for calls in (github, gitlab["script"] + gitlab["after_script"]):
        found = [re.fullmatch(r'make (?:--silent )?([a-z]+)(?: >> "\$GITHUB_STEP_SUMMARY")?', call) for call in calls]
        assert [call and call[1] for call in found] == ["extras", "test", "verify", "report"]
    assert {"extras", "test", "verify", "report", "site"} <= TARGETS
