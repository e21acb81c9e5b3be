"""Posts the report of a finished workflow run as its pull request's one comment, or updates it: `make comment`.

RUN, COMMIT, HEAD_REPOSITORY and HEAD_BRANCH, of the environment, are the run and what it checked; `gh` reads GH_TOKEN and
GH_REPO. The report was made by the pull request's own code, which may say anything: a line above it says so, no more of it is
read than a comment holds, and only what `make report` writes keeps its form. It is posted without setting anything up, so this
module imports the standard library and what needs no more than that.
"""

import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

from stages.base.errors import UserError
from stages.console.command import in_one_line
from tools import process
from tools.process import environment
from tools.tables import MARK

LONGEST = 60_000  # characters; GitHub refuses a comment of more than 65,536
LARGEST = 1_000_000  # bytes of the artifact, a zip; a report that fills a comment has a quarter of that
TOO_LARGE = f"the artifact has more than {LARGEST:,} bytes"
BOT = "github-actions[bot]"
CUT = "Cut here: the run's summary has the rest."

BREAK = "\N{ZERO WIDTH SPACE}"  # between a mention's or a link's first character and the rest: neither sees the other
TRIGGER = re.compile(r"[@#]|(?<!\d)[a-z]-(?=\w)|:(?=//)|www(?=\.)", re.IGNORECASE)  # GH-1, GHSA-…, a tracker's KEY-1
DIGITS = re.compile(r"(?<![\da-f])(?!(?<=\d\.)\d+\b)[\da-f]{7,}", re.IGNORECASE | re.ASCII)  # of a commit, not a decimal's
LITERAL = {ord(character): f"&#{ord(character)};" for character in "&<>\\`*_~[]|"}  # an entity never is Markdown or HTML
LITERAL[ord("$")] = (
    "\N{FULLWIDTH DOLLAR SIGN}"  # but mathematics, which can be drawn over other lines, is sought in what it means
)
UNSEEN = "CM"  # Unicode's categories of what turns or hides text, and of marks that pile up over the lines around
CODE = r"(?<!`)`[\w .,:;=@#/()+^~%'\"?!{}\[\]\\*-]+`(?!`)"
DELIMITER = re.compile(r"\|(?:---\|)+")
SUMMARY = re.compile(r"<details><summary>\d{1,6} more(?: figures)?</summary>", re.ASCII)


class NoReportError(Exception):
    """Why a run has no report that can be shown."""


def main() -> None:
    run, commit, repository, origin, branch = (
        given(name) for name in ("RUN", "COMMIT", "GH_REPO", "HEAD_REPOSITORY", "HEAD_BRANCH")
    )
    numbers = pull_requests(commit, origin, branch)
    if len(numbers) > 1:
        several = ", ".join(str(number) for number in numbers)
        print(f"comment: pull requests {several} have {branch} of {origin}, and a run does not say which of them it checked")
        return
    if not numbers:  # a later push has its own run
        print(f"comment: no open pull request has {commit} as the last commit of {origin}, {branch}")
        return
    comments = f"repos/{repository}/issues/{numbers[0]}/comments"
    mine = [item["id"] for item in listed(comments, ".[]") if written_here(item)]
    try:
        text = body(fetched(repository, run), commit, (repository, origin))
    except NoReportError as error:
        if not mine:
            print(f"comment: run {run} has no report, {error}, and there is no comment to update")
            return
        text = f"{MARK}\n\n**Experiment: no report** of {commit[:7]}: {error}.\n"
    place = ["PATCH", f"repos/{repository}/issues/comments/{mine[0]}"] if mine else ["POST", comments]
    with tempfile.TemporaryDirectory(prefix="comment-") as folder:
        message = Path(folder, "message.json")
        message.write_text(json.dumps({"body": text}), encoding="utf-8")
        gh("api", "--method", *place, "--input", str(message))
    print(f"comment: {'updated' if mine else 'posted'} on pull request {numbers[0]}")


def given(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UserError(f"expected {name} in the environment, got none; the workflow comment.yml gives it")
    return value


def pull_requests(commit: str, origin: str, branch: str) -> list[int]:
    """The open pull requests whose head is this commit of this branch of this repository.

    Of several, which differ in their base alone, GitHub does not say which one a run was for: what it lists with a run are the
    pull requests that have its head, and none from forks.
    """
    fields = "number,headRefOid,headRefName,headRepository,headRepositoryOwner"
    found = gh("pr", "list", "--state", "open", "--head", branch, "--limit", "1000", "--json", fields)
    return [item["number"] for item in decoded(found) if head_of(item) == (commit, origin, branch)]


def head_of(item: dict[str, Any]) -> tuple[str, str, str]:
    """Commit, repository and branch; a repository that has been deleted has no name."""
    owner, repository = item["headRepositoryOwner"] or {}, item["headRepository"] or {}
    return item["headRefOid"], f"{owner.get('login')}/{repository.get('name')}", item["headRefName"]


def written_here(comment: dict[str, Any]) -> bool:
    """Whether it is an earlier run's. An author who has gone is null, and so may a text be."""
    return (comment["user"] or {}).get("login") == BOT and (comment["body"] or "").startswith(MARK)


def fetched(repository: str, run: str) -> str:
    """The run's report, no more of it than a comment holds. Raises NoReportError where there is none."""
    artifacts = listed(f"repos/{repository}/actions/runs/{run}/artifacts?per_page=100&name=report", ".artifacts[]")
    named = [item for item in artifacts if item["name"] == "report"]
    if not named:
        raise NoReportError("the run uploaded none, and its log says why")
    artifact = max(named, key=lambda item: item["id"])  # a run that was started again has uploaded another
    if artifact["expired"]:
        raise NoReportError("it has expired")
    if artifact["size_in_bytes"] > LARGEST:
        raise NoReportError(TOO_LARGE)
    return unpacked(downloaded(f"repos/{repository}/actions/artifacts/{artifact['id']}/zip"))


def downloaded(address: str) -> bytes:
    """What is there. Raises NoReportError where it is more than an artifact may have, with no more than that in memory."""
    words = ["gh", "api", address]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(words, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as running,
    ):
        assert running.stdout is not None
        content = running.stdout.read(LARGEST + 1)
        if len(content) > LARGEST:
            running.kill()
            raise NoReportError(TOO_LARGE)
        if running.wait():
            errors.seek(0)
            told = process.reason(subprocess.CompletedProcess(words, running.returncode, content, errors.read()))
            raise UserError(f"expected `{' '.join(words)}` to work, got {told}")
    return content


def unpacked(content: bytes) -> str:
    """The text of report.md in a zip. Only deflate is unpacked in pieces, however much there is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = archive.getinfo("report.md")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NoReportError("it is packed in a way that is not unpacked here")
            with archive.open(member) as file:
                text = file.read(4 * LONGEST).decode("utf-8", errors="replace")
    except NoReportError:
        raise
    except Exception as error:  # zipfile answers made-up bytes with exceptions of many kinds
        raise NoReportError("the artifact is no zip with a report.md") from error
    if not text.startswith(MARK):
        raise NoReportError("report.md does not begin as `make report` begins it")
    return text.removeprefix(MARK)


def body(report: str, commit: str, repositories: tuple[str, ...]) -> str:
    """The comment: where the report comes from, and as much of it as there is room for, in whole lines."""
    token = re.compile(f"({image(repositories)}|{CODE})", re.ASCII)
    lines = [MARK, "", f"**Made by the pull request's own code**, of {commit[:7]}. Nobody vouches for what follows.", ""]
    room, folded = LONGEST, False
    for line in re.split(r"\r\n|\r|\n", report):
        seen = "".join(character for character in line if unicodedata.category(character)[0] not in UNSEEN or character == "\t")
        plain = " ".join(seen.split())  # of many spaces Markdown makes a block of code
        opens, closes = not folded and SUMMARY.fullmatch(plain), folded and plain == "</details>"
        # A fold stands between empty lines: what touches its tag would be read as HTML, not as Markdown.
        framed = ["", plain, ""] if opens or closes else [shown(plain, token)]
        room -= sum(len(part) + 1 for part in framed)
        if room < 0:
            break
        lines += framed
        folded = folded != bool(opens or closes)
    lines += ["", "</details>"] if folded else []
    lines += ["", CUT] if room < 0 else []
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def image(repositories: tuple[str, ...]) -> str:
    """A figure as `make report` shows it, of a commit of one of these repositories; its name climbs out of no folder."""
    server = re.escape(os.environ.get("GITHUB_SERVER_URL", "https://github.com"))
    names = "|".join(re.escape(name) for name in repositories)
    return rf"!\[plots/[\w/-]+\.(?:png|gif)\]\({server}/(?:{names})/raw/[\da-f]{{40}}/plots/[\w/-]+\.(?:png|gif)\)"


def shown(line: str, token: re.Pattern[str]) -> str:
    """A line as `make report` writes them: heading, list item, bold beginning, row of a table. Anything else is plain text."""
    if DELIMITER.fullmatch(line):
        return line
    if re.fullmatch(r"\|.*(?<!\\)\|", line):
        return "|".join(inline(cell.replace(r"\|", "|"), token) for cell in re.split(r"(?<!\\)\|", line))
    if found := re.fullmatch(r"(### |- )(.+)", line):
        return found[1] + started(inline(found[2], token))
    if found := re.fullmatch(r"\*\*(\S[^*]*)\*\*(.*)", line):
        return f"**{inline(found[1], token)}**{inline(found[2], token)}"
    return started(inline(line, token))


def inline(text: str, token: re.Pattern[str]) -> str:
    """Figures and code as they are, all else literally; nothing that would call, refer or link, code included."""
    parts = token.split(text)  # what matches stands at odd places
    for place, part in enumerate(parts):
        if place % 2 == 0:
            parts[place] = broken(part).translate(LITERAL)
        elif part.startswith("`"):
            parts[place] = broken(part)
    return "".join(parts)


def broken(text: str) -> str:
    """The text, with a character that nobody sees in all that GitHub would make a mention, a reference or a link of."""
    text = DIGITS.sub(lambda found: BREAK.join(re.findall(".{1,6}", found[0])), text)
    return TRIGGER.sub(rf"\g<0>{BREAK}", text)


def started(text: str) -> str:
    """The text, not read as a list, a line across, the underline of a heading, or a command to another program."""
    return re.sub(r"^(\d*)([-+=/.)])", lambda found: f"{found[1]}&#{ord(found[2])};", text)


def listed(address: str, query: str) -> list[dict[str, Any]]:
    """All items of all pages, an item a line: the gh of Ubuntu 24.04 knows no --slurp. Other line ends may stand in them."""
    return [decoded(line) for line in gh("api", "--paginate", address, "--jq", query).split("\n") if line]


def decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"expected JSON from gh, got {text[:80]!r}") from error


def gh(*words: str) -> str:
    if not shutil.which("gh"):
        raise UserError("expected the program gh on PATH, got none; see https://cli.github.com")
    return process.output(Path.cwd(), "gh", *words)


if __name__ == "__main__":
    with in_one_line("comment"):
        main()
