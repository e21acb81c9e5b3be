"""What depth makes of L2: closed forms by their optimality conditions, training against them, the sentences."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import CPU, changed, draw, fit, metrics, table
from numpy.typing import NDArray

from stages.base import storage
from stages.base.streams import Arrays
from stages.engine.optimizers import sgd
from stages.studies.layers import results, spectrum, training
from stages.studies.layers.system import RUNS, Layers

SUMMARY, TABLE = metrics("layers_sweep"), table("layers_sweep")
EXACT = 1e-12  # the same arithmetic in another order, in units of the matrix
DECAYS = np.array([0.0, 0.5, 1.5, 4.0])


@pytest.fixture(scope="module")
def section(settings: Any) -> Layers:
    return changed(settings.layers, {"data.trials": 3, "data.rows": 8, "data.columns": 6, "data.rank": 2})


@pytest.fixture(scope="module")
def arrays(section: Layers) -> Arrays:
    return storage.in_float64(draw("layers", section))


def test_a_draw_has_its_rank_and_hides_its_share(settings: Any) -> None:
    arrays = draw("layers", changed(settings.layers, {"data.trials": 4, "data.hidden": 0.3}))
    assert np.linalg.matrix_rank(arrays["truth"], tol=1e-3).tolist() == [3] * 4  # stored in single precision
    assert (~arrays["seen"]).sum(axis=(1, 2)).tolist() == [180] * 4
    assert np.var(arrays["truth"]) == pytest.approx(1, abs=0.3)  # 4 matrices of rank 3 are few
    assert np.std(arrays["targets"] - arrays["truth"]) == pytest.approx(0.4, abs=0.03)  # 2,400 entries


def test_the_closed_forms_are_optimal(arrays: Arrays) -> None:
    """One layer: the gradient is zero. Two: Y − W is in λ times the subdifferential of the nuclear norm at W.

    That is, λ·U₁V₁ᵀ + R, with U₁ and V₁ the singular vectors of W, R orthogonal to both, and ‖R‖₂ ≤ λ (Watson 1992).
    """
    targets = arrays["targets"]
    one = spectrum.optimum(targets, DECAYS, "one")
    np.testing.assert_allclose(one - targets[:, None] + DECAYS[:, None, None] * one, 0, atol=EXACT)
    two = spectrum.optimum(targets, DECAYS, "two")
    for trial, place in np.ndindex(two.shape[:2]):
        decay, found = DECAYS[place], two[trial, place]
        left, values, right = np.linalg.svd(found)
        rank = int((values > 1e-9).sum())
        rest = targets[trial] - found - decay * left[:, :rank] @ right[:rank]
        assert np.abs(left[:, :rank].T @ rest).max(initial=0) < 1e-11
        assert np.abs(rest @ right[:rank].T).max(initial=0) < 1e-11
        assert np.linalg.norm(rest, ord=2) <= decay + 1e-11


def test_training_arrives_at_the_closed_forms(section: Layers, arrays: Arrays) -> None:
    """A singular value near λ comes to zero slowly: 4,000 steps leave less than 1e-4 of it."""
    longer = changed(section, {"train.steps": 4000, "sweep.wd": tuple(DECAYS)})
    swept = training.sweep(longer, arrays, CPU, fit)
    for layers in ("one", "two"):
        expected = spectrum.optimum(arrays["targets"], DECAYS, layers)
        np.testing.assert_allclose(swept[f"{layers}_all"], expected, atol=1e-4)


def test_what_is_learnt_of_hidden_entries_is_a_minimum_of_the_nuclear_norm(section: Layers, arrays: Arrays) -> None:
    """W is soft-thresholding's answer to the seen entries of Y and its own hidden ones: the fixed point of *soft-impute*.

    Singular values near λ, which come to zero slowly, leave less than 1e-3 after 4,000 steps.

    Source: Mazumder, Hastie, Tibshirani, "Spectral Regularization Algorithms for Learning Large Incomplete Matrices" (2010).
    """
    longer = changed(section, {"train.steps": 4000, "sweep.wd": (0.0, 0.5, 1.5)})
    swept = training.sweep(longer, arrays, CPU, fit)
    for place, decay in ((1, 0.5), (2, 1.5)):
        found = swept["two_some"][:, place]
        filled = np.where(arrays["seen"], arrays["targets"], found)
        np.testing.assert_allclose(found, spectrum.optimum(filled, np.array([decay]), "two")[:, 0], atol=1e-3)
    hidden = ~arrays["seen"].astype(bool)
    start = arrays["start_left"] @ arrays["start_right"]
    np.testing.assert_allclose(swept["one_some"][:, 0][hidden], start[hidden], atol=1e-9)  # no λ: as they began
    np.testing.assert_allclose(np.moveaxis(swept["one_some"], 1, -1)[hidden][:, 1:], 0, atol=1e-9)


def test_a_nudge_of_the_start_changes_no_written_digit(settings: Any) -> None:
    """What is written has a grid of 1e-11 of the largest entry."""
    section = changed(settings.layers, {"data.trials": 2})
    arrays = draw("layers", section)
    nudged = {name: arrays[name].astype(float) * (1 + 1e-15) for name in ("start_left", "start_right")}
    one, other = (training.sweep(section, each, CPU, fit) for each in (arrays, arrays | nudged))
    for name in set(one) - {"weight_decay"}:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-9)


def test_both_layers_come_to_have_the_same_singular_values(section: Layers, arrays: Arrays) -> None:
    """UᵀU − VVᵀ has no gradient of the data, so decay alone acts on it: it falls as e^(−2λ·lr·step), up to O(lr)."""
    lr, steps, decay = 1e-4, 5000, 0.5
    job = training.job(section, arrays, CPU, [decay], "two_all")
    job = replace(job, optimizer=sgd(), lr=lr, schedule=replace(job.schedule, batches=[None] * steps, evaluate_every=steps))
    left, right = (fit("two", job).parameters[name][:, 0].numpy() for name in ("left", "right"))

    def apart(left: NDArray, right: NDArray) -> NDArray:
        return np.linalg.norm(left.swapaxes(1, 2) @ left - right @ right.swapaxes(1, 2), axis=(1, 2))

    ratio = apart(left, right) / apart(arrays["start_left"], arrays["start_right"])
    assert ratio == pytest.approx(np.full(3, np.exp(-2 * decay * lr * steps)), rel=0.02)


@pytest.mark.parametrize("run", RUNS)
def test_the_loss_is_half_the_sum_over_the_entries_that_are_seen(arrays: Arrays, run: str) -> None:
    problem = training.problem(arrays, CPU, run)
    predictions = problem.model.predict({name: value[:, None] for name, value in problem.start.items()}, problem.train[0])
    seen = arrays["seen"] if run.endswith("some") else np.ones_like(arrays["seen"])
    start = arrays["start_left"] @ arrays["start_right"]
    expected = (np.where(seen, start - arrays["targets"], 0) ** 2).sum(axis=(1, 2)) / 2
    assert problem.loss.value(predictions, problem.train[1])[:, 0].numpy() == pytest.approx(expected, rel=1e-12)


def test_a_rank_counts_beside_the_largest_of_the_data() -> None:
    targets = np.diag([10.0, 1.0, 0.0])[None]
    values = np.array([[[10.0, 0.02, 0.005], [0.009, 0.008, 0.0], [np.nan] * 3]])
    np.testing.assert_array_equal(spectrum.rank(values, targets), [[2, 0, np.nan]])


def compared(every: dict[str, float], some: dict[str, float]) -> str:
    found: dict[str, Any] = {f"one_{where}": {"error_at_best": 0.5} for where in ("all", "some")}
    found |= {"two_minus_one_all": every, "two_minus_one_some": some}
    return results.of_errors(found)


def gap(error: float, spread: float = 0.001) -> dict[str, float]:
    return {"error": error, "error_se": spread, "trials": 12}


def test_what_two_layers_do_to_the_error_is_said_as_the_numbers_have_it() -> None:
    begun, then = "At each one's best λ two layers", "; on hidden entries they"
    assert compared(gap(-0.2), gap(0.1)) == f"{begun} have 40% less error than one{then} have 20% more error than one"
    alike = f"{begun} do not visibly differ in error from one"
    assert compared(gap(-0.2, 0.2), gap(-0.002, 1e-5)) == f"{alike}{then} hardly differ in error from one"
    assert compared(gap(-0.2, 0.2), {"trials": 0}) == f"{alike}{then} cannot be compared"


def test_how_many_singular_values_are_kept_is_said_at_the_best_decay() -> None:
    rows = [("one_all", 1.0, 4.0), ("two_all", 1.0, 2.5), ("one_all", 3.0, 4.0), ("two_all", 3.0, None)]
    known = [{"run": run, "weight_decay": decay, "rank": rank} for run, decay, rank in rows]
    said = results.of_rank({"two_all": {"best_lambda": 1.0}}, known, 4)
    assert said == "Of 4 singular values λ = 1 keeps 2.5 with two layers, 4 with one, on average"
    none = "Of 4 singular values λ = 3 keeps none known with two layers, 4 with one, on average"
    assert results.of_rank({"two_all": {"best_lambda": 0.0}}, known, 4) == none
    assert results.of_rank({"two_all": {}}, known[:2], 4) == said  # the largest of the grid


def test_every_rank_is_theorys_and_training_is_near_it() -> None:
    for layers in ("one", "two"):
        trained, theory = ([row for row in TABLE if row["run"] == f"{layers}_{kind}"] for kind in ("all", "theory"))
        assert len(trained) == len(theory) == 10
        for one, other in zip(trained, theory, strict=True):
            assert one["rank"] == other["rank"]
            assert one["error"] == pytest.approx(other["error"], abs=1e-4)
    assert SUMMARY["one_all"]["from_theory"] == 0
    assert SUMMARY["two_all"]["from_theory"] < 1e-4
