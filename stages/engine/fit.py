"""One loop for any model, loss, optimiser and decay; all runs of a batch, trials × decays, advance together.

Shapes: T trials, L decays, n rows, b rows of a batch, K evaluations.
Parameters that the problem spares are in a parameter group of their own, with weight_decay 0.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from stages.base.rounding import END, PATH, losses_on_grid, on_grid
from stages.engine.job import Job, Measured
from stages.engine.machine import out_of_memory
from stages.engine.models import Parameters, accuracy, calibration_error, calibration_floor, take
from stages.engine.optimizers import stepper
from stages.engine.problem import Batches, Problem, Split

ROWS_AT_ONCE = 500  # in an evaluation: the hidden units of more would not stay in the cache


@dataclass(frozen=True)
class Fit:
    parameters: Parameters  # at the end, (T, L, …) each
    history: dict[str, Tensor]  # (T, L, K) each, losses without the penalty
    steps: list[int]  # the K evaluated steps, 0 first
    diverged: Tensor  # (T, L) bool

    def each(self, of: Callable[[Any], Any]) -> "Fit":
        """The same with another value for each of its tensors."""
        parameters, history = ({name: of(value) for name, value in part.items()} for part in (self.parameters, self.history))
        return Fit(parameters, history, self.steps, of(self.diverged))


@out_of_memory()
@torch.no_grad()
def fit(job: Job, *, report: Callable[[int, Measured], None] = lambda step, measured: None) -> Fit:
    """Train every trial from the problem's start with every λ.

    `report` is called with each evaluation: every `evaluate_every` steps, at the first and at the last.
    Raises MemoryError.
    """
    problem, batches, every = job.problem, job.schedule.batches, job.schedule.evaluate_every
    stored = {name: _spread(value, len(job.decay.weight_decays)) for name, value in problem.start.items()}
    parameters = {name: _swapped(value, problem.start[name]) for name, value in stored.items()}
    groups: list[dict[str, Any]] = [
        {"params": [stored[name] for name in problem.decayed], "weight_decay": job.decay.of_optimizer},
        {"params": [stored[name] for name in problem.spared], "weight_decay": 0.0},
    ]
    step = stepper(job.optimizer, [group for group in groups if group["params"]], job.lr)
    decay = job.decay.on([_shaped(stored[name], problem.start[name]) for name in problem.decayed], job.optimizer.decoupled)
    rates = [job.lr * share for share in job.schedule.pace or [1.0] * len(batches)]

    evaluations, steps = [measure(problem, parameters) | job.watch(parameters, parameters)], [0]
    report(0, evaluations[0])
    for first in range(0, len(batches), every):
        some = slice(first, first + every)
        splits = _gathered(problem.train, batches[some])
        for remaining, (inputs, targets), lr in zip(reversed(range(len(splits))), splits, rates[some], strict=True):
            if not remaining:
                before = {name: value.clone() for name, value in parameters.items()}
            predictions, pull_back = problem.model.with_gradient(parameters, inputs)
            gradients = pull_back(problem.loss.signal(predictions, targets))
            for name, value in stored.items():
                value.grad = _swapped(gradients[name], problem.start[name]).contiguous()
            decay.before(lr)
            step(lr)
            decay.after(lr)
        evaluations.append(measure(problem, parameters) | job.watch(before, parameters))
        steps.append(min(first + every, len(batches)))
        report(steps[-1], evaluations[-1])
        if job.enough(evaluations[-1]):
            break
    history = {name: torch.stack([measured[name] for measured in evaluations], dim=-1) for name in evaluations[0]}
    planned = [0, *range(every, len(batches), every), len(batches)] if batches else [0]
    lost = diverged(problem, history["train_loss"])
    if missing := len(planned) - len(steps):
        history = {name: pad(each, (0, missing), value=nan) for name, each in history.items()}
    return Fit({name: value.contiguous() for name, value in parameters.items()}, history, planned, lost)


def measure(problem: Problem, parameters: Parameters) -> dict[str, Tensor]:
    """Losses without the penalty, accuracies where there are classes, ‖w‖₂ over `problem.weights`.  (T, L) each

    Where the loss knows probabilities, the calibration error too.
    """
    measured = {}
    for split, (inputs, targets) in problem.splits.items():
        parts = [problem.model.predict(parameters, some) for some in inputs.split(ROWS_AT_ONCE, dim=1)]
        predictions = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        measured[f"{split}_loss"] = problem.loss.value(predictions, targets)
        if problem.classes:
            measured[f"{split}_accuracy"] = accuracy(predictions, targets)
        if problem.loss.probabilities:
            probabilities = problem.loss.probabilities(predictions)
            measured[f"{split}_calibration_error"] = calibration_error(probabilities, targets)
            measured[f"{split}_calibration_floor"] = calibration_floor(probabilities)
    squares = [parameters[name].square().flatten(2).sum(2) for name in problem.weights]
    measured["weight_norm"] = torch.stack(squares).sum(0).sqrt()
    return measured


def records(problem: Problem, fitted: Fit) -> dict[str, NDArray]:
    """A fit's histories as a stage writes them: rounded, most finely at the end; accuracies and integers as they are.

    (T, L, …, K) each
    """
    bits = np.append(np.full(len(fitted.steps) - 1, PATH), END)  # (K,)
    found = {name: value.cpu().numpy() for name, value in fitted.history.items()}
    rounded = on_grid if problem.loss.curvature is None else losses_on_grid
    for name, values in found.items():
        split, _, value = name.partition("_")
        if split in problem.splits and value == "loss":
            of_zero = problem.loss.of_zero(problem.splits[split][1]).cpu().numpy()[..., None]  # (T, 1, 1)
            found[name] = rounded(values, of_zero, bits)
        elif values.dtype.kind == "f" and value != "accuracy":
            found[name] = on_grid(values, np.fmax.reduce(values, axis=-1, keepdims=True), bits)
    return found


def _gathered(split: Split, batches: Batches) -> list[Split]:
    """The rows of some batches, taken from the split together."""
    rows = [batch for batch in batches if batch is not None]
    if not rows:
        return [split] * len(batches)
    inputs, targets = (take(each, torch.cat(rows, dim=1)).split([batch.shape[1] for batch in rows], dim=1) for each in split)
    return list(zip(inputs, targets, strict=True))


def _is_vector(start: Tensor) -> bool:
    return start.ndim == 2


def _spread(start: Tensor, count: int) -> Tensor:
    """A start, once for every λ, as it is stored: a vector (T, d, L), all else (T, L, …).

    With λ last a vector's product with rows is one with a wide matrix, which is faster.
    """
    return start[..., None].repeat(1, 1, count) if _is_vector(start) else start[:, None].repeat_interleave(count, 1)


def _shaped(stored: Tensor, start: Tensor) -> tuple[Tensor, list[int]]:
    """A parameter, and the shape in which the λ of its runs are multiplied with it."""
    return stored, [-1] if _is_vector(start) else [-1, *[1] * (stored.ndim - 2)]


def _swapped(value: Tensor, start: Tensor) -> Tensor:
    """A parameter or a gradient, from (T, L, …) to how it is stored or back."""
    return value.mT if _is_vector(start) else value


def tell_diverged(label: str, lost: Tensor) -> None:
    """Print one line on standard error where runs diverged."""
    if lost.any():
        print(f"{label}: {lost.sum()} of {lost.numel()} runs diverged, and are left out of the means", file=sys.stderr)


def diverged(problem: Problem, train_loss: Tensor) -> Tensor:
    """Whether a history ends with a loss that is not finite, or a thousand times that of the start and of predicting zero.

    (T, L, K) → (T, L)
    """
    return ~(train_loss[..., -1] <= 1e3 * torch.maximum(train_loss[..., 0], problem.loss.of_zero(problem.train[1])))
