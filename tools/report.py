"""What a change did to the experiment, in Markdown: `make report BASE=origin/main`.

Compares BASE, a branch, tag, commit or experiment, with the working tree: params, metrics, figures. On standard output and in
build/report.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.tables import Change, metrics_tables, params_table

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- weight-decay report -->"
SIDES = ("| base | head |", "|---|---|")


class ReportError(Exception):
    """What keeps a report from being made, in a line."""


def main(base: str) -> None:
    try:
        text = report(Path.cwd(), base)
    except ReportError as error:
        sys.exit(f"error: report: {error}")
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "report.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def report(repo: Path, base: str) -> str:
    commit = resolve(repo, base)
    params, metrics = (differences(repo, kind, commit) for kind in ("params", "metrics"))
    pictures = figures(repo, commit)
    warnings = doubts(repo, commit, base)
    title = f"{base} ({commit[:7]}) → {head(repo)[:7]}"
    changed = any(old != new for old, new in metrics.values())
    if not (params or changed or pictures):
        return "\n".join([MARK, f"**Experiment: no change**, {title}.", *warnings]) + "\n"
    parts = [
        MARK,
        f"### Experiment: {title}",
        *warnings,
        *params_table(params),
        *metrics_tables(metrics),
        *gallery(repo, commit, pictures),
    ]
    return "\n".join(parts) + "\n"


def resolve(repo: Path, base: str) -> str:
    """The commit of a branch, tag, commit or experiment. Raises ReportError where there is none, saying what to do."""
    found = attempt(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    if found is None:
        experiments = git(repo, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps/").splitlines()
        named = [line.split()[1] for line in experiments if line.split()[0].rpartition("/")[2] == base]
        if named:
            return named[0]
        shallow = git(repo, "rev-parse", "--is-shallow-repository") == "true"
        hint = "; this clone is shallow: git fetch --unshallow origin" if shallow else "; git fetch origin may bring it"
        raise ReportError(f"expected a branch, tag, commit or experiment, got {base!r}, which is not here{hint}")
    return found


def head(repo: Path) -> str:
    """The commit that is reported: HEAD, or that of the pull request whose merge a workflow has checked out."""
    return os.environ.get("HEAD_SHA") or git(repo, "rev-parse", "HEAD")


def differences(repo: Path, kind: str, commit: str) -> dict[str, Change]:
    """DVC's own diff of params or metrics, flat: {dotted place: (old, new)}; None where one side has none."""
    command = ["dvc", kind, "diff", "--json", *(["--all"] if kind == "metrics" else []), commit]
    result = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ReportError(f"expected `{' '.join(command)}` to work, got {' '.join(result.stderr.split())[:300]}")
    flat: dict[str, Change] = {}
    for places in json.loads(result.stdout or "{}").values():
        flat |= {place: (change.get("old"), change.get("new")) for place, change in places.items()}
    return flat


def figures(repo: Path, commit: str) -> list[str]:
    """The pictures under plots/ that differ between the commit and the working tree."""
    tracked = git(repo, "diff", "--name-only", "-z", "--no-renames", commit, "--", "plots").split("\0")
    new = git(repo, "ls-files", "-z", "--others", "--exclude-standard", "--", "plots").split("\0")
    return sorted({name for name in tracked + new if name.endswith(".png")})


def gallery(repo: Path, commit: str, pictures: Sequence[str]) -> list[str]:
    """Before and after, side by side, each from its own commit; all but the overview folded."""
    rows = {name: f"| {picture(repo, commit, name)} | {picture(repo, head(repo), name)} |" for name in pictures}
    first = rows.pop("plots/overview.png", None)
    lines = ["", *SIDES, first] if first else []
    if rows:
        lines += ["", f"<details><summary>{len(rows)} more figures</summary>", "", *SIDES, *rows.values(), "", "</details>"]
    return lines


def picture(repo: Path, revision: str, name: str) -> str:
    there = attempt(repo, "cat-file", "-e", f"{revision}:{name}") is not None
    return f"![{name}]({address(repo, revision, name)})" if there else f"no `{name}`"


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


def doubts(repo: Path, commit: str, base: str) -> list[str]:
    """What may make the numbers not be their commits' own: uncommitted changes, stages that were not reproduced."""
    lines = []
    dirty = git(repo, "status", "--porcelain", "--untracked-files=no").splitlines()
    if dirty:
        lines.append(f"⚠ head has uncommitted changes in {len(dirty)} file(s): numbers are theirs, pictures the last commit's.")
    experiment = attempt(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", base) is None
    behind = git(repo, "rev-list", "--count", commit, "^HEAD")
    if behind != "0" and not experiment:
        lines.append(
            f"⚠ {base} has {behind} commit(s) that head has not: what they changed is shown backwards; merge them first."
        )
    for name, stale in (("head", unreproduced(repo)), (base, unreproduced_at(repo, commit))):
        if stale:
            stages = ", ".join(f"`{stage}`" for stage in stale)
            lines.append(f"⚠ {name} has results that are not those of its own code and params, of {stages}.")
    return ["", *lines] if lines else []


def unreproduced(repo: Path) -> list[str]:
    """Stages with a changed dependency, parameter or command; data that is merely not in the cache is no change."""
    result = subprocess.run(["dvc", "status", "--json"], cwd=repo, capture_output=True, text=True, check=False)
    if result.returncode:
        return ["all: dvc status failed"]
    stale = []
    for stage, reasons in json.loads(result.stdout or "{}").items():
        parts = [part for reason in reasons for part in (reason.values() if isinstance(reason, dict) else [reason])]
        states = [state for part in parts for state in (part.values() if isinstance(part, dict) else [part])]
        if any(state not in ("deleted", "not in cache") for state in states):
            stale.append(stage)
    return sorted(stale)


def unreproduced_at(repo: Path, commit: str) -> list[str]:
    """The same of another commit, in a worktree of its own."""
    if attempt(repo, "cat-file", "-e", f"{commit}:dvc.yaml") is None:
        return []
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        place = Path(folder, "base")
        git(repo, "worktree", "add", "--quiet", "--detach", str(place), commit)
        try:
            return unreproduced(place)
        finally:
            git(repo, "worktree", "remove", "--force", str(place))


def git(repo: Path, *words: str) -> str:
    found = attempt(repo, *words)
    if found is None:
        raise ReportError(f"expected `git {' '.join(words)}` to work, got an error; is this a Git repository?")
    return found


def attempt(repo: Path, *words: str) -> str | None:
    result = subprocess.run(["git", *words], cwd=repo, capture_output=True, text=True, check=False)
    return None if result.returncode else result.stdout.strip()


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit("error: report: expected a base to compare with, got none: make report BASE=origin/main")
    main(sys.argv[1])
