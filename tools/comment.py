"""Posts the report of a finished workflow run as its pull request's one comment, or updates it: `make comment`.

RUN and COMMIT, of the environment, are the run and the commit that it checked; `gh` reads GH_TOKEN and GH_REPO. The report was
made by the pull request's own code, which may say anything: it is posted as text that calls nobody, with a line that says so.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.report import MARK

LONGEST = 60_000  # characters; GitHub refuses a comment of more than 65,536
BOT = "github-actions[bot]"


def main() -> None:
    run, commit, repository = (os.environ[name] for name in ("RUN", "COMMIT", "GH_REPO"))
    heads = json.loads(gh("pr", "list", "--state", "open", "--limit", "1000", "--json", "number,headRefOid"))
    numbers = [head["number"] for head in heads if head["headRefOid"] == commit]
    if not numbers:  # a later push has its own run
        print(f"comment: no open pull request has {commit} as its last commit")
        return
    comments = f"repos/{repository}/issues/{numbers[0]}/comments"
    every: list[dict[str, Any]] = [json.loads(item) for item in gh("api", "--paginate", comments, "--jq", ".[]").splitlines()]
    mine = [item for item in every if item["user"]["login"] == BOT and item["body"].startswith(MARK)]
    text = fetched(run)
    if text is None and not mine:
        print(f"comment: run {run} has no report, and there is no comment to update")
        return
    place = ["PATCH", f"repos/{repository}/issues/comments/{mine[0]['id']}"] if mine else ["POST", comments]
    gh("api", "--method", *place, "--input", "-", sent=json.dumps({"body": body(text, commit)}))
    print(f"comment: {'updated' if mine else 'posted'} on pull request {numbers[0]}")


def fetched(run: str) -> str | None:
    """The run's report; None where it has made none, or something else by that name."""
    with tempfile.TemporaryDirectory(prefix="comment-") as folder:
        command = ["gh", "run", "download", run, "--name", "report", "--dir", folder]
        path = Path(folder, "report.md")
        if subprocess.run(command, check=False).returncode or path.is_symlink() or not path.is_file():
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
    return text if text.startswith(MARK) else None


def body(text: str | None, commit: str) -> str:
    """The comment: mentions broken, cut to what it may hold, and where it comes from."""
    if text is None:
        return f"{MARK}\n**Experiment: no report** of {commit[:7]}; the run's log says why."
    words = text.replace("@", "@\N{ZERO WIDTH SPACE}")
    if len(words) > LONGEST:
        words = words[:LONGEST].rpartition("\n")[0] + "\n\n</details>\n\nCut here: the run's summary has the rest.\n"
    return f"{words}\n<sub>Made by this pull request's own code, of {commit[:7]}.</sub>"


def gh(*words: str, sent: str | None = None) -> str:
    done = subprocess.run(["gh", *words], input=sent, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: comment: expected `gh {' '.join(words[:2])}` to work, got what it says above")
    return done.stdout


if __name__ == "__main__":
    main()
