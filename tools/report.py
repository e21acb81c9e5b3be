"""What a change did to the experiment, in Markdown: `make report BASE=origin/main`.

Compares BASE, a branch, tag, commit or experiment, with the working tree: a verdict in words, params, metrics, figures. On
standard output, and as much as a comment on a forge holds in build/report.md.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stages.base.errors import UserError
from stages.base.storage import save_bytes
from stages.console.command import in_one_line
from stages.measure.findings import counted
from tools.compared import Compared, attempt, compare, experiments, headline, resolve
from tools.process import output
from tools.verdict import by_study, change, fate, judged, value, verdicts

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("| metric | base | head | change | pairs | |", "|---|---|---|---|---|---|")
READ = re.compile(  # in dvc.lock, what a stage depends on and no stage writes, beside code and params
    r"^    - path: (?!stages/|metrics/|plots/|params\.yaml$|data/\w+(?:\.npz|/.*)?$)(.+)\n"
    r"      hash: md5\n      md5: (\w+)\n      size: (\d+)$",
    re.MULTILINE,
)
LONGEST = 60_000  # characters; GitHub refuses a comment of more than 65,536


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1 or not arguments[0]:
        raise UserError("expected a base to compare with, got none: make report BASE=origin/main")
    text = report(ROOT, arguments[0])
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}\n\nCut here: `make report` prints the rest.\n"
    save_bytes(ROOT / "build" / "report.md", short.encode("utf-8", errors="backslashreplace"))
    sys.stdout.write(text)


def report(repo: Path, base: str) -> str:
    commit = resolve(repo, base)
    found, params, pictures = compare(repo, commit), inputs_of(repo, commit), figures(repo, commit)
    warnings = list(doubts(repo, commit, base))
    title = f"{code(base)} ({commit[:7]}) → {head(repo)[:7]}"
    if not (params or found.changed or pictures):
        return "\n".join([f"**Experiment: no change**, {title}.", *apart(warnings)]) + "\n"
    parts = [
        f"### Experiment: {title}",
        *apart(verdicts(found) or ["No result has changed."]),
        *apart(warnings),
        *apart(params),
        *metrics(found),
        *gallery(repo, commit, pictures),
    ]
    return "\n".join(parts) + "\n"


def apart(lines: Sequence[str]) -> list[str]:
    """A paragraph of its own, if there is anything to say."""
    return ["", *lines] if lines else []


def head(repo: Path) -> str:
    """The commit that is reported: HEAD, or that of the pull request whose merge a workflow has checked out."""
    return os.environ.get("HEAD_SHA") or output(repo, "git", "rev-parse", "HEAD")


def code(text: object) -> str:
    """A code span that stays in its cell and on its line."""
    return f"`{' '.join(str(text).split())}`".replace("|", "\\|")


def inputs_of(repo: Path, commit: str) -> list[str]:
    """DVC's own diff of params in a table, and below them the files that a study reads and that have changed."""
    files = json.loads(output(repo, "dvc", "params", "diff", "--json", commit) or "{}")
    changes = sorted(item for file in files.values() for item in file.items())
    rows = [f"| {code(place)} | {code(each.get('old', '–'))} | {code(each.get('new', '–'))} |" for place, each in changes]
    here = repo / "dvc.lock"
    base, now = map(
        files_read, (attempt(repo, "show", f"{commit}:./dvc.lock"), here.read_text("utf-8") if here.is_file() else "")
    )
    for path in sorted(base.keys() | now.keys()):
        if base.get(path) != now.get(path):
            rows.append(f"| {code(path)} | {base.get(path, '–')} | {now.get(path, '–')} |")
    return ["| parameter or file | base | head |", "|---|---|---|", *rows] if rows else []


def files_read(lock: str | None) -> dict[str, str]:
    """The files that a study reads, with their size and the beginning of their hash."""
    return {path: f"{int(size):,} bytes, `{md5[:7]}…`" for path, md5, size in READ.findall(lock or "")}


def metrics(found: Compared) -> list[str]:
    """A table a study, what is no headline folded. Of the same trials the change is that of their pairs."""
    lines: list[str] = []
    for study, places in by_study(found.changed).items():
        lines += ["", f"**{study}**"]
        if said := fate(study, found):
            lines[-1] += f": {said}, {counted(len(places), 'metric')}"
            continue
        rows = {place: row(place, found) for place in places}
        shown = [rows.pop(place) for place in places if headline(place)]
        lines += ["", *COLUMNS, *shown] if shown else []
        if rows:
            folded = f"<details><summary>{len(rows)} more</summary>"
            lines += ["", folded, "", *COLUMNS, *rows.values(), "", "</details>"]
    return [*lines, "", f"{len(found.places) - len(found.changed)} of {len(found.places)} metrics are unchanged."]


def row(place: str, found: Compared) -> str:
    pairs = found.paired[place].trials if place in found.paired else ""
    sides = [value(found, place, side) for side in (0, 1)]
    cells = [code(place.partition(".")[2]), *sides, change(found, place, error=True), str(pairs), judged(found, place)]
    return f"| {' | '.join(cells)} |"


def figures(repo: Path, commit: str) -> list[str]:
    """The pictures under plots/ that differ between the commit and the working tree."""
    tracked = output(repo, "git", "diff", "--name-only", "-z", "--relative", "--no-renames", commit, "--", "plots").split("\0")
    new = output(repo, "git", "ls-files", "-z", "--others", "--exclude-standard", "--", "plots").split("\0")
    return sorted({name for name in tracked + new if name.endswith((".png", ".gif"))})


def gallery(repo: Path, commit: str, pictures: Sequence[str]) -> list[str]:
    """Before and after, side by side, each from its own commit; all but the overview folded."""
    columns, rows = ("| base | head |", "|---|---|"), {}
    for name in pictures:
        before, after = (shown(repo, revision, name) for revision in (commit, head(repo)))
        gone = not (repo / name).exists()
        rows[name] = f"| {before or f'new: {code(name)}'} | {'removed' if gone else after or 'not committed'} |"
    first = rows.pop("plots/overview.png", None)
    lines = ["", *columns, first] if first else []
    if rows:
        lines += ["", f"<details><summary>{len(rows)} more figures</summary>", "", *columns, *rows.values(), "", "</details>"]
    return lines


def shown(repo: Path, revision: str, name: str) -> str:
    """A commit's picture where its forge has it; nothing where the commit has none."""
    if attempt(repo, "cat-file", "-e", f"{revision}:./{name}") is None:
        return ""
    if "GITHUB_REPOSITORY" in os.environ:
        forge = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    else:
        remote = os.environ.get("CI_PROJECT_URL") or attempt(repo, "remote", "get-url", "origin") or ""
        forge = re.sub(r"^(?:ssh://)?git@([\w.-]+)[:/]", r"https://\1/", remote).removesuffix(".git")
    folder = output(repo, "git", "rev-parse", "--show-prefix")
    return f"![{name}]({forge}/raw/{revision}/{quote(os.fsencode(folder + name))})"


def doubts(repo: Path, commit: str, base: str) -> Iterator[str]:
    """What may make the numbers not be those of the commit's code and params."""
    dirty = output(repo, "git", "status", "--porcelain", "--untracked-files=no", "--", ".").splitlines()
    if dirty:
        yield f"⚠ head has uncommitted changes in {counted(len(dirty), 'file')}: numbers are theirs, pictures the last commit's."
    behind = output(repo, "git", "rev-list", "--count", commit, "^HEAD", "--", ".")
    if behind != "0" and commit not in experiments(repo).values():
        yield f"⚠ {code(base)} has {counted(int(behind), 'commit')} that head has not, shown backwards: merge them first."
    yield from unreproduced(json.loads(output(repo, "dvc", "status", "--json") or "{}"))


def unreproduced(status: dict[str, list[Any]]) -> Iterator[str]:
    """Stages whose dependency, parameter, command or result has changed; data of another commit, or none, are no change."""
    told = [(stage, *each) for stage, reasons in status.items() for why in reasons for each in changes(why)]
    data = {path: state for _, kind, path, state in told if kind == "changed outs" and path.startswith("data/")}
    stale = set()
    for stage, kind, path, state in told:
        excused = kind == "changed outs" and path in data
        excused |= kind == "changed deps" and (state == "deleted" or any(f"{each}/".startswith(f"{path}/") for each in data))
        stale |= set() if excused else {stage}
    if stale:
        names = ", ".join(code(stage) for stage in sorted(stale))
        yield f"⚠ head has results that are not those of its own code and params, of {names}: `make repro`."
    elif "modified" in data.values():
        yield "⚠ data/ has another commit's data: `dvc checkout` brings those of head."


def changes(why: Any) -> Iterator[tuple[str, str, str]]:
    """What is the matter with a stage: with which of its files, and how; no file where it is the stage's own command."""
    for kind, files in why.items() if isinstance(why, dict) else [(why, {"": ""})]:
        yield from ((kind, path, state if isinstance(state, str) else "modified") for path, state in files.items())


if __name__ == "__main__":
    with in_one_line("report"):
        main(sys.argv[1:])
