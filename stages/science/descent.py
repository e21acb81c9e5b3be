"""Ridge over rows × penalty: trained wherever gradient descent gets to the end, by the solver wherever it cannot.

Shapes: T trials, n rows, d inputs, L penalties Λ = nλ. No intercept; the half mean squared error.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages.science import problems, theory, training
from stages.science.rounding import losses_on_grid
from stages.science.summaries import mean_and_error

Arrays = dict[str, NDArray]
CONVERGED = 1e-6  # the largest share of an error that may be left: what is written has six digits


def sizes(arrays: Arrays) -> tuple[int, float, float]:
    """d, ‖w*‖ and σ."""
    return arrays["train_inputs"].shape[2], float(np.linalg.norm(arrays["true_weight"][0])), float(arrays["noise"])


def best_penalty(arrays: Arrays) -> float:
    """Λ* = dσ²/‖w*‖², the best for every n."""
    inputs, signal, noise = sizes(arrays)
    return inputs * noise**2 / signal**2


def risks(
    arrays: Arrays,
    penalties: Sequence[float],
    *,
    settings: dict[str, Any],
    device: torch.device,
    runs_at_once: int,
    progress: Callable,
) -> list[dict[str, Any]]:
    """One row for each n and Λ: the mean of ‖w − w*‖² over trials, what theory expects, and how far they are apart.

    `theory` is exact given each trial's rows, an expectation over the direction of w* and the noise; `closed_form`, at Λ = 0,
    over the rows too. `z` is the mean of the trials' own gaps to `theory` in standard errors, 0 where it is less than what
    training may have left.
    """
    inputs, signal, noise = sizes(arrays)
    table = []
    for rows in arrays["rows"].tolist():
        x, y = arrays["train_inputs"][:, :rows], arrays["train_targets"][:, :rows]
        left, values, right = np.linalg.svd(x, full_matrices=False)  # (T, n, m), (T, m), (T, m, d)
        share = [
            np.abs(theory.remaining((values**2 + penalty) / rows, int(arrays["steps"]), **settings)).max()
            for penalty in penalties
        ]
        trained = np.array(share) < CONVERGED
        weights = np.stack([solve(left, values, right, y, penalty) for penalty in penalties], axis=1)  # (T, L, d)
        if trained.any():
            weights[:, trained] = train(
                arrays | {"train_inputs": x, "train_targets": y},
                np.array(penalties)[trained] / rows,
                settings=settings,
                device=device,
                runs_at_once=runs_at_once,
                progress=functools.partial(progress, rows),
            )
        risk = losses_on_grid(np.sum((weights - arrays["true_weight"][:, None]) ** 2, axis=2), signal**2)  # (T, L)
        for index, penalty in enumerate(penalties):
            expected = theory.ridge_risk(values, penalty, inputs=inputs, signal=signal, noise=noise)
            gap = mean_and_error("gap", risk[:, index] - expected)
            closed = theory.least_norm_risk(rows, inputs=inputs, signal=signal, noise=noise)
            table.append(
                {"rows": rows, "penalty": penalty, "weight_decay": penalty / rows, "trained": int(trained[index])}
                | {"risk_se": None}
                | mean_and_error("risk", risk[:, index])
                | {"theory": float(losses_on_grid(mean_and_error("theory", expected)["theory"], signal**2))}
                | {"closed_form": closed if penalty == 0 and np.isfinite(closed) else None}
                | {"z": z_score(gap, known_to=CONVERGED * signal * (2 * np.sqrt(expected.mean()) + signal * CONVERGED))}
            )
    return table


def z_score(gap: dict[str, float], known_to: float) -> float | None:
    if not gap.get("gap_se"):
        return None
    return gap["gap"] / gap["gap_se"] if abs(gap["gap"]) > known_to else 0.0


def solve(left: NDArray, values: NDArray, right: NDArray, targets: NDArray, penalty: float) -> NDArray:
    """Ridge from the singular value decomposition of the rows, of least norm at Λ = 0.  → (T, d)"""
    kept = values > theory.RANK * values.max(axis=1, keepdims=True)
    inverse = np.where(kept, values / np.where(kept, values**2 + penalty, 1), 0)
    return np.einsum("tmd,tm,tnm,tn->td", right, inverse, left, targets, optimize=True)


def train(
    arrays: Arrays, decays: NDArray, *, settings: dict[str, Any], device: torch.device, runs_at_once: int, progress: Callable
) -> NDArray:
    """Full-batch gradient descent from zero, all trials × λ in one batch.  → (T, L, d)

    The validation rows are √d times the unit vectors: on these, half the mean squared error is ½‖w − w*‖².
    """
    trials, _, inputs = arrays["train_inputs"].shape
    unit = np.sqrt(inputs) * np.broadcast_to(np.eye(inputs), (trials, inputs, inputs))
    problem = problems.build(
        "descent",
        {
            "train_inputs": arrays["train_inputs"],
            "train_targets": arrays["train_targets"],
            "val_inputs": unit.copy(),
            "val_targets": np.sqrt(inputs) * arrays["true_weight"],
            "start_weight": np.zeros((trials, inputs)),
        },
        device,
    )
    fitted = training.fit_in_chunks(
        replace(problem, train=problems.condense(*problem.train)),  # as all rows are in every batch
        [None] * int(arrays["steps"]),
        runs_at_once=runs_at_once,
        optimizer="sgd",
        settings=settings,
        weight_decay=torch.from_numpy(decays).to(device),
        evaluate_every=int(arrays["steps"]),
        progress=progress,
    )
    return fitted.parameters["weight"].cpu().numpy()
