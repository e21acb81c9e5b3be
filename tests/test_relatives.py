"""relatives: its data, its optima, what theory expects of early stopping, the committed results, what may be said."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU, changed, draw, fit, metrics, speaks_of, table
from numpy.typing import NDArray

from stages.base import storage
from stages.base.errors import UserError
from stages.base.rounding import PATH
from stages.base.streams import Arrays
from stages.studies.relatives import figures, penalties, results, system, training
from stages.studies.relatives.stopping import AT_MOST, stopped_risk
from stages.studies.relatives.system import Relatives
from stages.theory.risk import ridge_risk

SUMMARY, TABLE, ROWS = metrics("relatives_sweep"), table("relatives_sweep"), metrics("relatives")
SWEEP = (0.0, 0.05, 0.2, 1.0)
ON_GRID = 2.0**-PATH  # of the largest weight, which is below 2


@pytest.fixture(scope="module")
def small(settings: Any) -> Relatives:
    """Few trials and strengths, and more steps than shipped, so that the penalised ones arrive."""
    data = {"trials": 3, "train_rows": 24, "val_rows": 30, "inputs": 12, "nonzeros": 3, "masks": 6}
    values = {f"data.{name}": value for name, value in data.items()} | {"train.steps": 1500, "train.lr": 0.2, "sweep.wd": SWEEP}
    return changed(settings.relatives, values | {"sweep.dropout": (0.25, 0.5), "sweep.dropout_steps": 600})


@pytest.fixture(scope="module")
def drawn(small: Relatives) -> Arrays:
    return draw("relatives", small, 3)


@pytest.fixture(scope="module")
def swept(small: Relatives, drawn: Arrays) -> Arrays:
    return training.sweep(small, drawn, CPU, fit)


def of(drawn: Arrays, truth: str) -> Arrays:
    return storage.in_float64(system.of_truth(drawn, truth))


def test_both_truths_have_the_same_inputs_noise_and_length(settings: Any) -> None:
    section = settings.relatives.data
    data = draw("relatives", settings.relatives)
    dense, sparse = (of(data, truth) for truth in ("dense", "sparse"))
    for split in ("train", "val"):
        noise = [
            each[f"{split}_targets"] - np.einsum("tnd,td->tn", each[f"{split}_inputs"], each["true_weight"])
            for each in (dense, sparse)
        ]
        np.testing.assert_allclose(noise[0], noise[1], atol=2e-6)  # targets are stored in float32
        assert noise[0].std() == pytest.approx(section.noise, rel=5 / np.sqrt(2 * noise[0].size))
    for each in (dense, sparse):
        np.testing.assert_allclose(np.linalg.norm(each["true_weight"], axis=1), section.weight_norm, rtol=1e-6)
    assert np.all((sparse["true_weight"] != 0).sum(axis=1) == section.nonzeros)
    assert np.all((dense["true_weight"] != 0).sum(axis=1) == section.inputs)
    assert len(np.unique(np.abs(sparse["true_weight"]))) == 2
    assert abs(data["masks"].mean() - 127.5) < 5 * 74 / np.sqrt(data["masks"].size)


@speaks_of("relatives.wd", 0.2)
def test_the_arms_have_the_best_decay_in_theory(settings: Any) -> None:
    known = settings.relatives.data
    assert settings.relatives.wd == pytest.approx(known.inputs * known.noise**2 / (known.train_rows * known.weight_norm**2))


@pytest.mark.parametrize(("method", "ratio"), [("elastic_net", 0.5), ("l1", 1.0)])
def test_the_support_leads_to_the_optimum_and_another_one_nowhere(
    method: str, ratio: float, drawn: Arrays, swept: Arrays
) -> None:
    """To where training ends, from there."""
    data, weight_decays, near = of(drawn, "sparse"), np.array(SWEEP[1:]), swept[method][1][:, 1:].copy()
    rows = data["train_inputs"], data["train_targets"]
    np.testing.assert_allclose(penalties.elastic_net(*rows, near, weight_decays, ratio), near, atol=1e-7, rtol=0)
    near[0, 0, np.flatnonzero(near[0, 0])[0]] *= -1
    near[1, 1, :] = 0
    near[2, 2, 0] = np.nan
    wrong = np.isnan(penalties.elastic_net(*rows, near, weight_decays, ratio)).all(axis=-1)
    assert np.argwhere(wrong).tolist() == [[0, 0], [1, 1], [2, 2]], "signs that are not the optimum's lead nowhere"


def test_more_weights_than_rows_are_no_support_of_the_lasso(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((1, 4, 9)), rng.standard_normal((1, 4))
    assert np.isnan(penalties.elastic_net(x, y, np.ones((1, 1, 9)), np.array([0.1]), 1.0)).all()


def test_dropout_is_ridge_weighted_by_second_moments_on_average(rng: np.random.Generator) -> None:
    """By autograd the gradient of the loss, averaged over each mask of a row of three inputs of unlike size, is zero there."""
    x, y, share = rng.standard_normal((7, 3)) * [1, 2, 0.5], rng.standard_normal(7), 0.7
    masks = np.array([[(each >> place) & 1 for place in range(3)] for each in range(8)])
    chances = torch.from_numpy(np.prod(np.where(masks, share, 1 - share), axis=1))
    rows = torch.from_numpy(masks[:, None] * x / share)  # (8, 7, 3)

    def gradient(weight: NDArray) -> torch.Tensor:
        free = torch.from_numpy(weight).requires_grad_()
        loss = chances @ ((rows @ free - torch.from_numpy(y)) ** 2).mean(dim=1) / 2
        return torch.autograd.grad(loss, free)[0]

    found = penalties.dropout(x[None], y[None], share)[0]
    assert float(gradient(found).abs().max()) < 1e-12 * float(gradient(np.zeros(3)).abs().max())


def test_a_probability_of_dropout_is_a_multiple_of_a_256th() -> None:
    assert [system.kept(rate) for rate in (0.5, 0.25, 0.1, 0.9999)] == [0.5, 0.75, 230 / 256, 1 / 256]


def test_training_stops_at_the_time_of_each_decay() -> None:
    found = system.steps_until(np.array([0, 0.001, 0.1, 3, 100]), 0.25, 800)
    assert found.tolist() == [800, 800, 40, 1, 1]


@pytest.mark.parametrize("rows", [5, 8, 30])
def test_after_many_steps_the_risk_is_ridges(rows: int, rng: np.random.Generator) -> None:
    values = np.linalg.svd(rng.standard_normal((4, rows, 8)), compute_uv=False).astype(np.float64)
    known: dict[str, Any] = {"inputs": 8, "signal": 1.5, "noise": 0.4}
    stopped = stopped_risk(values, 100_000, lr=0.1, rows=rows, weight_decay=0.3, **known)
    np.testing.assert_allclose(stopped, ridge_risk(values, rows * 0.3, **known), rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("rows", [20, 40, 50, 300])
def test_early_stopping_is_within_the_published_factor_of_ridge(rows: int, noise: float, rng: np.random.Generator) -> None:
    """At small steps, for every set of rows and every time. Much noise comes near the factor: it is no loose bound."""
    values = np.linalg.svd(rng.standard_normal((10, rows, 40)), compute_uv=False).astype(np.float64)
    known: dict[str, Any] = {"inputs": 40, "signal": 1.0, "noise": noise}
    ratios = []
    for steps in np.geomspace(1, 1e7, 40).astype(int).tolist():
        stopped = stopped_risk(values, steps, lr=1e-4, rows=rows, **known)
        ratios.append(stopped / ridge_risk(values, rows / (1e-4 * steps), **known))
    assert np.max(ratios) <= AT_MOST * (1 + 1e-3)
    if noise == 5.0:
        assert np.max(ratios) > 1.45


def test_the_committed_ratios_are_within_that_factor() -> None:
    assert 1 / AT_MOST < SUMMARY["smallest_ratio"] < 1 < SUMMARY["largest_ratio"] < AT_MOST
    assert SUMMARY["max_abs_z"] < 3
    assert SUMMARY["diverged"] == 0


def test_the_committed_weights_are_where_their_methods_end() -> None:
    """Exactly, but for dropout, whose masks are finite in number; at the strengths that were chosen."""
    for truth in ("dense", "sparse"):
        for method in results.TUNED:
            own = SUMMARY[truth][method]
            tolerance = 0.05 if method == "dropout" else 1e-3
            assert own["exact_risk"] == pytest.approx(own["risk"], rel=tolerance), (truth, method)
            assert method == "dropout" or own["gap_below"] <= 1e-3


def test_the_risk_of_l2_does_not_depend_on_which_weights_are_large() -> None:
    """The expectation is the same on both truths, and so within three standard errors are the measured means."""
    for method in ("l2", "early_stopping"):
        dense, sparse = ([row for row in TABLE if row["run"] == f"{truth}_{method}"] for truth in ("dense", "sparse"))
        assert [row["theory"] for row in dense] == [row["theory"] for row in sparse]
    gap = SUMMARY["dense"]["l2"]["risk"] - SUMMARY["sparse"]["l2"]["risk"]
    assert abs(gap) < 3 * np.hypot(SUMMARY["dense"]["l2"]["risk_se"], SUMMARY["sparse"]["l2"]["risk_se"])


@pytest.mark.parametrize(
    ("sparse", "dense", "said"),
    [
        (-0.2, 0.05, "ℓ1 has 67% less risk than L2 where the truth is sparse, 17% more where it is dense"),
        (0.0, 0.05, "ℓ1 has no visibly other risk than L2 where the truth is sparse, 17% more where it is dense"),
        (-0.2, 0.01, "ℓ1 has 67% less risk than L2 where the truth is sparse, no visibly other where it is dense"),
        (0.01, -0.01, "ℓ1 has no visibly other risk than L2 where the truth is sparse and where it is dense"),
        (0.6, 0.3, "ℓ1 has 200% more risk than L2 where the truth is sparse, 100% more where it is dense"),
    ],
)
def test_the_prior_that_fits_is_said_where_it_is_visible(sparse: float, dense: float, said: str) -> None:
    found = {
        truth: {"l1": {"risk_minus_l2": gap, "risk_minus_l2_se": 0.01, "trials": 30}, "l2": {"risk": 0.3}}
        for truth, gap in (("sparse", sparse), ("dense", dense))
    }
    assert results.of_risk(found, "sparse", 0) == said
    assert results.of_risk(found, "sparse", 3) == f"{said}; 3 runs diverged"
    assert "sparse" not in results.of_risk(found, system.sparse_truth(4, 4), 0)
    del found["dense"]["l1"]["risk_minus_l2_se"]
    assert results.of_risk(found, "sparse", 0) == "A single trial has no error to tell an effect by"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.87, 1.33, "Early stopping is close to L2: at t = 1/λ its expected risk is 0.87 to 1.3 times ridge's"),
        (0.87, 0.871, "Early stopping is close to L2: at t = 1/λ its expected risk is 0.87 times ridge's"),
        (0.4, 1.1, "At t = 1/λ the expected risk of early stopping is 0.4 to 1.1 times ridge's"),
        (1.4, 1.6, "At t = 1/λ the expected risk of early stopping is 1.4 to 1.6 times ridge's"),
    ],
)
def test_early_stopping_is_said_to_be_close_where_it_is(low: float, high: float, said: str) -> None:
    assert results.of_paths({"smallest_ratio": low, "largest_ratio": high}) == said
    assert results.of_paths({}) == "No λ above 0 to compare early stopping with"


RISING = 1 + np.array([0, -0.5, 0.5]) + 0.01 * np.random.default_rng(0).standard_normal((6, 3))


@pytest.mark.parametrize(
    ("losses", "diverged", "said"),
    [
        (RISING, 0, "λ = 0 overfits after step 4"),
        (RISING[:, ::-1] - [0, 0, 2], 0, ""),  # lowest at the end
        (RISING + 9 * np.random.default_rng(1).standard_normal((6, 3)), 0, ""),  # within the errors
        (RISING[:1], 0, ""),  # a single trial
        (RISING, 1, ""),
    ],
)
def test_overfitting_is_said_where_the_loss_visibly_rises(losses: NDArray, diverged: int, said: str) -> None:
    run = {"val_loss": losses, "diverged": np.arange(len(losses)) < diverged, "steps": np.array([0, 4, 2000])}
    assert results.overfitting(run | {"weight_decay": np.array(0.0)}) == said


def both(dense: float, sparse: float, error: float | None = 0.01, weight_decay: float = 0.2) -> dict[str, Any]:
    """Rows of both truths in which decay changes the validation loss by so much."""
    rows: dict[str, Any] = {}
    for (without, decayed), gap in zip(results.ARMS.values(), (dense, sparse), strict=True):
        usual = {"val_loss": 1.0, "diverged": 0, "trials": 4}
        rows |= {without: usual | {"weight_decay": 0.0}, decayed: usual | {"weight_decay": weight_decay}}
        rows[f"{decayed}_minus_{without}"] = {"val_loss": gap, "trials": 4} | ({} if error is None else {"val_loss_se": error})
    return rows


LOWERS = "λ = 0.2 lowers the validation loss by 60%"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (both(-0.6, -0.6), f"{LOWERS}, be the truth dense or sparse"),
        (both(-0.6, -0.4), f"{LOWERS} where the truth is dense, by 40% where it is sparse"),
        (both(-0.6, 0.4), f"{LOWERS} where the truth is dense; λ = 0.2 raises the validation loss by 40% where it is sparse"),
        (both(-0.6, -0.6, error=None), "λ = 0.2: a single trial, which has no error to tell an effect by"),
        (both(0, 0, weight_decay=0.0), "Both arms have λ = 0: nothing to compare"),
    ],
)
def test_what_decay_does_is_said_of_both_truths(rows: dict[str, Any], said: str) -> None:
    assert results.on_both(rows, "sparse") == said


def test_runs_that_diverge_are_left_out_counted_and_told(
    drawn: Arrays, small: Relatives, capsys: pytest.CaptureFixture[str]
) -> None:
    """λ = 100 is beyond stability for L2: no trial chooses it; a learning rate beyond stability everywhere is refused."""
    section = changed(small, {"sweep.wd": (0.0, 0.2, 100.0), "train.steps": 60})
    found = training.sweep(section, drawn, CPU, fit)
    assert np.isnan(found["l2"][:, :, 2]).all()
    assert not np.isnan(found["l1"]).any()
    counts = {name: int(np.isnan(found[name][..., 0]).sum()) for name in ("l2", "elastic_net")}
    told = [
        f"relatives {name}: {count} of 18 runs diverged, and are left out of the means" for name, count in counts.items() if count
    ]
    assert capsys.readouterr().err.splitlines() == told
    rows, summary = results.evaluate_sweep(section, storage.in_float64(drawn), found)
    assert summary["diverged"] == np.isnan(found["l2"][..., 0]).sum() + np.isnan(found["elastic_net"][..., 0]).sum() > 0
    lost = [row for row in rows if row["run"] == "dense_l2" and row["strength"] == 100]
    assert [(row["risk"], row["chosen"], row["diverged"]) for row in lost] == [(None, 0.0, 3)]
    assert summary["findings"]["risk"].endswith(f"{summary['diverged']} runs diverged")
    with pytest.raises(UserError, match=r"relatives\.train\.lr: expected a stable one, got lr = 50: every run diverged"):
        training.sweep(changed(section, {"train.lr": 50.0}), drawn, CPU, fit)


def test_a_single_trial_and_a_lone_decay_are_drawn_too(small: Relatives) -> None:
    section = changed(small, {"data.trials": 1, "sweep.wd": (0.0,), "train.steps": 30})
    data = draw("relatives", section)
    found = training.sweep(section, data, CPU, fit)
    rows, summary = results.evaluate_sweep(section, storage.in_float64(data), found)
    assert {name: figure.get_suptitle().replace("\n", " ") for name, figure in figures.sweep(rows, summary).items()} == {
        "risk": "A single trial has no error to tell an effect by",
        "paths": "No λ above 0 to compare early stopping with",
    }


def test_a_nudge_of_the_inputs_changes_no_written_digit(drawn: Arrays, swept: Arrays, small: Relatives) -> None:
    """Of the whole sweep: the start is zero, which a relative nudge leaves alone, so the inputs are nudged by 1e-15."""
    double = {name: drawn[name].astype(np.float64) * (1 + 1e-15) for name in ("train_inputs",)}
    again = training.sweep(small, drawn | double, CPU, fit)
    for name in results.READ:
        np.testing.assert_array_equal(swept[name] == 0, again[name] == 0)
        np.testing.assert_allclose(again[name], swept[name], atol=ON_GRID, rtol=0)  # neighbours on the grid at most
        assert (again[name] != swept[name]).mean() < 1e-3
