"""The comment on a pull request: which one, from how much of what, and that nothing of the report leaves its frame.

The forge is a program `gh` that answers from files. What GitHub would show is asked of another Markdown implementation.
"""

import io
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from markdown_it import MarkdownIt
from test_workflow import steps

from tools.comment import LARGEST, body
from tools.tables import MARK, metrics_tables, params_table

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


def shown(report: str) -> str:
    return body(report, COMMIT, ("some/where", "fork/where"))


class Page(HTMLParser):
    """Rendered Markdown: its tags, its pictures, its text; balanced, or an error."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.pictures: list[str] = []
        self.comments: list[str] = []
        self.words = ""
        self.first: tuple[list[str], str] | None = None
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        assert set(given) <= {"img": {"src", "alt"}}.get(tag, set()), (tag, attributes)
        self.tags.append(tag)
        self.words += "\n"  # what a tag parts is no one word to GitHub either
        if tag == "img":
            self.pictures.append(given["src"] or "")
        elif tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)  # `<img />` has no end

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.words += "\n"

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.words += data
        if "Made by" in data and self.first is None:
            self.first = ([*self.open], self.words)


ALLOWED = {
    "p",
    "strong",
    "h3",
    "ul",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "img",
    "details",
    "summary",
}
CALLS = re.compile(r"@\w|#\d|\$|(?<!\d)[a-z]-\w|://|www\.|(?<!\d\.)(?<![\da-f])[\da-f]{7}", re.IGNORECASE)
PICTURE = re.compile(r"https://github\.com/(?:some|fork)/where/raw/[0-9a-f]{40}/plots/[\w/-]+\.png")


def assert_stays_in_its_frame(report: str) -> Page:
    text = shown(report)
    assert len(text) < 65_536
    assert re.match(re.escape(f"{MARK}\n\n{MADE}\n") + r"(\n|\Z)", text)
    assert text.replace(HIDDEN, "").replace("\n", "").isprintable()  # no turned text, no control
    page = Page(text)
    assert not any(unicodedata.combining(letter) for letter in text)  # nothing piled up over the lines around
    assert not re.search("^/", text, re.MULTILINE)  # no command to whoever reads comments as they were sent
    assert page.comments == [MARK.removeprefix("<!--").removesuffix("-->")]  # and no other, which might hide something
    assert page.first == (["p", "strong"], page.first[1] if page.first else "")
    assert page.first[1].strip() == "Made by the pull request's own code"
    assert set(page.tags) <= ALLOWED
    of_the_report = page.words.partition("Nobody vouches for what follows.")[2]
    assert not CALLS.search(of_the_report), of_the_report
    assert all(PICTURE.fullmatch(picture) for picture in page.pictures)
    return page


FIGURE = f"![plots/wide/curves.png]({SERVER}/some/where/raw/{COMMIT}/plots/wide/curves.png)"
TRIGGERS = [
    *("@all", "@some/team", "&#64;all", "&commat;all", "&#x40;all", "&#0064;all", "a@b.cd", "mailto:a@b.cd"),
    *(
        "#1",
        "&num;1",
        "&#35;1",
        "other/repo#1",
        "GH-1",
        "gh-1",
        "g&#104;-1",
        "GHSA-q4c5-6w23",
        "KEY-1",
        COMMIT,
        COMMIT[:7].upper(),
        f"other/repo@{COMMIT}",
    ),
    *(
        f"{SERVER}/o/r/issues/1",
        f"<{SERVER}/o/r/pull/1>",
        f"[a]({SERVER}/o/r)",
        "[a]: /b",
        "http&colon;//a.bc",
        "www.a.bc",
        "[^1]",
    ),
    *(
        "![a](https://evil.example/a.png)",
        FIGURE,
        FIGURE.replace("some", "evil"),
        FIGURE.replace("wide/curves.png)", "../../../a.png)"),
        f"[{FIGURE}](/a)",
    ),
    *("<!--", "-->", "<b>", "</details>", "</summary>", "<script>", "<a href='/'>", "<![CDATA[", "<?", "<pre>", "</p>", "<@all>"),
    *("<details>", "<details open>", "<details><summary>3 more</summary>", "<details><summary>@all</summary>"),
    *("`", "``", "```", "~~~", "`a`", "`a@b`", "`#1", "\\", "\\`", "|", "\\|", "**", "*", "_", "$", "$$", "---", "===", "> "),
    *(
        "### ",
        "# ",
        "- ",
        "1. ",
        "2) ",
        "1.     ---",
        "    ",
        "\t",
        "| a | b |",
        "|---|---|",
        "\x00",
        "\u200d",
        "\u202e",
        "\x85",
        "\u2028",
        "\u0336\u20d2" * 9,
        "$a$",
        "$`a`$",
        "/close",
        "\x0b",
        "\r",
    ),
    *("a", "0.0001234", "±", " ", " ", "\n", "\n", "\n", "\n\n", "\n\n"),
]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_report_holds_stays_in_its_frame(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(25):
        assert_stays_in_its_frame("".join(draw.choices(TRIGGERS, k=draw.randrange(1, 60))))


@pytest.mark.parametrize("trigger", TRIGGERS, ids=ascii)
def test_each_trigger_is_harmless_wherever_it_stands(trigger: str) -> None:
    places = (
        "{}",
        "a\n{}",
        "({})",
        "`{}`",
        "| {} | `{}` |",
        "- {}",
        "### {}",
        "**{}**",
        "a | `b | {}",
        "<!-- {}",
        "``` {}",
        "\\{}",
    )
    for place in places:
        report = place.replace("{}", trigger)
        assert_stays_in_its_frame(report)
        assert_stays_in_its_frame(f"<details><summary>3 more</summary>\n{report}\n</details>\n{report}")


def test_the_oracle_sees_each_trigger() -> None:
    """What is not framed fails: an oracle that lets it pass would prove nothing."""
    for trigger in (
        "@all",
        "&#64;all",
        "a/b#1",
        "GH-1",
        COMMIT,
        "https://a.bc",
        "www.a.bc",
        "&commat;all",
        "`@all`",
        "KEY-1",
        "&#36;a$",
    ):
        assert CALLS.search(Page(trigger).words)
    assert Page("<!--\nMade by\n-->").first is None
    assert "pre" in Page("```\nx").tags


def test_what_looks_like_a_report_keeps_its_form() -> None:
    """Of a report that this project writes, what is shown is what was written, apart from what nobody sees."""
    changes = {"wd.wide.wd": (3, 1), "wide.sweep": ([0, 1], [0, 2])}
    metrics: dict[str, Any] = {f"wide.wd.other_{row}": (row, row + 1e-4) for row in range(3)}
    metrics |= {"wide.wd.val_loss": (0.0001234, 0.25), "wide.wd.val_loss_se": (0.1, 0.2), "new.a.b_c": (None, 1)}
    lines = [
        "### Experiment: origin/main (e1e4355) → ac5de40",
        "",
        "⚠ head has results that are not those of its own code and params, of `evaluate@wide`.",
        *params_table(changes),
        *metrics_tables(metrics),
        *("", "| base | head |", "|---|---|", f"| {FIGURE} | no `plots/a_b.png` |"),
    ]
    report = "\n".join(lines) + "\n"
    page = assert_stays_in_its_frame(f"\n{report}")
    assert page.words.replace(HIDDEN, "").partition("follows.")[2].split() == Page(report).words.split()
    assert page.tags == ["p", "strong", *Page(report).tags]
    assert page.tags.count("details") == 1
    assert page.pictures == [FIGURE[:-1].partition("(")[2]]
    assert FIGURE.replace("some", "fork") in shown(FIGURE.replace("some", "fork"))
    assert "0.0001234" in page.words  # a number can be copied


def test_a_long_report_is_cut_between_lines_and_says_so() -> None:
    text = shown("\n<details><summary>3 more</summary>\n\n" + "| row | 1 |\n" * 10_000)
    assert 59_000 < len(text) < 65_536
    assert text.endswith("| row | 1 |\n\n</details>\n\nCut here: the run's summary has the rest.\n")


def test_a_long_line_takes_neither_mark_nor_origin_along() -> None:
    page = assert_stays_in_its_frame("a\n" + "&" * 70_000)
    assert page.words.split()[-9:] == ["a", "Cut", "here:", "the", "run's", "summary", "has", "the", "rest."]
