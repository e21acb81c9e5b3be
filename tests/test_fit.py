"""The batched engine against plain loops of torch.optim, scikit-learn and its own symmetries.

Tolerances: the same arithmetic in another order differs by rounding alone, 1e-16 a step relative to values of order one;
1e-12 allows a few thousand steps.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU
from sklearn.linear_model import ElasticNet
from torch import Tensor

from stages.base.errors import UserError
from stages.base.params import Moments
from stages.engine import losses, models
from stages.engine.decay import Decay
from stages.engine.fit import Fit, fit
from stages.engine.job import Job
from stages.engine.optimizers import Optimizer, adam, adamw, sgd
from stages.engine.problem import Batches, Problem, Schedule

TOLERANCE = 1e-12
MOMENTS = Moments(beta1=0.9, beta2=0.999, eps=1e-8)  # torch's own
OPTIMIZERS: dict[str, tuple[Optimizer, type[torch.optim.Optimizer], dict[str, Any]]] = {  # the engine's; torch's, its arguments
    "sgd": (sgd(), torch.optim.SGD, {"lr": 0.05}),
    "momentum": (sgd(0.9), torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
    "adam": (adam(MOMENTS), torch.optim.Adam, {"lr": 0.01}),
    "adamw": (adamw(MOMENTS), torch.optim.AdamW, {"lr": 0.01}),
}


def linear_problem(rng: np.random.Generator, device: torch.device, *, runs: int = 3, rows: int = 12, inputs: int = 5) -> Problem:
    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).to(device)

    train, val = ((draw(runs, rows, inputs), draw(runs, rows)) for _ in range(2))
    start = {"weight": draw(runs, inputs), "bias": draw(runs)}
    return Problem(models.LINEAR, losses.squared(1.0), train, val, start, ("weight",), spared=("bias",), least_squares=True)


def batches(rng: np.random.Generator, device: torch.device, *, runs: int = 3, rows: int = 12, steps: int = 60) -> list[Tensor]:
    return [torch.from_numpy(np.stack([rng.permutation(rows)[:4] for _ in range(runs)])).to(device) for _ in range(steps)]


def job(problem: Problem, steps: Batches, name: str, decay: Decay, pace: Sequence[float] = (), **options: Any) -> Job:
    optimizer, _, arguments = OPTIMIZERS[name]
    return Job(problem, Schedule(steps, 10, 1, pace), optimizer, arguments["lr"], decay, **options)


def fitted(problem: Problem, steps: Batches, name: str, *weight_decays: float, penalty: bool = False, **options: Any) -> Fit:
    return fit(job(problem, steps, name, Decay(weight_decays, penalty), **options))


def difference(one: Fit, other: Fit) -> float:
    return max(float((one.parameters[name] - other.parameters[name]).abs().max()) for name in one.parameters)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_batch_of_runs_is_a_plain_loop_of_torch_optim_per_trial(
    name: str, rng: np.random.Generator, device: torch.device
) -> None:
    problem, steps = linear_problem(rng, device), batches(rng, device)
    together = fitted(problem, steps, name, 0.3)
    _, kind, arguments = OPTIMIZERS[name]
    for run in range(3):
        layer = torch.nn.Linear(5, 1).double().to(device)
        with torch.no_grad():
            layer.weight.copy_(problem.start["weight"][run][None])
            layer.bias.copy_(problem.start["bias"][run][None])
        groups = [{"params": [layer.weight], "weight_decay": 0.3}, {"params": [layer.bias], "weight_decay": 0.0}]
        optimizer = kind(groups, **arguments)
        x, y = problem.train[0][run], problem.train[1][run]
        for rows in steps:
            optimizer.zero_grad()
            (torch.nn.functional.mse_loss(layer(x[rows[run]])[:, 0], y[rows[run]]) / 2).backward()
            optimizer.step()
        torch.testing.assert_close(together.parameters["weight"][run, 0], layer.weight[0], atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(together.parameters["bias"][run, 0], layer.bias[0], atol=TOLERANCE, rtol=0)


def test_a_run_that_overflows_leaves_its_neighbours_alone(rng: np.random.Generator, device: torch.device) -> None:
    problem = linear_problem(rng, device)
    wild = problem.train[0].clone()
    wild[1] *= 1e6
    alone = fitted(problem, [None] * 60, "sgd", 0.3)
    beside = fitted(replace(problem, train=(wild, problem.train[1])), [None] * 60, "sgd", 0.3)
    assert beside.diverged[:, 0].tolist() == [False, True, False]
    assert alone.diverged[:, 0].tolist() == [False, False, False]
    for run in (0, 2):
        assert torch.equal(alone.parameters["weight"][run], beside.parameters["weight"][run])


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_many_decays_at_once_are_each_one_alone(name: str, penalty: bool, rng: np.random.Generator, device: torch.device) -> None:
    """torch.optim's own weight_decay serves one λ, the engine's a batch of them."""
    problem, steps = linear_problem(rng, device), batches(rng, device)
    weight_decays = (0.0, 0.01, 0.3, 2.0)
    together = fitted(problem, steps, name, *weight_decays, penalty=penalty)
    for index, decay in enumerate(weight_decays):
        alone = fitted(problem, steps, name, decay, penalty=penalty)
        for key, value in alone.parameters.items():
            torch.testing.assert_close(together.parameters[key][:, index], value[:, 0], atol=TOLERANCE, rtol=0)
        for key, value in alone.history.items():
            torch.testing.assert_close(together.history[key][:, index], value[:, 0], atol=TOLERANCE, rtol=0)


def test_what_is_enough_ends_training_and_leaves_the_rest_unknown(rng: np.random.Generator) -> None:
    problem, steps = linear_problem(rng, CPU), batches(rng, CPU)
    whole = fitted(problem, steps, "sgd", 0.1)
    seen: list[float] = []

    def enough(measured: dict[str, Tensor]) -> bool:
        seen.append(float(measured["val_loss"].sum()))
        return len(seen) == 2

    early = fitted(problem, steps, "sgd", 0.1, enough=enough)
    assert early.steps == whole.steps == [0, 10, 20, 30, 40, 50, 60]
    assert not early.diverged.any()
    for name, history in whole.history.items():
        assert torch.equal(early.history[name][..., :3], history[..., :3])
        assert early.history[name][..., 3:].isnan().all()
    assert difference(early, fitted(problem, steps[:20], "sgd", 0.1)) == 0


def test_at_the_start_a_watch_sees_no_step(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    found = fitted(problem, [None] * 25, "sgd", 0.3, watch=lambda before, after: {"step": after["weight"] - before["weight"]})
    norms = found.history["step"].norm(dim=2)
    assert (norms[..., 0] == 0).all()
    assert (norms[..., 1:] > 0).all()


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_the_elastic_net_is_scikit_learns(l1_ratio: float, rng: np.random.Generator) -> None:
    """Both to the end, each to its own tolerance; the zeros are the same, and exact."""
    problem, weight_decays = linear_problem(rng, CPU), (0.0, 0.1, 0.4)
    found, alone = (
        fit(job(problem, [None] * 4000, "sgd", Decay(each, l1_ratio=l1_ratio))).parameters for each in (weight_decays, (0.4,))
    )
    zeros = 0
    for run in range(3):
        x, y = problem.train[0][run].numpy(), problem.train[1][run].numpy()
        for index, decay in enumerate(weight_decays[1:], start=1):
            net = ElasticNet(alpha=decay, l1_ratio=l1_ratio, tol=1e-14, max_iter=100_000).fit(x, y)
            weight, bias = found["weight"][run, index].numpy(), float(found["bias"][run, index])
            np.testing.assert_allclose(weight, net.coef_, atol=1e-9)
            assert bias == pytest.approx(net.intercept_, abs=1e-9)
            np.testing.assert_array_equal(weight == 0, net.coef_ == 0)
            zeros += int((weight == 0).sum())
        torch.testing.assert_close(alone["weight"][run, 0], found["weight"][run, -1], atol=TOLERANCE, rtol=0)
    assert zeros


@pytest.mark.parametrize("name", ["momentum", "adam", "adamw"])
def test_l1_is_for_plain_gradient_descent(name: str, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    with pytest.raises(UserError, match="expected sgd without momentum"):
        job(problem, [None], name, Decay((0.3,), l1_ratio=1.0))


def test_a_test_split_is_measured_beside_the_others(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    swapped = replace(problem, val=problem.train, test=problem.val)
    one, other = (fitted(each, [None] * 20, "sgd", 0.3).history for each in (problem, swapped))
    assert torch.equal(one["val_loss"], other["test_loss"])
    assert torch.equal(one["train_loss"], other["val_loss"])
    assert "test_loss" not in one
    assert torch.equal(swapped.each(lambda value: value[1:2]).splits["test"][1], problem.val[1][1:2])
