"""What a kill of DVC or a merge of two λ leaves, mended: `make repro` runs it first.

Of a merge params.yaml decides, which is the user's to edit. What is computed of it is HEAD's until `dvc repro` writes it anew.
"""

import json
import re
from pathlib import Path

from stages.base.errors import UserError
from stages.console.command import in_one_line
from tools.process import output

MARKS = re.compile(rb"^(?:<{7} |>{7} )", re.MULTILINE)
WHOLE = re.compile(rb"\n +\w+: \w+\n\Z")  # how dvc.lock ends; one that is cut at the end of such a line DVC can read


def main(root: Path = Path()) -> None:
    if MARKS.search((root / "params.yaml").read_bytes()):
        raise UserError("params.yaml: expected one value a key, got a merge's conflict marks: choose by hand, then run it again")
    listed = output(root, "git", "ls-files", "-z", "--unmerged", "--", "dvc.lock", "metrics", "plots").split("\0")
    torn = {line.partition("\t")[2] for line in listed if line}
    lock = (root / "dvc.lock").read_bytes() if (root / "dvc.lock").is_file() else b"\n a: b\n"
    torn |= {"dvc.lock"} if MARKS.search(lock) or not WHOLE.search(lock) else set()
    for name in torn:
        words = ["checkout", "HEAD"] if output(root, "git", "ls-tree", "HEAD", "--", name) else ["rm", "--force"]
        output(root, "git", *words, "--quiet", "--", name)
    rwlock = root / ".dvc" / "tmp" / "rwlock"  # what DVC is at work on; that of a living DVC is whole
    try:
        json.loads(rwlock.read_bytes() if rwlock.is_file() else b"{}")
    except ValueError:
        rwlock.unlink()
        torn.add(".dvc/tmp/rwlock")
    if torn:
        print(f"mended, as a kill of DVC or a merge had left it: {', '.join(sorted(torn))}")


if __name__ == "__main__":
    with in_one_line("mend"):
        main()
