"""optimizers, the study: its data, its committed results, its sentences."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import CPU, changed, draw, fit, metrics, speaks_of, table
from msgspec import convert, structs
from numpy.typing import NDArray

from stages.base import storage
from stages.studies.optimizers import batches, figures, results, training
from stages.studies.optimizers.box import batch_rest
from stages.studies.optimizers.system import Data, general

SWEEP = "optimizers_sweep"


def test_columns_are_orthogonal_and_validation_rows_are_not(settings: Any) -> None:
    """To float32's rounding. The general rows span what the orthogonal ones span, and have the same noise."""
    data = storage.in_float64(draw("optimizers", settings.optimizers))
    rows, inputs = data["train_inputs"].shape[1:]
    gram = np.einsum("tni,tnj->tij", data["train_inputs"], data["train_inputs"]) / rows
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(inputs), gram.shape), atol=1e-6)
    for split in ("val", "general"):
        found = np.einsum("tni,tnj->tij", data[f"{split}_inputs"], data[f"{split}_inputs"]) / data[f"{split}_inputs"].shape[1]
        assert np.abs(found - np.eye(inputs)).max() > 0.1
        assert found.mean(axis=0).diagonal() == pytest.approx(1, abs=0.25)
    for x, basis in zip(data["general_inputs"], data["train_inputs"], strict=True):
        np.testing.assert_allclose(basis @ (basis.T @ x) / rows, x, atol=1e-5)
    predicted = {split: np.einsum("tnd,td->tn", data[f"{split}_inputs"], data["true_weight"]) for split in ("train", "general")}
    noise = {split: data[f"{split}_targets"] - each for split, each in predicted.items()}
    np.testing.assert_allclose(noise["general"], noise["train"], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(data["true_weight"], axis=1), settings.optimizers.data.weight_norm, rtol=1e-6)


def test_too_few_rows_to_be_orthogonal_are_refused(settings: Any) -> None:
    with pytest.raises(ValueError, match="rows: expected at least as many as inputs"):
        convert(structs.asdict(settings.optimizers.data) | {"rows": 49}, Data)


@pytest.mark.slow
def test_a_nudge_of_the_start_changes_nothing_of_the_sweep(settings: Any) -> None:
    """By 1e-15, of every trial at every λ and learning rate. In a box on general rows AdamW can be chaotic: a larger learning
    rate or a smaller ε, and its digits are chance."""
    data = draw("optimizers", settings.optimizers)
    nudged = data | {"start_weight": data["start_weight"].astype(np.float64) * (1 + 1e-15)}
    one, other = (training.sweep(settings.optimizers, each, CPU, fit) for each in (data, nudged))
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@speaks_of("optimizers.wd", 5)
def test_orthogonal_ends_are_lines_turned_and_clipped(settings: Any) -> None:
    """The committed arms: ridge and the box in closed form; AdamW where a quadratic equation puts it. Orthogonal to 1e-7."""
    data, rows, decay = storage.in_float64(draw("optimizers", settings.optimizers)), metrics("optimizers"), settings.optimizers.wd
    least = np.einsum("tnd,tn->td", data["train_inputs"], data["train_targets"]) / data["train_inputs"].shape[1]
    for row, weight in (("ridge", least / (1 + decay)), ("box", np.clip(least, -1 / decay, 1 / decay))):
        assert rows[row]["risk"] == pytest.approx(np.mean(np.sum((weight - data["true_weight"]) ** 2, axis=1)), rel=1e-5)
        assert rows[row]["largest_weight"] == pytest.approx(np.abs(weight).max(axis=1).mean(), rel=1e-5)
    for row in ("wd", "wd_momentum", "wd_adam"):
        assert rows[row]["val_loss"] == pytest.approx(rows["ridge"]["val_loss"], rel=1e-5)
        assert rows[row]["from_ridge"] < 1e-4
        assert rows[row]["from_box"] > 0.5
    assert rows["wd_adamw"]["from_rest"] < 1e-4 < rows["wd_adamw"]["from_box"] < 0.01
    assert rows["wd_adamw"]["largest_weight"] < 1 / decay


def test_the_committed_sweep_ends_at_its_oracles(settings: Any) -> None:
    """AdamW where its ε puts it, at every λ; slow where its walls cut weights that are just beyond them."""
    rows = {(row["run"], row["lr"], row["weight_decay"]): row for row in table("optimizers_sweep")}
    section = settings.optimizers
    for decay in section.sweep.wd:
        assert rows["adam", section.train.lr, decay]["from_ridge"] < 1e-4
        assert rows["adamw", section.train.lr, decay]["from_rest"] < 2e-3
        for kind in ("adam", "adamw"):
            assert rows[kind, 0.001, decay][f"from_{results.ENDS_AT[kind]}"] > 0.1, "the page says that 0.001 does not arrive"
    assert section.train.adamw.eps == 2e-4, "the page says so"


def test_at_a_constant_learning_rate_adamw_does_not_come_to_rest(settings: Any) -> None:
    """So it falls: there AdamW is a tenth as far from its end at most."""
    now = changed(settings.optimizers, {"data.trials": 1})
    arrays = general(draw("optimizers", now))
    ends = results.oracles(storage.in_float64(arrays), now.wd, now.train.adamw.eps)["rest"]
    falling = training.jobs(now, arrays, CPU, wd=now.wd)["_adamw"]
    constant = replace(falling, schedule=replace(falling.schedule, pace=()))
    weights = [fit("optimizers", each).parameters["weight"][:, 0].numpy() for each in (falling, constant)]
    settled, stirred = (np.abs(each - ends).max() for each in weights)
    assert stirred > 1e-3
    assert settled < stirred / 10


ROW = {"weight_decay": 5.0, "diverged": 0, "trials": 10, "val_loss": 1.0, "from_ridge": 0.0, "from_box": 0.0}


def made_up(adam: float, adamw: float, error: float = 0.01, **changes: dict[str, float]) -> dict[str, Any]:
    """Rows with these effects of λ on the validation loss, beside 1 without it."""
    rows: dict[str, Any] = dict.fromkeys(("wd", "wd_adam", "wd_adamw"), ROW) | {"ridge": {"from_box": 0.8}}
    rows |= {name: ROW | {"weight_decay": 0.0} for name in ("baseline_adam", "baseline_adamw")}
    for kind, gap in {"adam": adam, "adamw": adamw}.items():
        rows[f"wd_{kind}_minus_baseline_{kind}"] = {"val_loss": gap, "val_loss_se": error, "trials": 10}
    return rows | {name: rows[name] | each for name, each in changes.items()}


WITHOUT = {"weight_decay": 0.0}
RAISES, LOWERS = "λ = 5 raises the validation loss by 13% with Adam", "λ = 5 lowers the validation loss with AdamW"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (made_up(0.13, -0.07), f"{RAISES}, and lowers it by 7% with AdamW"),
        (
            made_up(0.13, -0.07, 1),
            "λ = 5 has no visible effect on the validation loss with Adam or AdamW (10 trials would show 330% or more)",
        ),
        (made_up(0.13, -0.01), f"{RAISES}, and has no visible effect on it with AdamW (10 trials would show 3.3% or more)"),
        (made_up(0.13, -0.07, wd_adamw={"diverged": 2}), f"{RAISES}; {LOWERS}; 2 of 10 trials diverged at λ = 5"),
        (made_up(0, 0, baseline_adam=ROW, baseline_adamw=ROW), "Both arms have λ = 5: nothing to compare"),
    ],
)
def test_what_is_said_of_the_losses(rows: dict[str, Any], said: str) -> None:
    assert results.of_losses(rows) == said


ENDS, AT_ZERO = (
    "On all rows, with λ = 5, Adam divides all weights by 6, AdamW",
    "At λ = 0 ridge and the box are both least squares",
)
DIVIDES, AWAY = "λ = 5, all rows: Adam divides weights by 6", "λ = 5, all rows: Adam is 6% away from ridge after 400 steps"
BOX, ONE = "AdamW is 30% away from least squares in the box |w| ≤ 0.2 after 400 steps", "1 of 10 trials diverged at λ = 5"


@pytest.mark.parametrize(
    ("rows", "cut", "of_ends", "of_weights"),
    [
        (made_up(0, 0), 0.3, f"{ENDS} caps them at ±0.2", f"{DIVIDES}, AdamW caps them at 0.2"),
        (made_up(0, 0), 0.0, f"{ENDS} leaves them", f"{DIVIDES}, AdamW leaves them, as none is beyond 0.2"),
        (made_up(0, 0, wd_adam={"from_ridge": 0.06}), 0.3, "", f"{AWAY}, AdamW caps weights at 0.2"),
        (made_up(0, 0, wd_adamw={"from_box": 0.3}), 0.3, "", f"{DIVIDES}, {BOX}"),
        (made_up(0, 0, wd_adamw={"diverged": 1}), 0.3, "", f"{DIVIDES}, AdamW caps them at 0.2; {ONE}"),
        (made_up(0, 0, ridge={"from_box": 0.01}), 0.3, "", f"{DIVIDES}, AdamW caps them at 0.2"),
        (made_up(0, 0, wd=WITHOUT), 0.3, "", AT_ZERO),
    ],
)
def test_what_is_said_of_the_ends_and_of_the_weights(rows: dict[str, Any], cut: float, of_ends: str, of_weights: str) -> None:
    assert results.of_ends(rows, cut) == of_ends
    assert results.of_scatter(rows, 400, cut) == of_weights


CLOSE: dict[str, float | None] = {"sgd": 0.029, "momentum": 0.0, "adam": 0.001, "adamw": 0.016}
NONE: dict[str, float | None] = dict.fromkeys(CLOSE)
FROM = "From λ = 0.1 on"
COUPLED = f"{FROM} SGD, momentum and Adam end within 3% of ridge"


@pytest.mark.parametrize(
    ("farthest", "whole", "said"),
    [
        (CLOSE, True, f"{COUPLED}, AdamW ends within 2% of least squares in the box"),
        (CLOSE | {"adamw": 0.4}, True, f"{COUPLED}, AdamW is up to 40% away from least squares in the box"),
        (NONE | {"adam": 0.2}, False, f"{FROM}, where no trial diverged, Adam is up to 20% away from ridge"),
        (NONE, False, "At every λ > 0 a trial diverged"),
    ],
)
def test_what_is_said_of_the_distances(farthest: dict[str, float | None], whole: bool, said: str) -> None:
    assert results.of_distances(farthest, np.array([0.0, 0.1, 1]), whole=whole) == said
    assert results.of_distances(farthest, np.array([0.0])) == AT_ZERO


def risks(*means: list[float], error: float = 0.001) -> NDArray:
    """Trials that differ by about an error from these means: rows are learning rates, columns λ.  (R, 4, L)"""
    pattern = np.array([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).T[:, : len(means[0])]
    return np.array(means)[:, None, :] + error * pattern


LOW, HIGH, TIE, LOST = [3.0, 1, 2], [3.0, 2, 1], [3.0, 2, 1.9999], [np.nan] * 3
UP, DOWN = "from 1 at lr = 0.001 to 5 at lr = 0.01", "from 5 at lr = 0.001 to 1 at lr = 0.01"
FITS = "At every learning rate no λ is visibly better than"


@pytest.mark.parametrize(
    ("adam", "adamw", "said"),
    [
        ((LOW, LOW), (HIGH, HIGH), f"{FITS} 1 with Adam, 5 with AdamW"),
        (
            (LOW, LOW),
            (LOW, HIGH),
            f"No λ is visibly better than 1 with Adam at any learning rate; with AdamW the best λ moves {UP}",
        ),
        ((HIGH, LOW), (LOW, HIGH), f"With Adam the best λ moves {DOWN}; with AdamW the best λ moves {UP}"),
        ((LOW, TIE), (HIGH, HIGH), f"{FITS} 1 with Adam, 5 with AdamW"),  # 1 is the best, then as good as the best
        ((TIE, TIE), (HIGH, HIGH), f"{FITS} 1 and 5 with Adam, 5 with AdamW"),
        ((LOW, LOST), (LOW, LOW), f"{FITS} 1 with Adam, 1 with AdamW"),
        ((LOST, LOST), (LOW, LOST), "At every λ and learning rate a trial diverged"),
    ],
)
def test_what_is_said_of_the_learning_rates(adam: Any, adamw: Any, said: str) -> None:
    known, rates = {"adam": risks(*adam), "adamw": risks(*adamw)}, dict.fromkeys(("adam", "adamw"), np.array([0.001, 0.01]))
    assert results.of_rates(known, rates, np.array([0.0, 1, 5])) == said
    single = {kind: each[:, :1] for kind, each in known.items()}
    assert results.of_rates(single, rates, np.array([0.0, 1, 5])) == "A single trial has no error to tell an effect by"


def test_a_batch_size_whose_last_run_diverged_is_drawn_without_its_label() -> None:
    rows = [row | {"risk": None if (row["batch_size"], row["weight_decay"]) == (5, 20) else row["risk"]} for row in table(SWEEP)]
    figure = figures.batches(rows, metrics(SWEEP))
    figure.draw_without_rendering()
    assert {text.get_text() for text in figure.axes[0].texts} == {"exact: ridge", "exact: box", "1", "20", "100"}


def test_batches_go_from_the_box_to_ridge(settings: Any) -> None:
    """Without training: the larger the batch, the nearer the wall; B = n − 1 is nearly the box; small ones are nearly ridge."""
    arrays = storage.in_float64(general(draw("optimizers", changed(settings.optimizers, {"data.trials": 1}))))
    x, y, weight_decays = arrays["train_inputs"][0], arrays["train_targets"][0], np.array([0.5, 5.0])
    shares = [5 * np.abs(batch_rest(x, y, weight_decays, size)[1]).max() for size in (1, 5, 20, 50, 99)]
    assert shares == sorted(shares)
    assert 0.9 < shares[-1] < 1
    gradient = x * (x @ (rest := batch_rest(x, y, weight_decays, 1)[1]) - y)[:, None]
    size = np.sqrt(np.mean(gradient**2))  # nearly the same for all weights, so that the rest is ridge of that strength
    ridge = np.linalg.solve(x.T @ x / len(x) + 5 * size * np.eye(x.shape[1]), x.T @ y / len(x))
    assert results.distance(rest, ridge) < 0.15


BESIDE = "AdamW's best risk beside ridge's: on all 100 rows"


@pytest.mark.parametrize(
    ("gaps", "told"),
    [
        ((0.12, 0.006), f"{BESIDE} 24% more; on batches of 1 no visible difference"),
        ((0.001, -0.1), f"{BESIDE} no visible difference; on batches of 1 20% less"),
    ],
)
def test_what_is_said_of_batches(gaps: tuple[float, float], told: str) -> None:
    known = {"best_lambda": 1.0, "risk_minus_ridge_se": 0.01, "trials": 24, "risk_of_ridge": 0.5, "largest_share_at_best": 0.1}
    found: dict[str, Any] = {
        f"batch_{size}": known | {"risk_minus_ridge": gap, "diverged": 0} for size, gap in zip((100, 1), gaps, strict=True)
    }
    assert batches.said(found, (1, 100), rows=100, trials=24)["batches"] == told
    assert batches.said(found, (1, 100), rows=100, trials=1)["batches"] == "A single trial has no error to tell an effect by"
    some = found | {"batch_1": {"diverged": 3}}
    assert batches.said(some, (1, 100), rows=100, trials=24)["batches"] == f"{told.partition(';')[0]}; 3 runs diverged"
    lost = batches.said({size: {"diverged": 2} for size in found}, (1, 100), rows=100, trials=24)
    assert set(lost.values()) == {"On batches a trial diverged at every λ; 4 runs diverged"}
