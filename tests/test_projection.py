"""What projecting and condensing keep, and where they do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CPU
from test_fit import TOLERANCE, batches, fitted, job, linear_problem

from stages.engine import fit as loop
from stages.engine import losses, models, projection
from stages.engine.decay import Decay
from stages.engine.fit import Fit
from stages.engine.job import Job
from stages.engine.train import over_decays


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_the_span_of_rows_and_start_is_all_that_sgd_sees(name: str, rng: np.random.Generator, device: torch.device) -> None:
    problem, steps = linear_problem(rng, device, rows=12, inputs=40), batches(rng, device)
    projected = projection.project(problem)
    assert projected.train[0].shape == (3, 12, 13)
    full, inside = (fitted(each, steps, name, 0.0, 0.3, 2.0) for each in (problem, projected))
    for key, value in full.history.items():
        torch.testing.assert_close(inside.history[key], value, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(inside.parameters["bias"], full.parameters["bias"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("case", ["from zero", "a row twice", "two rows almost equal"])
def test_the_span_of_dependent_rows_is_found_too(case: str, rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, rows=12, inputs=40)
    if case == "from zero":
        problem = problem.from_zero()
    else:
        inputs = problem.train[0].clone()
        inputs[:, 1] = inputs[:, 0] + (1e-9 * inputs[:, 2] if case == "two rows almost equal" else 0)
        problem = replace(problem, train=(inputs, problem.train[1]))
    full, inside = (fitted(each, [None] * 60, "sgd", 0.3) for each in (problem, projection.project(problem)))
    for key, value in full.history.items():
        torch.testing.assert_close(inside.history[key], value, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("case", ["any targets", "targets that are exactly linear", "a column of zeros"])
def test_condensed_rows_have_the_same_error_for_any_weights(case: str, rng: np.random.Generator) -> None:
    inputs, weight = torch.from_numpy(rng.standard_normal((3, 40, 5))), torch.from_numpy(rng.standard_normal((3, 2, 5)))
    targets, bias = torch.from_numpy(rng.standard_normal((3, 40))), torch.from_numpy(rng.standard_normal((3, 2)))
    if case == "a column of zeros":
        inputs[..., 2] = 0
    parameters = {"weight": weight, "bias": bias}
    if case == "targets that are exactly linear":
        targets = models.linear(parameters, inputs)[:, 0]
    few_inputs, few_targets = projection.condense(inputs, targets)
    assert few_inputs.shape == (3, 7, 5)
    expected = torch.stack([(inputs @ weight[:, k, :, None])[..., 0] + bias[:, k, None] - targets for k in range(2)], dim=1)
    found = losses.squared(2.0).value(models.linear(parameters, few_inputs), few_targets)
    torch.testing.assert_close(found, expected.square().mean(2), atol=TOLERANCE, rtol=TOLERANCE)


def test_adam_sees_more_than_the_span(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU, rows=12, inputs=40)
    full, inside = (fitted(each, [None] * 60, "adam", 0.3) for each in (problem, projection.project(problem)))
    assert float((full.history["val_loss"] - inside.history["val_loss"]).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("name", "decay", "inputs"),
    [("sgd", Decay((0.3,)), 13), ("adam", Decay((0.3,)), 40), ("sgd", Decay((0.3,), l1_ratio=0.5), 40)],
)
def test_a_sweep_projects_what_sees_the_span_alone(name: str, decay: Decay, inputs: int, rng: np.random.Generator) -> None:
    """Neither Adam, which scales each input by itself, nor ℓ1, which pulls at each."""
    trained: list[Job] = []

    def fit(_: str, handed: Job) -> Fit:
        trained.append(handed)
        return loop.fit(handed)

    problem = replace(linear_problem(rng, CPU, rows=12, inputs=40), least_squares=True)
    over_decays("x", job(problem, [None] * 5, name, decay), fit)
    assert trained[0].problem.train[0].shape[-1] == inputs


def test_a_narrow_problem_is_left_as_it_is(rng: np.random.Generator) -> None:
    problem = linear_problem(rng, CPU)
    assert projection.project(problem) is problem
