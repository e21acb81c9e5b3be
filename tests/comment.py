"""Posts the report of a finished workflow run as its pull request's one comment, or updates it: `make comment`.

RUN and COMMIT, of the environment, are the run and the commit that it checked; `gh` reads GH_TOKEN and GH_REPO. The report was
made by the pull request's own code: it is text here, cut to what a comment may hold, and nothing of it is run.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from report import MARK

LONGEST = 60_000  # bytes; GitHub refuses a comment of more than 65,536 characters
MINE = f'.[] | select(.user.login == "github-actions[bot]" and (.body | startswith("{MARK}"))) | .id'


def main() -> None:
    report, number = fetched(os.environ["RUN"]), pull_request(os.environ["COMMIT"])
    if report is None or number is None:
        print(f"comment: nothing to post: {'no report' if report is None else 'no open pull request'} of {os.environ['COMMIT']}")
        return
    comments = f"repos/{os.environ['GH_REPO']}/issues/{number}/comments"
    earlier = gh("api", "--paginate", comments, "--jq", MINE).split()
    place = f"repos/{os.environ['GH_REPO']}/issues/comments/{earlier[0]}" if earlier else comments
    gh("api", "--method", "PATCH" if earlier else "POST", place, "--input", "-", sent=json.dumps({"body": report}))
    print(f"comment: {'updated' if earlier else 'posted'} on pull request {number}")


def fetched(run: str) -> str | None:
    """The run's report; None where it has made none, or something else by that name."""
    with tempfile.TemporaryDirectory(prefix="comment-") as folder:
        command = ["gh", "run", "download", run, "--name", "report", "--dir", folder]
        path = Path(folder, "report.md")
        if subprocess.run(command, check=False).returncode or path.is_symlink() or not path.is_file():
            return None
        text = path.read_bytes()[:LONGEST].decode(errors="ignore")
    return text if text.startswith(MARK) else None


def pull_request(commit: str) -> int | None:
    """The open pull request at a commit; a later push makes the report an old one, which nobody needs."""
    heads = json.loads(gh("pr", "list", "--state", "open", "--limit", "1000", "--json", "number,headRefOid"))
    return next((head["number"] for head in heads if head["headRefOid"] == commit), None)


def gh(*words: str, sent: str | None = None) -> str:
    done = subprocess.run(["gh", *words], input=sent, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: comment: expected `gh {' '.join(words[:2])}` to work, got what it says above")
    return done.stdout


if __name__ == "__main__":
    main()
