"""Rounding: noise of the last bits hidden, six digits true, nothing exact lost however small."""

import numpy as np
import pytest

from stages.base import rounding
from stages.measure import statistics

NOISE = 2e-16  # what machines differ by, as a share of the largest number that a value comes from


def test_the_grid_hides_rounding_noise_and_keeps_its_digits(rng: np.random.Generator) -> None:
    weights = rng.standard_normal((3, 50)) * np.array([1e-3, 1.0, 1e6])[:, None]
    largest = np.abs(weights).max(axis=1, keepdims=True)
    noisy = weights + NOISE * largest * rng.standard_normal(weights.shape)
    for bits in (rounding.LOOK, rounding.PATH, rounding.END):
        rounded = rounding.on_grid(weights, largest, bits)
        np.testing.assert_array_equal(rounded, rounding.on_grid(noisy, largest, bits))
        assert np.all(np.abs(rounded - weights) <= largest * 2.0**-bits)


def test_weights_to_look_at_fit_in_single_precision(rng: np.random.Generator) -> None:
    weights = rng.standard_normal(1000)
    rounded = rounding.on_grid(weights, np.abs(weights).max(), rounding.LOOK)
    np.testing.assert_array_equal(rounded.astype(np.float32), rounded)


def test_what_is_not_finite_stays_and_harms_no_neighbour(rng: np.random.Generator) -> None:
    values = rng.standard_normal(4)
    wild = rounding.on_grid([*values, np.nan, np.inf, 1e300, 0.0], [1.0] * 4 + [np.nan, np.inf, 1e300, 0.0], 30)
    np.testing.assert_array_equal(wild[:4], rounding.on_grid(values, 1.0, 30))
    np.testing.assert_array_equal(wild[4:], [np.nan, np.inf, rounding.on_grid(1e300, 1e300, 30), 0.0])


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_a_residual_of_rounding_is_no_loss_whatever_the_targets_scale(scale: float, rng: np.random.Generator) -> None:
    targets = scale * rng.standard_normal((3, 20))
    of_zero = np.mean(targets**2, axis=1)
    residuals = NOISE * targets * rng.standard_normal((3, 20))
    np.testing.assert_array_equal(rounding.losses_on_grid(np.mean(residuals**2, axis=1), of_zero), 0)
    small = 1e-8 * of_zero  # but a loss that is small and exact is kept, to six digits
    np.testing.assert_allclose(rounding.losses_on_grid(small, of_zero), small, rtol=5e-7)


def test_a_small_difference_of_large_losses_has_no_digit_that_is_not_known() -> None:
    """Losses near one that differ by 2e-8, as two trainings do whose λ differ by 1e-7: the second digit is the last known."""
    one, other = np.full(4, 0.36 + 2.0468e-8), np.full(4, 0.36)
    of_zero = np.full(4, 40.0)
    written = [rounding.losses_on_grid(each, of_zero) for each in (one, other)]
    known_to = rounding.resolution(written[0], of_zero)
    assert known_to == pytest.approx(2 * 0.6 * 8 * 2.0**-36)  # twice the root times the step below a root of 40
    found = statistics.difference({"x": written[0]}, {"x": written[1]}, {"x": known_to})
    assert found["x"] == pytest.approx(2.0468e-8, abs=1e-9)
    assert found["x"] == float(f"{found['x']:.2g}")
    assert found["trials"] == 4
    assert statistics.difference({"x": one}, {"x": one}, {"x": known_to})["x"] == 0


def test_pairs_are_counted_and_a_lost_trial_is_no_pair() -> None:
    one, other = np.array([1.0, 2.0, np.nan, 4.0]), np.array([0.5, np.nan, 1.0, 1.0])
    found = statistics.difference({"x": one}, {"x": other}, {"x": 1e-9})
    assert found == {"x": 1.75, "x_se": 1.25, "trials": 2}


def test_an_r_squared_of_nothing_but_rounding_is_zero(rng: np.random.Generator) -> None:
    targets = rng.standard_normal((5, 9)) + 3
    mean = targets.mean(axis=1, keepdims=True)
    loss = np.mean((targets - mean) ** 2, axis=1) * (1 + NOISE * rng.standard_normal(5))
    np.testing.assert_array_equal(statistics.r_squared(loss, targets, 2.0), 0)


def test_significant_digits() -> None:
    np.testing.assert_array_equal(
        rounding.significant([[1.23456789, 1.23456789e-9], [0.0, -98765432.1]]), [[1.23457, 1.23457e-9], [0, -98765400]]
    )


def test_a_decade_bounds_a_difference_and_hides_its_digits() -> None:
    assert [rounding.decade_above(x) for x in (0.0, 3e-17, 2e-15, 1e-3, 0.5)] == pytest.approx([1e-15, 1e-15, 1e-14, 1e-3, 1.0])
    for odd in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a finite difference"):
            rounding.decade_above(odd)
