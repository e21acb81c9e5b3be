"""Which λ for more rows: theory against the exact fixed point, the sentences, the committed numbers."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU, changed, draw, fit, metrics, table
from numpy.typing import NDArray

from stages.base import storage
from stages.base.errors import UserError
from stages.base.isotropic import first_rows
from stages.engine.train import over_decays
from stages.studies.optimizers.box import batch_rest
from stages.studies.scaling import results, training
from stages.theory.ridge import without_bias

SUMMARY, TABLE = metrics("scaling_sweep"), table("scaling_sweep")
GRID = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
SAME = 1e-12  # the same arithmetic in another order


@pytest.mark.parametrize(("rows", "batch_size"), [(100, 10), (100, 40), (400, 10)])
def test_theorys_decay_is_nearly_the_best_of_the_exact_fixed_point(rows: int, batch_size: int, settings: Any) -> None:
    """The risk of AdamW's fixed point, without training, at 41 λ from a quarter of theory's to four times it.

    RMS(g) is taken at one point for all λ, so a factor of 1.5 is allowed; of 24 trials the best λ has its own error.
    """
    section = changed(settings.scaling, {"data.trials": 24, "data.rows": (rows,)})
    arrays = storage.in_float64(draw("scaling", section))
    expected = results.best_in_theory(arrays, batch_size)["adamw"]
    decays = expected * np.geomspace(0.25, 4, 41)
    pairs = zip(arrays["train_inputs"], arrays["train_targets"], arrays["true_weight"], strict=True)
    risks = [((batch_rest(x, y, decays, batch_size) - truth) ** 2).sum(axis=1) for x, y, truth in pairs]
    best = decays[np.mean(risks, axis=0).argmin()]
    assert expected / 1.5 < best < 1.5 * expected


def test_the_size_of_a_gradient_is_that_over_all_batches(settings: Any) -> None:
    """All 35 batches of 3 of 7 rows, each gradient taken at the best ridge solution."""
    section = changed(settings.scaling, {"data.trials": 4, "data.rows": (7,), "data.inputs": 5})
    arrays = storage.in_float64(draw("scaling", section))
    x, y = arrays["train_inputs"], arrays["train_targets"]
    found = results.best_in_theory(arrays, 3)
    weight = without_bias(x, y, found["sgd"])
    errors = np.einsum("tnd,td->tn", x, weight) - y
    batches = itertools.combinations(range(7), 3)
    squares = [(np.mean(errors[:, batch, None] * x[:, batch], axis=1) ** 2).mean(axis=1) for batch in map(list, batches)]
    assert found["adamw"] == pytest.approx((found["sgd"] / np.sqrt(np.mean(squares, axis=0))).mean(), rel=SAME)


def test_sgd_ends_at_ridge_where_it_has_the_time(settings: Any) -> None:
    """800 steps on half of 24 rows with 4 inputs: what batches stir is settled to a few per cent of the weights."""
    data = {"data.trials": 4, "data.rows": (24,), "data.inputs": 4, "train.epochs": 400}
    section = changed(settings.scaling, data)
    arrays = storage.in_float64(draw("scaling", section))
    job = training.jobs_of(section, arrays, CPU, [0.5], 12)[0]
    found = fit("sgd", job).parameters["weight"][:, 0].numpy()
    ridge = without_bias(arrays["train_inputs"], arrays["train_targets"], 0.5)
    assert np.linalg.norm(found - ridge, axis=1).max() < 0.03 * np.linalg.norm(ridge, axis=1).min()


def test_a_sweep_is_its_jobs_on_the_first_rows(settings: Any) -> None:
    section = changed(settings.scaling, {"data.trials": 2, "data.rows": (12, 30), "data.inputs": 4, "train.epochs": 2})
    section = changed(section, {"sweep.wd": (0.0, 0.5), "sweep.batch_size": (5, 7)})
    arrays = draw("scaling", section)
    swept = training.sweep(section, arrays, CPU, fit)
    own = storage.in_float64(first_rows(arrays, 12))
    job = training.jobs_of(section, own, CPU, [0.5], 7)[1]
    weight = fit("adamw", job).parameters["weight"][:, 0].numpy()
    np.testing.assert_allclose(swept["risk"][1, 1, 0, :, 1], ((weight - own["true_weight"]) ** 2).sum(axis=1), atol=1e-9)
    assert swept["epochs"][1, 1].tolist() == pytest.approx([1 / (0.01 * 2), 1 / (0.01 * 5)])  # 12 and 30 rows in batches of 7
    assert torch.equal(job.problem.train[1], torch.from_numpy(own["train_targets"]))
    assert over_decays("scaling", job, fit)["val_loss"][..., -1] == pytest.approx(swept["risk"][1, 1, 0, :, 1:] / 2)


def test_a_nudge_of_the_rows_changes_no_written_digit(settings: Any) -> None:
    """Training starts at zero, which a nudge leaves alone. What is written has a grid of 1e-11."""
    section = changed(settings.scaling, {"data.trials": 2, "data.rows": (100, 400)})
    arrays = draw("scaling", section)
    nudged = arrays | {"train_inputs": arrays["train_inputs"].astype(float) * (1 + 1e-15)}
    one, other = (training.sweep(section, each, CPU, fit)["risk"] for each in (arrays, nudged))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)


def test_batches_of_all_rows_are_refused(settings: Any) -> None:
    section = changed(settings.scaling, {"data.trials": 1, "data.rows": (12,), "sweep.batch_size": (4, 12)})
    said = "scaling.sweep.batch_size: expected fewer than the fewest rows, 12, got 12$"
    with pytest.raises(UserError, match=said):
        training.sweep(section, draw("scaling", section), CPU, fit)


def risks(*means: list[float], trials: int = 12, spread: float = 0.001) -> NDArray:
    """Risks around these means, the trials' differences small beside the trials themselves.  (N, T, L)"""
    rng = np.random.default_rng(3)
    whole = 0.1 * rng.standard_normal(trials)
    each = np.array(means)[:, None, :] + (whole - whole.mean())[:, None]
    return each + spread * rng.standard_normal((len(means), trials, len(means[0])))


FEW, MANY = [4, 3, 2.5, 2, 3.0], [1, 0.5, 0.8, 2, 4.0]
BEGUN = "On batches of 9 SGD"


@pytest.mark.parametrize(
    ("counts", "means", "said"),
    [
        (
            [10, 40],
            (FEW, MANY),
            "raises the lowest risk with 40 rows 4-fold; the λ nearest to 1/4 of it, 1, does not visibly raise it",
        ),
        ([10, 20], (FEW, MANY), "raises the lowest risk with 20 rows 4-fold; the λ nearest to 1/2 of it, 2, raises it by 60%"),
        (
            [10, 35],
            (FEW, MANY),
            "raises the lowest risk with 35 rows 4-fold; the λ nearest to 1/3.5 of it, 1, does not visibly raise it",
        ),
        (
            [10, 40],
            (FEW, FEW),
            "does not visibly raise the lowest risk with 40 rows; the λ nearest to 1/4 of it, 1, raises it by 50%",
        ),
        (
            [10, 40],
            (FEW, [1, np.nan, 0.8, np.nan, np.nan]),
            "diverges with 40 rows; the λ nearest to 1/4 of it, 1, diverges with 40 rows",
        ),
    ],
)
def test_what_becomes_of_a_decay_that_is_kept(counts: list[int], means: tuple[list[float], ...], said: str) -> None:
    assert results.keeping("SGD", 9, counts, GRID, risks(*means)) == f"{BEGUN}'s best λ with 10 rows, 4, {said}"


def test_what_cannot_be_compared_is_said() -> None:
    assert results.keeping("SGD", 9, [10], GRID, risks(FEW)) == f"{BEGUN}'s best λ cannot be compared"
    assert results.keeping("SGD", 9, [10, 40], GRID, risks(FEW, [np.nan] * 5)) == f"{BEGUN}'s best λ cannot be compared"
    growing = [1, 2, 3, 4, 5.0]
    assert results.keeping("SGD", 9, [10, 40], GRID, risks(growing, MANY)) == f"{BEGUN} has no λ better than 0 with 10 rows"


def test_the_nearest_decay_is_that_by_ratio_and_of_two_the_smaller() -> None:
    """2.9 is nearer to 4 than to 2; the middle between two is the same on every machine."""
    places = [results.nearest(GRID, decay) for decay in (0.0, 0.01, 2.8, 2.9, 100, 2**0.5, 2**0.5 * (1 + 1e-9))]
    assert GRID[places].tolist() == [0, 1, 2, 4, 8, 1, 1]


def test_a_theory_counts_where_the_grid_has_it() -> None:
    """Not visibly worse are 2 and 4, which have nearly one risk."""
    each = risks([3, 2, 1, 1.0001, 2.0])[0]
    for theory, alike in ((2.0, 1), (3.0, 1), (1.2, 0), (8.0, 0)):
        found = results.best(GRID, each, 10.0, theory)
        assert (found["theory_alike"], found["zero_alike"]) == (alike, 0), theory
        assert (found["alike_from"], found["alike_to"]) == (2, 4)
        assert found["epochs_at_best"] == 10 / found["best_lambda"]
    for theory in (9.0, 0.5):
        assert "theory_alike" not in results.best(GRID, each, 10.0, theory)
    assert results.best(GRID, np.full_like(each, np.nan), 10.0, 2.0) == {"theory_lambda": 2.0}
    known = {"a": {"theory_alike": 1, "zero_alike": 1}, "b": {"theory_alike": 0, "zero_alike": 1}, "c": {}}
    assert results.within({"c": {}}) == "No λ of theory lies within the grid"
    assert results.within(known) == "The λ nearest to theory's is not visibly worse than the best in 1 of 2 cases, λ = 0 in 2"


def test_between_which_times_the_best_lie_is_said() -> None:
    known = [{"best_lambda": 4.0, "epochs_at_best": 5.0}, {"best_lambda": 0.0}, {"best_lambda": 1.0, "epochs_at_best": 2.5}, {}]
    lie = "lie between 1 and 4, their time scales 1/(lr·λ) between 2.5 and 5 epochs"
    assert results.at_times(9, known) == f"On batches of 9 AdamW's best λ above 0 {lie}"
    assert results.at_times(9, known[:2]) == "On batches of 9 AdamW has fewer than two best λ above 0"


def of(name: str, *runs: str) -> list[float]:
    return [SUMMARY[f"{run}_rows_{rows}"][name] for run in runs for rows in (100, 200, 400, 800, 1600, 3200)]


def test_the_best_decay_falls_as_the_rows_grow() -> None:
    """The grid doubles, and so do the rows: the best λ is at most two places below theory's, and no whole one above."""
    for run in ("sgd_10", "adamw_10"):
        ratios = np.array(of("best_lambda", run)) / np.array(of("theory_lambda", run))
        assert np.all((ratios > 0.24) & (ratios < 1.5))
        assert np.all(np.diff(of("best_lambda", run)) < 0)
    assert of("theory_lambda", "sgd_10") == pytest.approx([50 / rows for rows in (100, 200, 400, 800, 1600, 3200)], rel=1e-5)
    ratios = np.array(of("theory_lambda", "adamw_40")) / np.array(of("theory_lambda", "adamw_10"))
    assert np.all((ratios > 2) & (ratios < 2.3))  # √(40/10), and what the share of all rows adds where they are few


def test_the_time_scale_is_that_of_the_rows_best() -> None:
    for row in TABLE:
        steps = -(-row["rows"] // int(row["run"].split("_")[1]))
        lr = 0.05 if row["run"].startswith("sgd") else 0.01
        expected = 1 / (lr * row["weight_decay"] * steps) if row["weight_decay"] else None
        assert row["epochs"] == (expected and pytest.approx(expected, rel=1e-5))
