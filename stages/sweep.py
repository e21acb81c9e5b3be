"""data/<study>.npz → metrics/<study>_sweep.csv and metrics/<study>_sweep.json: the whole grid λ × trials in one batch.

`line`, `wide` and `modular`: the study's `baseline` at other λ, with the same optimiser, start, data and batch order, trial
by trial. The table has one row a run, as it ended, beside the validation loss that theory expects where it has one; the
summary names the best λ. `descent`: a row for each number of rows and Λ = nλ, a mean over trials (`science.descent`).
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages import command
from stages.science import descent, params, problems, references, storage, training
from stages.science.errors import UserError
from stages.science.progress import Progress
from stages.science.rounding import resolution, significant
from stages.science.studies import STUDIES
from stages.science.summaries import best_decays, first_step, mean_and_error

RUNS_AT_ONCE = {"line": 12_500, "wide": 12_500, "modular": 1, "descent": 2_000}  # in one batch; a larger one is no faster
MEASURED = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "weight_norm")

Arrays = dict[str, NDArray]
Table = list[dict[str, Any]]


def main(study: str) -> None:
    settings = params.load()
    arrays = storage.load_arrays(Path("data", f"{study}.npz"), STUDIES[study].arrays, stage=f"generate@{study}", exact=True)
    rows, found = over_rows(settings, arrays) if study == "descent" else over_decays(study, settings, arrays)
    storage.save_table(Path("metrics", f"{study}_sweep.csv"), rows)
    storage.save_metrics(Path("metrics", f"{study}_sweep.json"), found)


def over_decays(study: str, settings: params.Params, arrays: Arrays) -> tuple[Table, dict[str, Any]]:
    facts, section = STUDIES[study], settings.at(study)
    run, device = facts.arms["baseline"]["baseline"], training.device()
    optimizer = settings.at(f"{study}.optimizers.{run.optimizer}")
    problem, schedule = problems.build(study, arrays, device), problems.schedule(arrays, optimizer, device)
    if run.optimizer == "sgd":  # and no other: see what `project` needs
        problem = problems.project(problem)
    fitted = training.fit_in_chunks(
        problem,
        schedule.batches,
        runs_at_once=RUNS_AT_ONCE[study],
        optimizer=run.optimizer,
        settings={"lr": section.lr} | optimizer.arguments(),
        weight_decay=torch.tensor(section.sweep, dtype=torch.float64, device=device),
        evaluate_every=schedule.evaluate_every,
        progress=functools.partial(Progress, f"{study} sweep"),
    )
    if fitted.diverged.all():
        raise UserError(
            f"params.yaml: {study}.sweep: expected a λ that is stable at lr = {section.lr:g}, got none: every run diverged"
        )

    found = training.records(problem, fitted)
    history = {name: found[name] for name in MEASURED if name in found}  # (T, L, K)
    ended = {name: each[..., -1] for name, each in history.items()}
    diverged, exact = fitted.diverged.cpu().numpy(), storage.in_float64(arrays)
    known: dict[str, Any] = {}
    if facts.classification:
        for split, verb in (("train", "memorise"), ("val", "generalise")):
            ended[f"steps_to_{verb}"] = arrivals(history[f"{split}_accuracy"], fitted.steps, section.threshold)
        null = references.chance(exact)["null"]["val_loss"]
        known = {"threshold": section.threshold, "steps": fitted.steps[-1]}
    else:
        expected = references.expected_val_losses(study, exact, section.sweep, lr=section.lr, momentum=optimizer.momentum)
        if expected is not None:
            ended["theory"] = expected
        null = references.linear(exact, facts, {})["null"]["val_loss"]
    known |= theory(study, arrays) | mean_and_error("val_loss_of_null", null)
    of_zero = references.losses_of_zero(exact, facts)["val"]
    return table(section.sweep, ended, diverged), summary(section.sweep, ended, diverged, of_zero) | known


def over_rows(settings: params.Params, arrays: Arrays) -> tuple[Table, dict[str, Any]]:
    section, exact = settings.descent, storage.in_float64(arrays)
    best = float(significant(descent.best_penalty(exact)))  # ‖w*‖ is a float32's
    rows = descent.risks(
        exact,
        sorted({*section.sweep, best}),
        settings={"lr": section.lr} | section.optimizers.sgd.arguments(),
        device=training.device(),
        runs_at_once=RUNS_AT_ONCE["descent"],
        progress=lambda rows, total: Progress(f"descent, n = {rows}", total),
    )
    found: dict[str, Any] = {
        "inputs": section.system.inputs,
        "signal": section.system.weight_norm,
        "noise": section.system.noise,
        "theory_penalty": best,
        "trained": sum(row["trained"] for row in rows),
        "solved": sum(1 - row["trained"] for row in rows),
        "max_abs_z": max((abs(row["z"]) for row in rows if row["z"] is not None), default=0.0),
    }
    for count in section.rows:
        own = {row["penalty"]: row["risk"] for row in rows if row["rows"] == count}
        lowest = min(own, key=own.__getitem__)
        found[f"rows_{count}"] = {
            "best_penalty": lowest,
            "risk_at_zero": own[0.0],
            "risk_at_best": own[lowest],
            "risk_at_theory": own[best],
        }
    return rows, found


def arrivals(accuracy: NDArray, steps: list[int], threshold: float) -> NDArray:
    """The first evaluated step at which each run reaches the threshold, −1 for never.  (T, L, K) → (T, L)"""
    return np.stack([first_step(each, np.array(steps), threshold) for each in accuracy])


def table(grid: tuple[float, ...], ended: dict[str, NDArray], diverged: NDArray) -> Table:
    """One row a run: λ, trial, whether it diverged, and what it ended with, empty where it did.  (T, L) each"""
    unknown = {name: diverged | np.isnan(values) for name, values in ended.items()}
    return [
        {"weight_decay": decay, "trial": trial, "diverged": int(diverged[trial, index])}
        | {name: None if unknown[name][trial, index] else values[trial, index] for name, values in ended.items()}
        for index, decay in enumerate(grid)
        for trial in range(len(diverged))
    ]


def summary(grid: tuple[float, ...], ended: dict[str, NDArray], diverged: NDArray, of_zero: NDArray) -> dict[str, Any]:
    """Of the λ at which no trial diverged: the best by mean validation loss, the largest within one standard error of it, the
    loss there, and at both ends of the grid where they are among these; and the largest deviation from theory.
    """
    found: dict[str, Any] = {"diverged": int(diverged.sum())}
    means = {
        index: mean_and_error("val_loss", ended["val_loss"][:, index])
        for index in range(len(grid))
        if not diverged[:, index].any()
    }
    if not means:
        return found
    whole = list(means)
    best, largest = (whole[place] for place in best_decays(list(means.values())))
    found |= {"best_lambda": grid[best], "best_lambda_1se": grid[largest]}
    for place, index in (("zero", 0), ("best", best), ("end", len(grid) - 1)):
        found |= {name.replace("val_loss", f"val_loss_at_{place}"): value for name, value in means.get(index, {}).items()}
    if "theory" in ended:
        scores = [z_score(ended["val_loss"][:, index], ended["theory"][:, index], of_zero) for index in whole]
        known = [abs(score) for score in scores if score is not None]
        found |= {"max_abs_z": max(known)} if known else {}
    return found


def z_score(measured: NDArray, expected: NDArray, of_zero: NDArray) -> float | None:
    """How many standard errors the mean over trials is from the expected one: 0 where they agree to their resolution, None
    where there is no expectation or nothing to measure by.  (T,) each
    """
    mean, gap = mean_and_error("val_loss", measured), mean_and_error("gap", measured - expected)
    if np.isnan(expected).any():
        return None
    if abs(gap["gap"]) <= resolution(measured, of_zero):
        return 0.0
    return gap["gap"] / mean["val_loss_se"] if mean.get("val_loss_se") else None


def theory(study: str, arrays: Arrays) -> dict[str, float]:
    """`wide`: the λ that is best for ridge on isotropic inputs, dσ²/(n‖w*‖²)."""
    if study != "wide":
        return {}
    rows, inputs = arrays["train_inputs"].shape[1:]
    signal = float(np.sum(arrays["true_weight"][0].astype(float) ** 2))
    return {"theory_lambda": inputs * float(arrays["noise"]) ** 2 / (rows * signal)} if signal else {}


if __name__ == "__main__":
    command.run(main, list(STUDIES))
