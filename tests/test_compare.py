"""The experiments of a commit, from what `dvc exp show --json` prints, and the picture of them."""

import io
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from stages.base.errors import UserError
from stages.drawing import style
from tools import compare
from tools import experiments as experiments_module
from tools.experiments import Experiment, Shown, differing, experiments, short, shown, telling

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example")
LOSS, NORM = "wide.wd.val_loss", "wide.wd.weight_norm"


def found(wd: float, loss: float | None, name: str | None = "some-name") -> dict[str, Any]:
    """A revision as DVC shows it; of one that waits, no metrics."""
    values = {"wd": {"val_loss": loss, "train_loss": 0.5}, "baseline": {"val_loss": 0.5}}
    metrics: dict[str, Any] = {"metrics/wide.json": {"data": values}, "metrics/line.json": {}}
    data = {
        "params": {"params.yaml": {"data": {"wide": {"data": {"trials": 16}}, "wd": wd}}},
        "metrics": {} if loss is None else metrics,
    }
    return {"rev": "0123456789", "name": name, "data": data, "error": None, "experiments": None}


def experiment(revision: dict[str, Any], state: str | None = None) -> dict[str, Any]:
    executor = state and {"state": state, "name": "dvc-task", "local": {"root": None, "log": None, "pid": None}}
    return {"revs": [revision], "executor": executor, "name": revision["name"]}


def row(name: str = "some-name", wd: float | None = None, **results: float) -> Experiment:
    """`loss` and `norm` are those of wide."""
    places = {"loss": LOSS, "norm": NORM}
    params = {} if wd is None else {"wd": wd}
    return Experiment(name, {"wide.data.trials": 16, **params}, {places[key]: value for key, value in results.items()})


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
    return [{**found(9, 9), "rev": "workspace"}, found(3, 0.01, "main") | {"experiments": list(experiments) or None}]


def drawn(rows: list[Experiment]) -> tuple[list[str], list[list[float]]]:
    """The picture's axes, and each experiment's heights on them."""
    axes = compare.parallel(rows).axes[0]
    lines = [np.asarray(line.get_ydata()).tolist() for line in axes.lines if line.get_marker() == "o"]
    return [" ".join(label.get_text().split()) for label in axes.get_xticklabels()], lines


def test_experiments_are_the_commits_and_those_that_succeeded() -> None:
    for order in itertools.permutations([*SUCCEEDED, *OTHERS], 6):
        told = experiments(listed(*order))
        first, *others = told.rows
        assert (first.name, first.values) == ("main", {"wide.data.trials": 16, "wd": 3, LOSS: 0.01})
        assert sorted((row.params["wd"], row.results[LOSS]) for row in others) == [(1, 0.02), (5, 0.03)]
        assert told.others == {"failed": 1, "queued": 1, "running": 1, "unreadable": 1}
        assert told.workspace
        assert told.workspace.params["wd"] == 9


def test_who_is_like_another_is_counted_and_left_out() -> None:
    """Of the same params and results: code may differ, and then results do."""
    again = experiment(found(1, 0.02, "again"))
    like_the_commit = experiment(found(3.0, 0.01, "commit"))
    other_code = experiment(found(1, 0.5, "code"))
    told = experiments(listed(*SUCCEEDED, again, like_the_commit, other_code))
    assert [row.name for row in told.rows] == ["main", "some-name", "some-name", "code"]
    assert (told.others, told.left_out) == ({"alike": 2}, "2 alike")


def test_an_experiment_without_a_name_is_called_by_its_commit() -> None:
    assert [row.name for row in experiments(listed(experiment(found(1, 0.02, None)))).rows] == ["main", "0123456"]


def test_the_accuracy_stands_for_the_loss() -> None:
    revision = found(1, 0.02)
    values = {"wd": {"val_loss": 0.1, "val_accuracy": 0.9, "weight_norm": 2, "diverged": float("nan")}}
    revision["data"]["metrics"] = {
        "metrics/modular.json": {"data": values},
        "metrics/odd.json": {"data": {"wd": {"val_loss": "x"}}},
    }
    (told,) = experiments([revision]).rows
    assert told.results == {"modular.wd.val_accuracy": 0.9, "modular.wd.weight_norm": 2.0}


def run(listing: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(compare, "shown", lambda repo: experiments(listing))
    monkeypatch.setattr(compare, "ROOT", root)
    compare.main()


def test_what_is_left_out_or_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(listed(*SUCCEEDED), monkeypatch, tmp_path)
    assert capsys.readouterr().out == "build/compare.png: 3 experiments\n"
    assert (tmp_path / "build" / "compare.png").read_bytes().startswith(b"\x89PNG")
    lacking = experiment(found(2, None), "success")
    run(listed(*SUCCEEDED, *OTHERS, OTHERS[1], lacking, SUCCEEDED[0]), monkeypatch, tmp_path)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "build/compare.png: 4 experiments"
    assert lines == ["left out: 1 alike, 1 failed, 2 queued, 1 running, 1 unreadable", f"gaps: 1 without {LOSS}"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_experiments_that_do_not_differ_are_refused_in_one_line(
    count: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = [*listed(*(experiment(found(3, 0.01)) for _ in range(1, count)))[: 1 + min(count, 1)]]
    alike = r" \(left out: 2 alike\)" if count == 3 else ""
    got = rf"^expected two experiments .* that differ, got {min(count, 1)} alike{alike}: dvc exp run -S wd=1$"
    with pytest.raises(UserError, match=got):
        run(told, monkeypatch, tmp_path)
    if count == 1:
        with pytest.raises(UserError, match=r"got 1 alike \(left out: 1 failed, 1 queued\): dvc exp run -S wd=1$"):
            run(listed(*OTHERS[:2]), monkeypatch, tmp_path)


def test_an_axis_is_drawn_for_what_differs() -> None:
    rows = [row("main", 3, loss=0.01), row("lighter", 1, loss=0.02), row("none", 0, loss=0.03)]
    names, heights = drawn(rows)
    assert names == ["wd", "wide validation loss"]
    assert heights[0] == [1, 0]
    assert heights[2] == [0, 1]


def test_each_line_has_its_name_and_its_decay_at_its_end() -> None:
    rows = [
        row("main", 3, loss=0.01),
        row("lighter", 1, loss=0.02),
        row("none", 0, loss=0.03),
        row("a-name-longer-than-the-margin", 2),
    ]
    figure = compare.parallel(rows)
    (axes,) = figure.axes
    names = {text.get_text(): text for text in axes.texts if ", wd = " in text.get_text()}
    assert list(names) == ["main, wd = 3", "lighter, wd = 1", "none, wd = 0", "a-name-longer-than-…, wd = 2"]
    assert {text.get_text() for text in axes.texts} - names.keys() == {"0", "3", "0.01", "0.03"}
    for text, (end, height) in zip(names.values(), ((1, 0), (1, 0.5), (1, 1), (0, 2 / 3)), strict=True):
        assert text.xy == pytest.approx((end, height))  # type: ignore[attr-defined] # the end of its own line
    assert all(float(text.get_fontsize()) >= 12 for text in (*axes.texts, *axes.get_xticklabels(), *figure.texts))


@pytest.mark.parametrize("count", [2, 5, 40])
def test_names_do_not_overlap_and_nothing_is_cut(count: int) -> None:
    rows = [row(f"experiment-{number}", number, loss=float(number < 2)) for number in range(count)]
    figure = compare.parallel(rows)
    (axes,) = figure.axes
    figure.savefig(io.BytesIO(), dpi="figure")  # which puts them where they are
    extent = style.matplotlib.text.Text.get_window_extent  # of the words, without the line that leads to them
    boxes = sorted((extent(text) for text in axes.texts if ", wd" in text.get_text()), key=lambda box: box.y0)
    assert len(boxes) == count
    assert all(above.y0 >= below.y0 + 12 / 72 * figure.dpi for below, above in itertools.pairwise(boxes))
    whole = figure.bbox
    for text in (*axes.texts, *axes.get_xticklabels(), *figure.texts):
        box = extent(text)
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1
    assert tuple(figure.get_size_inches()) == ((8, 4.5) if count < 10 else (8, pytest.approx(10.2, abs=0.1)))


def test_names_stay_near_their_lines_and_in_their_order(rng: np.random.Generator) -> None:
    for count in (1, 2, 7, 10):
        targets = rng.choice([0, 0.5, 0.51, 1], count).tolist()
        places = compare.apart(targets, 0.1)
        assert all(-1e-12 <= place <= 1 + 1e-12 for place in places)
        order = sorted(range(count), key=lambda index: (targets[index], places[index]))
        assert all(places[above] - places[below] >= 0.1 - 1e-12 for below, above in itertools.pairwise(order))
    assert compare.apart([0.2, 0.9, 0.5], 0.1) == [0.2, 0.9, 0.5]


def test_more_numbers_than_there_is_room_for_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Params stay, then validation, then norms; of each what varies most."""
    places = [f"{study}.wd.{value}" for study in "abcd" for value in ("val_loss", "weight_norm")]
    rows = [
        Experiment(str(wd), {"wd": wd}, {place: 1 + wd * (1 + number) for number, place in enumerate(places)}) for wd in (0, 1)
    ]
    monkeypatch.setattr(compare, "shown", lambda repo: Shown(rows, None, Counter()))
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    compare.main()
    assert "no room for a.wd.weight_norm, b.wd.weight_norm, c.wd.weight_norm\n" in capsys.readouterr().out
    assert compare.drawn(rows) == ["wd", *(place for place in places if "loss" in place), "d.wd.weight_norm"]


def test_what_is_no_number_has_no_axis() -> None:
    rows = [
        Experiment("a", {"grid": [1, 2], "kind": "x", "wd": 1}, {}),
        Experiment("b", {"grid": [1], "kind": "y", "wd": "off"}, {}),
    ]
    assert differing(rows) == ["grid", "kind", "wd"]
    assert compare.drawn(rows) == []


def test_the_most_telling_is_what_varies_most() -> None:
    rows = [row("a", 1, loss=1.0, norm=9.0), row("b", 2, loss=1.1, norm=1.0)]
    assert telling(rows, differing(rows)) == ["wd", LOSS, NORM]
    rows = [
        Experiment("a", {}, {"a.wd.val_loss": 1.0, "b.wd.val_loss": 0.0}),
        Experiment("b", {}, {"a.wd.val_loss": 1.5, "b.wd.val_loss": 0.1}),
    ]
    assert telling(rows, differing(rows)) == ["b.wd.val_loss", "a.wd.val_loss"]


def test_a_param_is_called_by_its_last_part_unless_that_is_anothers() -> None:
    keys = ["wd", "line.wd", "line.sweep.wd", "line.adam_wd", "line.train.lr", "line.train.adam.lr", "line.train.adam.beta1"]
    keys += ["wide.train.lr", "modular.report.threshold"]
    told = ["wd", "line.wd", "sweep.wd", "adam_wd", "line.train.lr", "adam.lr", "beta1", "wide.train.lr", "threshold"]
    assert [short(key, keys) for key in keys] == told


def test_who_lacks_a_number_takes_no_axis_from_the_others() -> None:
    rows = [row(wd=3.0), row(wd=1.0, loss=0.02), row(wd=0.0, loss=0.03, norm=1.0), row(loss=0.04)]
    for order in itertools.permutations(rows):
        names, heights = drawn(list(order))
        assert names == ["wd", "wide validation loss"]  # a norm that but one has differs from none
        nan = np.nan
        expected = {0: [1, nan], 1: [1 / 3, 0], 2: [0, 0.5], 3: [nan, 1]}
        np.testing.assert_allclose(heights, [expected[rows.index(each)] for each in order])


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (0.0, 5e-324), (1.0, 1.0 + 2**-52), (-1.7e308, 5e-324)])
def test_axes_reach_as_far_as_numbers(low: float, high: float) -> None:
    rows = [Experiment("x", {"a": high, "b": low}, {}), Experiment("y", {"a": low, "b": high}, {})]
    assert drawn(rows) == (["a", "b"], [[1, 0], [0, 1]])


def test_a_name_is_no_formula() -> None:
    style.png(compare.parallel([Experiment(r"$\frac$", {r"$\frac$": value}, {}) for value in (1.0, 2.0)]))


@pytest.mark.pipeline
def test_outside_a_repository_dvc_gives_its_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^expected `dvc exp show --json` to work, got ERROR: you are not inside of a DVC repo"):
        shown(tmp_path)


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
        shown(tmp_path)
    monkeypatch.setattr(experiments_module, "run", lambda *words: subprocess.CompletedProcess(words, 0, json.dumps([LOST]), ""))
    with pytest.raises(UserError, match=told):
        shown(tmp_path)


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
    assert (copied / "build" / "compare.png").read_bytes() == style.png(compare.parallel(experiments(listed(*SUCCEEDED)).rows))
