"""What the engine says of an optimiser is what it does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CPU
from test_fit import MOMENTS, linear_problem

from stages.engine import optimizers
from stages.engine.decay import Decay
from stages.engine.fit import Fit, fit
from stages.engine.job import Job
from stages.engine.optimizers import Optimizer, adam, adamw, sgd
from stages.engine.problem import Problem, full_batch
from stages.engine.stability import smallest_limit

MADE: dict[str, Optimizer] = {"sgd": sgd(0.9), "adam": adam(MOMENTS), "adamw": adamw(MOMENTS)}
every_kind = pytest.mark.parametrize("optimizer", MADE.values(), ids=MADE)


def trained(problem: Problem, optimizer: Optimizer, *, steps: int = 30, lr: float = 0.01, penalty: bool = False) -> Fit:
    return fit(Job(problem, full_batch(steps, steps), optimizer, lr, Decay((0.3,), penalty)))


def test_no_optimizer_is_left_out_here() -> None:
    there = {name for name, each in vars(optimizers).items() if getattr(each, "__annotations__", {}).get("return") is Optimizer}
    assert there == {*MADE}


@every_kind
def test_rotated_inputs_give_rotated_weights_where_it_says_so(optimizer: Optimizer, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, runs=1)
    rotation = torch.from_numpy(np.linalg.qr(rng.standard_normal((5, 5)))[0])
    turned = replace(
        problem,
        train=(problem.train[0] @ rotation, problem.train[1]),
        start=problem.start | {"weight": problem.start["weight"] @ rotation},
    )
    straight, rotated = (trained(each, optimizer).parameters["weight"][0, 0] for each in (problem, turned))
    gap = float((straight @ rotation - rotated).abs().max())
    assert gap < 1e-12 if optimizer.rotation_equivariant else gap > 1e-3


@every_kind
def test_a_penalty_is_coupled_decay_and_no_decoupled_one(optimizer: Optimizer, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, runs=1)
    one, other = (trained(problem, optimizer, penalty=penalty).parameters["weight"] for penalty in (False, True))
    gap = float((one - other).abs().max())
    assert gap > 1e-3 if optimizer.decoupled else gap < 1e-12


@pytest.mark.parametrize("optimizer", [each for each in MADE.values() if each.heavy_ball])
def test_a_heavy_ball_diverges_beyond_its_limit_and_not_below(optimizer: Optimizer, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, runs=1)
    assert optimizer.momentum == 0.9
    limit = smallest_limit(problem, weight_decay=0.3, momentum=optimizer.momentum)
    assert not trained(problem, optimizer, steps=4000, lr=0.99 * limit).diverged.any()
    assert trained(problem, optimizer, steps=4000, lr=1.01 * limit).diverged.all()
