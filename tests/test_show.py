"""The table of a commit's experiments: at most 80 columns, what differs first, and the rest said in lines below."""

import re
from collections import Counter

import pytest
from conftest import Clone

from tools.experiments import Experiment, Shown
from tools.show import lines


def one(name: str, wd: float, *, lr: float = 0.01, loss: float | None = None, **more: float) -> Experiment:
    results = {} if loss is None else {"wide.wd.val_loss": loss}
    return Experiment(name, {"wd": wd, "line": {"wd": 0.01}, "wide.train.lr": lr, "line.train.lr": 0.1}, results | more)


def told(*rows: Experiment, workspace: Experiment | None = None, **others: int) -> list[str]:
    return list(lines(Shown(list(rows), workspace, Counter(others))))


def test_what_differs_stands_beside_the_name_and_what_is_the_same_nowhere() -> None:
    same = {"wide.wd.weight_norm": 0.05, "modular.wd.val_accuracy": 1.0}
    assert told(one("main", 3, loss=0.0105301, **same), one("lucid-acne", 10, lr=0.1, loss=0.00971785, **same)) == [
        "                                   wide",
        "experiment  wd  wide.train.lr  val_loss",
        "main         3           0.01   0.01053",
        "lucid-acne  10            0.1  0.009718",
    ]


def test_numbers_have_the_digits_that_tell_experiments_apart_and_a_gap_is_a_dash() -> None:
    head, *rows = told(one("a", 1, loss=0.123456), one("b", 2, loss=0.123457), one("c", 3, loss=0.5), one("d", 4))[1:]
    assert [row.split()[-1] for row in rows] == ["0.123456", "0.123457", "0.5", "–"]
    assert head.split() == ["experiment", "wd", "val_loss"]


def test_lists_and_words_are_params_too() -> None:
    rows = [
        Experiment("a", {"wide.sweep.wd": [0, 1], "x.kind": "sgd"}, {}),
        Experiment("b", {"wide.sweep.wd": list(range(99)), "x.kind": "adam"}, {}),
    ]
    head, first, second = told(*rows)
    assert re.split(r"\s{2,}", head) == ["experiment", "wd", "kind"]
    assert re.split(r"\s{2,}", first) == ["a", "[0, 1]", "sgd"]
    assert re.split(r"\s{2,}", second) == ["b", "[0, 1, 2, 3, 4, 5, …", "adam"]


def test_what_there_is_no_room_for_is_named_norms_first() -> None:
    places = [f"study_{number}.wd.{value}" for number in range(4) for value in ("val_loss", "weight_norm")]
    rows = [
        Experiment(f"name-{wd}", {"wd": wd}, {place: 1 + wd * (1 + index) for index, place in enumerate(places)}) for wd in (0, 1)
    ]
    text = told(*rows)
    assert max(map(len, text)) <= 80
    shown = text[1].split()[2:]
    assert shown.count("val_loss") == 4
    dropped = 4 - shown.count("‖w‖₂")
    assert dropped
    varies_least = ", ".join(f"study_{number} ‖w‖₂" for number in range(dropped))
    assert text[4] == f"no room for {dropped}: {varies_least}"


def test_the_others_and_the_workspace_are_told_of_below() -> None:
    rows = [one("main", 3, loss=0.1), one("lucid-acne", 10, loss=0.2)]
    assert told(*rows, failed=1, queued=2, alike=1)[4:] == ["left out: 1 alike, 1 failed, 2 queued"]
    assert told(*rows, workspace=one("workspace", 3))[4:] == []
    stacked = "make reset goes back to main"
    assert told(*rows, workspace=one("workspace", 10))[4:] == [f"the workspace has the params of lucid-acne: {stacked}"]
    assert told(*rows, workspace=one("workspace", 7))[4:] == [f"the workspace has the params of none of them: {stacked}"]


def test_where_nothing_differs_it_is_said() -> None:
    assert told(one("main", 3, loss=0.1), queued=1) == [
        "experiment",
        "main",
        "no experiment of this commit differs from it: dvc exp run -S wd=1",
        "left out: 1 queued",
    ]


@pytest.mark.parametrize("name", ["x" * 200, "a\x1b[31m\nb"])
def test_a_name_may_be_anything(name: str) -> None:
    text = told(one("main", 3, loss=0.1), one(name, 10, loss=0.2))
    assert max(map(len, text)) <= 80
    assert len(text) == 4
    assert "".join(text).isprintable()


@pytest.mark.pipeline
def test_it_reads_what_dvc_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of a commit without experiments; the workspace has another λ."""
    clone = Clone(tmp_path_factory.mktemp("shown"))
    clone.run("touch", "-d", "2000-01-01", "requirements.txt")  # its environment is ready
    clone.set("wd", 7)
    assert clone.run("make", "show").stdout.splitlines() == [
        "experiment",
        "main",
        "no experiment of this commit differs from it: dvc exp run -S wd=1",
        "the workspace has the params of none of them: make reset goes back to main",
    ]
