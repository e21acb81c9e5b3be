"""Sentences that state a finding: chosen from the numbers, so other numbers give another one, as true as the first."""

from typing import Any

import numpy as np
import pytest

from stages.theory import sweep
from stages.theory.findings import by, effect

NAN = float("nan")


def rows(gap: float, error: float | None = 0.1, *, decay: float = 3.0, against: float = 0.0, lost: int = 0) -> dict[str, Any]:
    """A study's rows in which the baseline has a validation loss of 2."""
    arms = {"baseline": {"weight_decay": against, "val_loss": 2.0}, "wd": {"weight_decay": decay, "val_loss": 2.0 + gap}}
    known = {row: values | {"diverged": lost if row == "wd" else 0, "trials": 8} for row, values in arms.items()}
    paired = {"val_loss": gap} | ({} if error is None else {"val_loss_se": error})
    return known | {"wd_minus_baseline": paired}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (rows(-0.5), "λ = 3 lowers the validation loss by 25%"),
        (rows(0.5), "λ = 3 raises the validation loss by 25%"),
        (rows(0.0066, 0.001), "λ = 3 raises the validation loss by 0.3%"),
        (rows(4.4), "λ = 3 raises the validation loss 3.2-fold"),
        (rows(-1.9999), "λ = 3 lowers the validation loss by more than 99%"),
        (rows(-0.2), "λ = 3 has no visible effect on the validation loss"),  # at two standard errors exactly
        (rows(-0.201), "λ = 3 lowers the validation loss by 10%"),
        (rows(0.0, 0.0), "λ = 3 has no visible effect on the validation loss"),
        (rows(-0.5, None), "λ = 3: a single trial, which has no error to tell an effect by"),
        (rows(-0.5, decay=0), "Both arms have λ = 0: nothing to compare"),
        (rows(-0.5, against=1), "λ = 3 lowers the validation loss by 25% against λ = 1"),
        (rows(-0.5, lost=2), "λ = 3 lowers the validation loss; 2 of 8 trials diverged at λ = 3"),
    ],
)
def test_an_effect_is_said_as_the_numbers_have_it(metrics: dict[str, Any], said: str) -> None:
    assert effect(metrics) == said


def test_what_has_no_pair_left_has_no_effect() -> None:
    metrics = rows(0.0, lost=7)
    del metrics["wd_minus_baseline"]["val_loss"], metrics["wd_minus_baseline"]["val_loss_se"]
    assert effect(metrics, when=" after 10 epochs") == "λ = 3: no trial to compare; 7 of 8 trials diverged at λ = 3"


def test_a_change_of_what_is_no_size_is_no_share() -> None:
    assert by(-0.25, 0.0) == "by 0.25"


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([4, 3, 2, 3], "λ = 2 lowers the validation loss most, by 50%; from λ = 3 on it is higher again"),
        ([4, 3, 2, 1], "λ = 3 lowers the validation loss most, by 75%"),
        ([4, 4, 5, 6], "No λ visibly lowers the validation loss; from λ = 2 on it is higher"),
        ([4, 5, 4, 5], "No λ visibly lowers the validation loss"),
        ([4, 4, 4, 4], "No λ visibly lowers the validation loss"),
        ([4, 3, 2, NAN], "λ = 2 lowers the validation loss most, by 50%; 3 of 12 runs diverged"),
        ([NAN, 3, 2, 3], "λ = 0 has nothing to compare with; 3 of 12 runs diverged"),
    ],
)
def test_a_sweep_is_said_as_the_numbers_have_it(losses: list[float], said: str, rng: np.random.Generator) -> None:
    each = np.array(losses) + 0.001 * rng.standard_normal((3, 4)) * (np.array(losses) != 4)  # three trials, seen by three
    each += np.array([[-1.0], [0.0], [1.0]])  # what all λ of a trial share cancels in pairs
    assert sweep.finding(np.arange(4.0), each, np.isnan(each)) == said


def test_a_sweep_of_one_trial_says_that_it_tells_nothing() -> None:
    assert sweep.finding(np.arange(2.0), np.array([[2.0, 1.0]]), np.zeros((1, 2), dtype=bool)) == (
        "A single trial has no error to tell an effect by"
    )
