"""The picture over experiments, from what `dvc exp show --json` prints."""

import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from stages.base.errors import UserError
from stages.drawing import style
from tools import compare

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example")
LOSS, NORM = "wide: validation loss", "wide: ‖w‖₂"


def found(wd: float, loss: float | None, **more: float) -> dict[str, Any]:
    """A revision as DVC shows it; of one that waits, no metrics."""
    values = {"wide": {"wd": {"val_loss": loss, "trials": 16, **more}}}
    metrics: dict[str, Any] = {"metrics/wide.json": {"data": values}, "metrics/line.json": {}}
    data = {"params": {"params.yaml": {"data": {"wide": {"trials": 16}, "wd": wd}}}, "metrics": {} if loss is None else metrics}
    return {"rev": "0123456", "name": "some-name", "data": data, "error": None, "experiments": None}


def experiment(shown: dict[str, Any], state: str | None = None) -> dict[str, Any]:
    executor = state and {"state": state, "name": "dvc-task", "local": {"root": None, "log": None, "pid": None}}
    return {"revs": [shown], "executor": executor, "name": shown["name"]}


FAILED = found(9, 0.01) | {"error": {"msg": "Experiment run failed", "type": ""}}  # its commit's metrics, its own params
LOST = {"rev": "0123456", "name": None, "data": None, "error": {"msg": "…", "type": "YAMLSyntaxError"}, "experiments": None}
SUCCEEDED = [experiment(found(1, 0.02)), experiment(found(5, 0.03), "success")]
OTHERS = [
    experiment(FAILED, "failed"),
    experiment(found(7, None), "queued"),
    experiment(found(8, 0.01), "running"),
    experiment(LOST),
]


def listed(*experiments: dict[str, Any]) -> list[dict[str, Any]]:
    """The workspace, and a commit with its experiments."""
    return [{**found(9, 9), "rev": "workspace"}, found(3, 0.01) | {"experiments": list(experiments) or None}]


def drawn(rows: list[dict[str, float]]) -> tuple[list[str], list[list[float]]]:
    """The picture's axes, and each experiment's heights on them."""
    axes = compare.parallel(rows).axes[0]
    lines = [np.asarray(line.get_ydata()).tolist() for line in axes.lines if line.get_marker() == "o"]
    return [label.get_text() for label in axes.get_xticklabels()], lines


def test_experiments_are_the_commits_and_those_that_succeeded() -> None:
    for order in itertools.permutations([*SUCCEEDED, *OTHERS], 6):
        rows, others = compare.experiments(listed(*order))
        assert [(row["wd"], row[LOSS]) for row in rows[:1]] == [(3, 0.01)]
        assert sorted((row["wd"], row[LOSS]) for row in rows[1:]) == [(1, 0.02), (5, 0.03)]
        assert others == {"failed": 1, "queued": 1, "running": 1, "unreadable": 1}


def run(shown: Any, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(compare, "shown", lambda repo: shown)
    monkeypatch.setattr(compare, "ROOT", root)
    compare.main()


def test_what_is_left_out_or_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(listed(*SUCCEEDED), monkeypatch, tmp_path)
    assert capsys.readouterr().out == "build/compare.png: 3 experiments\n"
    assert (tmp_path / "build" / "compare.png").read_bytes().startswith(b"\x89PNG")
    lacking = experiment(found(2, None), "success")
    run(listed(*SUCCEEDED, *OTHERS, OTHERS[1], lacking), monkeypatch, tmp_path)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "build/compare.png: 4 experiments"
    assert lines == ["left out: 1 failed, 2 queued, 1 running, 1 unreadable", f"gaps: 1 without {LOSS}"]


@pytest.mark.parametrize("wds", [[], [3], [3, 3]])
def test_experiments_that_do_not_differ_are_refused_in_one_line(
    wds: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = listed(*(experiment(found(wd, 0.01)) for wd in wds[1:]))[: 1 + len(wds[:1])]
    with pytest.raises(UserError, match=rf"^expected two experiments .* that differ, got {len(wds)} alike: dvc exp run -S wd=1$"):
        run(shown, monkeypatch, tmp_path)
    if wds:
        with pytest.raises(UserError, match=r"got 1 alike \(left out: 1 failed, 1 queued\): dvc exp run -S wd=1$"):
            run(listed(*OTHERS[:2]), monkeypatch, tmp_path)


def test_an_axis_is_drawn_for_what_differs() -> None:
    rows = [{"wide.trials": 16, "wd": wd, LOSS: loss} for wd, loss in ((3, 0.01), (1, 0.02), (0, 0.03))]
    names, heights = drawn(rows)
    assert names == ["wd", LOSS]
    assert heights[0] == [1, 0]
    assert heights[2] == [0, 1]
    axes = compare.parallel(rows).axes[0]
    assert {text.get_text() for text in axes.texts} == {"0", "3", "0.01", "0.03"}


def test_who_lacks_a_number_takes_no_axis_from_the_others() -> None:
    rows: list[dict[str, float]] = [{"wd": 3.0}, {"wd": 1.0, LOSS: 0.02}, {"wd": 0.0, LOSS: 0.03, NORM: 1.0}, {LOSS: 0.04}]
    for order in itertools.permutations(rows):
        names, heights = drawn(list(order))
        assert names == ["wd", LOSS]  # a norm that but one has differs from none
        nan = np.nan
        expected = {0: [1, nan], 1: [1 / 3, 0], 2: [0, 0.5], 3: [nan, 1]}
        np.testing.assert_allclose(heights, [expected[rows.index(row)] for row in order])


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (0.0, 5e-324), (1.0, 1.0 + 2**-52), (-1.7e308, 5e-324)])
def test_axes_reach_as_far_as_numbers(low: float, high: float) -> None:
    assert drawn([{"a": high, "b": low}, {"a": low, "b": high}]) == (["a", "b"], [[1, 0], [0, 1]])


def test_what_is_no_finite_number_is_none() -> None:
    tree = {"a": float("nan"), "b": float("inf"), "c": 10**400, "d": [1], "e": "x", "f": None, "g": True, "h": {"i": 3}}
    assert compare.numbers(tree) == {"g": 1, "h.i": 3}


def test_a_name_is_no_formula() -> None:
    style.png(compare.parallel([{r"$\frac$": 1.0}, {r"$\frac$": 2.0}]))


@pytest.mark.pipeline
def test_outside_a_repository_dvc_gives_its_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^expected `dvc exp show --json` to work, got ERROR: you are not inside of a DVC repo"):
        compare.shown(tmp_path)


@pytest.mark.pipeline
def test_what_makes_dvc_fail_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DVC fails without saying where at results nested 500 levels, and shows a commit as lost whose files it cannot read."""
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "wide.json").write_text('{"a":' * 500 + "1" + "}" * 500, encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text("metrics: [metrics/wide.json]\n", encoding="utf-8")
    for words in (
        ["git", "init", "-q"],
        ["dvc", "init", "-q"],
        ["git", "add", "-A"],
        ["git", *IDENTITY, "commit", "-qm", "deep"],
    ):
        subprocess.run(words, cwd=tmp_path, check=True)
    told = "^metrics/wide.json of the working tree: expected a file that DVC can read, got (501|too many) levels"
    with pytest.raises(UserError, match=told):
        compare.shown(tmp_path)
    with pytest.raises(UserError, match=told):
        run([LOST], monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tools, a DVC that knows three experiments, and a user's own idea of style."""
    place = tmp_path_factory.mktemp("copied")
    for name in ("stages", "tools"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "bin").mkdir()
    (place / "bin" / "dvc").write_text(f"#!/bin/sh\necho '{json.dumps(listed(*SUCCEEDED))}'\n", encoding="utf-8")
    (place / "bin" / "dvc").chmod(0o755)
    (place / "matplotlibrc").write_text("axes.facecolor: red\ntext.usetex: True\n", encoding="utf-8")
    return place


def test_where_it_cannot_be_printed_it_is_drawn_nevertheless(copied: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m tools.compare > /dev/full"
    environment = {"PATH": f"{copied / 'bin'}{os.pathsep}{os.environ['PATH']}", "MATPLOTLIBRC": str(copied / "matplotlibrc")}
    result = subprocess.run(
        ["bash", "-c", command], cwd=copied, env=os.environ | environment, stderr=subprocess.PIPE, text=True, check=False
    )
    said = "error: compare: standard output: expected to read or write it, got No space left on device; mend that and run again\n"
    assert (result.returncode, result.stderr) == (1, said)
    assert (copied / "build" / "compare.png").read_bytes() == style.png(
        compare.parallel(compare.experiments(listed(*SUCCEEDED))[0])
    )
