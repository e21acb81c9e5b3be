"""The project as a folder of a larger repository: every target gives there what it gives where it is one of its own."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import Clone

pytestmark = pytest.mark.slow
TARGETS = ("diff", "report BASE=HEAD~1", "show", "reset", "repro", "site")


def experiment(clone: Clone) -> None:
    """A commit with another number, figure and λ; then an experiment of it, and its edits left in the working tree."""
    details = clone.path / "metrics" / "details" / "wide.json"
    rows = json.loads(details.read_text(encoding="utf-8"))
    for loss in (0.5, 0.25):
        rows["wd"]["val_loss"] = loss
        details.write_text(json.dumps(rows), encoding="utf-8")
        shutil.copy(clone.path / "plots/line_sweep/loss.png", clone.path / "plots/overview.png")
        clone.set("line.wd", str(loss / 50))
        if loss == 0.5:
            clone.run("git", "commit", "-qam", "numbers")
            head = clone.run("git", "rev-parse", "HEAD").stdout.strip()
            clone.run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/rusty-wens", "HEAD~1")


def told(clone: Clone) -> dict[str, str]:
    """What each target says, and what Git says after it, without the names of commits."""
    said = {}
    for target in TARGETS:
        done = clone.run("make", "--no-print-directory", *target.split())
        state = clone.run("git", "status", "--porcelain", "--", ".").stdout
        said[target] = re.sub(r"\b[0-9a-f]{7,40}\b", "COMMIT", f"{done.stdout}\n{state}")
    return said


def test_every_target_gives_in_a_subfolder_what_it_gives_alone(reproduced: Clone, tmp_path: Path) -> None:
    clones = []
    for top, folder in ((tmp_path / "alone", ""), (tmp_path / "larger", "ml/decay")):
        shutil.copytree(reproduced.path, top / folder, symlinks=True, ignore=shutil.ignore_patterns(".venv", ".git", "build"))
        clone = Clone.at(top / folder)
        larger = Clone.__new__(Clone)
        larger.path = top
        (top / ".gitattributes").touch()
        for words in ("init -q -b main", "add -A", "commit -qm copy"):
            larger.run("git", *words.split())
        if folder:
            (top / "other.txt").write_text("of another project\n", encoding="utf-8")
            larger.run("git", "add", "-A")
        experiment(clone)
        clones.append(clone)
    alone, within = (told(each) for each in clones)
    assert within["report BASE=HEAD~1"].count("ml/decay/plots/overview.png") == 2  # the link to a forge
    assert {name: each.replace("ml/decay/", "") for name, each in within.items()} == alone
    assert "reset: " in alone["reset"]
    assert "val_loss" in alone["diff"]
