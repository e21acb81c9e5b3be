"""Every number in metrics/ against tests/independent, which computes it anew in plain NumPy, apart from stages/.

Six digits are written, so a value may stand half a unit of its sixth digit from the exact one; beyond that it may be off by
`exact.ROUNDING` of what it is computed from, which counts only where that is far larger than the value: a difference of
two losses, a loss that training has brought to nothing, a gap in units of a small standard error.
A value that is in the file and not known here fails, and so does one that is missing.
"""

import copy
import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import independent
import numpy as np
import pytest
import yaml
from conftest import ARMED, ROOT, Clone
from exact import Number

FIGURES = 6  # significant ones are written


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("independent"))


def complaints(where: str, written: Any, exact: Any) -> list[str]:
    """What is wrong with a part of a file, a line each."""
    if isinstance(exact, dict):
        found = [f"{where}.{name}: in the file, and not known" for name in written if name not in exact]
        found += [f"{where}.{name}: not in the file" for name in exact if name not in written]
        both = [name for name in exact if name in written]
        return found + [line for name in both for line in complaints(f"{where}.{name}", written[name], exact[name])]
    if isinstance(exact, list):
        if len(written) != len(exact):
            return [f"{where}: expected {len(exact)} rows, got {len(written)}"]
        return [line for index, row in enumerate(exact) for line in complaints(f"{where}[{index}]", written[index], row)]
    if not isinstance(exact, Number):
        return [] if written == exact else [f"{where}: expected {exact!r}, got {written!r}"]
    if not isinstance(written, int | float):
        return [f"{where}: expected {exact.value:.9g}, got {written!r}"]
    allowed = half_a_unit(exact.value) + exact.slack
    return [] if abs(written - exact.value) <= allowed else [f"{where}: expected {exact.value:.9g}, got {written!r}"]


def half_a_unit(value: float) -> float:
    """Of the last digit written."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - FIGURES + 1) if value else 0.0


def read_metrics(path: Path) -> dict[str, Any]:
    """The numbers of a file; its sentences, and the titles of its panels, have tests of their own."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    assert all(tree.pop("findings").values())
    return {name: value for name, value in tree.items() if name != "titles"}


def read_table(path: Path) -> list[dict[str, float | str | None]]:
    def parsed(name: str, text: str) -> float | str | None:
        return text if name in ("run", "phase") else float(text) if text else None

    with path.open(encoding="utf-8", newline="") as file:
        return [{name: parsed(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def by_run(curves: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Each run's rows in their order; the runs stand in any."""
    return {run: [row for row in curves if row["run"] == run] for run in {row["run"] for row in curves}}


def disagreements(study: str, params: dict[str, Any], data: Path, metrics: Path) -> list[str]:
    """Between the files of a study in the folder `metrics` and its data, recomputed."""
    with np.load(data) as arrays:
        exact = independent.results(study, params, dict(arrays))
    found = complaints(f"{study}_sweep.csv", read_table(metrics / f"{study}_sweep.csv"), exact.sweep)
    found += complaints(f"{study}_sweep", read_metrics(metrics / "details" / f"{study}_sweep.json"), exact.summary)
    if exact.metrics:
        written = read_metrics(metrics / "details" / f"{study}.json")
        if "wd_penalty" in written:  # the rounding noise between two ways to the same number; which power of ten is chance
            below = written["wd_penalty"].pop("difference_below")
            found += [] if below in (1e-15, 1e-14, 1e-13) else [f"{study}.wd_penalty.difference_below: {below}"]
        found += complaints(study, written, exact.metrics)
        found += complaints(f"{study}_curves.csv", by_run(read_table(metrics / f"{study}_curves.csv")), by_run(exact.curves))
    return found


def shipped() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The shipped parameters with others at these dotted keys."""
    params = copy.deepcopy(shipped())
    for key, value in changes.items():
        *path, last = key.split(".")
        section = params
        for name in path:
            section = section[name]
        assert last in section, key
        section[last] = value
    return params


def run(clone: Clone, study: str, params: dict[str, Any]) -> None:
    """All stages of a study that write numbers, in one process, as importing torch is most of what they cost here."""
    arms = [f"stages.train {study} {arm}" for arm in ("baseline", "wd") if study in ARMED]
    (clone.path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    clone.stages(f"stages.generate {study}", f"stages.sweep {study}", *arms, f"stages.evaluate {study}")


WIDE = {
    "wide.data.trials": 4,
    "wide.train.batch_size": 7,  # of 17 rows: batches of 7, 7 and 3
    "wide.train.momentum": 0.5,
    "wide.sweep.wd": [0, 0.03, 3, 30],
    "wide.sweep.epochs": [1, 4, 14],
    "wide.data.train_rows": 17,
    "wide.data.val_rows": 30,
    "wide.data.inputs": 40,
}
LINE = {
    "line.data.trials": 3,
    "line.sweep.wd": [0, 0.03, 0.3],
    "line.data.train_x": [1, 2, 2.5, 3, 4],
    "line.train.adam.epochs": 200,
    "line.train.adam.evaluate_every": 60,
}
MODULAR = {
    "modular.data.trials": 4,
    "modular.data.hidden": 8,
    "modular.train.steps": 60,
    "modular.train.evaluate_every": 7,
    "modular.train.lr": 0.03,
    "modular.sweep.wd": [0, 3, 5],
    "modular.sweep.shares": {"trials": 2, "train_fraction": [0.3, 0.9], "wd": [0, 3]},
}
DESCENT = {
    "descent.data.trials": 5,
    "descent.train.steps": 100,
    "descent.train.momentum": 0.7,
    "descent.sweep.penalty": [0, 1, 30],
    "descent.data.rows": [4, 8, 40],
    "descent.data.inputs": 8,
}
EQUILIBRIUM = {
    "equilibrium.data.trials": 3,
    "equilibrium.train.epochs": 6,
    "equilibrium.train.batch_size": 7,  # of 40 rows: five of 7, one of 5
    "equilibrium.sweep.product": [0, 0.01, 0.1, 0.5],
    "equilibrium.sweep.lr": [0.02, 0.3],
    "equilibrium.data.rows": 40,
    "equilibrium.data.inputs": 5,
    "equilibrium.train.evaluate_every": 5,
}
PHASE = {
    "phase.data.trials": 3,
    "phase.data.p": 7,
    "phase.train.steps": 150,
    "phase.report.late": 2,
    "phase.sweep.wd": [0, 0.5, 3, 20],
    "phase.sweep.train_fraction": [0.3, 0.7, 0.9],
    "phase.data.hidden": 24,
    "phase.train.evaluate_every": 7,
}

RELATIVES = {
    "relatives.data.trials": 3,
    "relatives.data.train_rows": 20,
    "relatives.data.val_rows": 15,
    "relatives.data.inputs": 8,
    "relatives.data.nonzeros": 2,
    "relatives.data.masks": 5,
    "relatives.train.evaluate_every": 7,
    "relatives.sweep.wd": [0, 0.05, 0.3],
    "relatives.sweep.l1_ratio": 0.3,
    "relatives.sweep.dropout": [0.2, 0.5],  # 0.2 is rounded to 51/256
    "relatives.sweep.dropout_steps": 13,  # each mask twice, and three of them a third time
}
OPTIMIZERS = {
    "optimizers.data.trials": 3,
    "optimizers.data.rows": 12,
    "optimizers.data.val_rows": 9,
    "optimizers.data.inputs": 5,
    "optimizers.sweep.wd": [0, 1, 5],
    "optimizers.sweep.lr": [0.005, 0.01],
    "optimizers.train.steps": 60,
    "optimizers.train.evaluate_every": 7,
    "optimizers.train.sgd.momentum": 0.3,
    "optimizers.train.adam.beta2": 0.95,
}
DIGITS = {
    "digits.data.trials": 2,
    "digits.data.train_rows": 40,
    "digits.data.val_rows": 60,
    "digits.data.hidden": 6,
    "digits.sweep.wd": [0, 0.01],  # neither of them the arms'
    "digits.sweep.network_wd": [0, 3],
    "digits.train.steps": 12,
    "digits.train.momentum": 0.5,
    "digits.train.network.steps": 9,
    "digits.train.network.evaluate_every": 4,
}
SCALING = {
    "scaling.data.trials": 3,
    "scaling.data.rows": [12, 30, 31],
    "scaling.data.inputs": 5,
    "scaling.sweep.wd": [0, 0.1, 1],
    "scaling.sweep.batch_size": [3, 7],  # of 12, 30 and 31 rows: last batches of 1, 2, 3 and 5
    "scaling.train.epochs": 4,
}
LAYERS = {
    "layers.data.trials": 3,
    "layers.data.rows": 6,
    "layers.data.columns": 4,
    "layers.data.rank": 2,
    "layers.sweep.wd": [0, 0.5, 2],
    "layers.train.steps": 60,
    "layers.train.momentum": 0.5,
}
TABLE = {
    "table.data.trials": 3,
    "table.sweep.wd": [0, 0.01, 0.3, 3],
    "table.sweep.rows": [0.04, 0.5],  # 11 of 266: no more than the inputs and the mean
    "table.train.steps": 60,
    "table.train.momentum": 0.5,
}
CLASSES = {"table.data.file": "data/wine.csv", "table.data.target": "cultivar", "table.data.task": "classification"}


@pytest.mark.parametrize(
    ("study", "changes"),
    [
        pytest.param("wide", WIDE, id="wide: an uneven last batch, momentum"),
        pytest.param(
            "wide", WIDE | {"wide.data.trials": 2, "wd": 0.5, "baseline": 0.1, "seed": 3}, id="wide: decay in both arms"
        ),
        pytest.param(
            "line",
            LINE | {"line.train.batch_size": 2, "line.train.lr": 0.02, "line.train.momentum": 0.5},
            id="line: an uneven last batch, momentum",
        ),
        pytest.param(
            "line",
            LINE | {"line.train.batch_size": 5, "line.train.lr": 0.05, "baseline": 0.02},
            id="line: full batches, closed form",
        ),
        pytest.param("modular", MODULAR | {"modular.data.p": 4, "modular.train.train_fraction": 0.5}, id="modular: p = 4"),
        pytest.param("equilibrium", EQUILIBRIUM, id="equilibrium: an uneven last batch"),
        pytest.param(
            "equilibrium", EQUILIBRIUM | {"equilibrium.train.momentum": 0.5, "baseline": 0.3}, id="equilibrium: momentum"
        ),
        pytest.param("phase", PHASE, id="phase"),
        pytest.param("descent", DESCENT, id="descent"),
        pytest.param("scaling", SCALING, id="scaling: uneven last batches"),
        pytest.param("layers", LAYERS, id="layers: short of the closed forms"),
        pytest.param(
            "layers",
            LAYERS | {"layers.data.columns": 9, "layers.data.hidden": 0.3, "layers.sweep.wd": [0, 0.5, 30]},
            id="layers: a wide matrix, a closed form of zero",
        ),
        pytest.param("relatives", RELATIVES | {"baseline": 0.02}, id="relatives: decay in both arms"),
        pytest.param("optimizers", OPTIMIZERS, id="optimizers"),
        pytest.param("digits", DIGITS | {"baseline": 0.003}, id="digits: decay in both arms"),
        pytest.param("table", TABLE, id="table: some trained, some solved"),
        pytest.param("table", TABLE | {"table.data.features": "quadratic"}, id="table: products"),
        pytest.param("table", TABLE | CLASSES, id="table: classes"),
        pytest.param(
            "descent", DESCENT | {"descent.data.rows": [3, 7, 8], "descent.data.trials": 20}, id="descent: up to the peak"
        ),
    ],
)
def test_every_number_of_a_small_run(bench: Clone, study: str, changes: dict[str, Any]) -> None:
    params = changed(changes)
    run(bench, study, params)
    found = disagreements(study, params, bench.path / "data" / f"{study}.npz", bench.path / "metrics")
    assert not found, "\n".join(found[:40])
    if study == "descent" or changes is TABLE:
        name = "trained" if study == "descent" else "arrived"
        kinds = [row[name] for row in read_table(bench.path / f"metrics/{study}_sweep.csv")]
        assert 0 in kinds, "this run is meant to hold both"
        assert 1 in kinds, "this run is meant to hold both"


def test_an_accuracy_that_is_the_threshold_has_reached_it(bench: Clone) -> None:
    """Two of six validation rows, a third, against a third, the same in the arms and in the sweep."""
    a_third = {"modular.data.p": 3, "modular.train.train_fraction": 0.3334, "modular.report.threshold": 0.3333333333333333}
    params = changed(MODULAR | a_third)
    run(bench, "modular", params)
    data, metrics = bench.path / "data/modular.npz", bench.path / "metrics"
    found = disagreements("modular", params, data, metrics)
    assert not found, "\n".join(found[:40])

    params["modular"]["report"]["threshold"] = np.nextafter(1 / 3, 1)
    found = disagreements("modular", params, data, metrics)
    assert any(line.startswith("modular.baseline.generalised") for line in found), "no accuracy is a third: this tests nothing"
    assert any(line.startswith("modular_sweep.csv") for line in found), "no accuracy is a third: this tests nothing"


SLOW = [
    pytest.param("phase", marks=pytest.mark.slow),  # half a minute; its sentence and its cells have tests of their own
    pytest.param("scaling", marks=pytest.mark.slow),  # five seconds, but half a GB; a small run holds every kind of its numbers
]


@pytest.mark.parametrize("study", ["line", "wide", "relatives", "equilibrium", "optimizers", "digits", "table", "layers", *SLOW])
def test_every_committed_number(bench: Clone, study: str) -> None:
    (bench.path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    bench.run(sys.executable, "-m", "stages.generate", study)
    found = disagreements(study, shipped(), bench.path / "data" / f"{study}.npz", ROOT / "metrics")
    assert not found, "\n".join(found[:40])


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 0.0123458},
        {"loss": None},
        {"loss": "0.0123457"},
        {"nothing": 1e-8},
        {"empty": 0.0},
        {"rows": [{"run": "wd"}]},
        {"rows": [{"run": "baseline"}, {"run": "wd"}]},
        {"new": 1.0},
    ],
    ids=str,
)
def test_the_comparison_notices(wrong: dict[str, Any]) -> None:
    exact = {"loss": Number(0.01234565001), "nothing": Number(0.0, 1e-9), "empty": None, "rows": [{"run": "baseline"}]}
    right = {"loss": 0.0123457, "nothing": 1e-10, "empty": None, "rows": [{"run": "baseline"}]}
    assert complaints("file", right, exact) == []
    assert len(complaints("file", right | wrong, exact)) == 1
    del right["nothing"]
    assert len(complaints("file", right, exact)) == 1
