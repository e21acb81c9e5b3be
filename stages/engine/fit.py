"""One loop for any model, loss, optimiser and decay; all runs of a batch, trials × decays, advance together.

Shapes: T trials, L decays, n rows, b rows of a batch, K evaluations.

Weight decay with the same λ has two forms here, and tests compare them:
  penalty      the loss gains (λ/2)·Σ‖w‖², and the optimiser knows nothing of it;
  otherwise    the optimiser's `weight_decay`: coupled in SGD and Adam (λw joins the gradient, before momentum and moments,
               so it equals the penalty), decoupled in AdamW (w ← (1 − lr·λ)·w, then the Adam step). A single λ is given to
               torch.optim itself. It takes but one, so several λ, one a run, are applied around its step.
Parameters that the problem spares are in a parameter group of their own, with weight_decay 0.
With an `l1_ratio` r the penalty is the elastic net's, λ·(r·‖w‖₁ + (1 − r)/2·‖w‖²). The ℓ1 part is a proximal step after each
step, w ← sign(w)·max(|w| − lr·λ·r, 0), which gives exact zeros (Daubechies, Defrise, De Mol 2004).
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from stages.base.errors import UserError
from stages.base.rounding import END, PATH, losses_on_grid, on_grid
from stages.engine.machine import out_of_memory
from stages.engine.models import Parameters, accuracy, calibration_error, take
from stages.engine.optimizers import OPTIMIZERS, stepper
from stages.engine.problem import Problem, Split

ROWS_AT_ONCE = 500  # in an evaluation: the hidden units of more would not stay in the cache


@dataclass(frozen=True)
class Fit:
    parameters: Parameters  # at the end, (T, L, …) each
    history: dict[str, Tensor]  # (T, L, K) each, losses without the penalty
    steps: list[int]  # the K evaluated steps, 0 first
    diverged: Tensor  # (T, L) bool


class Stopped(Exception):
    """Nobody waits for this training any more."""


@out_of_memory()
@torch.no_grad()
def fit(
    problem: Problem,
    batches: Sequence[Tensor | None],
    *,
    optimizer: str,
    settings: dict[str, Any],
    weight_decay: float | Tensor,
    penalty: bool = False,
    l1_ratio: float = 0.0,
    evaluate_every: int,
    pace: Sequence[float] = (),
    report: Callable[[int, dict[str, Tensor]], None] = lambda step, measured: None,
    watch: Callable[[Parameters, Parameters], dict[str, Tensor]] = lambda before, after: {},
    enough: Callable[[dict[str, Tensor]], bool] = lambda measured: False,
    stop: Callable[[], bool] = lambda: False,
) -> Fit:
    """Train every trial from `problem.start` with every λ, on `batches`: row indices (T, b), or None for all rows.

    `optimizer` is a key of OPTIMIZERS, `settings` are its arguments, lr among them. `weight_decay` is a number, or a tensor
    (L,). `pace` is the learning rate of each step as a share of lr, if it is not the same all the time.
    `report` is called with each evaluation: every `evaluate_every` steps, at the first and at the last. `watch` is given the
    parameters before and after the last step (at the start, twice the same); what it returns, which must be a copy, joins the
    history. Training ends early after an evaluation that is `enough`; those that would have followed are NaN.
    Raises MemoryError, Stopped at the next step once `stop` says so, and UserError where ℓ1 meets another optimiser than plain
    gradient descent.
    """
    if l1_ratio and (optimizer != "sgd" or settings.get("momentum")):
        raise UserError(f"an ℓ1 penalty: expected sgd without momentum, as its step is proximal, got {optimizer} with {settings}")
    decays = torch.as_tensor(weight_decay, dtype=torch.float64).reshape(-1)  # (L,)
    several, ridge = len(decays) > 1, (1 - l1_ratio) * decays
    stored = {name: _spread(value, len(decays)) for name, value in problem.start.items()}
    parameters = {name: _swapped(value, problem.start[name]) for name, value in stored.items()}
    groups: list[dict[str, Any]] = [
        {"params": [stored[name] for name in problem.decayed], "weight_decay": 0.0 if penalty or several else ridge.item()},
        {"params": [stored[name] for name in problem.spared], "weight_decay": 0.0},
    ]
    step = stepper(optimizer, [group for group in groups if group["params"]], settings)
    shapes = {name: (-1,) if _is_vector(problem.start[name]) else (-1, *[1] * (stored[name].ndim - 2)) for name in stored}
    decayed, softened = (  # with the λ of each run
        [(stored[name], each.to(stored[name]).view(shapes[name])) for name in problem.decayed]
        for each in (ridge, l1_ratio * decays)
    )
    rates = [settings["lr"] * share for share in pace or [1.0] * len(batches)]

    evaluations, steps = [measure(problem, parameters) | watch(parameters, parameters)], [0]
    report(0, evaluations[0])
    for first in range(0, len(batches), evaluate_every):
        some = slice(first, first + evaluate_every)
        splits = _gathered(problem.train, batches[some])
        for remaining, (inputs, targets), lr in zip(reversed(range(len(splits))), splits, rates[some], strict=True):
            if stop():
                raise Stopped
            if not remaining:
                before = {name: value.clone() for name, value in parameters.items()}
            predictions, pull_back = problem.model.with_gradient(parameters, inputs)
            gradients = pull_back(problem.loss.signal(predictions, targets))
            for name, value in stored.items():
                value.grad = _swapped(gradients[name], problem.start[name]).contiguous()
            if penalty:
                _penalise(decayed)
            elif several:
                _decay(decayed, decoupled=OPTIMIZERS[optimizer].decoupled, lr=lr)
            step(lr)
            if l1_ratio:
                _soften(softened, lr=lr)
        evaluations.append(measure(problem, parameters) | watch(before, parameters))
        steps.append(min(first + evaluate_every, len(batches)))
        report(steps[-1], evaluations[-1])
        if enough(evaluations[-1]):
            break
    history = {name: torch.stack([measured[name] for measured in evaluations], dim=-1) for name in evaluations[0]}
    planned = [0, *range(evaluate_every, len(batches), evaluate_every), len(batches)] if batches else [0]
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
            measured[f"{split}_calibration_error"] = calibration_error(problem.loss.probabilities(predictions), targets)
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


def _gathered(split: Split, batches: Sequence[Tensor | None]) -> list[Split]:
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


def _swapped(value: Tensor, start: Tensor) -> Tensor:
    """A parameter or a gradient, from (T, L, …) to how it is stored or back."""
    return value.mT if _is_vector(start) else value


def _penalise(decayed: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Add the gradient of the penalty in the loss, by autograd."""
    for weights, of_run in decayed:
        free = weights.detach().requires_grad_()
        with torch.enable_grad():
            penalty = (of_run / 2 * free.square()).sum()
        weights.grad += torch.autograd.grad(penalty, free)[0]  # type: ignore[operator]


def _soften(softened: Sequence[tuple[Tensor, Tensor]], *, lr: float) -> None:
    """The proximal step of λ·r·‖w‖₁."""
    for weights, of_run in softened:
        weights.copy_(weights.sign() * (weights.abs() - lr * of_run).clamp_(min=0))


def _decay(decayed: Sequence[tuple[Tensor, Tensor]], *, decoupled: bool, lr: float) -> None:
    """What torch.optim does with one `weight_decay`, for one a run."""
    for weights, of_run in decayed:
        if decoupled:
            weights.mul_(1 - lr * of_run)
        else:
            weights.grad.addcmul_(of_run, weights)  # type: ignore[union-attr]


def tell_diverged(label: str, lost: Tensor) -> None:
    """Print one line on standard error where runs diverged."""
    if lost.any():
        print(f"{label}: {lost.sum()} of {lost.numel()} runs diverged, and are left out of the means", file=sys.stderr)


def diverged(problem: Problem, train_loss: Tensor) -> Tensor:
    """Whether a history ends with a loss that is not finite, or a thousand times that of the start and of predicting zero.

    (T, L, K) → (T, L)
    """
    return ~(train_loss[..., -1] <= 1e3 * torch.maximum(train_loss[..., 0], problem.loss.of_zero(problem.train[1])))
