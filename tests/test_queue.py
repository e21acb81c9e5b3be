"""Experiments two at a time, by DVC's queue, are the same bytes as one after the other without it."""

import json
import time

import pytest
from conftest import Clone

pytestmark = pytest.mark.slow
DECAYS = (0.05, 1.0)
FILES = ("metrics/line.json", "metrics/line_curves.csv")


def test_a_queue_that_runs_two_at_a_time(reproduced: Clone) -> None:
    reproduced.run("dvc", "exp", "remove", "--all-commits", check=False)
    try:
        reproduced.run("dvc", "exp", "run", "--queue", "-S", f"line.wd={','.join(map(str, DECAYS))}", "evaluate@line")
        reproduced.run("dvc", "queue", "start", "-j", "2")
        alone = {}
        for decay in DECAYS:  # beside the queue, which works elsewhere
            reproduced.set("line.wd", decay)
            reproduced.stages("stages.train line wd", "stages.evaluate line")
            alone[decay] = [reproduced.read(name) for name in FILES]
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            states = reproduced.run("dvc", "queue", "status").stdout
            if not any(word in states for word in ("Queued", "Running")):
                break
            time.sleep(5)  # asking takes the better part of a core for a second
        assert states.count("Success") == len(DECAYS), states
        shown = json.loads(reproduced.run("dvc", "exp", "show", "--json").stdout)
        queued = {}
        for row in shown[1]["experiments"]:
            (found,) = row["revs"]
            decay = found["data"]["params"]["params.yaml"]["data"]["line"]["wd"]
            queued[decay] = [reproduced.run("git", "show", f"{found['rev']}:{name}").stdout for name in FILES]
        assert queued == alone
    finally:
        reproduced.run("dvc", "queue", "stop", "--kill", check=False)
        reproduced.run("dvc", "exp", "remove", "--all-commits", check=False)
        reproduced.restore()
