"""Are the committed results what the committed code produces? `make verify` runs it.

Clones HEAD into a temporary folder, runs the whole pipeline there from nothing, and names every value and file that differs.
What is compared are the bytes that Git has and those of the regular files that the pipeline has made: no ignored file is left
out, and no link, attribute, filter, hook or setting of a user comes between.
"""

import csv
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stages.base.errors import UserError
from stages.console.command import in_one_line
from tools.process import content, output

ROOT = Path(__file__).resolve().parent.parent
LOCK, PARAMS = "dvc.lock", "params.yaml"
MADE = ("metrics", "plots")
RESULTS = (LOCK, PARAMS, *MADE)
QUOTING = ("README.md", "stages/studies")  # pages, of which a stage writes what they quote
REGULAR = "100644"  # modes in a tree of Git's
KINDS = {"100755": "an executable", "120000": "a symbolic link", "160000": "a repository of its own"}
AS_COMMITTED = "* -text -ident -filter -working-tree-encoding\n"  # attributes: a file holds what Git has, byte for byte
NEUTRAL = Path(__file__).resolve().with_name("neutral.gitconfig")
NOWHERE = "/nonexistent"
LONGEST = 500  # characters of a line


def main(root: Path = ROOT) -> None:
    with tempfile.TemporaryDirectory(prefix="verify-", ignore_cleanup_errors=True) as folder:
        top, prefix = (output(root, "git", "rev-parse", f"--show-{each}") for each in ("toplevel", "prefix"))
        output(root, "git", "clone", "--quiet", "--no-hardlinks", "--no-checkout", "--template=", top, Path(folder, "clone"))
        clone = Path(folder, "clone", prefix)  # of the project, which may be a folder of a larger repository
        clone.mkdir(parents=True, exist_ok=True)
        env = neutral() | {"DVC_SITE_CACHE_DIR": str(Path(folder, "dvc"))}
        commit = output(clone, "git", "rev-parse", "--short", "HEAD", env=env)
        before = committed(clone, env)
        check_out(clone, env)
        bring(root, clone)
        print(f"verify: running the pipeline of {commit} from nothing, in {clone}", flush=True)
        if subprocess.run(["dvc", "repro", "--force"], cwd=clone, env=env, check=False).returncode:
            raise UserError(f"expected the pipeline of {commit} to run, got what DVC says above")
        differences = [*compare(before, produced(clone)), *misquoting(clone, env)]
    for line in differences:
        print(printable(line))
    if differences:
        hint = "; they are a CPU's: WEIGHT_DECAY_DEVICE=cpu make verify" if on_gpu() else ""
        raise UserError(f"expected the committed results of {commit}, got {len(differences)} difference(s){hint}")
    print(f"verify: dvc.lock, params.yaml, metrics/ and plots/ of {commit} are what its code produces, byte for byte")


def on_gpu() -> bool:
    """Whether stages train on a GPU here."""
    from stages.engine.machine import device  # with torch, which nothing else here needs

    return device().type != "cpu"


def neutral() -> dict[str, str]:
    """An environment without the settings of a user and a machine for Git and DVC, such as a cache of results that many share."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
    git = {"GIT_CONFIG_GLOBAL": str(NEUTRAL), "GIT_CONFIG_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
    dvc = {"DVC_GLOBAL_CONFIG_DIR": NOWHERE, "DVC_SYSTEM_CONFIG_DIR": NOWHERE, "DVC_NO_ANALYTICS": "1"}
    return kept | git | dvc


def committed(clone: Path, env: Mapping[str, str]) -> dict[str, bytes]:
    """HEAD's results by their name. Raises UserError where one is no regular file."""
    found = {}
    for entry in filter(None, content(clone, "git", "ls-tree", "-r", "-z", "HEAD", "--", *RESULTS, env=env).split(b"\0")):
        about, _, place = entry.partition(b"\t")
        (mode, _, sha), name = about.decode().split(), os.fsdecode(place)
        if mode != REGULAR:
            raise UserError(f"{printable(name)}: expected a regular file in Git, got {KINDS.get(mode, mode)}")
        found[name] = content(clone, "git", "cat-file", "blob", sha, env=env)
    return found


def check_out(clone: Path, env: Mapping[str, str]) -> None:
    """HEAD's files without its results: what no stage makes will be missing, and a hash that none computes will be another."""
    info = Path(output(clone, "git", "rev-parse", "--absolute-git-dir", env=env), "info")
    info.mkdir()
    (info / "attributes").write_text(AS_COMMITTED, encoding="utf-8")
    output(clone, "git", "checkout", "--quiet", "--detach", "HEAD", env=env)
    for name in MADE:
        shutil.rmtree(clone / name, ignore_errors=True)
    lock = clone / LOCK  # not removed, as DVC keeps the order of its stages
    if lock.is_file():
        lock.write_bytes(re.sub(rb"\bmd5: .*", b"md5: not computed", lock.read_bytes()))


def bring(root: Path, clone: Path) -> None:
    """Copy the files that DVC keeps beside Git, such as a large table after `dvc add`: a clone has none of them."""
    for pointer in clone.rglob("*.dvc"):
        name = pointer.relative_to(clone).with_suffix("")
        if pointer.is_file() and (root / name).is_file():
            shutil.copy2(root / name, clone / name)


def produced(clone: Path) -> dict[str, bytes | None]:
    """The results that now lie there by their name; None for what is neither a folder nor a regular file."""
    found = {}
    places = [clone / name for name in RESULTS if os.path.lexists(clone / name)]
    for path in places:  # which grows
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            places += path.iterdir()
        else:
            found[path.relative_to(clone).as_posix()] = path.read_bytes() if stat.S_ISREG(mode) else None
    return found


def compare(before: Mapping[str, bytes], now: Mapping[str, bytes | None]) -> Iterator[str]:
    """A line for each value that differs, or for the file where it has no such thing."""
    for name in sorted({*before, *now}):
        if name not in before:
            yield f"{name}: not committed, but produced"
        elif name not in now:
            yield f"{name}: committed, but not produced"
        elif (new := now[name]) is None:
            yield f"{name}: committed, but what is produced is no regular file"
        elif (old := before[name]) != new:
            was, is_now = values(name, old), values(name, new)
            named = [key for key in {**was, **is_now} if was.get(key) != is_now.get(key)]
            for key in named:
                yield f"{name}: {key}: committed {was.get(key, 'nothing')}, produced {is_now.get(key, 'nothing')}"
            if not named:
                yield f"{name}: {len(old)} bytes committed, other {len(new)} produced"


def misquoting(clone: Path, env: Mapping[str, str]) -> Iterator[str]:
    """A line for each page that the pipeline has written anew."""
    changed = output(clone, "git", "diff", "--name-only", "-z", "--relative", "HEAD", "--", *QUOTING, env=env)
    for name in filter(None, changed.split("\0")):
        yield f"{name}: quotes other results than those of metrics/: make repro mends it"


def values(name: str, blob: bytes) -> dict[str, str]:
    """A file's values by their dotted place; none where it has no such thing, or what no parser of it can read."""
    try:
        if name.endswith(".json"):
            return dict(leaves(json.loads(blob)))
        if name in (LOCK, PARAMS):
            return dict(leaves(yaml.safe_load(blob)))
        if name.endswith(".csv"):
            rows = enumerate(csv.DictReader(io.StringIO(blob.decode())), start=1)
            return {f"row {number}, {key}": str(value) for number, row in rows for key, value in row.items()}
    except Exception:  # whatever bytes make the parsers of JSON, YAML and CSV raise
        pass
    return {}


def leaves(tree: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(tree, (dict, list)):
        yield place, str(tree)
        return
    for name, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from leaves(item, f"{place}.{name}" if place else str(name))


def printable(line: str) -> str:
    """One line, whatever names and values hold: line ends, a terminal's commands, bytes that are no UTF-8, a million digits."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line[:LONGEST])


if __name__ == "__main__":
    with in_one_line("verify"):
        main()
