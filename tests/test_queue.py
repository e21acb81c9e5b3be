"""Four experiments at a time, by DVC's queue, are the same bytes as one after the other without it."""

import json
import subprocess
import sys
import time

import pytest
from conftest import Clone

pytestmark = pytest.mark.pipeline
DECAYS = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
FILES = ("metrics/line.json", "metrics/line_curves.csv")
ALONE = """
from stages import evaluate, train
train.main("line", "wd")
evaluate.main("line")
"""


def contents(clone: Clone, revision: str) -> dict[str, bytes]:
    def show(name: str) -> bytes:
        return subprocess.run(["git", "show", f"{revision}:{name}"], cwd=clone.path, capture_output=True, check=True).stdout

    return {name: show(name) for name in FILES}


def test_a_queue_of_eight_four_at_a_time(reproduced: Clone) -> None:
    reproduced.run("dvc", "exp", "remove", "--all-commits", check=False)
    try:
        reproduced.run("dvc", "exp", "run", "--queue", "-S", f"line.wd={','.join(map(str, DECAYS))}", "evaluate@line")
        reproduced.run("dvc", "queue", "start", "-j", "4")
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            states = reproduced.run("dvc", "queue", "status").stdout
            if not any(word in states for word in ("Queued", "Running")):
                break
            time.sleep(2)
        assert states.count("Success") == len(DECAYS), states

        shown = json.loads(reproduced.run("dvc", "exp", "show", "--json").stdout)
        revisions = {}
        for row in shown[1]["experiments"]:
            (found,) = row["revs"]
            revisions[found["data"]["params"]["params.yaml"]["data"]["line"]["wd"]] = found["rev"]
        assert set(DECAYS) <= set(revisions)

        header = next(line for line in reproduced.run("make", "show").stdout.splitlines() if "Experiment" in line)
        assert header.split() == ["Experiment", "State", "line.wd.val_loss", "line.wd.weight_norm", "line.wd"]
        assert "9 experiments" in reproduced.run("make", "compare").stdout
        assert (reproduced.path / "build" / "compare.png").read_bytes().startswith(b"\x89PNG")

        for decay in DECAYS:
            reproduced.set("line.wd", str(decay))
            reproduced.run(sys.executable, "-c", ALONE)
            expected = {name: (reproduced.path / name).read_bytes() for name in FILES}
            assert contents(reproduced, revisions[decay]) == expected
    finally:
        reproduced.run("dvc", "queue", "stop", "--kill", check=False)
        reproduced.run("dvc", "exp", "remove", "--all-commits", check=False)
        reproduced.run("git", "checkout", "-q", ".")
        reproduced.run("dvc", "checkout", "-q", "--force")
