"""Back to the committed experiment: params, dvc.lock, metrics and plots as in HEAD, and their data from the cache. `make reset`.

README and the studies' pages quote the restored results again. Code, dvc.yaml, what else stands on a page and every file that
Git does not know stay as they are.
"""

import contextlib
import os
from pathlib import Path

from stages import pages
from stages.base.errors import UserError
from stages.console.command import in_one_line
from stages.measure.findings import counted
from tools import mend
from tools.process import output, reason, run
from tools.verify import printable

ROOT = Path(__file__).resolve().parent.parent
GIT = ("git", "--literal-pathspecs")
NOT_THERE = "Is your cache up to date?"  # DVC, where data were never computed here
RESTORED = ("params.yaml", "dvc.lock", "metrics", "plots")


def main(repo: Path = ROOT) -> None:
    print(reset(repo))


def reset(repo: Path) -> str:
    """Do it, and say in a line what was done. Raises UserError in the middle of a merge, and where DVC fails."""
    if output(repo, "git", "ls-files", "--unmerged"):
        raise UserError("expected no merge under way, got files in conflict: `git merge --abort`, or docs/review.md to go on")
    committed = names(output(repo, "git", "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", *RESTORED))
    if not committed:
        raise UserError(f"expected a commit with {', '.join(RESTORED)}, got none of them")
    for name in committed:
        touch(repo / name)
    changed = names(output(repo, *GIT, "diff", "--name-only", "-z", "--relative", "--no-renames", "HEAD", "--", *committed))
    if changed:
        output(repo, *GIT, "checkout", "--quiet", "HEAD", "--", *changed)
    mend.main(repo)
    done = run(repo, "dvc", "checkout", "--force", "dvc.yaml")  # what stages make; not a user's table after `dvc add`
    missing = NOT_THERE in done.stderr
    if done.returncode and not missing:
        raise UserError(
            f"{counted(len(changed), 'file')} restored; expected `dvc checkout` to restore data too, got {reason(done)}; "
            "dvc repro computes it"
        )
    with contextlib.chdir(repo):
        mended = len(pages.stale())
        pages.main()
    added = names(output(repo, "git", "ls-files", "-z", "--others", "--exclude-standard", "--", *RESTORED))
    kept = f"; left where they are, as Git does not know them: {', '.join(map(printable, added))}" if added else ""
    commit = output(repo, "git", "rev-parse", "--short", "HEAD")
    quoting = f"; {counted(mended, 'page')} quote them again" if mended else ""
    absent = "; some data are not in the cache: dvc repro computes them" if missing else ""
    restored = f"{counted(len(changed), 'file')} of params, metrics and plots restored, and data, to {commit}"
    return f"reset: {restored}{quoting}{absent}{kept}"


def names(listed: str) -> list[str]:
    return list(filter(None, listed.split("\0")))


def touch(path: Path) -> None:
    """Make Git read the file: DVC may have told it that a changed one of the same size is as committed."""
    if path.is_file() and not path.is_symlink():
        os.utime(path)


if __name__ == "__main__":
    with in_one_line("reset"):
        main()
