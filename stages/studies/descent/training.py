"""descent, trained: gradient descent with momentum from zero, for every n and every Λ where it gets to the end.

Shapes: T trials, N numbers of rows, L penalties Λ = nλ, d inputs.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from stages.base.rounding import significant
from stages.base.streams import Arrays
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.models import Model, Parameters, PullBack
from stages.engine.optimizers import sgd
from stages.engine.problem import Problem, full_batch, linear
from stages.engine.stability import remaining
from stages.engine.training import Fitting, Training
from stages.studies.descent.system import CONVERGED, CURVATURE, Descent, Train, first_rows, risk, sizes


def problem(arrays: Arrays, device: torch.device) -> Problem:
    """A linear model without bias, from zero.

    The validation rows are √d times the unit vectors: on these, half the mean squared error is ½‖w − w*‖².
    """
    trials, _, inputs = arrays["train_inputs"].shape
    unit = np.sqrt(inputs) * np.broadcast_to(np.eye(inputs), (trials, inputs, inputs))
    made = {
        "train_inputs": arrays["train_inputs"],
        "train_targets": arrays["train_targets"],
        "val_inputs": unit.copy(),
        "val_targets": np.sqrt(inputs) * arrays["true_weight"].astype(np.float64),
        "start_weight": np.zeros((trials, inputs)),
    }
    return linear(made, device, curvature=CURVATURE, spared=())


def job(section: Descent, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    train = section.train
    schedule = full_batch(train.steps, train.steps)
    return Job(problem(arrays, device), schedule, sgd(train.momentum), train.lr, Decay(tuple(weight_decays)))


def sweep(section: Descent, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """The risk of each trial (T, N, L) where it is trained, the Λ (L,), and which are trained (N, L).

    Λ* = dσ²/‖w*‖², the best for every n, joins the grid.
    """
    inputs, signal, noise = sizes(arrays)
    best = float(significant(inputs * noise**2 / signal**2))  # ‖w*‖ is a float32's
    penalties = sorted({*section.sweep.penalty, best})
    counts = arrays["rows"].tolist()
    risks = np.full((len(arrays["true_weight"]), len(counts), len(penalties)), np.nan)
    trained = np.zeros(risks.shape[1:], dtype=bool)
    for index, rows in enumerate(counts):
        own = first_rows(arrays, rows)
        trained[index] = arrives(own, penalties, section.train)
        if trained[index].any():
            apart, rotation = separated(job(section, own, device, np.array(penalties)[trained[index]] / rows))
            fitted = fit(f"descent, n = {rows}", apart)
            weights = torch.bmm(fitted.parameters["weight"], rotation).cpu().numpy()
            risks[:, index, trained[index]] = risk(weights, arrays)
    return {"risk": risks, "trained": trained, "penalty": np.array(penalties), "theory_penalty": np.array(best)}


def arrives(arrays: Arrays, penalties: Sequence[float], train: Train) -> NDArray[np.bool_]:
    """Whether training from zero gets to the end at each Λ, in every trial, as its closed form says.  → (L,)"""
    inputs = arrays["train_inputs"].astype(np.float64)
    values, rows = np.linalg.svd(inputs, compute_uv=False), inputs.shape[1]
    options = {"lr": train.lr, "momentum": train.momentum}
    shares = [np.abs(remaining((values**2 + penalty) / rows, train.steps, **options)).max() for penalty in penalties]
    return np.array(shares) < CONVERGED


def separated(job: Job) -> tuple[Job, Tensor]:
    """The same descent in coordinates that know nothing of each other, and the rotation to them, Vᵀ (T, d, d).

    X = USVᵀ and z = Vᵀw turn ‖Xw − y‖² into ‖Sz − Uᵀy‖² and a constant. Gradient descent, with momentum or without, is the same
    in rotated coordinates. So the d numbers Sz are d outputs of one row. The validation rows are √d times the unit vectors in any
    rotation.
    """
    whole = job.problem
    (inputs, targets), (val_inputs, val_targets) = whole.train, whole.val
    rows, size = inputs.shape[1:]
    left, values, rotation = torch.linalg.svd(pad(inputs, (0, 0, 0, max(size - rows, 0))), full_matrices=False)
    mean = (size / rows) ** 0.5  # the loss is a mean over outputs, and was one over rows

    def rotated(basis: Tensor, targets: Tensor) -> Tensor:
        return torch.bmm(targets[:, None], basis)

    train = (mean * values[:, None], mean * rotated(left[:, :rows], targets))
    val = (val_inputs[:, :1, :1].expand_as(values[:, None]), rotated(rotation.mT, val_targets))
    start = {"weight": rotated(rotation.mT, whole.start["weight"])[:, 0]}
    apart = replace(whole, model=SEPARATE, train=train, val=val, start=start, least_squares=False)
    return replace(job, problem=apart), rotation


def separate(parameters: Parameters, scales: Tensor) -> Tensor:
    """Each weight times its own scale.  weight (T, L, d), scales (T, 1, d) → (T, L, 1, d)"""
    return parameters["weight"][:, :, None] * scales[:, None]


def separate_by_hand(parameters: Parameters, scales: Tensor) -> tuple[Tensor, PullBack]:
    return separate(parameters, scales), lambda signal: {"weight": (signal * scales[:, None]).flatten(2)}


SEPARATE = Model(separate, separate_by_hand)


TRAINING = Training(job=job, sweep=sweep)
