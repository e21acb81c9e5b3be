"""The comment on a pull request: on which one, and made from how much of what.

The forge is a program `gh` that answers from files.
"""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from test_workflow import steps

from tools.comment import LARGEST
from tools.tables import MARK

COMMIT = "abcdef0123456789abcdef0123456789abcdef01"
SERVER = "https://github.com"
HIDDEN = "\u200b"
GH = f"""#!{sys.executable} -S
import json, os, sys
from pathlib import Path

forge, words = Path(os.environ["FORGE"]), sys.argv[1:]
with open(forge / "calls", "a") as calls:
    print(*words, file=calls)
known = json.loads((forge / "known.json").read_text())
if words[0] in known["fails"] or words[-1] in known["fails"]:
    sys.exit("a warning\\ngh: Not Found (HTTP 404)")
elif words[:2] == ["pr", "list"]:
    branch, fields = words[words.index("--head") + 1], words[-1].split(",")
    print(json.dumps([{{key: pull[key] for key in fields}} for pull in known["pulls"] if pull["headRefName"] == branch]))
elif words[:2] == ["api", "--paginate"]:
    items, page = ("comments", ".[]") if "/comments" in words[2] else ("artifacts", ".artifacts[]")
    assert words[3:] == ["--jq", page]
    for item in known[items]:  # an item a line, as from every gh that there is, and nothing but JSON's own escapes
        print(json.dumps(item, ensure_ascii=False))
elif words[:2] == ["api", "--method"]:
    (forge / "posted").write_text(Path(words[-1]).read_text())
elif words[0] == "api" and words[1].endswith("/zip"):
    sys.stdout.buffer.write((forge / words[1].split("/")[-2]).read_bytes())
    while known["endless"]:
        sys.stdout.buffer.write(bytes(2**16))
else:
    sys.exit(f"unknown: {{words}}")
"""


def pull(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "number": number,
        "headRefOid": COMMIT,
        "headRefName": "lighter",
        "headRepository": {"id": "R_1", "name": "where"},
        "headRepositoryOwner": {"id": "U_1", "login": "fork"},
        "baseRefName": "main",
    } | changed


def comment(number: int, author: str | None, text: str | None) -> dict[str, Any]:
    return {"id": number, "user": author and {"login": author}, "body": text}


def packed(text: str | bytes, name: str = "report.md", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


class Forge:
    """What GitHub knows, and what it has been told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = {"pulls": [pull(7)], "comments": [], "artifacts": [], "fails": [], "endless": False}
        self.variables = {
            "RUN": "1",
            "COMMIT": COMMIT,
            "GH_REPO": "some/where",
            "HEAD_REPOSITORY": "fork/where",
            "HEAD_BRANCH": "lighter",
        }
        program = path / "bin" / "gh"
        program.parent.mkdir()
        program.write_text(GH, encoding="utf-8")
        program.chmod(0o755)

    def upload(self, content: bytes, number: int = 5, **changed: Any) -> None:
        (self.path / str(number)).write_bytes(content)
        fields = {"id": number, "name": "report", "size_in_bytes": len(content), "expired": False}
        self.known["artifacts"].append(fields | changed)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`make comment` by a Python that has the standard library alone, as on a runner where nothing is set up."""
        (self.path / "known.json").write_text(json.dumps(self.known), encoding="utf-8")
        outside = {name: value for name, value in os.environ.items() if name not in self.variables}
        path = f"{self.path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = outside | {"PATH": path, "FORGE": str(self.path), "PYTHONUTF8": "1"} | self.variables
        command = words or (sys.executable, "-S", "-m", "tools.comment")
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> list[str]:
        return (self.path / "calls").read_text(encoding="utf-8").splitlines() if (self.path / "calls").exists() else []

    @property
    def told(self) -> tuple[str, str] | None:
        """Where something was posted, and its text."""
        if not (self.path / "posted").exists():
            return None
        (call,) = [call for call in self.calls if call.startswith("api --method")]
        return call.split(" --input ")[0], json.loads((self.path / "posted").read_text(encoding="utf-8"))["body"]


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path)


POST = "api --method POST repos/some/where/issues/7/comments"
PATCH = "api --method PATCH repos/some/where/issues/comments/42"
MADE = "**Made by the pull request's own code**, of abcdef0. Nobody vouches for what follows."
SIGNED = f"{MARK}\n\n{MADE}\n\n±\n"
OTHERS = [comment(40, "github-actions[bot]", "other"), comment(41, "somebody", MARK)]
OWN = comment(42, "github-actions[bot]", f"{MARK}\nolder")


def test_the_first_report_is_posted_and_the_next_put_in_its_place(forge: Forge) -> None:
    forge.known["comments"] = OTHERS
    forge.upload(packed(f"{MARK}\n±\n"))
    (step,) = [step["run"] for step in steps("comment.yml") if "run" in step]
    done = forge.run("bash", "-e", "-c", step)
    assert (done.returncode, done.stdout) == (0, "comment: posted on pull request 7\n"), done.stderr
    assert forge.told == (POST, SIGNED)
    (forge.path / "calls").unlink()
    forge.known["comments"] = [*OTHERS, OWN]
    assert forge.run().stdout == "comment: updated on pull request 7\n"
    assert forge.told == (PATCH, SIGNED)


def test_a_later_run_of_the_same_number_has_the_report(forge: Forge) -> None:
    forge.upload(packed(f"{MARK}\nnew\n"), 9)
    forge.upload(packed(f"{MARK}\nold\n"), 5)
    forge.upload(packed(f"{MARK}\nanother\n"), 10, name="reports")
    forge.run()
    assert forge.told == (POST, SIGNED.replace("±", "new"))


@pytest.mark.parametrize("text", ["\x85", "\u2028", "\u2029", "\x1e", "a\r\n\x0c", None], ids=ascii)
def test_any_comment_may_stand_there_already(text: str | None, forge: Forge) -> None:
    forge.known["comments"] = [comment(1, None, text), comment(2, "github-actions[bot]", text), comment(3, None, MARK), OWN]
    forge.upload(packed(f"{MARK}\n±\n"))
    done = forge.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert forge.told == (PATCH, SIGNED)


BOMB = packed(f"{MARK}\n" + "0" * 400_000_000)
WITHOUT: dict[str, tuple[bytes | None, dict[str, Any], str]] = {
    "none": (None, {}, "the run uploaded none, and its log says why"),
    "expired": (packed(MARK), {"expired": True}, "it has expired"),
    "said to be large": (packed(MARK), {"size_in_bytes": LARGEST + 1}, f"the artifact has more than {LARGEST:,} bytes"),
    "larger than said": (bytes(LARGEST + 1), {"size_in_bytes": 9}, f"the artifact has more than {LARGEST:,} bytes"),
    "no zip": (b"PK", {}, "the artifact is no zip with a report.md"),
    "empty": (b"", {}, "the artifact is no zip with a report.md"),
    "torn": (packed(MARK + "1234" * 99)[:-40], {}, "the artifact is no zip with a report.md"),
    "another file": (packed(MARK, "other.md"), {}, "the artifact is no zip with a report.md"),
    "lzma": (packed(MARK, method=zipfile.ZIP_LZMA), {}, "it is packed in a way that is not unpacked here"),
    "no mark": (packed("anything else"), {}, "report.md does not begin as `make report` begins it"),
}


@pytest.mark.parametrize("earlier", [[], [OWN]], ids=["first", "update"])
@pytest.mark.parametrize("case", WITHOUT)
def test_without_a_report_an_earlier_comment_says_why(case: str, earlier: list[dict[str, Any]], forge: Forge) -> None:
    content, changed, why = WITHOUT[case]
    forge.known["comments"] = earlier
    if content is not None:
        forge.upload(content, **changed)
    done = forge.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert forge.told == ((PATCH, f"{MARK}\n\n**Experiment: no report** of abcdef0: {why}.\n") if earlier else None)
    assert earlier or f"run 1 has no report, {why}, and" in done.stdout
    if case == "said to be large":
        assert not any(call.endswith("/zip") for call in forge.calls)


LIMITED = ("bash", "-c", f"ulimit -v 2200000; ulimit -d 150000; exec '{sys.executable}' -S -m tools.comment")


def test_what_does_not_end_is_left(forge: Forge) -> None:
    forge.known |= {"comments": [OWN], "endless": True}
    forge.upload(packed(f"{MARK}\n±\n"))
    done = forge.run(*LIMITED)
    assert (done.returncode, done.stderr) == (0, "")
    assert forge.told == (
        PATCH,
        f"{MARK}\n\n**Experiment: no report** of abcdef0: the artifact has more than {LARGEST:,} bytes.\n",
    )


def test_a_bomb_is_unpacked_no_further_than_a_comment_reaches(forge: Forge) -> None:
    forge.upload(BOMB)
    assert len(BOMB) < LARGEST
    assert forge.run(*LIMITED).returncode == 0
    assert forge.told == (POST, f"{MARK}\n\n{MADE}\n\nCut here: the run's summary has the rest.\n")


OTHER = {
    "commit": pull(8, headRefOid="b" * 40),
    "branch": pull(8, headRefName="heavier"),
    "owner": pull(8, headRepositoryOwner={"login": "other"}),
    "repository": pull(8, headRepository={"name": "elsewhere"}),
    "deleted": pull(8, headRepository=None, headRepositoryOwner=None),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_run_is_reported_where_commit_branch_and_repository_are_its_own(case: str, forge: Forge) -> None:
    forge.upload(packed(f"{MARK}\n±\n"))
    forge.known["pulls"] = [OTHER[case], pull(7)]
    forge.run()
    assert forge.told == (POST, SIGNED)


@pytest.mark.parametrize("case", OTHER)
def test_a_run_of_no_open_pull_request_is_not_reported(case: str, forge: Forge) -> None:
    forge.known |= {"pulls": [OTHER[case]], "comments": [OWN]}
    forge.upload(packed(f"{MARK}\n±\n"))
    done = forge.run()
    assert (done.returncode, done.stderr, forge.told) == (0, "", None)
    assert done.stdout == f"comment: no open pull request has {COMMIT} as the last commit of fork/where, lighter\n"


def test_of_two_pull_requests_with_one_head_neither_gets_the_others(forge: Forge) -> None:
    forge.known["pulls"] = [pull(7), pull(8, baseRefName="next")]
    forge.upload(packed(f"{MARK}\n±\n"))
    done = forge.run()
    assert (done.returncode, done.stderr, forge.told) == (0, "", None)
    assert re.fullmatch(r"comment: pull requests 7, 8 have .* which of them .*\n", done.stdout)


@pytest.mark.parametrize("name", ["RUN", "COMMIT", "GH_REPO", "HEAD_REPOSITORY", "HEAD_BRANCH"])
def test_a_missing_variable_is_named(name: str, forge: Forge) -> None:
    del forge.variables[name]
    done = forge.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"error: comment: expected {name} in the environment, got none.*\n", done.stderr)


@pytest.mark.parametrize("part", ["pr", ".[]", ".artifacts[]", "repos/some/where/actions/artifacts/5/zip"])
def test_what_gh_says_last_is_passed_on(part: str, forge: Forge) -> None:
    forge.upload(packed(f"{MARK}\n±\n"))
    forge.known["fails"] = [part]
    done = forge.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: comment: expected `gh .*` to work, got gh: Not Found \(HTTP 404\)\n", done.stderr)


def test_without_gh_there_is_a_line(forge: Forge) -> None:
    forge.variables["PATH"] = str(forge.path)
    done = forge.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: comment: expected the program gh on PATH, got none.*\n", done.stderr)
