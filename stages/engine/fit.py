"""One loop for any model, loss, optimiser and decay; all runs of a batch, trials × decays, advance together.

Shapes: T trials, L decays, n rows, b rows of a batch, K evaluations.

Weight decay with the same λ has two forms here, and tests compare them:
  penalty      the loss gains (λ/2)·Σ‖w‖², and the optimiser knows nothing of it;
  otherwise    the optimiser's `weight_decay`: coupled in SGD and Adam (λw joins the gradient, before momentum and moments,
               so it equals the penalty), decoupled in AdamW (w ← (1 − lr·λ)·w, then the Adam step). A single λ is given to
               torch.optim itself. It takes but one, so several λ, one a run, are applied around its step.
Parameters that the problem spares are in a parameter group of their own, with weight_decay 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.base.rounding import END, PATH, losses_on_grid, on_grid
from stages.engine.device import out_of_memory
from stages.engine.models import Parameters, accuracy, take
from stages.engine.optimizers import OPTIMIZERS, stepper
from stages.engine.problem import Problem, Split

ROWS_AT_ONCE = 500  # in an evaluation: the hidden units of more would not stay in the cache


@dataclass(frozen=True)
class Fit:
    parameters: Parameters  # at the end, (T, L, …) each
    history: dict[str, Tensor]  # (T, L, K) each, losses without the penalty
    steps: list[int]  # the K evaluated steps, 0 first
    diverged: Tensor  # (T, L) bool


@out_of_memory()
def fit(
    problem: Problem,
    batches: Sequence[Tensor | None],
    *,
    optimizer: str,
    settings: dict[str, Any],
    weight_decay: float | Tensor,
    penalty: bool = False,
    evaluate_every: int,
    report: Callable[[int, dict[str, Tensor]], None] = lambda step, measured: None,
) -> Fit:
    """Train every trial from `problem.start` with every λ, on `batches`: row indices (T, b), or None for all rows.

    `optimizer` is a key of OPTIMIZERS, `settings` are its arguments, lr among them. `weight_decay` is a number, or a tensor
    (L,). `report` is called with each evaluation: every `evaluate_every` steps, at the first and at the last. Raises
    MemoryError.
    """
    several = isinstance(weight_decay, Tensor)
    decays = torch.as_tensor(weight_decay, dtype=torch.float64).reshape(-1)  # (L,)
    parameters = {
        name: value[:, None].expand(-1, len(decays), *value.shape[1:]).clone().requires_grad_()
        for name, value in problem.start.items()
    }
    decayed = [parameters[name] for name in problem.decayed]
    spared = [parameters[name] for name in problem.spared]
    groups = [{"params": decayed, "weight_decay": 0.0 if penalty or several else weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    step = stepper(optimizer, groups, settings)
    of_run = {id(weights): decays.to(weights).view(-1, *[1] * (weights.ndim - 2)) for weights in decayed}  # (L, 1, …)

    evaluations, steps = [measure(problem, parameters)], [0]
    report(0, evaluations[0])
    for first in range(0, len(batches), evaluate_every):
        for inputs, targets in _gathered(problem.train, batches[first : first + evaluate_every]):
            outputs = [problem.model(parameters, inputs)]
            signals = [problem.loss.signal(outputs[0].detach(), targets)]
            if penalty:
                outputs += [(of_run[id(weights)] / 2 * weights.square()).sum() for weights in decayed]
                signals += [torch.ones_like(output) for output in outputs[1:]]
            gradients = torch.autograd.grad(outputs, list(parameters.values()), signals)
            for value, gradient in zip(parameters.values(), gradients, strict=True):
                value.grad = gradient
            if several and not penalty:
                _decay(decayed, of_run, decoupled=OPTIMIZERS[optimizer].decoupled, lr=settings["lr"])
            step()
        evaluations.append(measure(problem, parameters))
        steps.append(min(first + evaluate_every, len(batches)))
        report(steps[-1], evaluations[-1])
    history = {name: torch.stack([measured[name] for measured in evaluations], dim=-1) for name in evaluations[0]}
    final = {name: value.detach() for name, value in parameters.items()}
    return Fit(final, history, steps, _diverged(problem, history["train_loss"]))


@torch.no_grad()
def measure(problem: Problem, parameters: Parameters) -> dict[str, Tensor]:
    """Losses without the penalty, accuracies where there are classes, ‖w‖₂ over `problem.weights`.  (T, L) each"""
    measured = {}
    for split, (inputs, targets) in (("train", problem.train), ("val", problem.val)):
        predictions = torch.cat([problem.model(parameters, some) for some in inputs.split(ROWS_AT_ONCE, dim=1)], dim=2)
        measured[f"{split}_loss"] = problem.loss.value(predictions, targets)
        if problem.classes:
            measured[f"{split}_accuracy"] = accuracy(predictions, targets)
    squares = [parameters[name].square().flatten(2).sum(2) for name in problem.weights]
    measured["weight_norm"] = torch.stack(squares).sum(0).sqrt()
    return measured


def records(problem: Problem, fitted: Fit) -> dict[str, NDArray]:
    """A fit's histories as a stage writes them: losses and norms rounded, most finely at the end; accuracies as they are.

    (T, L, K) each
    """
    bits = np.append(np.full(len(fitted.steps) - 1, PATH), END)  # (K,)
    found = {name: value.cpu().numpy() for name, value in fitted.history.items()}
    rounded = on_grid if problem.loss.curvature is None else losses_on_grid
    for split, (_, targets) in (("train", problem.train), ("val", problem.val)):
        of_zero = problem.loss.of_zero(targets).cpu().numpy()[..., None]  # (T, 1, 1)
        found[f"{split}_loss"] = rounded(found[f"{split}_loss"], of_zero, bits)
    largest = np.fmax.reduce(found["weight_norm"], axis=-1, keepdims=True)
    return found | {"weight_norm": on_grid(found["weight_norm"], largest, bits)}


def _gathered(split: Split, batches: Sequence[Tensor | None]) -> list[Split]:
    """The rows of some batches, taken from the split together."""
    rows = [batch for batch in batches if batch is not None]
    if not rows:
        return [split] * len(batches)
    inputs, targets = (take(each, torch.cat(rows, dim=1)).split([batch.shape[1] for batch in rows], dim=1) for each in split)
    return list(zip(inputs, targets, strict=True))


@torch.no_grad()
def _decay(decayed: Sequence[Tensor], of_run: Mapping[int, Tensor], *, decoupled: bool, lr: float) -> None:
    """What torch.optim does with one `weight_decay`, for one a run."""
    for weights in decayed:
        if decoupled:
            weights.mul_(1 - lr * of_run[id(weights)])
        else:
            weights.grad.addcmul_(of_run[id(weights)], weights)  # type: ignore[union-attr]


def _diverged(problem: Problem, train_loss: Tensor) -> Tensor:
    """Not finite, or a thousand times worse than both the start and predicting zero.  (T, L, K) → (T, L)"""
    return ~(train_loss[..., -1] <= 1e3 * torch.maximum(train_loss[..., 0], problem.loss.of_zero(problem.train[1])))
