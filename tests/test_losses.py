"""Losses against torch's own, trial by trial; their signals against autograd. float64: 1e-14 of values of order one."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stages.base.errors import UserError
from stages.engine.decay import Decay
from stages.engine.fit import fit, measure, records
from stages.engine.job import Job
from stages.engine.losses import CROSS_ENTROPY, Loss, squared
from stages.engine.models import Model, calibration_error, one_hot
from stages.engine.optimizers import sgd
from stages.engine.problem import Problem, full_batch

TOLERANCE = 1e-14
TRIALS, DECAYS, ROWS, INPUTS, CLASSES = 3, 2, 7, 4, 5
LOSSES = {
    "squared": (squared(2.0), functional.mse_loss),
    "half squared": (squared(1.0), lambda predictions, targets: functional.mse_loss(predictions, targets) / 2),
    "cross-entropy": (CROSS_ENTROPY, functional.cross_entropy),
}
every_loss = pytest.mark.parametrize(("loss", "own"), LOSSES.values(), ids=LOSSES)


@pytest.fixture
def drawn(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Predictions (T, L, n, C), and one-hot targets (T, n, C)."""
    labels = torch.from_numpy(rng.integers(CLASSES, size=(TRIALS, ROWS)))
    return torch.from_numpy(rng.standard_normal((TRIALS, DECAYS, ROWS, CLASSES))), one_hot(labels, CLASSES)


@every_loss
def test_a_value_is_torchs_own_of_each_run(loss: Loss, own: object, drawn: tuple[Tensor, Tensor]) -> None:
    assert callable(own)
    predictions, targets = drawn
    expected = torch.stack([torch.stack([own(run, y) for run in runs]) for runs, y in zip(predictions, targets, strict=True)])
    torch.testing.assert_close(loss.value(predictions, targets), expected, atol=TOLERANCE, rtol=0)


@every_loss
def test_a_signal_is_autograds_gradient_of_the_value(loss: Loss, own: object, drawn: tuple[Tensor, Tensor]) -> None:
    predictions, targets = drawn
    predictions = predictions.requires_grad_()
    (expected,) = torch.autograd.grad(loss.value(predictions, targets).sum(), predictions)
    torch.testing.assert_close(loss.signal(predictions.detach(), targets), expected, atol=TOLERANCE, rtol=0)


def test_cross_entropy_bears_the_largest_logits() -> None:
    """1e4 is beyond exp: a right answer costs nothing, a wrong one the difference."""
    logits = torch.tensor([[[[1e4, 0.0]]], [[[0.0, 1e4]]]], dtype=torch.float64)
    targets = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]], dtype=torch.float64)
    assert CROSS_ENTROPY.value(logits, targets)[:, 0].tolist() == [0.0, 1e4]
    assert CROSS_ENTROPY.signal(logits, targets).isfinite().all()


def multinomial(rng: np.random.Generator) -> Problem:
    """Linear logits with a bias a class, which is spared."""

    def split() -> tuple[Tensor, Tensor]:
        inputs = torch.from_numpy(rng.standard_normal((TRIALS, ROWS, INPUTS)))
        return inputs, one_hot(torch.from_numpy(rng.integers(CLASSES, size=(TRIALS, ROWS))), CLASSES)

    def model(parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return torch.einsum("tni,tlic->tlnc", inputs, parameters["matrix"]) + parameters["offset"][:, :, None]

    shapes = {"matrix": (TRIALS, INPUTS, CLASSES), "offset": (TRIALS, CLASSES)}
    start = {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}
    return Problem(Model(model), CROSS_ENTROPY, split(), split(), start, ("matrix",), spared=("offset",), classes=True)


def test_training_with_cross_entropy_is_a_plain_loop(rng: np.random.Generator) -> None:
    """Against nn.Linear and nn.CrossEntropyLoss, a trial at a time; no parameter is called weight or bias."""
    problem = multinomial(rng)
    found = fit(Job(problem, full_batch(50, 50), sgd(0.9), 0.1, Decay((0.3,))))
    for trial in range(TRIALS):
        layer = torch.nn.Linear(INPUTS, CLASSES).double()
        with torch.no_grad():
            layer.weight.copy_(problem.start["matrix"][trial].T)
            layer.bias.copy_(problem.start["offset"][trial])
        groups = [{"params": [layer.weight], "weight_decay": 0.3}, {"params": [layer.bias], "weight_decay": 0.0}]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        labels = problem.train[1][trial].argmax(-1)
        for _ in range(50):
            optimizer.zero_grad()
            torch.nn.CrossEntropyLoss()(layer(problem.train[0][trial]), labels).backward()
            optimizer.step()
        torch.testing.assert_close(found.parameters["matrix"][trial, 0], layer.weight.detach().T, atol=1e-12, rtol=0)
        torch.testing.assert_close(found.parameters["offset"][trial, 0], layer.bias.detach(), atol=1e-12, rtol=0)


def test_what_is_written_of_cross_entropy_is_on_its_own_grid(rng: np.random.Generator) -> None:
    """Its size is log C, the loss of equal chances; it is no square, so no root is taken."""
    problem = multinomial(rng)
    found = fit(Job(problem, full_batch(20, 10), sgd(), 0.1, Decay((0.3,))))
    written = records(problem, found)["train_loss"]
    exact = found.history["train_loss"].numpy()
    assert problem.loss.of_zero(problem.train[1]).flatten().tolist() == pytest.approx([np.log(CLASSES)] * TRIALS, abs=TOLERANCE)
    assert 0 < np.abs(written - exact).max() <= 2.0**-30 * 2
    assert np.all(written[..., -1] * 2.0**35 % 1 == 0)  # log 5 lies between 1 and 2: steps of 2⁻³⁵


def test_a_problem_that_names_unknown_parameters_is_refused(rng: np.random.Generator) -> None:
    known = multinomial(rng)
    with pytest.raises(UserError, match=r"expected weights and spared among .*'offset'.*, got \['bias'\]"):
        Problem(known.model, known.loss, known.train, known.val, known.start, ("matrix",), spared=("bias",))
    assert measure(known, {name: value[:, None] for name, value in known.start.items()})["val_accuracy"].shape == (TRIALS, 1)


def test_a_calibration_error_is_its_definition(rng: np.random.Generator) -> None:
    """Row by row, in plain Python; one row stands on the edge of two bins, one is certain."""
    logits = torch.from_numpy(rng.standard_normal((TRIALS, DECAYS, 200, CLASSES)))
    probabilities = (3 * logits).softmax(-1)
    probabilities[0, 0, 0], probabilities[0, 0, 1] = (
        torch.tensor([first, *[(1 - first) / (CLASSES - 1)] * (CLASSES - 1)]) for first in (0.5, 1.0)
    )
    labels = torch.from_numpy(rng.integers(CLASSES, size=(TRIALS, 200)))
    found = calibration_error(probabilities, one_hot(labels, CLASSES))
    for trial in range(TRIALS):
        for run in range(DECAYS):
            bins: dict[int, list[float]] = {}
            for row, label in zip(probabilities[trial, run].tolist(), labels[trial].tolist(), strict=True):
                confidence = max(row)
                bins.setdefault(math.ceil(10 * confidence), []).append((row.index(confidence) == label) - confidence)
            expected = sum(abs(sum(gaps)) for gaps in bins.values()) / 200
            assert found[trial, run].item() == pytest.approx(expected, abs=TOLERANCE)


def test_what_is_certain_and_right_is_calibrated_and_what_is_certain_and_wrong_is_not() -> None:
    certain = one_hot(torch.tensor([[0, 1, 2, 3]]), CLASSES)
    assert calibration_error(certain[:, None], certain).item() == 0
    assert calibration_error(certain[:, None].flip(2), certain).item() == 1
