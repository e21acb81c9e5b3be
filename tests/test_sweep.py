"""The sweep: equal to the arms at their λ, indifferent to its chunks and to neighbours that diverge, honest about its best."""

import csv
import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stages import sweep
from stages.science import data, models, problems, references, storage, summaries, training
from stages.science.params import Params

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-12  # the same arithmetic in another order


def swept(arrays: dict[str, NDArray], settings: Params, decays: list[float], runs_at_once: int = 10_000) -> training.Fit:
    problem = problems.build("wide", arrays, torch.device("cpu"))
    schedule = problems.schedule(arrays, settings.wide.optimizers.sgd, torch.device("cpu"))
    return training.fit_in_chunks(
        problem,
        schedule.batches,
        runs_at_once=runs_at_once,
        optimizer="sgd",
        settings={"lr": settings.wide.lr},
        weight_decay=torch.tensor(decays, dtype=torch.float64),
        evaluate_every=schedule.evaluate_every,
        progress=lambda total: nullcontext(lambda step, measured: None),
    )


def summary(study: str) -> dict[str, Any]:
    return json.loads((ROOT / "metrics" / f"{study}_sweep.json").read_text(encoding="utf-8"))[f"{study}_sweep"]


def table(study: str) -> list[dict[str, str]]:
    with (ROOT / "metrics" / f"{study}_sweep.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_swept_run_is_the_arm_at_its_decay(settings: Params, wide_arrays: dict[str, NDArray]) -> None:
    """The arm's λ goes through torch.optim's own weight_decay; trial by trial, before rounding."""
    together = swept(wide_arrays, settings, [0.0, 1.0, 3.0, 10.0])
    problem = problems.build("wide", wide_arrays, torch.device("cpu"))
    schedule = problems.schedule(wide_arrays, settings.wide.optimizers.sgd, torch.device("cpu"))
    for index, decay in ((0, 0.0), (2, 3.0)):
        arm = training.fit(
            problem, schedule.batches, optimizer="sgd", settings={"lr": settings.wide.lr}, weight_decay=decay, evaluate_every=4
        )
        for name, value in arm.parameters.items():
            torch.testing.assert_close(together.parameters[name][:, index], value[:, 0], atol=TOLERANCE, rtol=0)
        for name, value in arm.history.items():
            torch.testing.assert_close(together.history[name][:, index], value[:, 0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("study", ["line", "wide", "modular"])
def test_the_committed_table_has_the_committed_arms_in_it(study: str, settings: Params) -> None:
    """Six digits each, averaged: 1e-5."""
    metrics = json.loads((ROOT / "metrics" / f"{study}.json").read_text(encoding="utf-8"))[study]
    for arm, decay in (("baseline", settings.baseline), ("wd", settings.line.wd if study == "line" else settings.wd)):
        rows = [row for row in table(study) if float(row["weight_decay"]) == decay]
        assert len(rows) == settings.at(study).trials
        for name in ("train_loss", "val_loss", "weight_norm"):
            assert np.mean([float(row[name]) for row in rows]) == pytest.approx(metrics[arm][name], rel=1e-5)


def test_chunks_change_nothing(settings: Params, wide_arrays: dict[str, NDArray]) -> None:
    whole, single = (swept(wide_arrays, settings, [0.0, 3.0], runs_at_once=size) for size in (10_000, 1))
    for name, value in whole.history.items():
        torch.testing.assert_close(single.history[name], value, atol=TOLERANCE, rtol=0)


def test_out_of_memory_halves_the_chunk_and_says_so_once(
    settings: Params, wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, fit = swept(wide_arrays, settings, [0.0, 3.0]), training.fit

    def small(problem: problems.Problem, *arguments: Any, **options: Any) -> training.Fit:
        if len(problem.train[1]) > 10:
            raise MemoryError
        return fit(problem, *arguments, **options)

    monkeypatch.setattr(training, "fit", small)
    found = swept(wide_arrays, settings, [0.0, 3.0])
    assert capsys.readouterr().err == "out of memory with 32 runs at once: going on with 16\n"
    for name, value in expected.history.items():
        torch.testing.assert_close(found.history[name], value, atol=TOLERANCE, rtol=0)


def test_out_of_memory_with_one_trial_halves_its_decays(
    settings: Params, wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, fit, seen = swept(wide_arrays, settings, [0.0, 1.0, 3.0]), training.fit, []

    def tiny(problem: problems.Problem, *arguments: Any, **options: Any) -> training.Fit:
        runs = len(problem.train[1]) * len(options["weight_decay"])
        if runs > 1:
            raise MemoryError
        seen.append(runs)
        return fit(problem, *arguments, **options)

    monkeypatch.setattr(training, "fit", tiny)
    found = swept(wide_arrays, settings, [0.0, 1.0, 3.0])
    assert len(seen) == 16 * 3
    assert capsys.readouterr().err.splitlines()[-1] == "out of memory with 3 runs at once: going on with 1"
    for name, value in expected.history.items():
        torch.testing.assert_close(found.history[name], value, atol=TOLERANCE, rtol=0)


def test_a_decay_beyond_stability_is_marked_and_harms_no_other(settings: Params, wide_arrays: dict[str, NDArray]) -> None:
    alone, beside = swept(wide_arrays, settings, [0.0, 3.0]), swept(wide_arrays, settings, [0.0, 3.0, 1e4, 1e200])
    assert beside.diverged.all(0).tolist() == [False, False, True, True]
    assert not beside.diverged[:, :2].any()
    for name, value in alone.history.items():
        torch.testing.assert_close(beside.history[name][:, :2], value, atol=TOLERANCE, rtol=0)


def test_the_best_decay_is_the_lowest_mean_and_the_largest_within_its_error() -> None:
    losses = [5.0, 2.0, 1.0, 1.2, 1.3, 4.0]
    means = [{"val_loss": loss, "val_loss_se": 0.25} for loss in losses]
    assert summaries.best_decays(means) == (2, 3)
    assert summaries.best_decays([{"val_loss": 1.0}, {"val_loss": 2.0}]) == (0, 0)


def summarised(grid: tuple[float, ...], losses: list[list[float]], lost: list[list[int]], theory: Any = None) -> dict[str, Any]:
    """A sweep's summary: losses and diverged runs, a row a trial."""
    ended = {"val_loss": np.array(losses)} | ({} if theory is None else {"theory": np.array(theory)})
    return sweep.summary(grid, ended, np.array(lost, dtype=bool), np.ones(len(losses)))


def test_what_a_name_says_and_a_sweep_has_not_is_absent() -> None:
    """A λ at which a trial diverged is no place to be compared with the others; it is not the start, nor the end, nor best."""
    grid, losses = (0.0, 1.0, 3.0), [[0.1, 2.0, 4.0], [0.1, 3.0, 5.0]]
    assert summarised(grid, losses, [[0, 0, 0], [0, 0, 0]])["val_loss_at_zero"] == 0.1
    found = summarised(grid, losses, [[1, 0, 0], [0, 0, 0]])
    assert found["diverged"] == 1
    assert "val_loss_at_zero" not in found
    assert (found["best_lambda"], found["val_loss_at_best"], found["val_loss_at_end"]) == (1.0, 2.5, 4.5)
    found = summarised(grid, losses, [[0, 0, 0], [0, 0, 1]])
    assert "val_loss_at_end" not in found
    assert found["best_lambda"] == 0.0
    assert summarised(grid, losses, [[1, 0, 1], [0, 1, 0]]) == {"diverged": 3}


def test_theory_is_compared_over_the_same_trials() -> None:
    grid, losses = (0.0, 1.0), [[1.0, 1.0], [3.0, 3.0]]
    theory = [[1e20, 2.0], [2.0, 4.0]]  # of a trial that diverged theory expects no small loss either
    assert summarised(grid, losses, [[1, 0], [0, 0]], theory)["max_abs_z"] == 1.0  # a mean of 2 ± 1 where 3 is expected
    assert "max_abs_z" not in summarised(grid, losses, [[1, 1], [0, 0]], theory)
    assert "max_abs_z" not in summarised((0.0,), [[1.0], [2.0]], [[0], [0]], [[np.nan], [1.0]])
    assert summarised((0.0,), [[1.0], [2.0]], [[0], [0]], [[1.0 + 1e-12], [2.0]])["max_abs_z"] == 0  # to its resolution


def test_a_threshold_is_met_by_the_accuracy_itself() -> None:
    """A third of the rows right is a third, the number of params.yaml, and not 0.333333."""
    targets = torch.nn.functional.one_hot(torch.zeros(1, 3, dtype=torch.long), 2).double()
    predictions = torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]]])
    share = models.accuracy(predictions, targets).numpy()[None]
    assert share.item() == 1 / 3
    assert summaries.first_step(share[0], np.array([0]), 1 / 3).tolist() == [0]


def test_wides_curve_is_a_u_that_theory_expects(settings: Params) -> None:
    found = summary("wide")
    assert found["val_loss_at_best"] < found["val_loss_at_end"] < found["val_loss_at_zero"]
    assert found["best_lambda"] <= found["best_lambda_1se"]
    assert found["max_abs_z"] < 4
    assert found["theory_lambda"] == pytest.approx(200 * 0.01**2 / (20 * 200 * 0.01**2))
    training_losses = [
        np.mean([float(row["train_loss"]) for row in table("wide") if float(row["weight_decay"]) == decay])
        for decay in settings.wide.sweep
    ]
    assert np.all(np.diff(training_losses) > 0)


def test_modular_generalises_between_too_little_and_too_much(settings: Params) -> None:
    steps: dict[float, list[float]] = {decay: [] for decay in settings.modular.sweep}
    for row in table("modular"):
        steps[float(row["weight_decay"])].append(float(row["steps_to_generalise"]))
    helped = [decay for decay, each in steps.items() if min(each) > 0]
    assert settings.wd in helped
    assert 0 < min(helped) <= max(helped) < settings.modular.sweep[-1]
    assert all(set(each) == {-1} for decay, each in steps.items() if decay < min(helped) or decay > max(helped))


def test_expected_losses_are_the_mean_over_starts_and_noise(settings: Params) -> None:
    """400 small systems trained by hand, in NumPy: the mean validation loss is the mean expectation within four errors."""
    section = replace(settings.wide, trials=400, system=replace(settings.wide.system, inputs=20, train_rows=8, val_rows=50))
    arrays = storage.in_float64(data.wide(section, 5))
    expected = references.expected_val_losses("wide", arrays, [2.0], lr=0.05, momentum=0.0)
    assert expected is not None
    losses = []
    for trial in range(400):
        w, b = arrays["start_weight"][trial].copy(), 0.0
        x, y = arrays["train_inputs"][trial], arrays["train_targets"][trial]
        for epoch in arrays["order"][trial]:
            for rows in (epoch[:5], epoch[5:]):
                error = x[rows] @ w + b - y[rows]
                w, b = w - 0.05 * (x[rows].T @ error / len(rows) + 2.0 * w), b - 0.05 * error.mean()
        losses.append(np.mean((arrays["val_inputs"][trial] @ w + b - arrays["val_targets"][trial]) ** 2) / 2)
    gaps = np.array(losses) - expected[:, 0]
    assert abs(gaps.mean()) < 4 * gaps.std(ddof=1) / 20


def test_there_is_no_theory_for_what_it_does_not_cover(line_arrays: dict[str, NDArray]) -> None:
    arrays = storage.in_float64(line_arrays)
    assert references.expected_val_losses("line", arrays, [0.0], lr=0.1, momentum=0.0) is not None
    assert references.expected_val_losses("line", arrays, [0.0], lr=0.1, momentum=0.5) is None
    assert references.expected_val_losses("line", arrays | {"batch_size": np.array(2)}, [0.0], lr=0.1, momentum=0.0) is None
