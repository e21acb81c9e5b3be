"""relatives, trained: gradient descent on all rows with L2; in the sweep, with ℓ1, elastic net, dropout and early stopping too.

Shapes: T trials, n rows, d inputs, L decays, D probabilities of dropout, M masks, K steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.base.errors import UserError
from stages.base.memory import must_fit
from stages.base.rounding import PATH, on_grid
from stages.base.streams import Arrays
from stages.engine.decay import Decay
from stages.engine.fit import Fit
from stages.engine.job import Job
from stages.engine.models import Parameters
from stages.engine.optimizers import sgd
from stages.engine.problem import Problem, Schedule, full_batch, linear, linear_to_zero
from stages.engine.training import Fitting, Training
from stages.studies.relatives.system import CURVATURE, LEVELS, TRUTHS, Relatives, kept, of_truth, steps_until


def problem(arrays: Arrays, device: torch.device, *, truth: str = "dense") -> Problem:
    return linear(of_truth(arrays, truth), device, curvature=CURVATURE, spared=())


def job(section: Relatives, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    train = section.train
    schedule, decay = full_batch(train.steps, train.evaluate_every), Decay(tuple(weight_decays))
    return Job(problem(arrays, device), schedule, sgd(), train.lr, decay)


def jobs(section: Relatives, arrays: Arrays, device: torch.device, *, wd: float) -> Mapping[str, Job]:
    dense = job(section, arrays, device, [wd])
    return {"": dense, "_sparse": replace(dense, problem=problem(arrays, device, truth="sparse"))}


def a_mask_a_step(arrays: Arrays, device: torch.device, *, steps: int) -> Schedule:
    """The rows under one mask after the other, again and again, at a learning rate that falls to zero, for both truths."""
    trials, masks, rows = arrays["masks"].shape[:3]
    under = [torch.arange(rows * mask, rows * (mask + 1), device=device).expand(2 * trials, -1) for mask in range(masks)]
    return Schedule([under[step % masks] for step in range(steps)], masks, masks, linear_to_zero(steps))


def both(arrays: Arrays, device: torch.device) -> Problem:
    """The dense truth's trials, then the sparse one's, as one problem of 2T trials."""
    one, other = (problem(arrays, device, truth=truth) for truth in TRUTHS)
    splits = {
        name: (torch.cat([inputs, other.splits[name][0]]), torch.cat([targets, other.splits[name][1]]))
        for name, (inputs, targets) in one.splits.items()
    }
    return replace(one.on(splits), start={name: torch.cat([value, other.start[name]]) for name, value in one.start.items()})


def dropped(whole: Problem, masks: Tensor, dropout: float) -> Problem:
    """The training rows once under each mask, what is kept divided by its probability (inverted dropout).

    masks (T, M, n, d) → training rows (2T, M·n, d)
    """
    (inputs, targets), share = whole.train, kept(dropout)
    scaled = (masks < LEVELS * share).to(inputs) / share
    rows = (inputs.unflatten(0, (2, -1))[:, :, None] * scaled).flatten(0, 1).flatten(1, 2)
    return replace(whole, train=(rows, targets.repeat(1, masks.shape[1])))


def weights(_: Parameters, parameters: Parameters) -> dict[str, Tensor]:
    return {"weight": parameters["weight"].clone()}


def sweep(section: Relatives, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The weights that each method ends with at each of its strengths, on both truths, NaN where it diverged.

    `<method>` is (2, T, L, d), dropout's (2, T, D, d); `stop` are the steps of early stopping (L,). Raises UserError where
    every run with L2 diverges, λ = 0 among them.
    """
    lr, steps, grid = section.train.lr, section.train.steps, section.sweep
    plain = replace(job(section, arrays, device, [0.0]), problem=both(arrays, device))
    stop = steps_until(np.array(grid.wd), lr, steps)

    def fitted(method: str, job: Job) -> Fit:
        found = fit(f"relatives {method}", job)
        if method == "l2" and found.diverged.all():
            raise UserError(f"params.yaml: relatives.train.lr: expected a stable one, got lr = {lr:g}: every run diverged")
        return found

    to_the_end = replace(plain, schedule=full_batch(steps, steps))
    found = {
        method: ended(fitted(method, to_the_end.at(grid.wd, l1_ratio=ratio)))
        for method, ratio in (("l2", 0.0), ("elastic_net", grid.l1_ratio), ("l1", 1.0))
    }
    last = int(stop[1:].max(initial=1))
    must_fit(8 * 6 * plain.problem.start["weight"].numel() * last, "relatives", "trials × inputs × steps")
    path = fitted("early stopping", replace(plain, schedule=full_batch(last, 1), watch=weights))
    stopped = path.history["weight"][:, 0][..., stop[1:]].mT.cpu().numpy()  # (2T, L − 1, d)
    found["early_stopping"] = np.concatenate([found["l2"][:, :1], stopped], axis=1)
    masks = torch.from_numpy(arrays["masks"]).to(device)
    by_mask = replace(plain, schedule=a_mask_a_step(arrays, device, steps=grid.dropout_steps))
    each = [ended(fitted(f"dropout {p:g}", replace(by_mask, problem=dropped(plain.problem, masks, p)))) for p in grid.dropout]
    found["dropout"] = np.concatenate(each, axis=1)
    numbers = {"weight_decay": grid.wd, "stop": stop, "dropout_rate": grid.dropout, "l1_ratio": grid.l1_ratio, "lr": lr}
    written = {name: of_two_truths(each) for name, each in found.items()}
    return written | {name: np.asarray(value) for name, value in numbers.items()}


def ended(fitted: Fit) -> NDArray:
    """Where a fit ends, NaN where it diverged.  (2T, L, d)"""
    return torch.where(fitted.diverged[..., None], torch.nan, fitted.parameters["weight"]).cpu().numpy()


def of_two_truths(weights: NDArray) -> NDArray:
    """Rounded, with an axis of the truths.  (2T, L, d) → (2, T, L, d)"""
    rounded = on_grid(weights, np.abs(weights).max(axis=-1, keepdims=True), PATH)
    return rounded.reshape(2, -1, *weights.shape[1:])


TRAINING = Training(job=job, jobs=jobs, sweep=sweep)
