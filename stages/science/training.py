"""One loop for any model, optimiser and decay; all runs of a batch, trials × decays, advance together.

Shapes: T trials, L decays, n rows, b rows a batch, K evaluations.

For the same λ weight decay has two forms here, tested against each other:
  penalty      the loss gains (λ/2)·Σ‖w‖² and the optimiser knows nothing of it;
  otherwise    the optimiser's `weight_decay`: coupled in SGD and Adam (λw joins the gradient, before momentum and moments,
               so it equals the penalty), decoupled in AdamW (w ← (1 − lr·λ)·w, then the Adam step). One λ is given to
               torch.optim itself; several, one a run, are applied around its step, which takes but one.
The parameters that `decays` names decay; all others go into a parameter group of their own, with weight_decay 0.
"""

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.science.errors import UserError
from stages.science.models import Parameters, accuracy, error_signal, squared_error, take
from stages.science.problems import Problem, Split
from stages.science.rounding import END, PATH, losses_on_grid, on_grid

DEVICE_VARIABLE = "WEIGHT_DECAY_DEVICE"
ROWS_AT_ONCE = 500  # in an evaluation: the hidden units of more would not stay in the cache
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@contextlib.contextmanager
def out_of_memory() -> Iterator[None]:
    """Raise MemoryError where torch says in words of its own that there is no more, on a device or on the CPU."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error) or "not enough memory" in str(error):
            raise MemoryError(f"torch: {str(error).splitlines()[0].rpartition('Allocator: ')[2]}") from error
        raise


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

    `weight_decay` is a number, or a tensor (L,). `settings` are the optimiser's, its lr among them. `report` is called
    with each evaluation, every `evaluate_every` steps and at the first and last. Raises MemoryError.
    """
    several = isinstance(weight_decay, Tensor)
    decays = torch.as_tensor(weight_decay, dtype=torch.float64).reshape(-1)  # (L,)
    parameters = {
        name: value[:, None].expand(-1, len(decays), *value.shape[1:]).clone().requires_grad_()
        for name, value in problem.start.items()
    }
    decayed = [parameters[name] for name in problem.decays]
    exempt = [parameters[name] for name in parameters if name not in problem.decays]
    groups = [{"params": decayed, "weight_decay": 0.0 if penalty or several else weight_decay}]
    if exempt:
        groups.append({"params": exempt, "weight_decay": 0.0})
    update = _update(optimizer, groups, settings)
    of_run = {id(weights): decays.to(weights).view(-1, *[1] * (weights.ndim - 2)) for weights in decayed}  # (L, 1, …)

    evaluations, steps = [measure(problem, parameters)], [0]
    report(0, evaluations[0])
    for first in range(0, len(batches), evaluate_every):
        for inputs, targets in _gathered(problem.train, batches[first : first + evaluate_every]):
            outputs = [problem.model(parameters, inputs)]
            signals = [error_signal(outputs[0].detach(), targets, problem.curvature)]
            if penalty:
                outputs += [(of_run[id(weights)] / 2 * weights.square()).sum() for weights in decayed]
                signals += [torch.ones_like(output) for output in outputs[1:]]
            gradients = torch.autograd.grad(outputs, list(parameters.values()), signals)
            for value, gradient in zip(parameters.values(), gradients, strict=True):
                value.grad = gradient
            if several and not penalty:
                _decay(decayed, of_run, decoupled=optimizer == "adamw", lr=settings["lr"])
            update()
        evaluations.append(measure(problem, parameters))
        steps.append(min(first + evaluate_every, len(batches)))
        report(steps[-1], evaluations[-1])
    history = {name: torch.stack([measured[name] for measured in evaluations], dim=-1) for name in evaluations[0]}
    final = {name: value.detach() for name, value in parameters.items()}
    return Fit(final, history, steps, _diverged(problem, history["train_loss"]))


def fit_in_chunks(
    problem: Problem,
    batches: Sequence[Tensor | None],
    *,
    runs_at_once: int,
    weight_decay: Tensor,
    progress: Callable[[int], Any],
    **options: Any,
) -> Fit:
    """`fit`, so many runs at a time at most, which bounds the memory whatever the number of runs.

    A batch that is too large is halved, by trials and then by λ, until it is not; so it is where a device is out of memory,
    which is said once. `progress(total)` is a context manager that reports the steps of all runs as one.
    """
    largest, done = runs_at_once, 0

    def fitted(part: Problem, steps: Sequence[Tensor | None], decays: Tensor) -> Fit:
        nonlocal largest, done
        trials = len(part.train[1])
        runs = trials * len(decays)
        if runs <= max(largest, 1):
            try:
                found = fit(part, steps, weight_decay=decays, report=lambda step, now: report(done + step * runs, now), **options)
            except MemoryError:
                if runs == 1:
                    raise
                largest = runs // 2
                print(f"out of memory with {runs} runs at once: going on with {largest}", file=sys.stderr)
            else:
                done += len(steps) * runs
                return found
        if trials > 1:
            halves = ((0, trials // 2), (trials // 2, trials))
            own = [[rows if rows is None else rows[slice(*half)] for rows in steps] for half in halves]
            return _joined([fitted(part.trials(*half), rows, decays) for half, rows in zip(halves, own, strict=True)], dim=0)
        return _joined([fitted(part, steps, some) for some in decays.tensor_split(2)], dim=1)

    with progress(len(batches) * len(problem.train[1]) * len(weight_decay)) as report:
        return fitted(problem, batches, weight_decay)


def _joined(fits: Sequence[Fit], *, dim: int) -> Fit:
    """Fits of different trials (dim 0) or different λ (dim 1), as one."""
    parameters = {name: torch.cat([each.parameters[name] for each in fits], dim) for name in fits[0].parameters}
    history = {name: torch.cat([each.history[name] for each in fits], dim) for name in fits[0].history}
    return Fit(parameters, history, fits[0].steps, torch.cat([each.diverged for each in fits], dim))


def records(problem: Problem, fitted: Fit) -> dict[str, NDArray]:
    """A fit's histories as they are handed on: losses and norms on their grid, finest at the end; accuracies as they are.

    (T, L, K) each
    """
    bits = np.append(np.full(len(fitted.steps) - 1, PATH), END)  # (K,)
    found = {name: value.cpu().numpy() for name, value in fitted.history.items()}
    for split, zero in losses_of_zero(problem).items():
        found[f"{split}_loss"] = losses_on_grid(found[f"{split}_loss"], zero.cpu().numpy()[..., None], bits)
    largest = np.fmax.reduce(found["weight_norm"], axis=-1, keepdims=True)
    return found | {"weight_norm": on_grid(found["weight_norm"], largest, bits)}


@torch.no_grad()
def measure(problem: Problem, parameters: Parameters) -> dict[str, Tensor]:
    """Losses without the penalty, accuracies where there are classes, ‖w‖₂ over all weights and no bias.  (T, L) each"""
    measured = {}
    for split, (inputs, targets) in (("train", problem.train), ("val", problem.val)):
        predictions = torch.cat([problem.model(parameters, some) for some in inputs.split(ROWS_AT_ONCE, dim=1)], dim=2)
        measured[f"{split}_loss"] = squared_error(predictions, targets, problem.curvature)
        if problem.classification:
            measured[f"{split}_accuracy"] = accuracy(predictions, targets)
    squares = [parameters[name].square().flatten(2).sum(2) for name in problem.weights]
    measured["weight_norm"] = torch.stack(squares).sum(0).sqrt()
    return measured


def device() -> torch.device:
    """The GPU where there is one, else the CPU; the environment variable WEIGHT_DECAY_DEVICE overrides."""
    wanted = os.environ.get(DEVICE_VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.empty(0, device=wanted).device
        if found.type not in ("cpu", "cuda"):
            raise RuntimeError("training needs float64 and numbers to read")
        return found
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{DEVICE_VARIABLE}: expected a device of this machine (cpu, cuda), got {wanted!r} ({reason})") from error


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


def losses_of_zero(problem: Problem) -> dict[str, Tensor]:
    """The loss of predicting zero on each split: the size of its targets.  (T, 1) each"""
    splits = {"train": problem.train[1], "val": problem.val[1]}
    return {
        name: squared_error(torch.zeros_like(targets)[:, None], targets, problem.curvature) for name, targets in splits.items()
    }


def _diverged(problem: Problem, train_loss: Tensor) -> Tensor:
    """Not finite, or a thousand times worse than both the start and predicting zero.  (T, L, K) → (T, L)"""
    zero = losses_of_zero(problem)["train"]
    return ~(train_loss[..., -1] <= 1e3 * torch.maximum(train_loss[..., 0], zero))


def _update(optimizer: str, groups: list[dict[str, Any]], settings: dict[str, Any]) -> Callable[[], None]:
    """One step of a `torch.optim` optimiser, without the wrappers that import torch's compiler: a second of every start."""
    plain: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    plain.__dynamo_disable = plain
    stepper = OPTIMIZERS[optimizer](groups, **settings)
    return functools.partial(torch.no_grad()(inspect.unwrap(type(stepper).step)), stepper)
