"""equilibrium, trained: SGD on batches, for every product lr·λ at every learning rate.

Shapes: T trials, L decays, H learning rates, n rows, d inputs, K evaluations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stages.base.streams import Arrays, orders
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.losses import squared
from stages.engine.models import Model, Parameters, PullBack
from stages.engine.optimizers import adam, adamw, sgd
from stages.engine.problem import Problem, shuffled, tensors
from stages.engine.train import over_decays
from stages.engine.training import Fitting, Training
from stages.studies.equilibrium.system import ADAPTIVE, CURVATURE, SYSTEM, Equilibrium, unseen

WATCHED = ("val_loss", "weight_norm", "angle", "push")  # what is kept of a sweep's histories


def normalised(parameters: Parameters, inputs: Tensor) -> Tensor:
    """ŷ = X·w/‖w‖.  weight (T, L, d), inputs (T, n, d) → (T, L, n)"""
    return torch.bmm(inputs, parameters["weight"].mT).mT / norm(parameters["weight"])


def normalised_by_hand(parameters: Parameters, inputs: Tensor) -> tuple[Tensor, PullBack]:
    weight, length = parameters["weight"], norm(parameters["weight"])
    predictions = torch.bmm(inputs, weight.mT).mT / length

    def pull_back(signal: Tensor) -> Parameters:
        """(g − (ŵ·g)ŵ)/‖w‖ with g = Xᵀs, so ŵ·g = ŷ·s: what is along the weights changes no prediction."""
        along = (predictions * signal).sum(2, keepdim=True) / length
        return {"weight": (torch.bmm(inputs.mT, signal.mT).mT - along * weight) / length}

    return predictions, pull_back


def norm(weight: Tensor) -> Tensor:
    """‖w‖₂  (T, L, d) → (T, L, 1)"""
    return weight.square().sum(2, keepdim=True).sqrt()


NORMALISED = Model(normalised, normalised_by_hand)


def problem(arrays: Arrays, device: torch.device) -> Problem:
    known = tensors(arrays | unseen(arrays), device, torch.float64)
    train, val = ((known[f"{split}_inputs"], known[f"{split}_targets"]) for split in ("train", "val"))
    start = {"weight": known["start_weight"]}
    return Problem(NORMALISED, squared(CURVATURE), train, val, start, ("weight",), spared=())


def job(section: Equilibrium, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    """Reshuffled every epoch, evaluated every few steps."""
    train = section.train
    schedule = shuffled(orders(arrays, SYSTEM.key, train.epochs), train.batch_size, device)
    schedule = replace(schedule, evaluate_every=train.evaluate_every)
    decay = Decay(tuple(weight_decays))
    return Job(problem(arrays, device), schedule, sgd(train.momentum), train.lr, decay, watch=turn)


def jobs(section: Equilibrium, arrays: Arrays, device: torch.device, *, wd: float) -> Mapping[str, Job]:
    return {"": job(section, arrays, device, [wd])}


def turn(before: Parameters, after: Parameters) -> dict[str, Tensor]:
    """What the last step did: `angle`, how far it turned the weights, in radians; `push`, its part across them times ‖w‖.

    Decay acts along the weights and the gradient across them. So the push of a step of SGD is lr·‖g̃‖, where g̃ = ‖w‖·g is the
    gradient at the unit vector, whatever λ is.  (T, L, d) → (T, L) each
    """
    old, new = before["weight"], after["weight"]
    norm = old.norm(dim=2)
    along = (old * new).sum(2) / norm
    across = (new - (along / norm)[..., None] * old).norm(dim=2)
    return {"angle": torch.atan2(across, along), "push": across * norm}


def sweep(section: Equilibrium, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """Every lr·λ of the grid (L,) at every learning rate (H,): the second half of the histories (H, T, L, K).

    The study's own learning rate joins the others. `peak` is the largest norm of the whole history; `path_…` are whole
    histories, at `path_steps`.
    """
    rates, products = sorted({section.train.lr, *section.sweep.lr}), np.array(section.sweep.product)
    whole, swept = job(section, arrays, device, [0.0]), []
    for rate in rates:
        swept.append(over_decays("equilibrium", replace(whole.at((products / rate).tolist()), lr=rate), fit))
    late = swept[0]["steps"] >= swept[0]["steps"][-1] / 2
    found = {name: np.stack([each[name][..., late] for each in swept]) for name in WATCHED}
    found |= {name: np.stack([each[name] for each in swept]) for name in ("diverged", "weight_decay")}
    found["peak"] = np.stack([each["weight_norm"].max(axis=-1) for each in swept])
    found |= {f"path_{name}": np.stack([each[name] for each in swept]) for name in ("val_loss", "weight_norm")}
    numbers = {"path_steps": swept[0]["steps"], "steps": swept[0]["steps"][late], "momentum": swept[0]["momentum"]}
    return found | numbers | {"lr": np.array(rates), "product": products} | adaptive(section, whole, fit)


def adaptive(section: Equilibrium, whole: Job, fit: Fitting) -> Arrays:
    """The angles of steps of Adam and of AdamW over the second half, where the loss is multiplied by each scale.  (S, T, K)

    So are its gradients: such runs stand for neurons that the loss of one network feels more or less.
    """
    own, found = section.sweep.adaptive, {}
    for (name, called), make in zip(ADAPTIVE.items(), (adam, adamw), strict=True):
        alone, turns = replace(whole.at([own.wd]), optimizer=make(own), lr=own.lr), []
        for scale in own.scale:
            scaled = replace(alone, problem=replace(whole.problem, loss=squared(scale * CURVATURE)))
            swept = over_decays(f"equilibrium, {called}, loss × {scale:g},", scaled, fit)
            turns.append(swept["angle"][:, 0, swept["steps"] >= swept["steps"][-1] / 2])
        found[f"{name}_angle"] = np.stack(turns)
    return found


TRAINING = Training(job=job, jobs=jobs, sweep=sweep)
