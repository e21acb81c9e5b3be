"""The batched engine against plain loops of torch.optim, closed forms and its own symmetries.

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
from stages.engine.machine import VARIABLE
from stages.engine.machine import device as best_device
from stages.engine.optimizers import Optimizer, adam, adamw, sgd
from stages.engine.problem import Batches, Problem, Schedule, linear_to_zero
from stages.theory.ridge import ridge
from stages.theory.trajectory import gradient_descent

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


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_the_penalty_in_the_loss_equals_coupled_weight_decay(name: str, rng: np.random.Generator, device: torch.device) -> None:
    problem, steps = linear_problem(rng, device), batches(rng, device)
    assert difference(fitted(problem, steps, name, 0.3), fitted(problem, steps, name, 0.3, penalty=True)) < TOLERANCE


def test_the_penalty_in_the_loss_is_not_decoupled_weight_decay(rng: np.random.Generator, device: torch.device) -> None:
    problem, steps = linear_problem(rng, device), batches(rng, device)
    assert difference(fitted(problem, steps, "adamw", 0.3), fitted(problem, steps, "adamw", 0.3, penalty=True)) > 1e-3


@pytest.mark.parametrize(("name", "equal"), [("sgd", True), ("momentum", False), ("adam", False)])
def test_coupled_equals_decoupled_for_plain_sgd_alone(name: str, equal: bool, rng: np.random.Generator) -> None:
    problem, steps = linear_problem(rng, CPU, runs=1), batches(rng, CPU, runs=1)
    coupled = fitted(problem, steps, name, 0.3)
    _, kind, arguments = OPTIMIZERS[name]
    parameters = {key: value.clone().requires_grad_() for key, value in problem.start.items()}
    stepper = kind(parameters.values(), **arguments)
    for rows in steps:
        stepper.zero_grad()
        inputs, targets = models.take(problem.train[0], rows), models.take(problem.train[1], rows)
        predictions = torch.einsum("tnd,td->tn", inputs, parameters["weight"]) + parameters["bias"][:, None]
        (torch.nn.functional.mse_loss(predictions, targets) / 2).backward()  # one run alone: its mean is the batch's
        with torch.no_grad():
            parameters["weight"].mul_(1 - arguments["lr"] * 0.3)
        stepper.step()
    gap = float((coupled.parameters["weight"][:, 0] - parameters["weight"].detach()).abs().max())
    assert gap < TOLERANCE if equal else gap > 1e-3


def test_without_a_data_gradient_weights_decay_geometrically_and_the_bias_does_not(
    rng: np.random.Generator, device: torch.device
) -> None:
    problem = linear_problem(rng, device)
    zeros = torch.zeros_like(problem.train[0])
    problem = replace(problem, train=(zeros, problem.start["bias"][:, None].expand(-1, 12)))
    final = fitted(problem, [None] * 40, "sgd", 3.0).parameters
    torch.testing.assert_close(final["weight"][:, 0], (1 - 0.05 * 3) ** 40 * problem.start["weight"], atol=TOLERANCE, rtol=0)
    assert torch.equal(final["bias"][:, 0], problem.start["bias"])


def test_full_batch_descent_follows_its_closed_form(rng: np.random.Generator, device: torch.device) -> None:
    problem = linear_problem(rng, device)
    problem = replace(problem, start=problem.start | {"bias": torch.zeros(3, dtype=torch.float64, device=device)})
    centred = (
        problem.train[0] - problem.train[0].mean(1, keepdim=True),
        problem.train[1] - problem.train[1].mean(1, keepdim=True),
    )
    found = fitted(replace(problem, train=centred), [None] * 40, "sgd", 0.3)
    for run in range(3):
        x, y, start = (tensor[run].cpu().numpy() for tensor in (*centred, problem.start["weight"]))
        path = gradient_descent(x, y, start, np.array(found.steps), lr=0.05, weight_decay=0.3, curvature=1)
        norms = found.history["weight_norm"][run, 0].cpu().numpy()
        np.testing.assert_allclose(norms, np.linalg.norm(path, axis=1), atol=TOLERANCE)
        np.testing.assert_allclose(found.parameters["weight"][run, 0].cpu(), path[-1], atol=TOLERANCE)


def test_training_to_the_end_is_ridge(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    found = fitted(problem, [None] * 3000, "sgd", 0.3)
    for run in range(3):
        weight, bias = ridge(problem.train[0][run].numpy(), problem.train[1][run].numpy(), 0.3)
        np.testing.assert_allclose(found.parameters["weight"][run, 0], weight, atol=TOLERANCE)
        assert float(found.parameters["bias"][run, 0]) == pytest.approx(bias, abs=TOLERANCE)


def test_every_row_twice_is_the_same_problem(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    twice = (problem.train[0].repeat(1, 2, 1), problem.train[1].repeat(1, 2))
    once = fitted(problem, [None] * 60, "momentum", 0.3)
    assert difference(once, fitted(replace(problem, train=twice), [None] * 60, "momentum", 0.3)) < TOLERANCE


def test_more_decay_means_a_smaller_norm(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    norms = [
        fitted(problem, [None] * 500, "sgd", decay).history["weight_norm"][:, 0, -1] for decay in (0.0, 0.01, 0.1, 1.0, 10.0)
    ]
    assert torch.all(torch.stack(norms).diff(dim=0) < 0)


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


def test_losses_are_reported_without_the_penalty(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    found = fitted(problem, [None] * 10, "sgd", 5.0, penalty=True)
    predictions = models.linear(found.parameters, problem.val[0])[:, 0]
    expected = torch.nn.functional.mse_loss(predictions, problem.val[1], reduction="none").mean(1) / 2
    torch.testing.assert_close(found.history["val_loss"][:, 0, -1], expected, atol=TOLERANCE, rtol=0)


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


def test_a_decay_that_overflows_leaves_the_others_alone(rng: np.random.Generator, device: torch.device) -> None:
    problem, steps = linear_problem(rng, device), batches(rng, device)
    alone, beside = fitted(problem, steps, "sgd", 0.0, 0.3), fitted(problem, steps, "sgd", 0.0, 1e250, 0.3)
    assert beside.diverged.any(0).tolist() == [False, True, False]
    torch.testing.assert_close(beside.parameters["weight"][:, [0, 2]], alone.parameters["weight"], atol=TOLERANCE, rtol=0)


def test_an_unknown_device_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "abacus")
    with pytest.raises(UserError, match=r"^WEIGHT_DECAY_DEVICE: expected cpu, cuda, or cuda:N .*, got 'abacus'$"):
        best_device()


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


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("weight_decays", [(0.3,), (0.0, 0.3)], ids=["one λ", "two λ"])
def test_a_pace_is_torchs_lambda_lr(name: str, weight_decays: tuple[float, ...], rng: np.random.Generator) -> None:
    """The decay of AdamW follows the learning rate too."""
    problem, pace = linear_problem(rng, CPU, runs=1), linear_to_zero(40)
    found = fitted(problem, [None] * 40, name, *weight_decays, pace=pace)
    _, kind, arguments = OPTIMIZERS[name]
    parameters = {key: value.clone().requires_grad_() for key, value in problem.start.items()}
    groups = [{"params": [parameters["weight"]], "weight_decay": 0.3}, {"params": [parameters["bias"]], "weight_decay": 0.0}]
    stepper = kind(groups, **arguments)
    schedule = torch.optim.lr_scheduler.LambdaLR(stepper, lambda step: 1 - step / 40)
    for _ in range(40):
        stepper.zero_grad()
        predictions = torch.einsum("tnd,td->tn", problem.train[0], parameters["weight"]) + parameters["bias"][:, None]
        (torch.nn.functional.mse_loss(predictions, problem.train[1]) / 2).backward()
        stepper.step()
        schedule.step()
    for key, value in parameters.items():
        torch.testing.assert_close(found.parameters[key][:, -1], value.detach(), atol=TOLERANCE, rtol=0)


def test_a_watch_sees_the_last_step(rng: np.random.Generator) -> None:
    """Without data, gradient descent multiplies the weights by 1 − lr·λ; at the start there is no step yet."""
    problem = linear_problem(rng, CPU)
    zeros = torch.zeros_like(problem.train[0])
    problem = replace(problem, train=(zeros, problem.start["bias"][:, None].expand(-1, 12)))
    found = fitted(problem, [None] * 25, "sgd", 3.0, watch=lambda before, after: {"ratio": after["weight"] / before["weight"]})
    assert found.steps == [0, 10, 20, 25]
    ratios = found.history["ratio"]
    assert ratios.shape == (3, 1, 5, 4)
    torch.testing.assert_close(ratios[..., 0], torch.ones_like(ratios[..., 0]), atol=0, rtol=0)
    torch.testing.assert_close(ratios[..., 1:], torch.full_like(ratios[..., 1:], 0.85), atol=TOLERANCE, rtol=0)


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
