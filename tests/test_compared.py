"""Two sides of a comparison: the base in Git, the working tree; the same trials where they have the same data."""

import csv
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import test_verify
from conftest import ROOT, Clone

from stages.base.errors import UserError
from tools.compared import Compared, compare, experiments, resolve


class Repository(test_verify.Repository):
    """The committed results of this project, in a repository of their own."""

    git = test_verify.Repository.__call__

    def __init__(self, path: Path) -> None:
        shutil.copytree(ROOT / "metrics", path / "metrics")
        shutil.copy(ROOT / "dvc.lock", path / "dvc.lock")
        super().__init__(path)

    def edit(self, study: str, row: str, **values: Any) -> None:
        path = self.path / "metrics" / "details" / f"{study}.json"
        tree = json.loads(path.read_text(encoding="utf-8"))
        tree[row] |= values
        path.write_text(json.dumps(tree), encoding="utf-8")

    def trained(self, study: str, decay: float) -> None:
        """Give the arm what its study's sweep has at another λ."""
        values = {name: statistics.fmean(swept(study, decay, name)) for name in ("val_loss", "weight_norm")}
        self.edit(study, "wd", weight_decay=decay, **values)


def swept(study: str, decay: float, name: str) -> list[float]:
    """A value of each trial at one λ."""
    with (ROOT / "metrics" / f"{study}_sweep.csv").open(encoding="utf-8") as file:
        return [float(run[name]) for run in csv.DictReader(file) if float(run["weight_decay"]) == decay and run["val_loss"]]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.mark.parametrize(("study", "weight_decays"), [("wide", (1.0, 10.0)), ("line", (0.1, 0.03)), ("modular", (2.0, 1.0))])
def test_trials_on_the_same_data_are_compared_one_by_one(
    study: str, weight_decays: tuple[float, float], repository: Repository
) -> None:
    repository.trained(study, weight_decays[0])
    base = repository.commit()
    repository.trained(study, weight_decays[1])
    found = compare(repository.path, base)
    assert {place.rpartition(".")[0] for place in found.paired} == {f"{study}.wd"}
    for name in ("val_loss", "weight_norm"):
        both = [swept(study, decay, name) for decay in weight_decays]
        gaps = [new - old for old, new in zip(*both, strict=True)]
        known = max(map(abs, [*both[0], *both[1]])) * 1e-5
        moved = found.paired[f"{study}.wd.{name}"]
        assert moved.trials == len(gaps)
        assert moved.change == pytest.approx(statistics.fmean(gaps), abs=known)
        assert moved.error == pytest.approx(statistics.stdev(gaps) / math.sqrt(len(gaps)), abs=known)


def test_of_a_sweep_over_another_setting_the_arms_own_is_taken(repository: Repository) -> None:
    head, table = "weight_decay,train_fraction,trial,steps_to_generalise\n", repository.path / "metrics" / "modular_sweep.csv"
    table.write_text(head + "1,0.6,0,5\n1,0.6,1,7\n1,0.4,0,300\n1,0.4,1,500\n", encoding="utf-8")
    repository.edit("modular", "wd", weight_decay=1.0, steps_to_generalise=400.0)
    base = repository.commit()
    table.write_text(head + "1,0.6,0,5\n1,0.6,1,7\n1,0.4,0,330\n1,0.4,1,550\n", encoding="utf-8")
    repository.edit("modular", "wd", weight_decay=1.0, steps_to_generalise=440.0)
    moved = compare(repository.path, base).paired["modular.wd.steps_to_generalise"]
    assert (moved.change, moved.error, moved.trials) == (40.0, 10.0, 2)


def lose(repository: Repository, case: str) -> None:
    lock, table = repository.path / "dvc.lock", repository.path / "metrics" / "wide_sweep.csv"
    if case == "other data":
        text = lock.read_text(encoding="utf-8")
        changed = re.sub(r"(outs:\n    - path: data/wide.npz\n      hash: md5\n      md5: )\w+", r"\1abc", text)
        assert changed != text
        lock.write_text(changed, encoding="utf-8")
    elif case == "no lock":
        lock.unlink()
    elif case == "no sweep":
        table.unlink()
    elif case == "a torn sweep":
        table.write_text("weight_decay,trial\n1,", encoding="utf-8")
    elif case == "no such λ":
        repository.edit("wide", "wd", weight_decay=1.5)
    elif case == "trained in another way":
        repository.edit("wide", "wd", val_loss=0.0137, weight_norm=0.1)


@pytest.mark.parametrize("case", ["other data", "no lock", "no sweep", "a torn sweep", "no such λ", "trained in another way"])
def test_else_they_are_compared_by_their_means(case: str, repository: Repository) -> None:
    repository.trained("wide", 1.0)
    base = repository.commit()
    repository.trained("wide", 10.0)
    assert "wide.wd.val_loss" in compare(repository.path, base).paired
    lose(repository, case)
    found = compare(repository.path, base)
    assert found.paired == {}
    moved, errors = found.effect("wide.wd.val_loss"), found.errors("wide.wd.val_loss")
    assert moved
    assert moved.error == math.hypot(*(error for error in errors if error))


def test_a_trial_that_diverged_on_one_side_is_no_pair(repository: Repository) -> None:
    repository.trained("wide", 1.0)
    base, path = repository.commit(), repository.path / "metrics" / "wide_sweep.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("10.0,4,"))
    lines[place] = "10.0,4,1" + "," * (lines[0].count(",") - 2)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    losses = [swept("wide", decay, "val_loss") for decay in (1.0, 10.0)]
    for each in losses:
        del each[4]
    repository.edit("wide", "wd", weight_decay=10.0, val_loss=statistics.fmean(losses[1]))
    moved = compare(repository.path, base).paired["wide.wd.val_loss"]
    assert moved.trials == len(losses[0])
    assert moved.change == pytest.approx(statistics.fmean(losses[1]) - statistics.fmean(losses[0]), abs=1e-6)


def test_words_lists_and_what_is_no_number_are_left_out_and_a_torn_file_is_named(repository: Repository) -> None:
    base = repository.commit()
    repository.edit("wide", "wd", more=1, some=[1, 2], word="x", huge=10**400, none=math.nan, flag=True)
    found = compare(repository.path, base)
    assert found.changed == ["wide.wd.more"]
    (repository.path / "metrics" / "details" / "line.json").write_text('{"wd": ', encoding="utf-8")
    with pytest.raises(UserError, match=r"^metrics/details/line\.json: expected JSON, got .*; `dvc repro` writes it$"):
        compare(repository.path, base)


def test_a_change_of_the_error_alone_is_a_change_and_is_counted_once() -> None:
    found = Compared({"wide.wd.val_loss": (1.0, 1.0), "wide.wd.val_loss_se": (0.2, 0.3), "wide.wd.bias": (1.0, 1.0)}, {})
    assert (found.changed, found.places) == (["wide.wd.val_loss"], ["wide.wd.bias", "wide.wd.val_loss"])


@pytest.fixture
def history(repository: Repository) -> Repository:
    """A tag, a branch with an experiment on it, and what DVC keeps beside experiments."""
    repository.commit()
    repository.git("tag", "v1")
    repository.git("switch", "-qc", "other")
    repository.edit("wide", "wd", val_loss=1.0)
    sha = repository.commit()
    repository.git("switch", "-q", "main")
    for name in (f"exps/{'ab' * 20}/heavier", "exps/stash", "exps/celery/failed"):
        repository.git(
            "update-ref", re.sub(r"^exps/(..)(\w{38})", r"refs/exps/\1/\2", name) if "ab" in name else f"refs/{name}", sha
        )
    return repository


def test_bases_are_branches_tags_commits_and_experiments(history: Repository) -> None:
    main, other = (history.git("rev-parse", name) for name in ("main", "other"))
    assert [resolve(history.path, base) for base in ("main", "v1", main[:10])] == [main] * 3
    assert resolve(history.path, "heavier") == other
    assert experiments(history.path) == {"heavier": other}
    assert experiments(history.path, main) == {}


@pytest.mark.parametrize("base", ["nowhere", "--help", "a b", "$(touch pwned)", "", "\udcff", "stash"])
def test_a_base_that_is_not_here_is_refused(base: str, history: Repository) -> None:
    with pytest.raises(UserError, match=r"^expected a branch, tag, commit or experiment, got .*, which is not here; `git fetch"):
        resolve(history.path, base)


@pytest.mark.parametrize("base", ["origin/other", "other"])
def test_a_branch_of_the_remote_is_a_base(base: str, history: Repository, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", str(history.path), str(tmp_path / "clone")], check=True)
    assert resolve(tmp_path / "clone", base) == history.git("rev-parse", "other")


def test_git_gives_its_own_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^expected `git .*` to work, got fatal: not a git repository"):
        resolve(tmp_path, "main")


@pytest.mark.slow
def test_make_diff_compares_with_the_last_commit_or_the_base_as_it_is_given(tmp_path_factory: pytest.TempPathFactory) -> None:
    clone = Clone(tmp_path_factory.mktemp("edited"))
    clone.run("touch", "-d", "2000-01-01", "requirements.txt")  # its environment is ready
    path = clone.path / "metrics" / "details" / "wide.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree["wd"]["val_loss"] = 4.5e-6
    path.write_text(json.dumps(tree), encoding="utf-8")
    told = clone.run("make", "diff").stdout
    assert re.search(r"^ wd\.val_loss .* 4\.5e-06 .* better$", told, re.MULTILINE)
    assert "\x1b" not in told
    assert clone.run("make", "diff", "BASE=HEAD", "ALL=0").stdout == told
    for given in (["BASE=$(shell touch pwned)"], ["BASE=feat$x${y}$$z"], ['BASE=`touch pwned`;"#']):
        refused = clone.run("make", "diff", *given, check=False)
        assert f"got {given[0].partition('=')[2]!r}, which is not here" in refused.stderr
    assert not (clone.path / "pwned").exists()
    missing = clone.run(sys.executable, "-m", "tools.diff", check=False)
    assert missing.stderr == "error: diff: expected a base to compare with, got none: make diff BASE=HEAD\n"
