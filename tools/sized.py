"""The sweep of a study in another size: `python -m tools.sized STUDY SIZE`.

`small` is the study as it ships, by DVC. Any other size is a section of the study's own section of params.yaml, `large`: its
keys take the place of the study's. All that comes of it is written to build/<study>/, nothing to a tracked file.
"""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from stages import evaluate_sweep, generate, plot_sweep, studies, sweep
from stages.base import params
from stages.base.errors import UserError
from stages.base.storage import save_bytes
from stages.base.system import System
from stages.base.yaml12 import Yaml12Loader
from stages.console.command import in_one_line

ROOT = Path(__file__).resolve().parent.parent
SIZES = ("small", "large")


def main(study: str, size: str) -> None:
    if size not in SIZES:
        raise UserError(f"expected SIZE={' or SIZE='.join(SIZES)}, got SIZE={size}")
    if size == "small":
        sys.exit(subprocess.run(["dvc", "repro", f"plot-sweep@{study}"], cwd=ROOT, check=False).returncode)
    params.load({study: studies.part(study, System).section}, path=ROOT / params.FILE)
    tree = yaml.load((ROOT / params.FILE).read_text(encoding="utf-8"), Loader=Yaml12Loader)
    folder = ROOT / "build" / study
    save_bytes(folder / params.FILE, yaml.safe_dump(resized(tree, study, size), allow_unicode=True).encode())
    with contextlib.chdir(folder):
        for stage in (generate, sweep, evaluate_sweep, plot_sweep):
            stage.main(study)
    print(f"{(folder / 'plots').relative_to(ROOT)}: drawn from {(folder / 'metrics').relative_to(ROOT)}")


def resized(tree: dict[str, Any], study: str, size: str) -> dict[str, Any]:
    """The parameters with those of a size in the place of the study's own."""
    return tree | {study: tree[study] | tree[study][size]}


if __name__ == "__main__":
    with in_one_line("sized"):
        main(*sys.argv[1:])
