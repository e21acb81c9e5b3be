"""Training as a stage does it: any number of runs in bounded memory and on all cores, written as arrays, rounded.

Shapes: T trials, L decays, K evaluations.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.base import rounding
from stages.base.errors import UserError
from stages.base.streams import Arrays
from stages.engine.fit import Fit, records, tell_diverged
from stages.engine.job import Job
from stages.engine.machine import cores
from stages.engine.problem import Problem
from stages.engine.projection import project
from stages.engine.stability import smallest_limit
from stages.engine.training import Fitting
from stages.engine.work import Progress, Standing, in_parts, in_processes

CLUSTER = "RAY_ADDRESS"  # the environment variable that Ray itself reads


def train(label: str, job: Job, *, progress: Progress, tell: bool = True) -> Fit:
    """Train a job: on the Ray cluster that RAY_ADDRESS names, or here.

    On the CPU at most `runs_at_once` runs share a batch, and parts of a heavy job are trained in a process a core. On a GPU all
    runs begin in one batch. Where memory runs out, batches are halved. Runs that diverged are told of, if `tell`.
    """
    steps, size, on_cpu = len(job.schedule.batches), job.runs_at_once, job.device.type == "cpu"
    with progress(label, steps, runs=job.runs) as report:
        standing = Standing(steps, job.runs, report)
        if os.environ.get(CLUSTER):
            from stages.engine import cluster

            fitted = cluster.fit(label, job, standing)
        elif job.heavy and on_cpu and cores() > 1 and job.runs > size:
            fitted = in_processes(job, size, standing)
        else:
            fitted = in_parts(job, size if on_cpu else job.runs, standing)
    if tell:
        tell_diverged(label, fitted.diverged)
    return fitted


def over_decays(study: str, job: Job, fit: Fitting) -> Arrays:
    """Train a job at every λ: the histories (T, L, K), what diverged (T, L), the λ (L,), the steps (K,).

    Raises UserError where every run diverges.
    """
    if job.problem.least_squares and job.optimizer.rotation_equivariant and not job.decay.l1_ratio:
        job = replace(job, problem=project(job.problem))
    fitted = fit(f"{study} sweep", job)
    if fitted.diverged.all():
        raise UserError(f"{study} sweep: expected a λ that is stable at lr = {job.lr:g}, got none: every run diverged")
    numbers = {"lr": job.lr, "momentum": job.optimizer.momentum, "steps": fitted.steps, "weight_decay": job.decay.weight_decays}
    written = records(job.problem, fitted) | {"diverged": fitted.diverged.cpu().numpy()}
    return written | {name: np.asarray(value) for name, value in numbers.items()}


def train_arm(study: str, jobs: Mapping[str, Job], twins: Mapping[str, str], *, progress: Progress) -> Arrays:
    """Train the jobs of an arm, row by row, each with one λ; the arrays of a row are named `<row>.<what>`.

    `twins` are rows that must match others to rounding. Raises UserError where a learning rate is beyond stability, or where
    every trial diverges.
    """
    fits: dict[str, Fit] = {}
    outcome: Arrays = {}
    for row, job in jobs.items():
        problem, (weight_decay,) = job.problem, job.decay.weight_decays
        described = f"{study}, {row}: lr = {job.lr:g} with λ = {weight_decay:g}"
        print(f"{described} on {', '.join(problem.decayed)}, sparing {', '.join(sorted(problem.spared)) or 'nothing'}")
        limit = stable_until(job)
        if limit and job.schedule.full_batch and job.lr >= limit:
            raise UserError(f"{described}: expected a learning rate below the stability limit {limit:.6g}, got {job.lr:g}")
        fits[row] = train(f"{study} {row}", job, progress=progress, tell=False)
        if fits[row].diverged.all():
            bound = f"decay alone needs lr·λ < 2, here {job.lr * weight_decay:g}"
            if limit:
                bound = f"full-batch gradient descent is stable below lr = {limit:.6g}, smaller batches need less"
            raise UserError(f"{described}: expected a stable run, got divergence in every trial; {bound}")
        tell_diverged(f"{study} {row}", fits[row].diverged)
        numbers = {"weight_decay": weight_decay, "lr": job.lr, "momentum": job.optimizer.momentum}
        numbers["steps_per_epoch"] = job.schedule.steps_per_epoch
        if row in twins and not (fits[row].diverged | fits[twins[row]].diverged).all():
            difference = largest_difference(fits[row], fits[twins[row]])
            print(f"{study}: {row} and {twins[row]} differ by {difference:.1g} at most, before rounding")
            numbers["difference_below"] = rounding.decade_above(difference)
        found = ended(problem, fits[row]) | numbers
        outcome |= {f"{row}.{key}": np.asarray(value) for key, value in found.items()}
    return outcome


def stable_until(job: Job) -> float | None:
    """The learning rate from which gradient descent diverges on full batches; None where that is not known."""
    if not (job.problem.least_squares and job.optimizer.heavy_ball):
        return None
    return smallest_limit(job.problem, weight_decay=job.decay.weight_decays[0], momentum=job.optimizer.momentum)


def ended(problem: Problem, fitted: Fit) -> dict[str, NDArray]:
    """A fit of one λ as rounded arrays: final parameters (T, …), histories (T, K), the evaluated steps (K,).

    Metrics are computed from the parameters of a least-squares problem; other parameters are only looked at.
    """
    bits, kind = (rounding.PATH, np.float64) if problem.least_squares else (rounding.LOOK, np.float32)
    last = {name: value[:, 0].cpu().numpy() for name, value in fitted.parameters.items()}
    largest = np.max([np.abs(value).reshape(len(value), -1).max(axis=1) for value in last.values()], axis=0)  # (T,)
    parameters = {
        name: rounding.on_grid(value, largest.reshape(-1, *[1] * (value.ndim - 1)), bits).astype(kind)
        for name, value in last.items()
    }
    history = {name: values[:, 0] for name, values in records(problem, fitted).items()}
    return parameters | history | {"steps": np.array(fitted.steps), "diverged": fitted.diverged[:, 0].cpu().numpy()}


def largest_difference(one: Fit, other: Fit) -> float:
    """Over the final parameters and the whole history of the trials that diverged in neither fit, before any rounding."""
    kept = ~(one.diverged | other.diverged)
    pairs = [(one.parameters[name], other.parameters[name]) for name in one.parameters]
    pairs += [(one.history[name], other.history[name]) for name in one.history]
    return max(float((left[kept] - right[kept]).abs().max()) for left, right in pairs)
