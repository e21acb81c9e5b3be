"""What a change did to the experiment, in Markdown: `make report BASE=origin/main`.

Compares BASE, a branch, tag, commit or experiment, with the working tree: a verdict in words, params, metrics, figures. On
standard output and in build/report.md.
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
from tools.process import output, reason, run
from tools.sides import (
    Sides,
    attempt,
    checked_out,
    compare,
    experiments,
    fetching,
    refuse_unreadable,
    resolve,
    shallow,
)
from tools.tables import MARK, Change, code, metrics_tables, paired_table, params_table, same, words
from tools.verdict import verdicts

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("| base | head |", "|---|---|")
ABSENT = ("deleted", "not in cache")  # states of data that is not here
ON_A_FORGE = ("GITHUB_REPOSITORY", "CI_PROJECT_URL")  # what the runners of GitHub and GitLab say


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1 or not arguments[0]:
        raise UserError("expected a base to compare with, got none: make report BASE=origin/main")
    text = report(ROOT, arguments[0])
    save_bytes(ROOT / "build" / "report.md", text.encode("utf-8", errors="backslashreplace"))
    sys.stdout.write(text)


def report(repo: Path, base: str) -> str:
    commit = resolve(repo, base)
    with checked_out(repo, commit) as place:
        sides = ((words(base), place), ("head", repo))
        found = compare(place, repo)
        params = params_of(repo, commit, sides)
        pictures = figures(repo, commit)
        warnings = doubts(repo, commit, base, sides)
    for side, name, why in found.torn:
        warnings.append(
            f"⚠ {sides[side][0]} has a file that cannot be read, {code(name)} ({words(why)}): its metrics are left out."
        )
    title = f"{words(base)} ({commit[:7]}) → {head(repo)[:7]}"
    changed = any(not same(old, new) for old, new in found.metrics.values())
    if not (params or changed or pictures or found.torn):
        return "\n".join([MARK, f"**Experiment: no change**, {title}.", *apart(warnings)]) + "\n"
    parts = [
        MARK,
        f"### Experiment: {title}",
        *apart(verdicts(found.metrics, found.paired) or ["No result has changed."]),
        *apart(warnings),
        *params_table(params),
        *paired_table(found.metrics, found.paired),
        *metrics_tables(found.metrics, found.paired),
        *gallery(repo, commit, pictures),
    ]
    return "\n".join(parts) + "\n"


def apart(lines: Sequence[str]) -> list[str]:
    """A paragraph of its own, if there is anything to say."""
    return ["", *lines] if lines else []


def head(repo: Path) -> str:
    """The commit that is reported: HEAD, or that of the pull request whose merge a workflow has checked out."""
    return os.environ.get("HEAD_SHA") or output(repo, "git", "rev-parse", "HEAD")


def params_of(repo: Path, commit: str, sides: Sides) -> dict[str, Change]:
    """DVC's own diff of params, flat: {dotted place: (old, new)}; None where one side has none."""
    command = ["dvc", "params", "diff", "--json", commit]
    done = run(repo, *command)
    lost = re.search(r"^WARNING: failed to load \w+ in revision '\w+', (.*)", done.stderr, re.MULTILINE)  # all of a side
    if done.returncode or lost:
        refuse_unreadable(sides)
        raise UserError(f"expected `{' '.join(command)}` to work, got {lost[1] if lost else reason(done)}")
    places = [item for file in json.loads(done.stdout or "{}").values() for item in file.items()]
    return {place: (change.get("old"), change.get("new")) for place, change in places}


def figures(repo: Path, commit: str) -> list[str]:
    """The pictures under plots/ that differ between the commit and the working tree."""
    tracked = output(repo, "git", "diff", "--name-only", "-z", "--no-renames", commit, "--", "plots").split("\0")
    new = output(repo, "git", "ls-files", "-z", "--others", "--exclude-standard", "--", "plots").split("\0")
    return sorted({name for name in tracked + new if name.endswith((".png", ".gif"))})


def gallery(repo: Path, commit: str, pictures: Sequence[str]) -> list[str]:
    """Before and after, side by side, each from its own commit; all but the overview folded."""
    sides = [(revision, pushed(repo, revision)) for revision in (commit, head(repo))]
    rows = {name: f"| {' | '.join(cells(repo, name, sides))} |" for name in pictures}
    first = rows.pop("plots/overview.png", None)
    lines = ["", *COLUMNS, first] if first else []
    if rows:
        lines += ["", f"<details><summary>{len(rows)} more figures</summary>", "", *COLUMNS, *rows.values(), "", "</details>"]
    return lines


def cells(repo: Path, name: str, sides: Sequence[tuple[str, bool]]) -> list[str]:
    """A figure at base and head; where it cannot be shown, why."""
    there = [attempt(repo, "cat-file", "-e", f"{revision}:{name}") is not None for revision, _ in sides]
    why = ["" if there[0] else "new", ""]
    if not os.path.lexists(repo / name):
        why[1] = "removed"
    elif not there[1] or attempt(repo, "diff", "--quiet", "HEAD", "--", name) is None:
        why[1] = "not in that commit"
    why = [said or ("" if known else "not pushed") for said, (_, known) in zip(why, sides, strict=True)]
    return [
        f"{said}: {code(name)}" if said else f"![{words(name)}]({address(repo, revision, quote(os.fsencode(name)))})"
        for said, (revision, _) in zip(why, sides, strict=True)
    ]


def pushed(repo: Path, revision: str) -> bool:
    """Whether a forge has the commit, as far as is known here; on a forge it has."""
    return any(name in os.environ for name in ON_A_FORGE) or bool(attempt(repo, "branch", "--remotes", "--contains", revision))


def address(repo: Path, revision: str, name: str) -> str:
    """Where a forge shows a commit's file: GitHub and GitLab by what their runners say, else by the remote's address."""
    if "GITHUB_REPOSITORY" in os.environ:
        return (
            f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}/raw/{revision}/{name}"
        )
    if "CI_PROJECT_URL" in os.environ:
        return f"{os.environ['CI_PROJECT_URL']}/-/raw/{revision}/{name}"
    remote = attempt(repo, "remote", "get-url", "origin") or ""
    found = re.fullmatch(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/]([\w./-]+?)(?:\.git)?/?", remote)
    if not found:
        return f"../../raw/{revision}/{name}"
    raw = "-/raw" if "gitlab" in found[1] else "raw"
    return f"https://{found[1]}/{found[2]}/{raw}/{revision}/{name}"


def doubts(repo: Path, commit: str, base: str, sides: Sides) -> list[str]:
    """What may make the numbers not be their commits' own: uncommitted changes, stages that were not reproduced."""
    lines = []
    dirty = output(repo, "git", "status", "--porcelain", "--untracked-files=no").splitlines()
    if dirty:
        lines.append(f"⚠ head has uncommitted changes in {len(dirty)} file(s): numbers are theirs, pictures the last commit's.")
    experiment = experiments(repo).get(base) == commit
    behind = output(repo, "git", "rev-list", "--count", commit, "^HEAD")
    if behind != "0" and not experiment:
        lines.append(
            f"⚠ Whether {words(base)} has commits that head has not is unknown in a shallow clone: {code(fetching(repo))} tells."
            if shallow(repo)
            else f"⚠ {words(base)} has {behind} commit(s) that head has not: what they changed is shown backwards; "
            "merge them first."
        )
    for side, folder in sides:
        if (folder / "dvc.yaml").exists():
            lines += unreproduced(side, folder)
    return lines


def unreproduced(side: str, folder: Path) -> list[str]:
    """Stages with a changed dependency, parameter or command.

    Data that is merely not in the cache is no change, and neither is a folder that lacks it.
    """
    done = run(folder, "dvc", "status", "--json")
    if done.returncode:
        return [
            f"⚠ Whether {side} has the results of its own code and params is unknown: `dvc status` says {code(reason(done))}."
        ]
    told = [(stage, *each) for stage, reasons in json.loads(done.stdout or "{}").items() for each in changes(reasons)]
    absent = {path for _, path, state in told if state in ABSENT}
    stale = {
        stage for stage, path, state in told if state not in ABSENT and not any(each.startswith(f"{path}/") for each in absent)
    }
    stages = ", ".join(code(stage) for stage in sorted(stale))
    return [f"⚠ {side} has results that are not those of its own code and params, of {stages}."] if stale else []


def changes(reasons: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """What `dvc status` says of a stage: a path and what is the matter with it; no path where it is the stage's own command."""
    for each in reasons:
        for part in each.values() if isinstance(each, dict) else [each]:
            yield from part.items() if isinstance(part, dict) else [("", part)]


if __name__ == "__main__":
    with in_one_line("report"):
        main(sys.argv[1:])
