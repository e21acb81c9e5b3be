"""An arm: several runs of one study, trained one after the other and written as arrays, rounded.

Shapes: T trials, K evaluations.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from stages.base import rounding
from stages.base.errors import UserError
from stages.base.params import Settings, at
from stages.base.streams import Arrays
from stages.engine.chunks import Progress, fit_in_chunks
from stages.engine.fit import Fit, records, tell_diverged
from stages.engine.optimizers import OPTIMIZERS
from stages.engine.problem import Problem
from stages.engine.stability import smallest_limit
from stages.engine.training import Run


def train(
    study: str, runs: Mapping[str, Run], settings: Settings, arrays: Arrays, *, device: torch.device, progress: Progress
) -> Arrays:
    """Train the runs of an arm, row by row; the arrays of a row are named `<row>.<what>`.

    Raises UserError where a learning rate is beyond stability, or where every trial diverges.
    """
    fits: dict[str, Fit] = {}
    outcome: Arrays = {}
    for row, run in runs.items():
        weight_decay, lr, section = (at(settings, key) for key in (run.weight_decay, run.lr, run.optimizer))
        problem, schedule = run.problem(arrays, device), run.schedule(arrays, section, device)
        described = f"{study}, {row}: lr = {lr:g} with λ = {run.weight_decay} = {weight_decay:g}"
        print(f"{described} on {', '.join(problem.decayed)}, sparing {', '.join(sorted(problem.spared)) or 'nothing'}")
        arguments = section.arguments()
        momentum = arguments.get("momentum", 0.0)
        limit = None
        if problem.least_squares and OPTIMIZERS[section.kind].heavy_ball:
            limit = smallest_limit(problem, weight_decay=weight_decay, momentum=momentum)
            if schedule.full_batch and lr >= limit:
                raise UserError(f"{described}: expected a learning rate below the stability limit {limit:.6g}, got {lr:g}")
        fits[row] = fit_in_chunks(
            problem,
            schedule.batches,
            runs_at_once=run.runs_at_once,
            label=f"{study} {row}",
            progress=progress,
            optimizer=section.kind,
            settings={"lr": lr} | arguments,
            weight_decay=weight_decay,
            penalty=bool(run.penalty_twin),
            evaluate_every=schedule.evaluate_every,
            pace=schedule.pace,
            watch=run.watch,
        )
        if fits[row].diverged.all():
            bound = f"decay alone needs lr·λ < 2, here {lr * weight_decay:g}"
            if limit is not None:
                bound = f"full-batch gradient descent is stable below lr = {limit:.6g}, smaller batches need less"
            raise UserError(f"{described}: expected a stable run, got divergence in every trial; {bound}")
        tell_diverged(f"{study}, {row}", fits[row].diverged)
        numbers = {"weight_decay": weight_decay, "lr": lr, "momentum": momentum, "steps_per_epoch": schedule.steps_per_epoch}
        if run.penalty_twin and not (fits[row].diverged | fits[run.penalty_twin].diverged).all():
            difference = largest_difference(fits[row], fits[run.penalty_twin])
            print(f"{study}: {row} and {run.penalty_twin} differ by {difference:.1g} at most, before rounding")
            numbers["difference_below"] = rounding.decade_above(difference)
        found = results(problem, fits[row]) | numbers
        outcome |= {f"{row}.{key}": np.asarray(value) for key, value in found.items()}
    return outcome


def results(problem: Problem, fitted: Fit) -> dict[str, NDArray]:
    """A fit of one λ as rounded arrays: final parameters (T, …), histories (T, K), the evaluated steps (K,).

    Metrics are computed from the parameters of a least-squares problem; other parameters are only looked at.
    """
    bits, kind = (rounding.PATH, np.float64) if problem.least_squares else (rounding.LOOK, np.float32)
    ended = {name: value[:, 0].cpu().numpy() for name, value in fitted.parameters.items()}
    largest = np.max([np.abs(value).reshape(len(value), -1).max(axis=1) for value in ended.values()], axis=0)  # (T,)
    parameters = {
        name: rounding.on_grid(value, largest.reshape(-1, *[1] * (value.ndim - 1)), bits).astype(kind)
        for name, value in ended.items()
    }
    history = {name: values[:, 0] for name, values in records(problem, fitted).items()}
    return parameters | history | {"steps": np.array(fitted.steps), "diverged": fitted.diverged[:, 0].cpu().numpy()}


def largest_difference(one: Fit, other: Fit) -> float:
    """Over the final parameters and the whole history of the trials that diverged in neither fit, before any rounding."""
    kept = ~(one.diverged | other.diverged)
    pairs = [(one.parameters[name], other.parameters[name]) for name in one.parameters]
    pairs += [(one.history[name], other.history[name]) for name in one.history]
    return max(float((left[kept] - right[kept]).abs().max()) for left, right in pairs)
