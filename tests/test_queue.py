"""Four experiments at a time, by DVC's queue, are the same bytes as one after the other without it."""

import json
import sys
import time

import pytest
from conftest import Clone

pytestmark = pytest.mark.pipeline
DECAYS = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
FILES = ("metrics/line.json", "metrics/line_curves.csv")
ALONE = """
import json, sys
from pathlib import Path
from stages import evaluate, train
params = Path("params.yaml").read_text(encoding="utf-8")
found = {}
for decay in sys.argv[2:]:
    assert params.count("  wd: 0.01 ") == 1
    Path("params.yaml").write_text(params.replace("  wd: 0.01 ", f"  wd: {decay} "), encoding="utf-8")
    train.main("line", "wd")
    evaluate.main("line")
    found[decay] = [Path(name).read_text(encoding="utf-8") for name in sys.argv[1].split()]
Path("found.json").write_text(json.dumps(found), encoding="utf-8")
"""


def contents(clone: Clone, revision: str) -> list[str]:
    return [clone.run("git", "show", f"{revision}:{name}").stdout for name in FILES]


def test_a_queue_of_eight_four_at_a_time(reproduced: Clone) -> None:
    reproduced.run("dvc", "exp", "remove", "--all-commits", check=False)
    try:
        reproduced.run("dvc", "exp", "run", "--queue", "-S", f"line.wd={','.join(map(str, DECAYS))}", "evaluate@line")
        reproduced.run("dvc", "queue", "start", "-j", "4")
        reproduced.run(sys.executable, "-c", ALONE, " ".join(FILES), *map(str, DECAYS))  # beside the queue, which works elsewhere
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            states = reproduced.run("dvc", "queue", "status").stdout
            if not any(word in states for word in ("Queued", "Running")):
                break
            time.sleep(5)  # asking takes the better part of a core for a second
        assert states.count("Success") == len(DECAYS), states

        shown = json.loads(reproduced.run("dvc", "exp", "show", "--json").stdout)
        revisions = {}
        for row in shown[1]["experiments"]:
            (found,) = row["revs"]
            revisions[found["data"]["params"]["params.yaml"]["data"]["line"]["wd"]] = found["rev"]
        assert set(DECAYS) <= set(revisions)

        _, header, *rows = reproduced.run("make", "show").stdout.splitlines()
        assert header.split()[:3] == ["experiment", "line.wd", "val_loss"]
        assert sorted(float(row.split()[1]) for row in rows[1 : 1 + len(DECAYS)]) == sorted(
            DECAYS
        )  # the first is the commit's own

        for decay, expected in json.loads(reproduced.read("found.json")).items():
            assert contents(reproduced, revisions[float(decay)]) == expected
    finally:
        (reproduced.path / "found.json").unlink(missing_ok=True)
        reproduced.run("dvc", "queue", "stop", "--kill", check=False)
        reproduced.run("dvc", "exp", "remove", "--all-commits", check=False)
        reproduced.restore()
