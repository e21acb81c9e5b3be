"""line: its data, the tutorial's ten losses by hand, and the committed results against closed forms."""

from typing import Any

import numpy as np
import pytest
from conftest import CPU, changed, fit, jobs_of, metrics, speaks_of, table
from numpy.typing import NDArray

from stages.base import storage
from stages.engine.train import over_decays
from stages.studies.line import results, training

TOLERANCE = 1e-12  # the same arithmetic in another order


def test_line_is_the_line(line_arrays: dict[str, NDArray]) -> None:
    for split in ("train", "val"):
        x, y = line_arrays[f"{split}_inputs"], line_arrays[f"{split}_targets"]
        np.testing.assert_array_equal(y, 2 * x[..., 0] + 1)
    np.testing.assert_array_equal(line_arrays["train_inputs"][0, :, 0], [1, 2, 3, 4])
    assert np.abs(line_arrays["start_weight"]).max() < 1


@speaks_of("line.wd", 0.01)
def test_line_prints_the_tutorials_ten_losses(settings: Any, line_arrays: dict[str, NDArray]) -> None:
    """Against the update written out by hand, in Python numbers."""
    found = fit("line", jobs_of("line", settings, line_arrays)["wd"])
    xs, ys = [1.0, 2.0, 3.0, 4.0], [3.0, 5.0, 7.0, 9.0]
    for run in range(settings.line.data.trials):
        w, b = float(line_arrays["start_weight"][run, 0]), float(line_arrays["start_bias"][run])
        losses = []
        for _ in range(10):
            errors = [w * x + b - y for x, y in zip(xs, ys, strict=True)]
            losses.append(sum(error * error for error in errors) / 4)
            slope = sum(2 * error * x for error, x in zip(errors, xs, strict=True)) / 4
            w, b = w - 0.1 * (slope + 0.01 * w), b - 0.1 * (sum(2 * error for error in errors) / 4 + 0.01 * b)
        np.testing.assert_allclose(found.history["train_loss"][run, 0, :10], losses, rtol=1e-11)
        assert [float(found.parameters["weight"][run, 0, 0]), float(found.parameters["bias"][run, 0])] == pytest.approx(
            [w, b], abs=TOLERANCE
        )


def test_it_ends_where_its_closed_form_ends() -> None:
    """Curves carry six digits, so rounding alone leaves 1e-5."""
    curves = table("line_curves")
    for run in ("baseline", "wd"):
        measured, exact = ([row for row in curves if row["run"] == name] for name in (run, f"{run}_theory"))
        assert len(measured) == len(exact) == 11
        for name in ("train_loss", "val_loss", "weight_norm"):
            np.testing.assert_allclose([row[name] for row in measured], [row[name] for row in exact], rtol=1e-5)


def test_lines_limit_is_the_penalised_normal_equation(settings: Any) -> None:
    design = np.array([[1.0, 1], [2, 1], [3, 1], [4, 1]])
    for row, decay in (("ridge", settings.line.wd), ("ridge_adam", settings.line.adam_wd)):
        limit = np.linalg.solve(design.T @ design + 4 * decay / 2 * np.eye(2), design.T @ np.array([3.0, 5, 7, 9]))
        assert [metrics("line")[row]["weight"], metrics("line")[row]["bias"]] == pytest.approx(limit, rel=1e-5)


def test_there_is_no_theory_for_what_it_does_not_cover(settings: Any, line_arrays: dict[str, NDArray]) -> None:
    def columns(**changes: float) -> set[str]:
        section = changed(settings.line, {f"train.{name}": value for name, value in changes.items()})
        swept = over_decays("line", training.job(section, line_arrays, CPU, section.sweep.wd), fit)
        rows, _ = results.evaluate_sweep(section, storage.in_float64(line_arrays), swept)
        return set(rows[0])

    assert "theory" in columns()
    assert "theory" not in columns(momentum=0.5)
    assert "theory" not in columns(batch_size=2)


def test_the_sweep_has_the_line_of_every_epoch(settings: Any, line_arrays: dict[str, NDArray]) -> None:
    """From the start on, with the norm that is measured beside it and the loss that follows from it."""
    swept = training.sweep(settings.line, line_arrays, CPU, fit)
    slope, intercept = swept["weight"], swept["bias"]
    np.testing.assert_allclose(
        slope[..., 0], np.broadcast_to(line_arrays["start_weight"], slope[..., 0].shape), rtol=TOLERANCE, atol=1e-8
    )
    np.testing.assert_allclose(np.abs(slope), swept["weight_norm"], rtol=1e-6, atol=1e-8)  # the norm is rounded
    x, y = line_arrays["train_inputs"][0, :, 0], line_arrays["train_targets"][0]
    losses = np.square(slope[..., None] * x + intercept[..., None] - y).mean(axis=-1)
    np.testing.assert_allclose(losses, swept["train_loss"], rtol=1e-6, atol=1e-6)  # rounded, too
