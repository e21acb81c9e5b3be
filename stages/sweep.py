"""data/<study>.npz → metrics/<study>_sweep.csv and metrics/<study>_sweep.json: the whole grid λ × trials in one batch.

The runs are the study's `baseline` at other λ: the same optimiser, start, data and batch order, trial by trial. The table
has one row a run, as it ended, beside the validation loss that theory expects; the summary names the best λ.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages import command
from stages.science import params, problems, references, storage, training
from stages.science.errors import UserError
from stages.science.progress import Progress
from stages.science.studies import STUDIES
from stages.science.summaries import best_decays, mean_and_error

RUNS_AT_ONCE = 10_000  # trials × λ in one batch: more gain little, and would not stay in the cache
MEASURED = ("train_loss", "val_loss", "weight_norm")
SWEPT = ("line", "wide")


def main(study: str) -> None:
    settings, facts = params.load(), STUDIES[study]
    arrays = storage.load_arrays(Path("data", f"{study}.npz"), facts.arrays, stage=f"generate@{study}", exact=True)
    section, run = settings.at(study), facts.arms["baseline"]["baseline"]
    optimizer, device = settings.at(f"{study}.optimizers.{run.optimizer}"), training.device()
    problem, schedule = problems.build(study, arrays, device), problems.schedule(arrays, optimizer, device)
    if run.optimizer == "sgd":  # and no other: see what `project` needs
        problem = problems.project(problem)
    grid = torch.tensor(section.sweep, dtype=torch.float64, device=device)
    fitted = training.fit_in_chunks(
        problem,
        schedule.batches,
        runs_at_once=RUNS_AT_ONCE,
        optimizer=run.optimizer,
        settings={"lr": section.lr} | optimizer.arguments(),
        weight_decay=grid,
        evaluate_every=schedule.evaluate_every,
        progress=lambda total: Progress(f"{study} sweep", total),
    )
    if fitted.diverged.all():
        raise UserError(
            f"params.yaml: {study}.sweep: expected a λ that is stable at lr = {section.lr:g}, got none: every run diverged"
        )

    ended = {
        name: storage.significant(fitted.history[name][..., -1].cpu().numpy()) for name in MEASURED if name in fitted.history
    }
    diverged = fitted.diverged.cpu().numpy()
    exact = storage.in_float64(arrays)
    numbers = {"lr": section.lr, "momentum": optimizer.momentum}
    expected = references.expected_val_losses(study, exact, section.sweep, **numbers)
    if expected is not None:
        ended["theory"] = storage.significant(expected)
    storage.save_table(Path("metrics", f"{study}_sweep.csv"), table(section.sweep, ended, diverged))
    null = references.linear(exact, facts, {})["null"]["val_loss"]
    found = summary(section.sweep, ended, diverged) | theory(study, arrays) | mean_and_error("val_loss_of_null", null)
    storage.save_json(Path("metrics", f"{study}_sweep.json"), found)


def table(grid: tuple[float, ...], ended: dict[str, NDArray], diverged: NDArray) -> list[dict[str, Any]]:
    """One row a run: λ, trial, whether it diverged, and what it ended with, empty where it did.  (T, L) each"""
    return [
        {"weight_decay": decay, "trial": trial, "diverged": int(diverged[trial, index])}
        | {name: None if diverged[trial, index] else values[trial, index] for name, values in ended.items()}
        for index, decay in enumerate(grid)
        for trial in range(len(diverged))
    ]


def summary(grid: tuple[float, ...], ended: dict[str, NDArray], diverged: NDArray) -> dict[str, Any]:
    """The best λ by mean validation loss, the largest within one standard error of it, the loss at both ends and there."""
    means = [
        mean_and_error("val_loss", np.where(diverged[:, index], np.nan, ended["val_loss"][:, index]))
        for index in range(len(grid))
    ]
    whole = [index for index in range(len(grid)) if not diverged[:, index].any()] or [i for i, mean in enumerate(means) if mean]
    best, largest = best_decays([means[index] for index in whole])
    found: dict[str, Any] = {
        "best_lambda": grid[whole[best]],
        "best_lambda_1se": grid[whole[largest]],
        "diverged": int(diverged.sum()),
    }
    for place, index in (("zero", whole[0]), ("best", whole[best]), ("end", whole[-1])):
        found |= {name.replace("val_loss", f"val_loss_at_{place}"): value for name, value in means[index].items()}
    if "theory" in ended:
        found["max_abs_z"] = max(abs(z_score(means[index], ended["theory"][:, index])) for index in whole)
    return found


def z_score(mean: dict[str, float], expected: NDArray) -> float:
    """How many standard errors the measured mean is from the expected one; none where they agree to the digits written."""
    measured, theory = (float(storage.significant(value)) for value in (mean["val_loss"], math.fsum(expected) / len(expected)))
    return (measured - theory) / mean["val_loss_se"] if measured != theory and mean.get("val_loss_se") else 0.0


def theory(study: str, arrays: dict[str, NDArray]) -> dict[str, float]:
    """`wide`: the λ that is best for ridge on isotropic inputs, dσ²/(n‖w*‖²)."""
    if study != "wide":
        return {}
    rows, inputs = arrays["train_inputs"].shape[1:]
    signal = float(np.sum(arrays["true_weight"][0].astype(float) ** 2))
    return {"theory_lambda": inputs * float(arrays["noise"]) ** 2 / (rows * signal)} if signal else {}


if __name__ == "__main__":
    command.run(main, SWEPT)
