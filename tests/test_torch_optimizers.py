"""What the table says of an optimiser is what it does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_fit import linear_problem

from stages.engine.fit import Fit, fit
from stages.engine.optimizers import OPTIMIZERS
from stages.engine.problem import Problem
from stages.engine.stability import smallest_limit

CPU = torch.device("cpu")
ARGUMENTS: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.9}}


def trained(problem: Problem, kind: str, *, steps: int = 30, lr: float = 0.01, **options: Any) -> Fit:
    settings = {"lr": lr} | ARGUMENTS.get(kind, {})
    options = {"weight_decay": 0.3, "evaluate_every": steps} | options
    return fit(problem, [None] * steps, optimizer=kind, settings=settings, **options)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_rotated_inputs_give_rotated_weights_where_the_table_says_so(kind: str, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, runs=1)
    rotation = torch.from_numpy(np.linalg.qr(rng.standard_normal((5, 5)))[0])
    turned = replace(
        problem,
        train=(problem.train[0] @ rotation, problem.train[1]),
        start=problem.start | {"weight": problem.start["weight"] @ rotation},
    )
    straight, rotated = (trained(each, kind).parameters["weight"][0, 0] for each in (problem, turned))
    gap = float((straight @ rotation - rotated).abs().max())
    assert gap < 1e-12 if OPTIMIZERS[kind].rotation_equivariant else gap > 1e-3


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_penalty_is_coupled_decay_and_no_decoupled_one(kind: str, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, runs=1)
    one, other = (trained(problem, kind, penalty=penalty).parameters["weight"] for penalty in (False, True))
    gap = float((one - other).abs().max())
    assert gap > 1e-3 if OPTIMIZERS[kind].decoupled else gap < 1e-12


@pytest.mark.parametrize("kind", [kind for kind, optimizer in OPTIMIZERS.items() if optimizer.heavy_ball])
def test_a_heavy_ball_diverges_beyond_its_limit_and_not_below(kind: str, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, runs=1)
    limit = smallest_limit(problem, weight_decay=0.3, momentum=ARGUMENTS[kind]["momentum"])
    assert not trained(problem, kind, steps=4000, lr=0.99 * limit).diverged.any()
    assert trained(problem, kind, steps=4000, lr=1.01 * limit).diverged.all()
