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

from stages.base.params import Settings
from stages.base.rounding import significant
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.models import Model, Parameters, PullBack
from stages.engine.problem import Problem, Schedule, full_batch, linear
from stages.engine.stability import remaining
from stages.engine.sweep import fit_decays
from stages.engine.training import Run, Training
from stages.studies.descent.system import CONVERGED, CURVATURE, first_rows, risk, sizes


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


def by_steps(arrays: Arrays, _: object, __: torch.device) -> Schedule:
    return full_batch(int(arrays["steps"]), int(arrays["steps"]))


RUN = Run("baseline", "descent.lr", "descent.optimizers.sgd", problem, by_steps)


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """The risk of each trial (T, N, L) where it is trained, the Λ (L,), and which are trained (N, L).

    Λ* = dσ²/‖w*‖², the best for every n, joins the grid.
    """
    inputs, signal, noise = sizes(arrays)
    best = float(significant(inputs * noise**2 / signal**2))  # ‖w*‖ is a float32's
    penalties = sorted({*settings.descent.sweep, best})
    risks = np.full((len(arrays["true_weight"]), len(arrays["rows"]), len(penalties)), np.nan)
    trained = np.zeros(risks.shape[1:], dtype=bool)
    for index, rows in enumerate(arrays["rows"].tolist()):
        own = first_rows(arrays, rows)
        trained[index] = arrives(own, penalties, settings)
        if trained[index].any():
            decays = np.array(penalties)[trained[index]] / rows
            weights = train(f"descent, n = {rows}", own, decays, settings, device=device, progress=progress)
            risks[:, index, trained[index]] = risk(weights, arrays)
    return {"risk": risks, "trained": trained, "penalty": np.array(penalties), "theory_penalty": np.array(best)}


def arrives(arrays: Arrays, penalties: Sequence[float], settings: Settings) -> NDArray[np.bool_]:
    """Whether training from zero gets to the end at each Λ, in every trial, as its closed form says.  → (L,)"""
    inputs = arrays["train_inputs"].astype(np.float64)
    values, rows = np.linalg.svd(inputs, compute_uv=False), inputs.shape[1]
    section = settings.descent
    options = {"lr": section.lr, "momentum": section.optimizers.sgd.momentum}
    shares = [np.abs(remaining((values**2 + penalty) / rows, int(arrays["steps"]), **options)).max() for penalty in penalties]
    return np.array(shares) < CONVERGED


def separated(whole: Problem) -> tuple[Problem, Tensor]:
    """The same descent in coordinates that know nothing of each other, and the rotation to them, Vᵀ (T, d, d).

    X = USVᵀ and z = Vᵀw turn ‖Xw − y‖² into ‖Sz − Uᵀy‖² and a constant. Gradient descent, with momentum or without, is the same
    in rotated coordinates. So the d numbers Sz are d outputs of one row. The validation rows are √d times the unit vectors in any
    rotation.
    """
    (inputs, targets), (val_inputs, val_targets) = whole.train, whole.val
    rows, size = inputs.shape[1:]
    left, values, rotation = torch.linalg.svd(pad(inputs, (0, 0, 0, max(size - rows, 0))), full_matrices=False)
    mean = (size / rows) ** 0.5  # the loss is a mean over outputs, and was one over rows

    def rotated(basis: Tensor, targets: Tensor) -> Tensor:
        return torch.bmm(targets[:, None], basis)

    train = (mean * values[:, None], mean * rotated(left[:, :rows], targets))
    val = (val_inputs[:, :1, :1].expand_as(values[:, None]), rotated(rotation.mT, val_targets))
    start = {"weight": rotated(rotation.mT, whole.start["weight"])[:, 0]}
    return replace(whole, model=SEPARATE, train=train, val=val, start=start, least_squares=False), rotation


def separate(parameters: Parameters, scales: Tensor) -> Tensor:
    """Each weight times its own scale.  weight (T, L, d), scales (T, 1, d) → (T, L, 1, d)"""
    return parameters["weight"][:, :, None] * scales[:, None]


def separate_by_hand(parameters: Parameters, scales: Tensor) -> tuple[Tensor, PullBack]:
    return separate(parameters, scales), lambda signal: {"weight": (signal * scales[:, None]).flatten(2)}


SEPARATE = Model(separate, separate_by_hand)


def train(
    label: str, arrays: Arrays, decays: NDArray, settings: Settings, *, device: torch.device, progress: Progress
) -> NDArray:
    """All trials × λ in one batch.  decays (L,) → weights (T, L, d)"""
    apart, rotation = separated(problem(arrays, device))
    fitted = fit_decays(label, RUN, apart, decays.tolist(), settings, arrays, progress=progress)
    return torch.bmm(fitted.parameters["weight"], rotation).cpu().numpy()


TRAINING = Training(runs={}, swept=RUN, sweep=sweep)
