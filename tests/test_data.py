"""The generators: shapes, moments, labels, and what a draw does and does not depend on."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.science import data
from stages.science.params import Params
from stages.science.studies import STUDIES


@pytest.mark.parametrize("study", STUDIES)
def test_a_file_holds_what_its_readers_expect(study: str, settings: Params) -> None:
    arrays = data.GENERATORS[study](settings.at(study), settings.seed)
    assert {name: array.ndim for name, array in arrays.items()} == dict(STUDIES[study].arrays)
    assert all(array.dtype != np.float64 or array.ndim == 0 for array in arrays.values())


def test_wide_has_the_textbooks_moments(settings: Params, wide_arrays: dict[str, NDArray]) -> None:
    system, x = settings.wide.system, wide_arrays["train_inputs"].astype(float)
    assert x.shape == (16, 20, 200)
    assert wide_arrays["val_inputs"].shape == (16, 100, 200)
    five = 5 / np.sqrt(x.size)  # five standard errors of a mean of unit normals
    assert abs(x.mean()) < five
    assert abs(x.var() - 1) < 2 * five
    noise = wide_arrays["val_targets"] - wide_arrays["val_inputs"].astype(float).sum(-1) * system.weight - system.intercept
    assert abs(noise.mean()) < 5 * system.noise / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(system.noise, rel=5 / np.sqrt(2 * noise.size))
    start = wide_arrays["start_weight"]
    assert start.std() == pytest.approx(system.start_std, rel=5 / np.sqrt(2 * start.size))
    assert np.all(wide_arrays["start_bias"] == 0)


def test_line_is_the_line(line_arrays: dict[str, NDArray]) -> None:
    for split in ("train", "val"):
        x, y = line_arrays[f"{split}_inputs"], line_arrays[f"{split}_targets"]
        np.testing.assert_array_equal(y, 2 * x[..., 0] + 1)
    np.testing.assert_array_equal(line_arrays["train_inputs"][0, :, 0], [1, 2, 3, 4])
    assert np.abs(line_arrays["start_weight"]).max() < 1


def test_modular_labels_are_sums_and_splits_share_no_pair(settings: Params) -> None:
    arrays, p = data.modular(settings.modular, settings.seed), settings.modular.p
    for trial in range(settings.modular.trials):
        seen = []
        for split in ("train", "val"):
            for (a, b), label in zip(arrays[f"{split}_pairs"][trial], arrays[f"{split}_labels"][trial], strict=True):
                assert (a + b - label) % p == 0
                assert 0 <= label < p
                seen.append((int(a), int(b)))
        assert sorted(seen) == [(a, b) for a in range(p) for b in range(p)]
    assert arrays["train_pairs"].shape[1] == round(0.3 * 53**2)


@pytest.mark.parametrize("study", ["line", "wide", "modular"])
def test_more_trials_leave_the_first_ones_alone(study: str, settings: Params) -> None:
    section = replace(settings.at(study), trials=2)
    few, more = (data.GENERATORS[study](replace(section, trials=trials), 7) for trials in (2, 3))
    for name, array in few.items():
        np.testing.assert_array_equal(array, more[name][:2] if array.ndim else more[name])


def test_more_epochs_go_on_from_the_first_ones(settings: Params) -> None:
    few, more = (data.wide(replace(settings.wide, epochs=epochs), 7) for epochs in (3, 5))
    np.testing.assert_array_equal(few["order"], more["order"][:, :3])
    np.testing.assert_array_equal(few["train_inputs"], more["train_inputs"])


def test_streams_differ_by_every_part_of_their_name() -> None:
    names = [
        (0, "wide", 0, "start"),
        (1, "wide", 0, "start"),
        (0, "line", 0, "start"),
        (0, "wide", 1, "start"),
        (0, "wide", 0, "order"),
    ]
    draws = {name: float(data.stream(*name).standard_normal()) for name in names}
    assert len(set(draws.values())) == len(names)
    assert draws[names[0]] == float(data.stream(*names[0]).standard_normal())


def test_no_decay_and_no_learning_rate_changes_a_draw(settings: Params) -> None:
    line, adam = settings.line, settings.line.optimizers.adam
    optimizers = replace(line.optimizers, adam=replace(adam, wd=9.0, lr=0.3, epochs=7))
    changed = {
        "line": replace(line, wd=9.0, lr=0.3, optimizers=optimizers),
        "wide": replace(settings.wide, lr=0.5),
        "modular": replace(settings.modular, lr=0.5, threshold=0.5),
    }
    for study, section in changed.items():
        before = data.GENERATORS[study](settings.at(study), settings.seed)
        after = data.GENERATORS[study](section, settings.seed)
        for name, array in before.items():
            np.testing.assert_array_equal(array, after[name])
