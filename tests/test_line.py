"""line: its data, what its theory covers, and the lines of its sweep."""

from typing import Any

import numpy as np
from conftest import CPU, changed, fit
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
