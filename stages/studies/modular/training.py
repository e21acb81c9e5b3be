"""modular, trained: a quadratic network without bias, full batch, AdamW."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stages.base.addition import first_trials, split_at
from stages.base.streams import Arrays
from stages.engine import addition
from stages.engine.decay import Decay
from stages.engine.job import Job, nothing
from stages.engine.models import Parameters
from stages.engine.optimizers import adamw
from stages.engine.problem import full_batch
from stages.engine.train import over_decays
from stages.engine.training import Fitting, Training
from stages.studies.modular.system import CURVATURE, Modular


def job(section: Modular, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    train = section.train
    problem = addition.problem(split_at(arrays, train.train_fraction), device, curvature=CURVATURE)
    schedule, decay = full_batch(train.steps, train.evaluate_every), Decay(tuple(weight_decays))
    return Job(problem, schedule, adamw(train), train.lr, decay, watch=spectrum, runs_at_once=1, heavy=True)


def jobs(section: Modular, arrays: Arrays, device: torch.device, *, wd: float) -> Mapping[str, Job]:
    return {"": job(section, arrays, device, [wd])}


def sweep(section: Modular, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """Every λ on the study's own share of the pairs; then a few λ on other shares F, each until every pair is right.

    `spectrum` is that of the end, (T, L, h, p // 2).
    `shares_<split>_accuracy` are (F, T', L', K), NaN after that; `shares_diverged` is (F, T', L').
    """
    swept = over_decays("modular", job(section, arrays, device, section.sweep.wd), fit)
    swept["spectrum"] = swept["spectrum"][..., -1]
    shares, own = section.sweep.shares, section.train.train_fraction
    others, some = [share for share in shares.train_fraction if share != own], first_trials(arrays, shares.trials)
    without = replace(job(section, some, device, shares.wd), watch=nothing)
    found = addition.over_shares("modular", without, some, others, curvature=CURVATURE, device=device, fit=fit)
    runs = (len(others), len(some["pairs"]), len(shares.wd))
    shapes = {"diverged": runs} | {f"{split}_accuracy": (*runs, len(swept["steps"])) for split in ("train", "val")}
    joined = {f"shares_{name}": np.array([each[name] for each in found]).reshape(shape) for name, shape in shapes.items()}
    return swept | joined | {"shares": np.array(others)}


def spectrum(_: Parameters, parameters: Parameters) -> dict[str, Tensor]:
    """How the power of each unit's weights, as a function of the input a, divides among the frequencies 1 to p/2, in 255ths.

    Weights cos(2πka/p) have all of it at k.  hidden (T, L, 2p, h) → (T, L, h, p // 2)
    """
    p = parameters["hidden"].shape[2] // 2
    power = torch.fft.rfft(parameters["hidden"][:, :, :p].mT).abs()[..., 1:].square()
    whole = power.sum(-1, keepdim=True)
    return {"spectrum": torch.where(whole > 0, 255 * power / whole, 0).nan_to_num().round().to(torch.uint8)}


TRAINING = Training(job=job, jobs=jobs, sweep=sweep)
