"""The table of a commit's experiments: at most 80 columns, what each study is about first."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_compared import Repository

from tools import show
from tools.show import Experiment, lines


def one(name: str, wd: float, loss: float, steps: float = 233.0, **more: Any) -> Experiment:
    results = {"wide": {"wd.val_loss": loss, "wd.weight_norm": 1 / wd}, "modular": {"wd.steps_to_generalise": steps}}
    return Experiment(name, {"wd": wd, "wide.train.lr": 0.01} | more, results)


def test_each_study_that_changed_has_a_table_of_its_headlines() -> None:
    rows = [one("main", 3, 0.0105301), one("lucid-acne", 10, 0.00971785, -1), one("rusty-wens", 5, 0.0105302, 400)]
    assert list(lines(rows)) == [
        "wide",
        "experiment  wd   val_loss  weight_norm",
        "main         3    0.01053       0.3333",
        "lucid-acne  10   0.009718          0.1",
        "rusty-wens   5  0.0105302          0.2",
        "",
        "modular",
        "experiment  wd  steps_to_generalise",
        "main         3                  233",
        "lucid-acne  10          not reached",
        "rusty-wens   5                  400",
        "",
    ]


def test_params_that_differ_stand_beside_the_name_lists_and_words_too() -> None:
    text = list(lines([one("a", 3, 0.1, grid=[0, 1], kind="sgd"), one("b", 3, 0.2, grid=list(range(99)), kind="adam")]))
    assert text[1].split() == ["experiment", "grid", "kind", "val_loss"]
    assert text[3].split() == ["b", *["[0,", "1,", "2,", "3,", "4,", "5,", "6,", "7…"], "adam", "0.2"]


def test_what_there_is_no_room_for_is_named() -> None:
    places = [f"row_{number}.val_loss" for number in range(9)]
    rows = [Experiment(f"name-{wd}", {"wd": wd}, {"wide": dict.fromkeys(places, 1 + wd)}) for wd in (0, 1)]
    text = list(lines(rows))
    assert max(map(len, text)) <= 80
    shown = text[1].split()[2:]
    assert 1 < len(shown) < 9
    assert " ".join(text[4:-1]) == f"no room for {', '.join(place for place in places if place not in shown)}"


def test_where_no_result_differs_it_is_said() -> None:
    assert list(lines([one("main", 3, 0.1), one("alike", 3, 0.1)])) == ["experiment", "main", "alike", "no result differs"]


@pytest.mark.parametrize("name", ["x" * 200, "a\x1b[31m\nb"])
def test_a_name_may_be_anything(name: str) -> None:
    text = list(lines([one("main", 3, 0.1), one(name, 3, 0.2)]))
    assert max(map(len, text)) <= 80
    assert "".join(text).isprintable()


@pytest.fixture
def shown(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    (repository.path / "params.yaml").write_text("wd: 3\n", encoding="utf-8")
    repository.commit()
    return repository


def test_experiments_are_read_from_git_whatever_the_queue_is(shown: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """DVC keeps what it knows of a queue in files of its own, without which it shows nothing at all."""
    show.main(shown.path)
    assert capsys.readouterr().out == "no experiment of this commit: dvc exp run -S wd=1\n"
    head = shown.git("rev-parse", "HEAD")
    shown.git("switch", "-qc", "experiment")
    path = shown.path / "metrics" / "wide.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    before, tree["wd"]["val_loss"] = tree["wd"]["val_loss"], 0.5
    path.write_text(json.dumps(tree), encoding="utf-8")
    (shown.path / "params.yaml").write_text("wd: 1\n", encoding="utf-8")
    sha = shown.commit()
    shown.git("switch", "-q", "main")
    shown.git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/rusty-wens", sha)
    shown.git("update-ref", "refs/exps/celery/failed", sha)
    (shown.path / "params.yaml").write_text("wd: 7\n", encoding="utf-8")
    show.main(shown.path)
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "wide",
        "experiment wd val_loss",
        f"main 3 {before:.4g}",
        "rusty-wens 1 0.5",
        "",
        "the workspace has the params of none of them: make reset goes back to main",
    ]
