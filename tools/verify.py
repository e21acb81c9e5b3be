"""Are the committed results what the committed code produces? `make verify` runs it.

Clones HEAD into a temporary folder, runs the whole pipeline there from nothing, and names every value and file that differs.
"""

import csv
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
MADE = ("metrics", "plots")
RESULTS = ("dvc.lock", "params.yaml", *MADE)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        clone = Path(folder, "clone")
        cloned = subprocess.run(
            ["git", "-c", "advice.detachedHead=false", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=False
        )
        if cloned.returncode:
            sys.exit("error: verify: expected a Git repository with a commit, got what git says above")
        commit = git(clone, "rev-parse", "--short", "HEAD").decode().strip()
        print(f"verify: running the pipeline of {commit} from nothing, in {clone}", flush=True)
        for name in MADE:  # so that what no stage makes is missing afterwards
            shutil.rmtree(clone / name, ignore_errors=True)
        if subprocess.run(["dvc", "repro", "--force"], cwd=clone, check=False).returncode:
            sys.exit(f"error: verify: expected the pipeline of {commit} to run, got a stage that failed")
        differences = list(compare(clone))
    for line in differences:
        print(line)
    if differences:
        sys.exit(f"error: verify: expected the committed results of {commit}, got {len(differences)} difference(s)")
    print(f"verify: dvc.lock, params.yaml, metrics/ and plots/ of {commit} are what its code produces, byte for byte")


def compare(clone: Path) -> Iterator[str]:
    """Each committed result that is not what now lies in the clone: the values that differ, or the file where it has none."""
    status = git(clone, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--", *RESULTS).decode()
    for entry in filter(None, status.split("\0")):
        name = entry[3:]
        committed = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=clone, capture_output=True, check=False)
        if committed.returncode:
            yield f"{name}: not committed, but produced"
        elif not (clone / name).is_file():
            yield f"{name}: committed, but not produced"
        else:
            before, now = (values(name, content) for content in (committed.stdout, (clone / name).read_bytes()))
            named = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            for key in named:
                yield f"{name}: {key}: committed {before.get(key, 'nothing')}, produced {now.get(key, 'nothing')}"
            if not named:
                yield f"{name}: {len(committed.stdout)} bytes committed, other {(clone / name).stat().st_size} produced"


def values(name: str, content: bytes) -> dict[str, Any]:
    """A file's values by their dotted place; none where it has no such thing."""
    try:
        if name.endswith(".json"):
            return flat(json.loads(content))
        if name.endswith((".yaml", ".lock")):
            return flat(yaml.safe_load(content))
        if name.endswith(".csv"):
            rows = csv.DictReader(io.StringIO(content.decode()))
            return {f"row {number}, {key}": value for number, row in enumerate(rows, start=1) for key, value in row.items()}
    except (ValueError, yaml.YAMLError):
        pass
    return {}


def flat(tree: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(tree, (dict, list)):
        return {place: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {key: leaf for name, item in items for key, leaf in flat(item, f"{place}.{name}" if place else str(name)).items()}


def git(clone: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=clone, capture_output=True, check=True).stdout


if __name__ == "__main__":
    main()
