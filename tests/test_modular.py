"""modular: its data, its network by definition, the committed results, and what its figures may say."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw, metrics, table
from msgspec.structs import replace

from stages.base.params import Settings
from stages.engine import models
from stages.engine.fit import Fit, fit
from stages.studies.modular import figures, results, training

TOLERANCE = 1e-12  # the same arithmetic in another order
NEVER = -1.0


def test_modular_labels_are_sums_and_splits_share_no_pair(settings: Settings) -> None:
    arrays, p = draw("modular", settings.modular), settings.modular.p
    for trial in range(settings.modular.trials):
        seen = []
        for split in ("train", "val"):
            for (a, b), label in zip(arrays[f"{split}_pairs"][trial], arrays[f"{split}_labels"][trial], strict=True):
                assert (a + b - label) % p == 0
                assert 0 <= label < p
                seen.append((int(a), int(b)))
        assert sorted(seen) == [(a, b) for a in range(p) for b in range(p)]
    assert arrays["train_pairs"].shape[1] == round(0.3 * 53**2)


def test_the_quadratic_network_is_the_one_with_one_hot_inputs(rng: np.random.Generator, device: torch.device) -> None:
    p, hidden = 5, 7
    parameters = {
        "hidden": torch.from_numpy(rng.standard_normal((2, 3, 2 * p, hidden))).to(device),
        "output": torch.from_numpy(rng.standard_normal((2, 3, hidden, p))).to(device),
    }
    pairs = torch.from_numpy(rng.integers(p, size=(2, 11, 2))).to(device)
    one_hot = torch.nn.functional.one_hot(pairs, p).flatten(2).double()
    units = torch.einsum("tni,tlih->tlnh", one_hot, parameters["hidden"]) ** 2
    expected = torch.einsum("tlnh,tlhp->tlnp", units, parameters["output"])
    torch.testing.assert_close(training.quadratic(parameters, pairs), expected, atol=TOLERANCE, rtol=0)


def test_many_decays_of_the_network_are_each_one_alone(settings: Settings) -> None:
    section = replace(settings.modular, p=5, system=replace(settings.modular.system, hidden=16, train_fraction=0.5))
    problem = training.problem(draw("modular", section, 3), torch.device("cpu"))

    def fitted(decay: float | torch.Tensor) -> Fit:
        return fit(problem, [None] * 30, optimizer="adamw", settings={"lr": 0.01}, weight_decay=decay, evaluate_every=10)

    decays = torch.tensor([0.0, 3.0], dtype=torch.float64)
    together = fitted(decays)
    for index, decay in enumerate(decays.tolist()):
        for key, value in fitted(decay).parameters.items():
            torch.testing.assert_close(together.parameters[key][:, index], value[:, 0], atol=TOLERANCE, rtol=0)


def test_modular_groks_with_decay_and_only_with_it() -> None:
    rows = metrics("modular")
    for arm in ("baseline", "wd"):
        assert rows[arm]["train_accuracy"] == 1
        assert 0 < rows[arm]["steps_to_memorise"] < 200
    assert rows["baseline"]["steps_to_generalise"] == -1
    assert rows["baseline"]["val_accuracy"] < 0.1
    assert rows["wd"]["val_accuracy"] > 0.95
    assert rows["wd"]["steps_to_generalise"] > 2 * rows["wd"]["steps_to_memorise"]


def test_modular_generalises_between_too_little_and_too_much(settings: Settings) -> None:
    steps: dict[float, list[float]] = {decay: [] for decay in settings.modular.sweep}
    for row in table("modular_sweep"):
        steps[row["weight_decay"]].append(row["steps_to_generalise"])
    helped = [decay for decay, each in steps.items() if min(each) > 0]
    assert settings.wd in helped
    assert 0 < min(helped) <= max(helped) < settings.modular.sweep[-1]
    assert all(set(each) == {-1} for decay, each in steps.items() if decay < min(helped) or decay > max(helped))


def test_a_threshold_is_met_by_the_accuracy_itself() -> None:
    """A third of the rows right is a third, the number of params.yaml, and not 0.333333."""
    targets = torch.nn.functional.one_hot(torch.zeros(1, 3, dtype=torch.long), 2).double()
    predictions = torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]]])
    share = models.accuracy(predictions, targets).numpy()[None]
    assert share.item() == 1 / 3
    assert results.first_step(share[0], np.array([0]), 1 / 3).tolist() == [0]


def grokked(arrivals: dict[float, list[float]], memorised: float = 10.0) -> Any:
    """The axes of a sweep in which the trials generalise at these steps."""
    table = [
        {"weight_decay": decay, "trial": trial, "diverged": 0, "steps_to_memorise": memorised, "steps_to_generalise": step}
        | {"train_accuracy": 1.0, "weight_norm": 1.0}
        for decay, steps in arrivals.items()
        for trial, step in enumerate(steps)
    ]
    (axes,) = figures.grokking(table, {"threshold": 0.95, "steps": 1000}).axes
    return axes


def captions(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text().startswith("decay helps")]


@pytest.mark.parametrize(
    ("helped", "said"),
    [
        ([1, 2, 3], ["decay helps: λ from 1 to 3"]),
        ([2], ["decay helps: λ = 2"]),
        ([1, 4, 5], ["decay helps: λ = 1", "decay helps: λ from 4 to 5"]),
        ([], []),
    ],
)
def test_a_range_that_is_said_to_help_has_no_holes(helped: list[int], said: list[str]) -> None:
    arrivals = {float(decay): [100.0, 200.0] if decay in helped else [100.0, NEVER] for decay in range(6)}
    assert captions(grokked(arrivals)) == said


def test_what_arrives_at_once_is_drawn_on_a_log_axis() -> None:
    axes = grokked({0.0: [NEVER], 1.0: [0.0], 2.0: [50.0]}, memorised=0.0)
    heights = [float(point.get_ydata()[0]) for point in axes.lines if len(point.get_ydata()) == 1]
    assert len(heights) == 6
    assert min(heights) > axes.get_ylim()[0] > 0


def test_arrival_says_never_unless_every_trial_arrives() -> None:
    run = {
        "train_accuracy": np.array([[0.1, 0.96, 1.0], [0.1, 0.2, 0.95]]),
        "val_accuracy": np.array([[0.0, 0.1, 0.99], [0.0, 0.1, 0.2]]),
        "steps": np.array([0, 10, 20]),
        "diverged": np.array([False, False]),
    }
    arrival = results.arrival(run, 0.95)
    assert arrival == {
        "steps_to_memorise": 15,
        "steps_to_memorise_se": 5,
        "memorised": 1,
        "steps_to_generalise": -1,
        "generalised": 0.5,
    }
