"""data/<study>.npz and data/<study>/<arm>.npz → metrics/<study>.json and metrics/<study>_curves.csv.

Means over trials with their standard errors; beside the arms the references that need no training. Losses carry no
penalty: (c/2)·mean (ŷ − y)² with c = 2 in `line` and `modular`, c = 1 in `wide`. `weight_norm` is ‖w‖₂ and
`half_squared_norm` ½‖w‖², over all weights and no bias.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import command
from stages.science import params, references, storage
from stages.science.errors import UserError
from stages.science.rounding import resolution
from stages.science.studies import ARMED, STUDIES, Study
from stages.science.summaries import arrival, curve, difference, r_squared, summarise

Arrays = dict[str, NDArray]
HISTORIES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "weight_norm")

RIDGES = {  # reference row → the run whose λ it solves for
    "line": {"ridge": "wd", "ridge_adam": "wd_adam"},
    "wide": {"ridge": "wd", "ridge_baseline": "baseline"},
}
CLOSED_FORM = {"line": ("baseline", "wd")}  # runs that gradient descent in closed form covers, on full batches
PARTS = {"wide": ("baseline", "wd")}  # runs whose error is split into start, shrinkage and noise
PAIRS = {  # rows compared trial by trial
    "line": (("wd", "baseline"), ("wd_adam", "baseline_adam")),
    "wide": (("wd", "baseline"), ("wd_zero", "baseline_zero"), ("wd", "null"), ("ridge", "ridge_baseline")),
    "modular": (("wd", "baseline"),),
}


def main(study: str) -> None:
    facts, settings = STUDIES[study], params.load()
    arrays = storage.load_arrays(Path("data", f"{study}.npz"), STUDIES[study].arrays, stage=f"generate@{study}", exact=True)
    arrays = storage.in_float64(arrays)
    runs = read_runs(study, len(arrays["train_labels" if facts.classification else "train_targets"]))
    if facts.classification:
        rows = {name: measured(run) for name, run in runs.items()} | references.chance(arrays)
    else:
        decays = {name: float(runs[run]["weight_decay"]) for name, run in RIDGES.get(study, {}).items()}
        rows = {name: linear_measured(facts, arrays, run) for name, run in runs.items()}
        rows |= references.linear(arrays, facts, decays)
        for name in PARTS.get(study, ()):
            numbers = {key: float(runs[name][key]) for key in ("weight_decay", "lr", "momentum")}
            alive = np.where(runs[name]["diverged"], np.nan, 1.0)
            rows[name] |= {part: each * alive for part, each in references.excess_parts(arrays, **numbers).items()}

    metrics: dict[str, Any] = {name: summarise(values) for name, values in rows.items()}
    for name, run in runs.items():
        counts = {"diverged": int(run["diverged"].sum()), "trials": len(run["diverged"])}
        metrics[name] |= counts | {"weight_decay": float(run["weight_decay"])}
        if facts.classification:
            metrics[name] |= arrival(run, settings.at(study).threshold)
        if "difference_below" in run:
            metrics[name]["difference_below"] = float(run["difference_below"])
    of_zero = references.losses_of_zero(arrays, facts)
    for one, other in PAIRS.get(study, ()):
        known_to = {
            f"{split}_loss": max(resolution(rows[row][f"{split}_loss"], zero) for row in (one, other))
            for split, zero in of_zero.items()
        }
        metrics[f"{one}_minus_{other}"] = difference(rows[one], rows[other], known_to)

    storage.save_table(Path("metrics", f"{study}_curves.csv"), curves(study, arrays, runs))
    storage.save_metrics(Path("metrics", f"{study}.json"), metrics)


def read_runs(study: str, trials: int) -> dict[str, Arrays]:
    """Each run's arrays by the name of its row, numbers in float64. Raises UserError where they are not of so many trials."""
    runs = {}
    for arm, rows in STUDIES[study].arms.items():
        path, stage = Path("data", study, f"{arm}.npz"), f"train@{study}-{arm}"
        expected = {f"{row}.{key}": number for row in rows for key, number in {"train_loss": 2, "diverged": 1}.items()}
        stored = storage.load_arrays(path, expected, stage=stage)
        for row in rows:
            own = {key.removeprefix(f"{row}."): value for key, value in stored.items() if key.startswith(f"{row}.")}
            if len(own["diverged"]) != trials:
                got = len(own["diverged"])
                raise UserError(f"{path}: expected {trials} trials as in data/{study}.npz, got {got}: dvc repro {stage}")
            runs[row] = storage.in_float64(own)
    return runs


def measured(run: Arrays) -> Arrays:
    """The end of a run's histories, NaN for a trial that diverged.  (R,) each"""
    alive = np.where(run["diverged"], np.nan, 1.0)
    values = {name: run[name][:, -1] * alive for name in HISTORIES if name in run}
    return values | {"half_squared_norm": values["weight_norm"] ** 2 / 2}


def linear_measured(facts: Study, arrays: Arrays, run: Arrays) -> Arrays:
    """`measured`, with R² and what a row says of the parameters."""
    values, alive = measured(run), np.where(run["diverged"], np.nan, 1.0)
    for split in ("train", "val"):
        values[f"{split}_r2"] = r_squared(values[f"{split}_loss"], arrays[f"{split}_targets"], facts.curvature)
    return values | references.parameters_row(arrays, run["weight"] * alive[:, None], run["bias"] * alive)


def curves(study: str, arrays: Arrays, runs: dict[str, Arrays]) -> list[dict[str, Any]]:
    """Every run's histories, one row an evaluated step; `<run>_theory` where the closed form covers the run."""
    x_name, table = "step" if STUDIES[study].classification else "epoch", []
    for name, run in runs.items():
        alive, x = np.where(run["diverged"], np.nan, 1.0)[:, None], run["steps"] / run["steps_per_epoch"]
        table += curve({"run": name}, x_name, x, {key: run[key] * alive for key in HISTORIES if key in run})
        if name in CLOSED_FORM.get(study, ()) and run["steps_per_epoch"] == 1 and run["momentum"] == 0:
            settings = {"weight_decay": float(run["weight_decay"]), "lr": float(run["lr"])}
            table += curve(
                {"run": f"{name}_theory"}, x_name, x, references.descent(arrays, STUDIES[study], run["steps"], **settings)
            )
    return table


if __name__ == "__main__":
    command.run(main, ARMED)
