"""optimizers, trained: SGD, momentum, Adam and AdamW on all rows, AdamW on batches too, each with a learning rate that settles.

Shapes: T trials, L decays, R learning rates, d inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from stages.base.rounding import LOOK, on_grid
from stages.base.streams import Arrays, orders
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.optimizers import Optimizer, adam, adamw, sgd
from stages.engine.problem import full_batch, linear, linear_to_zero, shuffled
from stages.engine.training import Fitting, Training
from stages.studies.optimizers.system import CURVATURE, ROWS, SYSTEM, Comparison, Train, general

ADAPTIVE = ("adam", "adamw")  # swept over learning rates too


def optimizers(train: Train) -> dict[str, tuple[Optimizer, float]]:
    """Each optimiser with its own learning rate."""
    return {
        "sgd": (sgd(train.sgd.momentum), train.sgd.lr),
        "momentum": (sgd(train.momentum.momentum), train.momentum.lr),
        "adam": (adam(train.adam), train.lr),
        "adamw": (adamw(train.adamw), train.lr),
    }


def job(section: Comparison, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    """All rows; the learning rate falls to zero as (1 − k/steps)², so that even Adam comes to rest."""
    train = section.train
    schedule = full_batch(train.steps, train.evaluate_every, pace=[share**2 for share in linear_to_zero(train.steps)])
    optimizer, lr = optimizers(train)["adam"]
    problem = linear(arrays, device, curvature=CURVATURE, spared=())
    return Job(problem, schedule, optimizer, lr, Decay(tuple(weight_decays)))


def jobs(section: Comparison, arrays: Arrays, device: torch.device, *, wd: float) -> Mapping[str, Job]:
    whole = job(section, arrays, device, [wd])
    return {ROWS[kind]: replace(whole, optimizer=optimizer, lr=lr) for kind, (optimizer, lr) in optimizers(section.train).items()}


def sweep(section: Comparison, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The final weights (R, T, L, d) of each optimiser on Gaussian rows, at every λ; R is 1 for SGD and momentum.

    The histories `<kind>_val_loss` and `<kind>_weight_norm` (T, L, K) are those with the optimiser's own learning rate.
    All are handed on coarsely: on these rows AdamW's last digits hang on the machine's last bit.
    """
    whole = job(section, general(arrays), device, section.sweep.wd)
    found: Arrays = {"weight_decay": np.array(section.sweep.wd)}
    for kind, (optimizer, own) in optimizers(section.train).items():
        rates = sorted({own, *section.sweep.lr}) if kind in ADAPTIVE else [own]
        fits = [ended(kind, replace(whole, optimizer=optimizer, lr=rate), fit) for rate in rates]
        found |= {f"{kind}_lr": np.array(rates), f"{kind}_own_lr": np.array(own)}
        found |= {f"{kind}_{name}": np.stack([fit[name] for fit in fits]) for name in ("weight", "diverged")}
        found |= {f"{kind}_{name}": fits[rates.index(own)][name] for name in ("val_loss", "weight_norm")}
        found["steps"] = fits[0]["steps"]
    found |= {"diverged": np.concatenate([found[f"{kind}_diverged"] for kind in ROWS])}
    return found | on_batches(section, whole, general(arrays), fit)


def on_batches(section: Comparison, whole: Job, arrays: Arrays, fit: Fitting) -> Arrays:
    """AdamW on batches of each size (B,), reshuffled every epoch: `batch_weight` (B, T, L, d), `batch_diverged` (B, T, L).

    The learning rate falls to zero along a line, and the moments are long, so that what the batches stir settles.
    """
    batches, rows, ends = section.sweep.batches, arrays["train_targets"].shape[1], []
    for size in batches.size:
        schedule = full_batch(batches.steps, batches.steps)
        if size < rows:
            drawn = shuffled(orders(arrays, SYSTEM.key, -(-batches.steps * size // rows)), size, whole.device)
            schedule = replace(drawn, batches=drawn.batches[: batches.steps], evaluate_every=batches.steps)
        schedule = replace(schedule, pace=linear_to_zero(batches.steps))
        job = replace(whole, schedule=schedule, optimizer=adamw(batches), lr=batches.lr)
        ends.append(ended(f"batches of {size}", job, fit))
    found = {f"batch_{name}": np.stack([each[name] for each in ends]) for name in ("weight", "diverged")}
    return found | {"batch_size": np.array(batches.size)}


def ended(kind: str, job: Job, fit: Fitting) -> Arrays:
    """All trials × λ in one batch: their histories, where they end, and which diverged; on the grid of what is looked at."""
    fitted = fit(f"optimizers sweep, {kind}, lr = {job.lr:g}", job)
    lost = fitted.diverged.cpu().numpy()
    looked_at = {"weight": fitted.parameters["weight"]} | fitted.history
    found = {name: np.where(lost[..., None], np.nan, each.cpu().numpy()) for name, each in looked_at.items()}
    found = {name: on_grid(each, np.abs(each).max(axis=2, keepdims=True), LOOK) for name, each in found.items()}
    return found | {"diverged": lost, "steps": np.array(fitted.steps)}


TRAINING = Training(job=job, jobs=jobs, sweep=sweep)
