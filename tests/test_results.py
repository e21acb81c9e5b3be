"""The committed results of every study: the names that are promised, finite numbers, and sweeps that agree with arms."""

import json
import math
import re
from typing import Any

import numpy as np
import pytest
from conftest import ARMED, ROOT, SYSTEMS, at, metrics, table

from stages import studies
from stages.measure.results import Better, Results
from tools.compared import leaves


@pytest.mark.parametrize("study", ARMED)
def test_metrics_have_the_promised_names_and_nothing_infinite(study: str) -> None:
    rows = metrics(study)
    score = "accuracy" if "val_accuracy" in rows["wd"] else "r2"
    for arm in ("baseline", "wd"):
        for name in ("train_loss", "val_loss", f"train_{score}", f"val_{score}", "weight_norm", "half_squared_norm", "diverged"):
            assert name in rows[arm]
            assert name == "diverged" or f"{name}_se" in rows[arm]
    numbers = [number for name, row in rows.items() if name != "findings" for number in row.values()]
    assert all(math.isfinite(number) for number in numbers)
    assert all(number == float(f"{number:.6g}") for number in numbers)
    assert "null" in rows


@pytest.mark.parametrize("study", ["line", "wide", "modular"])
def test_the_committed_sweep_has_the_committed_arms_in_it(study: str, settings: Any) -> None:
    """Six digits each, averaged: 1e-5. An arm's λ may be beside the grid."""
    for arm in SYSTEMS[study].arms:
        row = metrics(study)[arm]
        if row["weight_decay"] not in at(settings, f"{study}.sweep.wd"):
            continue
        runs = [
            run for run in table(f"{study}_sweep") if run["weight_decay"] == row["weight_decay"] and run["val_loss"] is not None
        ]
        assert len(runs) == at(settings, f"{study}.data.trials")
        for name in ("train_loss", "val_loss", "weight_norm"):
            assert np.mean([run[name] for run in runs]) == pytest.approx(row[name], rel=1e-5)


@pytest.mark.parametrize("study", studies.NAMES)
def test_what_dvc_compares_are_the_headlines_that_the_study_declares(study: str) -> None:
    """Each is a number of the details, and none is declared that is nowhere."""
    results, arms = studies.part(study, Results), metrics(study) if study in ARMED else {}
    committed = json.loads((ROOT / "metrics" / f"{study}.json").read_text(encoding="utf-8"))
    assert committed == results.headline(arms, metrics(f"{study}_sweep"))
    found = {place.rpartition(".")[2] for place, value in leaves(committed).items() if isinstance(value, (int, float))}
    assert found == {*results.headlines}
    assert all(row in arms for row in results.rows if study in ARMED)


def test_the_requirements_are_pins_and_nothing_of_one_machine() -> None:
    """Each line is `name==version`: pip writes a path where a package was installed from a file."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*( +# .*)?", pin), pin


LESS = ("val_loss", "risk", "error", "diverged", "steps_to_generalise", "train_fraction", "test_median")  # is better


@pytest.mark.parametrize("study", studies.NAMES)
def test_every_headline_is_better_the_way_its_name_says(study: str) -> None:
    """Losses and risks lower, accuracies and R² higher; a norm, a λ and the training loss neither."""
    for name, better in studies.part(study, Results).headlines.items():
        higher, lower = name.endswith(("accuracy", "r2")), any(word in name for word in LESS)
        assert better is (Better.HIGHER if higher else Better.LOWER if lower else Better.NEITHER), name
