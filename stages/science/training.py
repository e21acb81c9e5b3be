"""One loop for any model, optimiser and decay; all runs of a batch advance together.

Shapes: R runs (a trial each), n rows, b rows a batch, K evaluations.

Weight decay has two forms here, for the same λ:
  penalty      the loss gains (λ/2)·Σ‖w‖² and the optimiser knows nothing of it;
  otherwise    the optimiser's own `weight_decay`: coupled in SGD and Adam (λw joins the gradient, before momentum and
               moments, so it equals the penalty), decoupled in AdamW (w ← (1 − lr·λ)·w, then the Adam step).
The parameters that `decays` names decay; all others go into a parameter group of their own, with weight_decay 0.
"""

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stages.science.errors import UserError
from stages.science.models import Parameters, accuracy, squared_error, take
from stages.science.problems import Problem

DEVICE_VARIABLE = "WEIGHT_DECAY_DEVICE"
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass(frozen=True)
class Fit:
    parameters: Parameters  # at the end, a leading run axis on each
    history: dict[str, Tensor]  # (R, K) each, losses without the penalty
    steps: list[int]  # the K evaluated steps, 0 first
    diverged: Tensor  # (R,) bool


def fit(
    problem: Problem,
    batches: Sequence[Tensor | None],
    *,
    optimizer: str,
    settings: dict[str, Any],
    weight_decay: float,
    penalty: bool = False,
    evaluate_every: int,
    report: Callable[[int, dict[str, Tensor]], None] = lambda step, measured: None,
) -> Fit:
    """Train all runs from `problem.start` on `batches` (row indices (R, b), or None for all rows), one step each.

    `report` is called with each evaluation, every `evaluate_every` steps and at the first and last.
    """
    parameters = {name: value.clone().requires_grad_() for name, value in problem.start.items()}
    decayed = [parameters[name] for name in problem.decays]
    exempt = [parameters[name] for name in parameters if name not in problem.decays]
    groups = [{"params": decayed, "weight_decay": 0.0 if penalty else weight_decay}]
    if exempt:
        groups.append({"params": exempt, "weight_decay": 0.0})
    update = _update(optimizer, groups, settings)

    evaluations, steps = [measure(problem, parameters)], [0]
    report(0, evaluations[0])
    for step, rows in enumerate(batches, start=1):
        inputs, targets = problem.train if rows is None else (take(problem.train[0], rows), take(problem.train[1], rows))
        objective = squared_error(problem.model(parameters, inputs), targets, problem.curvature).sum()
        if penalty:
            objective = objective + weight_decay / 2 * sum(weights.square().sum() for weights in decayed)
        for value, gradient in zip(parameters.values(), torch.autograd.grad(objective, list(parameters.values())), strict=True):
            value.grad = gradient
        update()
        if step % evaluate_every == 0 or step == len(batches):
            evaluations.append(measure(problem, parameters))
            steps.append(step)
            report(step, evaluations[-1])
    history = {name: torch.stack([measured[name] for measured in evaluations], dim=1) for name in evaluations[0]}
    final = {name: value.detach() for name, value in parameters.items()}
    return Fit(final, history, steps, _diverged(problem, history["train_loss"]))


@torch.no_grad()
def measure(problem: Problem, parameters: Parameters) -> dict[str, Tensor]:
    """Losses without the penalty, accuracies where there are classes, ‖w‖₂ over all weights and no bias.  (R,) each"""
    measured = {}
    for split, (inputs, targets) in (("train", problem.train), ("val", problem.val)):
        predictions = problem.model(parameters, inputs)
        measured[f"{split}_loss"] = squared_error(predictions, targets, problem.curvature)
        if problem.classification:
            measured[f"{split}_accuracy"] = accuracy(predictions, targets)
    squares = [parameters[name].square().flatten(1).sum(1) for name in problem.weights]
    measured["weight_norm"] = torch.stack(squares).sum(0).sqrt()
    return measured


def device() -> torch.device:
    """The GPU where there is one, else the CPU; the environment variable WEIGHT_DECAY_DEVICE overrides."""
    wanted = os.environ.get(DEVICE_VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=wanted).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{DEVICE_VARIABLE}: expected a device of this machine (cpu, cuda), got {wanted!r} ({reason})") from error


def _diverged(problem: Problem, train_loss: Tensor) -> Tensor:
    """Not finite, or a thousand times worse than both the start and predicting zero."""
    targets = problem.train[1]
    reference = torch.maximum(train_loss[:, 0], squared_error(torch.zeros_like(targets), targets, problem.curvature))
    return ~(train_loss[:, -1] <= 1e3 * reference)


def _update(optimizer: str, groups: list[dict[str, Any]], settings: dict[str, Any]) -> Callable[[], None]:
    """One step of a `torch.optim` optimiser, without the wrappers that import torch's compiler: a second of every start."""
    plain: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    plain.__dynamo_disable = plain
    stepper = OPTIMIZERS[optimizer](groups, **settings)
    return functools.partial(torch.no_grad()(inspect.unwrap(type(stepper).step)), stepper)
