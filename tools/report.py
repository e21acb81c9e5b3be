"""What a change did to the experiment, in Markdown: `make report BASE=origin/main`.

Compares BASE, a branch, tag, commit or experiment, with the working tree: params, metrics, figures. On standard output and in
build/report.md.
"""

import contextlib
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from stages.base.errors import UserError
from stages.base.storage import save_bytes
from stages.console.command import in_one_line
from tools.process import output, reason, run
from tools.tables import MARK, Change, code, metrics_tables, params_table, same, words

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("| base | head |", "|---|---|")
METRICS = "metrics/*.json"
TEXTS = ("params.yaml", "dvc.yaml", "dvc.lock", METRICS)  # that DVC reads
DEEPEST = 100  # levels: from about 150 on DVC fails without saying at which file
Sides = Sequence[tuple[str, Path]]  # head and base: what to call it, the folder with its files


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1 or not arguments[0]:
        raise UserError("expected a base to compare with, got none: make report BASE=origin/main")
    text = report(ROOT, arguments[0])
    save_bytes(ROOT / "build" / "report.md", text.encode("utf-8", errors="backslashreplace"))
    sys.stdout.write(text)


def report(repo: Path, base: str) -> str:
    commit = resolve(repo, base)
    with checked_out(repo, commit) as place:
        sides = (("head", repo), (words(base), place))
        torn = [(side, name, why) for side, folder in sides for name, why in unreadable(folder, METRICS).items()]
        params = differences(repo, "params", commit, sides)
        metrics = differences(repo, "metrics", commit, sides, leave_out=[name for _, name, _ in torn])
        pictures = figures(repo, commit)
        warnings = doubts(repo, commit, base, sides)
    for side, name, why in torn:
        warnings.append(f"⚠ {side} has a file that cannot be read, {code(name)} ({words(why)}): its metrics are left out.")
    title = f"{words(base)} ({commit[:7]}) → {head(repo)[:7]}"
    changed = any(not same(old, new) for old, new in metrics.values())
    if warnings:
        warnings.insert(0, "")
    if not (params or changed or pictures or torn):
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
    """The commit of a branch, tag, commit or experiment, or of a remote's branch. Raises UserError where there is none."""
    own = attempt(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    found = own or experiments(repo).get(base)
    remotes = output(repo, "git", "remote").splitlines()
    for remote in remotes:
        found = found or attempt(repo, "rev-parse", "--verify", "--quiet", f"refs/remotes/{remote}/{base}^{{commit}}")
    if found is None:
        hint = f"`{fetching(repo)}` brings every branch and tag" if remotes else "there is no remote to fetch it from"
        raise UserError(f"expected a branch, tag, commit or experiment, got {base!r}, which is not here; {hint}")
    return found


def experiments(repo: Path) -> dict[str, str]:
    lines = output(repo, "git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/").splitlines()
    return {line.rpartition("/")[2]: line.partition(" ")[0] for line in reversed(lines)}


def fetching(repo: Path) -> str:
    """The command that brings all of a remote, also into a clone that is shallow or has but one branch."""
    remotes = output(repo, "git", "remote").splitlines()
    remote = "origin" if "origin" in remotes else (remotes or ["origin"])[0]
    whole = ["--unshallow"] if shallow(repo) else []
    return shlex.join(["git", "fetch", *whole, "--tags", remote, f"+refs/heads/*:refs/remotes/{remote}/*"])


def shallow(repo: Path) -> bool:
    return output(repo, "git", "rev-parse", "--is-shallow-repository") == "true"


@contextlib.contextmanager
def checked_out(repo: Path, commit: str) -> Iterator[Path]:
    """A folder with another commit's files, for as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        place = Path(folder, "base")
        output(repo, "git", "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", place, commit)
        try:
            yield place
        finally:
            run(repo, "git", "worktree", "remove", "--force", place)


def unreadable(folder: Path, *patterns: str) -> dict[str, str]:
    """The texts there that DVC cannot read, and why: torn, no UTF-8, nested or long beyond its parsers."""
    found = {}
    for path in sorted(each for pattern in patterns for each in folder.glob(pattern) if each.is_file()):
        parse = json.loads if path.suffix == ".json" else yaml.safe_load
        try:
            levels = depth(parse(path.read_text(encoding="utf-8")))
            why = f"{levels} levels, more than {DEEPEST}" if levels > DEEPEST else ""
        except RecursionError:
            why = "too many levels"
        except (ValueError, yaml.YAMLError) as error:
            why = " ".join(str(error).split())[:200]
        if why:
            found[path.relative_to(folder).as_posix()] = why
    return found


def depth(tree: Any) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return 1 + max(map(depth, inner), default=0)


def head(repo: Path) -> str:
    """The commit that is reported: HEAD, or that of the pull request whose merge a workflow has checked out."""
    return os.environ.get("HEAD_SHA") or output(repo, "git", "rev-parse", "HEAD")


def differences(repo: Path, kind: str, commit: str, sides: Sides, leave_out: Collection[str] = ()) -> dict[str, Change]:
    """DVC's own diff of params or metrics, flat: {dotted place: (old, new)}; None where one side has none."""
    command = ["dvc", kind, "diff", "--json", *(["--all"] if kind == "metrics" else []), commit]
    done = run(repo, *command)
    lost = re.search(r"^WARNING: failed to load \w+ in revision '\w+', (.*)", done.stderr, re.MULTILINE)  # all of a side
    if done.returncode or lost:
        refuse_unreadable(sides)
        raise UserError(f"expected `{' '.join(command)}` to work, got {lost[1] if lost else reason(done)}")
    flat: dict[str, Change] = {}
    for file, places in json.loads(done.stdout or "{}").items():
        if file not in leave_out:
            flat |= {place: (change.get("old"), change.get("new")) for place, change in places.items()}
    return flat


def refuse_unreadable(sides: Sides) -> None:
    """Raises UserError at the first text that DVC cannot read."""
    for side, folder in sides:
        for name, why in unreadable(folder, *TEXTS).items():
            raise UserError(f"{name} of {side}: expected a file that DVC can read, got {why}")


def figures(repo: Path, commit: str) -> list[str]:
    """The pictures under plots/ that differ between the commit and the working tree."""
    tracked = output(repo, "git", "diff", "--name-only", "-z", "--no-renames", commit, "--", "plots").split("\0")
    new = output(repo, "git", "ls-files", "-z", "--others", "--exclude-standard", "--", "plots").split("\0")
    return sorted({name for name in tracked + new if name.endswith(".png")})


def gallery(repo: Path, commit: str, pictures: Sequence[str]) -> list[str]:
    """Before and after, side by side, each from its own commit; all but the overview folded."""
    rows = {name: f"| {picture(repo, commit, name)} | {picture(repo, head(repo), name)} |" for name in pictures}
    first = rows.pop("plots/overview.png", None)
    lines = ["", *COLUMNS, first] if first else []
    if rows:
        lines += ["", f"<details><summary>{len(rows)} more figures</summary>", "", *COLUMNS, *rows.values(), "", "</details>"]
    return lines


def picture(repo: Path, revision: str, name: str) -> str:
    there = attempt(repo, "cat-file", "-e", f"{revision}:{name}") is not None
    return f"![{words(name)}]({address(repo, revision, quote(os.fsencode(name)))})" if there else f"no {code(name)}"


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
    """Stages with a changed dependency, parameter or command; data that is merely not in the cache is no change."""
    done = run(folder, "dvc", "status", "--json")
    if done.returncode:
        return [
            f"⚠ Whether {side} has the results of its own code and params is unknown: `dvc status` says {code(reason(done))}."
        ]
    stale = []
    for stage, reasons in json.loads(done.stdout or "{}").items():
        parts = [part for each in reasons for part in (each.values() if isinstance(each, dict) else [each])]
        states = [state for part in parts for state in (part.values() if isinstance(part, dict) else [part])]
        if any(state not in ("deleted", "not in cache") for state in states):
            stale.append(stage)
    stages = ", ".join(code(stage) for stage in sorted(stale))
    return [f"⚠ {side} has results that are not those of its own code and params, of {stages}."] if stale else []


def attempt(repo: Path, *arguments: str) -> str | None:
    done = run(repo, "git", *arguments)
    return None if done.returncode else done.stdout.strip()


if __name__ == "__main__":
    with in_one_line("report"):
        main(sys.argv[1:])
