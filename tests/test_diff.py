"""What the working tree changes, in a table of 80 columns; and the differences of trials that two commits share."""

import csv
import json
import math
import os
import pty
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Clone
from rich.console import Console

from tools import diff
from tools.sides import Compared, compare
from tools.tables import Effect, compared


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the committed results."""
    folders = tmp_path / "base", tmp_path / "head"
    for folder in folders:
        shutil.copytree(ROOT / "metrics", folder / "metrics")
        shutil.copy(ROOT / "dvc.lock", folder / "dvc.lock")
    return folders


def swept(study: str, decay: float, value: str) -> list[float]:
    """A value of each trial at one λ."""
    with (ROOT / "metrics" / f"{study}_sweep.csv").open(encoding="utf-8") as file:
        return [float(run[value]) for run in csv.DictReader(file) if float(run["weight_decay"]) == decay and run["val_loss"]]


def grid(study: str) -> list[float]:
    with (ROOT / "metrics" / f"{study}_sweep.csv").open(encoding="utf-8") as file:
        return sorted({float(run["weight_decay"]) for run in csv.DictReader(file)})


LIGHT, HEAVY = grid("wide")[1], grid("wide")[-1]


def edit(folder: Path, study: str, row: str, **values: Any) -> None:
    path = folder / "metrics" / "details" / f"{study}.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree[row] |= values
    path.write_text(json.dumps(tree), encoding="utf-8")


def trained(folder: Path, study: str, decay: float, row: str = "wd") -> None:
    """Give a row what its study's sweep has at another λ."""
    values = {"val_loss": swept(study, decay, "val_loss"), "weight_norm": swept(study, decay, "weight_norm")}
    edit(folder, study, row, weight_decay=decay, **{name: statistics.fmean(each) for name, each in values.items()})


@pytest.mark.parametrize(("study", "decays"), [("wide", (1.0, 10.0)), ("line", (0.1, 0.03)), ("modular", (2.0, 1.0))])
def test_trials_on_the_same_data_are_compared_one_by_one(
    study: str, decays: tuple[float, float], sides: tuple[Path, Path]
) -> None:
    for folder, decay in zip(sides, decays, strict=True):
        trained(folder, study, decay)
    found = compare(*sides)
    for value in ("val_loss", "weight_norm"):
        gaps = [new - old for old, new in zip(*(swept(study, decay, value) for decay in decays), strict=True)]
        moved = found.paired[f"{study}.wd.{value}"]
        assert moved.trials == len(gaps)
        known = max(map(abs, [*swept(study, decays[0], value), *swept(study, decays[1], value)])) * 1e-5
        assert moved.change == pytest.approx(statistics.fmean(gaps), abs=known)
        assert moved.error == pytest.approx(statistics.stdev(gaps) / math.sqrt(len(gaps)), abs=known)
    assert {place.rpartition(".")[0] for place in found.paired} == {f"{study}.wd"}


def test_of_a_sweep_over_another_setting_the_arms_own_is_taken(sides: tuple[Path, Path]) -> None:
    """Steps stand in the rows of all shares of the data, losses in those of one."""
    for folder, name in zip(sides, "ab", strict=True):
        (folder / "metrics" / "modular_sweep.csv").write_text(
            "weight_decay,train_fraction,trial,val_loss,steps_to_generalise\n"
            + {"a": "1,0.4,0,0.1,300\n1,0.4,1,0.1,500\n", "b": "1,0.4,0,0.1,330\n1,0.4,1,0.1,550\n"}[name]
            + "1,0.6,0,,5\n1,0.6,1,,7\n",
            encoding="utf-8",
        )
        edit(folder, "modular", "wd", weight_decay=1.0, steps_to_generalise={"a": 400.0, "b": 440.0}[name])
        path = folder / "metrics" / "details" / "modular_sweep.json"
        path.write_text(json.dumps({"train_fraction": 0.4}), encoding="utf-8")
    assert compare(*sides).paired["modular.wd.steps_to_generalise"] == Effect(40.0, 10.0, 2)


def lose(folder: Path, case: str) -> None:
    lock = folder / "dvc.lock"
    if case == "other data":
        tree = yaml.safe_load(lock.read_text(encoding="utf-8"))
        tree["stages"]["generate@wide"]["outs"][0]["md5"] = "0" * 32
        lock.write_text(yaml.safe_dump(tree), encoding="utf-8")
    elif case in ("no lock", "a torn lock", "another lock"):
        lock.unlink()
        if case != "no lock":
            lock.write_text("stages: [" if case == "a torn lock" else "stages: [{outs: 1}]", encoding="utf-8")
    elif case == "no sweep":
        (folder / "metrics" / "wide_sweep.csv").unlink()
    elif case == "a torn sweep":
        (folder / "metrics" / "wide_sweep.csv").write_text("weight_decay,trial\n1,", encoding="utf-8")
    elif case == "no such λ":
        edit(folder, "wide", "wd", weight_decay=1.5)
    elif case == "trained in another way":
        edit(folder, "wide", "wd", val_loss=0.0137, weight_norm=0.1)


CASES = (
    "other data",
    "no lock",
    "a torn lock",
    "another lock",
    "no sweep",
    "a torn sweep",
    "no such λ",
    "trained in another way",
)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_else_they_are_compared_by_their_means(case: str, side: int, sides: tuple[Path, Path]) -> None:
    trained(sides[0], "wide", LIGHT)
    trained(sides[1], "wide", HEAVY)
    assert "wide.wd.val_loss" in compare(*sides).paired
    lose(sides[side], case)
    assert compare(*sides).paired == {}


def test_a_trial_that_diverged_on_one_side_is_no_pair(sides: tuple[Path, Path]) -> None:
    path = sides[1] / "metrics" / "wide_sweep.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(f"{HEAVY},4,"))
    lines[place] = f"{HEAVY},4,1" + "," * (lines[0].count(",") - 2)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    losses = [swept("wide", decay, "val_loss") for decay in (LIGHT, HEAVY)]
    for each in losses:
        del each[4]
    trained(sides[0], "wide", LIGHT)
    edit(sides[1], "wide", "wd", weight_decay=HEAVY, val_loss=statistics.fmean(losses[1]), diverged=1)
    moved = compare(*sides).paired["wide.wd.val_loss"]
    assert moved.trials == len(losses[0])
    assert moved.change == pytest.approx(statistics.fmean(losses[1]) - statistics.fmean(losses[0]), abs=1e-6)


def test_words_and_lists_of_the_details_are_no_numbers(sides: tuple[Path, Path]) -> None:
    path = sides[1] / "metrics" / "details" / "wide.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps(tree | {"findings": {"title": "x", "list": [1]}, "some": [1, 2], "word": "x", "more": 1}), encoding="utf-8"
    )
    found = compare(*sides)
    assert {place for place, (old, new) in found.metrics.items() if old != new} == {"wide.more"}


def printed(found: Compared, *, everything: bool = False) -> str:
    console = Console(width=80, force_terminal=False, highlight=False, emoji=False, markup=False)
    with console.capture() as capture:
        for line in diff.shown(found, "HEAD (0123456)", everything=everything):
            console.print(line)
    return capture.get()


METRICS: dict[str, tuple[Any, Any]] = {
    "wide.wd.val_loss": (0.01, 0.02),
    "wide.wd.val_loss_se": (0.003, 0.004),
    "wide.wd.val_r2": (-0.1, -0.5),
    "wide.wd.val_r2_se": (0.02, 0.02),
    "wide.wd.weight_norm": (1.0, 1.0),
    "wide.wd.bias": (1.0, 2.0),
    "wide_sweep.best_lambda": (3.0, 5.0),
    "modular.wd.steps_to_generalise": (455.0, -1),
    "modular.wd.steps_to_generalise_se": (5.0, None),
    "modular.wd.val_loss": (0.1, 0.101),
    "modular.wd.val_loss_se": (0.01, 0.01),
    "modular_sweep.steps": (1000, 1000),
}


def test_what_changed_most_comes_first_in_80_columns() -> None:
    text = printed(Compared(METRICS, {}, []))
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["what", "base", "now", "change"]
    assert [" ".join(row) for row in rows[2:]] == [
        "modular",
        "wd.steps_to_generalise 455 ± 5 not within 1,000 steps worse",
        "wd.val_loss 0.1 ± 0.01 0.101 ± 0.01 +1 % within ±",
        "wide",
        "wd.val_r2 -0.1 ± 0.02 -0.5 ± 0.02 -0.4 worse",
        "wd.val_loss 0.01 ± 0.003 0.02 ± 0.004 +100 % within ±",
        "sweep.best_lambda 3 5 +66.7 %",  # which has no standard error
        "1 more value changed: ALL=1 shows them",
    ]
    whole = printed(Compared(METRICS, {}, []), everything=True)
    assert [line.split()[0] for line in whole.splitlines()[-2:]] == ["wd.bias", "sweep.best_lambda"]
    assert "ALL=1" not in whole


def test_its_numbers_are_those_of_the_report() -> None:
    paired = {"wide.wd.val_loss": Effect(0.01, 0.001, 16)}
    (line,) = [line for line in printed(Compared(METRICS, paired, [])).splitlines() if "0.02 ±" in line and "val_loss" in line]
    assert line.split()[1:] == " ".join(compared(METRICS, "wide.wd.val_loss", paired)).split()
    assert line.rstrip().endswith("worse")


def test_where_no_headline_or_nothing_has_changed_it_is_one_line() -> None:
    other = {"wide.wd.bias": (1.0, 2.0), "wide.wd.train_loss": (1.0, 2.0), "wide.wd.val_loss": (1.0, 1.0)}
    assert printed(Compared(other, {}, [])) == "2 more values changed since HEAD (0123456), no headline: ALL=1 shows them\n"
    same = {"wide.wd.val_loss": (1.0, 1.0)}
    assert printed(Compared(same, {}, [])) == "no result has changed since HEAD (0123456)\n"
    torn = printed(Compared(same, {}, [(1, "metrics/details/line.json", "a reason")]))
    assert torn.splitlines()[1] == "left out: metrics/details/line.json of the working tree cannot be read: a reason"


def test_names_may_be_long_or_commands_to_a_terminal() -> None:
    metrics = {f"s.{'a_long_row' * 4}.val_loss": (1.0, 2.0), "s.x\x1b[31m\nred.y": (1.0, 2.0)}
    text = printed(Compared(metrics, {}, []), everything=True)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert r"x\x1b[31m\nred." in text


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A repository whose working tree has another loss than its commit."""
    clone = Clone(tmp_path_factory.mktemp("edited"))
    clone.run("touch", "-d", "2000-01-01", "requirements.txt")  # its environment is ready
    edit(clone.path, "wide", "wd", val_loss=4.5e-6)
    return clone


def test_the_base_is_the_last_commit_unless_another_is_named(edited: Clone) -> None:
    told = edited.run("make", "diff").stdout
    assert re.search(r"^ wd\.val_loss .* 4\.5e-06 .* better *$", told, re.MULTILINE)
    assert "\x1b" not in told
    assert edited.run("make", "diff").stdout == told
    assert edited.run("make", "diff", "BASE=HEAD", "ALL=0").stdout == told
    refused = edited.run("make", "diff", "BASE=$(shell touch pwned)", check=False)
    assert re.search(r"error: diff: expected a branch, tag, commit or experiment, got '\$\(shell touch pwned\)'", refused.stderr)
    assert not (edited.path / "pwned").exists()
    assert edited.run("git", "worktree", "list").stdout.count("\n") == 1


def test_a_terminal_gets_colours_and_a_pipe_does_not(edited: Clone) -> None:
    command = [sys.executable, "-m", "tools.diff", "HEAD"]
    outside = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm", "COLUMNS": "80"}
    main, other = pty.openpty()
    with subprocess.Popen(command, cwd=edited.path, env=outside, stdout=other) as running:
        os.close(other)
        told = b""
        try:
            while part := os.read(main, 2**16):
                told += part
        except OSError:  # the other end is closed
            pass
        assert running.wait() == 0
    os.close(main)
    assert b"\x1b[32mbetter" in told
    piped = edited.run(*command, FORCE_COLOR="1").stdout
    assert piped.split() == re.sub(rb"\x1b\[[\d;]*m", b"", told).decode().split()
