"""What the explorer shows of a study: shapes, numbers that are the tracked ones, sentences that are true of their λ."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SYSTEMS, Clone
from numpy.typing import ArrayLike, NDArray

from stages import studies
from stages.base import params, storage
from stages.base.rounding import LOOK
from stages.drawing.explorer.contract import Line, OverDecays, OverSteps, Shown, Weights
from stages.explorer import shown_of
from stages.measure.explored import arrived, beside, doubt, effects, fates, lowest, notes, over_trials, ratios, thinned
from stages.studies.optimizers.explorer import sentences
from stages.studies.wide.explorer import forgotten

EXPLORED = [study for study in studies.NAMES if (ROOT / "stages" / "studies" / study / "explorer.py").exists()]
GRIDS = {"equilibrium": "product", "descent": "penalty"}
NAN = float("nan")
SIX_DIGITS = 1e-5  # what two numbers with six significant digits may differ by, as a share


def said(*values: list[float], lost: tuple[tuple[int, int], ...] = (), weight_decays: tuple[float, ...] = (0, 3)) -> list[str]:
    """The sentences of a sweep; each list holds the trials at one λ."""
    losses = np.array(values).T
    diverged = np.zeros(losses.shape, dtype=bool)
    for trial, place in lost:
        diverged[trial, place] = True
    return effects(np.array(weight_decays, dtype=float), losses, diverged, when=" after 10 epochs")


BASELINE = [2.0, 2.2, 1.8]


@pytest.mark.parametrize(
    ("values", "lost", "sentence"),
    [
        ([1.0, 1.2, 0.9], (), "λ = 3 lowers the validation loss by 48%: 1.03 after 10 epochs"),
        (
            [1.0, 1.2, 9.0],
            ((2, 1),),
            "λ = 3 lowers the validation loss: 1.1 after 10 epochs; 1 of 3 trials diverged at λ = 3",
        ),
        ([NAN] * 3, ((0, 1), (1, 1), (2, 1)), "λ = 3: no trial to compare; 3 of 3 trials diverged at λ = 3"),
        (
            [1.0, 1.2, 0.9],
            ((0, 0), (1, 0), (2, 0)),
            "λ = 3: no trial to compare; 3 of 3 trials diverged at λ = 0",
        ),
    ],
)
def test_a_sentence_says_what_its_numbers_say(values: list[float], lost: tuple[tuple[int, int], ...], sentence: str) -> None:
    assert said(BASELINE, values, lost=lost)[1] == sentence


def test_the_first_sentence_compares_with_nothing() -> None:
    assert said(BASELINE, BASELINE)[0] == "Without decay the validation loss is 2 after 10 epochs"
    partly = said(BASELINE, BASELINE, lost=((0, 0),))[0]
    assert partly == "Without decay the validation loss is 2 after 10 epochs; 1 of 3 trials diverged at λ = 0"
    assert said(BASELINE, lost=((0, 0), (1, 0), (2, 0)), weight_decays=(0,)) == ["Without decay every trial diverged"]
    assert len(said(BASELINE, weight_decays=(0,))) == 1


@pytest.mark.parametrize("value", ["val_loss", "risk"])
def test_a_model_that_is_worse_than_a_constant_says_so(value: str) -> None:
    """With decay and without; trial by trial, where there are several."""
    losses = np.tile(np.array([BASELINE, [1.0, 1.2, 0.9]]).T, (3, 1))

    def beside_null(null: Any, trials: int = 9) -> list[str]:
        said = effects(np.array([0.0, 3.0]), losses[:trials], np.zeros((trials, 2), dtype=bool), value=value, null=null)
        return [each.rpartition("; ")[2] if "constant" in each else "" for each in said]

    worse, no_better = "a constant predicts better", "not visibly better than a constant"
    assert beside_null(np.inf) == ["", ""]
    assert beside_null(0.5) == [worse, worse]
    assert beside_null(1.5) == [worse, ""]
    assert beside_null(2.5) == ["", ""]
    assert beside_null(1.0) == [worse, no_better]  # 1.03 ± 0.04 is not visibly above 1
    assert beside_null(losses[:, 1] - np.tile([0.1, 0.101, 0.099], 3)) == [worse, worse]  # but each trial is above its own
    assert beside_null(losses[:, 1]) == [worse, no_better]  # the constant itself
    assert beside_null(0.9, trials=1) == [worse, worse]  # a single trial has no error
    assert beside_null(1.5, trials=1) == [worse, ""]


def test_a_ratio_is_of_medians_and_told_by_logarithms() -> None:
    """One trial has nearly all of a mean."""
    usual = [[4.0, 1.9, 3.0], [5.0, 2.1, 4.5], [6.0, 2.2, 7.0], [5.5, 2.0, 5.6]]
    values = np.array([[1000.0, 2.0, 990.0], *usual, *usual, *usual, *usual])
    said = ratios("Λ", np.array([0.0, 1.0, 2.0]), values, "risk", where="With 50 rows")
    assert said == [
        "With 50 rows, without decay, the median risk is 5.5",
        "With 50 rows Λ = 1 lowers the median risk from 5.5 to 2",
        "With 50 rows Λ = 2 has no visible effect on the risk: its median is 5.6, 5.5 without decay",
    ]
    assert ratios("Λ", np.array([0.0]), values[:, :1], "risk", where="Here", null=1.0)[0].endswith("; a constant predicts better")
    alone = ratios("Λ", np.array([0.0, 1.0]), values[:1, :2], "risk", where="Here", floor=3.0)
    assert alone[1] == "Here Λ = 1 has a risk of 3, Λ = 0 one of 1e+03; a single trial has no error to tell an effect by"


def test_two_methods_are_told_in_a_sentence() -> None:
    one = ["Without decay the risk is 1 with A", "λ = 2 lowers the risk by 5%: 0.95 with A", "Without decay every trial diverged"]
    two = ["Without decay the risk is 2 with B; a constant predicts better", "λ = 2: no trial to compare", "λ = 3: no"]
    assert beside(np.array([0.0, 2.0, 3.0]), one, two) == [
        "Without decay the risk is 1 with A; 2 with B, where a constant predicts better",
        "λ = 2 lowers the risk by 5%: 0.95 with A; λ = 2: no trial to compare",
        "Without decay every trial diverged; λ = 3: no",
    ]
    assert beside(np.array([2.0]), one[1:2], ["λ = 2 raises the risk by 3%: 1.03 with B"]) == [
        "λ = 2 lowers the risk by 5%: 0.95 with A; it raises the risk by 3%: 1.03 with B"
    ]


def test_a_fate_is_told_beside_that_of_the_smallest() -> None:
    accuracy = np.array([[[0.0, 0.2, 0.3], [0.0, 0.2, 1.0], [0, 0, 0.1]]] * 2)  # (T, L, K)
    run = {"train_accuracy": np.ones_like(accuracy), "val_accuracy": accuracy, "steps": np.array([0, 5, 10])}
    lost = np.array([[False, False, True]] * 2)
    assert fates(np.array([0.0, 1.0, 9.0]), run | {"diverged": lost}, 0.95) == [
        "λ = 0 does not generalise within 10 steps",
        "λ = 1 generalises at step 10; λ = 0 does not generalise within 10 steps",
        "λ = 9 diverges in every trial; λ = 0 does not generalise within 10 steps",
    ]


def test_a_single_trial_is_said_to_be_one() -> None:
    assert said([2.0], [1.0])[1] == "λ = 3: a single trial, which has no error to tell an effect by"
    assert notes(np.array([0.0, 3.0]), np.zeros((1, 2), dtype=bool)) == ["A single trial has no standard error"]
    some = np.array([[False, True], [False, False]])
    assert notes(np.array([0.0, 3.0]), some, when=" within 5 epochs") == ["1 of 2 trials diverged at λ = 3 within 5 epochs"]


def test_the_best_is_the_lowest_mean_where_nothing_diverged() -> None:
    lost = np.zeros((2, 3), dtype=bool)
    assert lowest(np.array([3.0, 1.0, 2.0]), lost) == 1
    lost[0, 1] = True
    assert lowest(np.array([3.0, 1.0, 2.0]), lost) == 2
    assert lowest(np.array([NAN, NAN, 2.0]), ~lost) is None
    assert lowest(np.full(3, NAN), lost) is None


@pytest.mark.parametrize(
    ("values", "best", "named"),
    [
        ([[2.0, 1.0], [2.2, 1.3], [1.8, 0.9]], 1, ""),
        ([[2.0, 1.9], [2.2, 2.3], [1.8, 1.7]], 1, "but not visibly below the one without decay"),
        ([[2.0, 3.0], [2.2, 3.0], [1.8, 3.0]], 0, ""),
        ([[2.0, 3.0], [2.2, 3.0], [1.8, 3.0]], None, ""),
    ],
)
def test_a_best_that_cannot_be_told_from_no_decay_is_doubted(values: list[list[float]], best: int | None, named: str) -> None:
    losses = np.array(values)
    assert doubt(losses, np.zeros(losses.shape, dtype=bool), best) == named


def test_means_are_numpys_over_the_trials_that_are_known(rng: np.random.Generator) -> None:
    values = rng.normal(size=(5, 2, 3))
    values[0, 0, 0] = NAN
    values[:, 1, 1] = NAN
    values[1:, 1, 2] = NAN
    mean, error = over_trials(values)
    np.testing.assert_allclose(mean[0], np.nanmean(values[:, 0], axis=0), rtol=1e-14)  # sums in another order
    counts = np.isfinite(values[:, 0]).sum(axis=0)
    np.testing.assert_allclose(error[0], np.nanstd(values[:, 0], axis=0, ddof=1) / np.sqrt(counts), rtol=1e-13)
    assert np.isnan(mean[1, 1])
    assert mean[1, 2] == values[0, 1, 2]
    assert np.isnan(error[1, 1:]).all()


@pytest.mark.parametrize("count", [1, 2, 11, 101, 5000])
def test_a_thinned_curve_keeps_its_ends_and_what_is_asked_for(count: int) -> None:
    steps = 7 * np.arange(count)
    places = thinned(steps, [steps[count // 2]])
    assert {0, count // 2, count - 1} <= set(places.tolist())
    assert (np.diff(places) > 0).all()
    assert len(places) <= 60


def finite(values: ArrayLike) -> NDArray:
    return np.asarray(values, dtype=float)


def consistent(shown: Shown) -> None:
    """Every array of a study has the shape that its sliders give it, and every choice has a sentence."""
    sliders = (len(shown.second.values) if shown.second else 1, len(shown.decay.values))
    assert (len(shown.said), {len(each) for each in shown.said}) == (sliders[0], {sliders[1]})
    assert all(text and "nan" not in text and "inf" not in text for each in shown.said for text in each)
    assert 2 <= len(shown.facts) <= 4
    assert all(finite(line.values).shape == sliders for _, line in shown.facts)
    assert len(shown.best) == sliders[0]
    assert len(shown.doubt) in {1, sliders[0]}
    assert any(isinstance(chart, OverDecays) for chart in shown.charts)
    assert list(shown.decay.values) == sorted(shown.decay.values)
    if shown.second:
        assert 0 <= shown.second.start < sliders[0]
    for chart in shown.charts:
        if isinstance(chart, Weights):
            size = len(chart.x)
            assert {finite(values).shape for _, values in chart.series} <= {(*sliders, size), (1, sliders[1], size)}
            assert chart.truth is None or finite(chart.truth).shape in {(1, size), (sliders[0], size)}
            assert chart.walls is None or finite(chart.walls).shape == sliders
        elif isinstance(chart, OverDecays):
            assert {shape(line) for line in chart.lines} == {sliders}
        elif isinstance(chart, OverSteps):
            assert {shape(line) for line in chart.lines} <= {(*sliders, len(chart.x)), (1, sliders[1], len(chart.x))}
            assert len(chart.x) <= 60
            assert chart.until is None or len(chart.until) == sliders[0]


def shape(line: Line) -> tuple[int, ...]:
    assert line.error is None or finite(line.error).shape == finite(line.values).shape
    assert not np.isinf(finite(line.values)).any()
    return finite(line.values).shape


@pytest.fixture
def inside(reproduced: Clone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clone]:
    """The reproduced clone, as the folder that stages read; put back afterwards."""
    monkeypatch.chdir(reproduced.path)
    yield reproduced
    reproduced.restore()


def shown_here(study: str) -> Shown:
    """As the stage reads it: without any λ of an arm."""
    section = SYSTEMS[study].section
    return shown_of(study, SYSTEMS[study], params.read(study, section, "seed", *params.parts_of(section)))


def fact(shown: Shown, name: str) -> Line:
    return dict(shown.facts)[name]


@pytest.mark.slow
@pytest.mark.parametrize("study", EXPLORED)
def test_its_arrays_fit_together(study: str, inside: Clone) -> None:
    consistent(shown_here(study))


@pytest.mark.slow
@pytest.mark.parametrize(
    "grids",
    [
        {study: [0] for study in EXPLORED},
        {
            "line": [0, 1, 100],
            "wide": [0, 1, 300],
            "equilibrium": [0, 0.01, 2.5],
            "optimizers": [0, 100],
            "modular": [0, 100],
            "digits": [0, 0.001, 3],
            "relatives": [0, 100],
            "phase": [0, 100],
        },
    ],
    ids=["λ = 0 alone", "some diverge"],
)
def test_the_oddest_grids_can_be_shown(grids: dict[str, list[float]], inside: Clone) -> None:
    for study, grid in grids.items():
        inside.set(f"{study}.sweep.{GRIDS.get(study, 'wd')}", grid)
    inside.stages(*(f"stages.{verb} {study}" for study in EXPLORED for verb in ("sweep", "evaluate")))
    for study in EXPLORED:
        consistent(shown_here(study))
    if 100 in grids["line"]:
        line = shown_here("line")
        assert line.said[0][2] == "λ = 100: no trial to compare; 2 of 2 trials diverged at λ = 100"
        assert line.notes == ["2 of 2 trials diverged at λ = 100"]
        assert np.isnan(fact(line, "validation loss").values[0, 2])


def tracked(study: str, name: str, **chosen: float | str) -> NDArray:
    """A column of a sweep's table, in its order, of the rows that have these values."""
    rows = storage.load_table(Path("metrics", f"{study}_sweep.csv"), (), stage="")
    return np.array([row[name] for row in rows if all(row[key] == value for key, value in chosen.items())], dtype=float)


def details(name: str) -> Any:
    return json.loads(Path("metrics", "details", f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_numbers_of_line_are_the_tracked_ones(inside: Clone) -> None:
    shown, summary = shown_here("line"), details("line_sweep")
    loss = fact(shown, "validation loss")
    assert loss.values[0] == pytest.approx([tracked("line", "val_loss", weight_decay=each).mean() for each in shown.decay.values])
    assert shown.decay.values[int(shown.best[0] or 0)] == summary["best_lambda"]
    assert loss.error is not None
    assert loss.error[0, 0] == pytest.approx(summary["val_loss_at_zero_se"], rel=SIX_DIGITS)
    place, arm = shown.decay.values.index(0.01), details("line")["wd"]  # the λ of the arm is in the grid
    assert [fact(shown, name).values[0, place] for name in ("slope", "intercept")] == pytest.approx(
        [arm["weight"], arm["bias"]], rel=SIX_DIGITS
    )


@pytest.mark.slow
def test_the_numbers_of_wide_are_the_tracked_ones(inside: Clone) -> None:
    """Also those of the arms, which have 10 epochs, and the first trial's weights, which are computed and not trained."""
    inside.set("wide.sweep.epochs", [1, 10])
    inside.stages(*(f"stages.{verb} wide" for verb in ("sweep", "evaluate")))
    shown, mapped, rows = shown_here("wide"), details("wide_sweep")["map"]["random"], details("wide")
    loss = fact(shown, "validation loss")
    for place, epochs in enumerate((1, 10)):
        assert loss.values[place] == pytest.approx(mapped[f"epochs_{epochs}"]["val_loss"], rel=SIX_DIGITS)
        assert shown.decay.values[int(shown.best[place] or 0)] == mapped[f"epochs_{epochs}"]["best_lambda"]
    assert (shown.second and shown.second.values[shown.second.start]) == 10
    names = {"validation loss": "val_loss", "of it from the start": "excess_start", "‖w‖₂": "weight_norm"}
    (points,) = (chart for chart in shown.charts if isinstance(chart, Weights))
    for arm, decay in (("baseline", 0), ("wd", 3)):
        place = shown.decay.values.index(decay)
        for name, value in names.items():
            line = fact(shown, name)
            assert line.error is not None
            assert line.values[1, place] == pytest.approx(rows[arm][value], rel=SIX_DIGITS)
            assert line.error[1, place] == pytest.approx(rows[arm][f"{value}_se"], rel=SIX_DIGITS)
        trained = np.load(Path("data", "wide", f"{arm}.npz"))[f"{arm}.weight"][0]
        weights = dict(points.series)["trained"][1, place]
        np.testing.assert_allclose(weights, trained, atol=2.0**-LOOK * 2 * np.abs(trained).max())  # both are on that grid


@pytest.mark.slow
def test_the_numbers_of_modular_are_the_tracked_ones(inside: Clone) -> None:
    shown, rows = shown_here("modular"), details("modular")
    for arm, decay in (("baseline", 0), ("wd", 3)):
        place = shown.decay.values.index(decay)
        assert fact(shown, "‖w‖₂").values[0, place] == pytest.approx(rows[arm]["weight_norm"], rel=SIX_DIGITS)
        assert fact(shown, "share of the strongest frequency").values[0, place] == pytest.approx(
            rows[arm]["purity"], rel=SIX_DIGITS
        )


def test_a_step_is_known_where_every_trial_gets_there() -> None:
    steps = np.array([[10.0, 20.0, 40.0], [30.0, -1.0, 60.0]])  # two trials, three λ
    known = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, NAN]])  # the last λ loses a trial
    mean, error = arrived(steps, known)
    np.testing.assert_array_equal(mean, [20, NAN, 40])
    np.testing.assert_array_equal(error, [10, NAN, NAN])  # ±10 about the mean of two


@pytest.mark.slow
def test_the_numbers_of_equilibrium_are_the_tracked_ones(inside: Clone) -> None:
    shown = shown_here("equilibrium")
    assert shown.second
    for place, rate in enumerate(shown.second.values):
        risks = [tracked("equilibrium", "risk", lr=rate, product=product).mean() for product in shown.decay.values]
        assert fact(shown, "risk").values[place] == pytest.approx(risks)
        assert shown.best[place] == int(np.argmin(risks))


@pytest.mark.slow
def test_the_numbers_of_optimizers_are_the_tracked_ones(inside: Clone) -> None:
    shown = shown_here("optimizers")
    for name, kind in (("Adam", "adam"), ("AdamW", "adamw")):
        np.testing.assert_array_equal(
            fact(shown, f"risk with {name}").values[0], tracked("optimizers", "risk", run=kind, lr=0.02)
        )
    (points,) = (chart for chart in shown.charts if isinstance(chart, Weights))
    assert points.walls is not None
    np.testing.assert_array_equal(points.walls[0], [NAN, *(1 / np.array(shown.decay.values[1:]))])
    (norms,) = (chart for chart in shown.charts if isinstance(chart, OverSteps) and chart.y_title == "‖w‖₂")
    for line in norms.lines[2:]:  # the history ends with the weights that are shown
        assert line.values[..., -1] == pytest.approx(fact(shown, f"‖w‖₂ with {line.name}").values, rel=2.0**-LOOK * 10)


def with_two_trials(inside: Clone, study: str) -> None:
    inside.set(f"{study}.data.trials", 2)
    inside.stages(*(f"stages.{verb} {study}" for verb in ("generate", "sweep", "evaluate")))


@pytest.mark.slow
def test_the_numbers_of_digits_are_the_tracked_ones(inside: Clone) -> None:
    shown, summary = shown_here("digits"), details("digits_sweep")
    for m, case in enumerate(("logistic", "logistic_noisy")):
        for name, value in (("validation loss", "val_loss"), ("right answers", "val_accuracy")):
            means = [tracked("digits", value, run=case, weight_decay=each).mean() for each in shown.decay.values]
            assert fact(shown, name).values[m] == pytest.approx(means, rel=SIX_DIGITS)
        assert shown.decay.values[int(shown.best[m] or 0)] == summary[case]["best_lambda"]


@pytest.mark.slow
def test_the_numbers_of_descent_are_the_tracked_ones(inside: Clone) -> None:
    """The median of two trials is their mean."""
    with_two_trials(inside, "descent")
    shown = shown_here("descent")
    assert shown.second
    for m, rows in enumerate(shown.second.values):
        for name, value in (("median risk", "risk"), ("expected", "theory"), ("λ = Λ/rows", "weight_decay")):
            assert fact(shown, name).values[m] == pytest.approx(tracked("descent", value, rows=rows), rel=SIX_DIGITS)
    (curve,) = (chart for chart in shown.charts if isinstance(chart, OverSteps))
    assert curve.lines[0].values[0, 0] == pytest.approx(tracked("descent", "risk", penalty=0.0), rel=SIX_DIGITS)


@pytest.mark.slow
def test_the_numbers_of_scaling_are_the_tracked_ones(inside: Clone) -> None:
    shown, summary = shown_here("scaling"), details("scaling_sweep")
    assert shown.second
    for m, rows in enumerate(shown.second.values):
        for name, run in (("AdamW", "adamw_4"), ("SGD", "sgd_4")):
            expected = tracked("scaling", "risk", run=run, rows=rows)
            assert fact(shown, f"risk with {name}").values[m] == pytest.approx(expected, rel=SIX_DIGITS)
            (curve,) = (chart for chart in shown.charts if isinstance(chart, OverSteps))
            (line,) = (line for line in curve.lines if line.name == name)
            assert line.values[0, :, m] == pytest.approx(expected, rel=SIX_DIGITS)
        epochs = tracked("scaling", "epochs", run="adamw_4", rows=rows)
        assert fact(shown, "1/(lr·λ) with AdamW, epochs").values[m] == pytest.approx(epochs, rel=SIX_DIGITS, nan_ok=True)
        assert shown.decay.values[int(shown.best[m] or 0)] == summary[f"adamw_4_rows_{rows}"]["best_lambda"]


@pytest.mark.slow
def test_the_numbers_of_layers_are_the_tracked_ones(inside: Clone) -> None:
    shown, summary = shown_here("layers"), details("layers_sweep")
    for m, where in enumerate(("all", "some")):
        for name, layers in (("two layers", "two"), ("one layer", "one")):
            expected = tracked("layers", "error", run=f"{layers}_{where}")
            assert fact(shown, f"error, {name}").values[m] == pytest.approx(expected, rel=SIX_DIGITS)
        assert shown.decay.values[int(shown.best[m] or 0)] == summary[f"two_{where}"]["best_lambda"]
    (bars,) = (chart for chart in shown.charts if isinstance(chart, Weights))
    assert dict(bars.series)["two layers"][0] == pytest.approx(np.array(summary["two_all"]["values"]), rel=SIX_DIGITS, abs=1e-9)


@pytest.mark.slow
def test_the_numbers_of_table_are_the_tracked_ones(inside: Clone) -> None:
    """As those of descent."""
    with_two_trials(inside, "table")
    shown, summary = shown_here("table"), details("table_sweep")
    assert shown.second
    for m, rows in enumerate(shown.second.values):
        for name, value in (("validation loss", "val_loss"), ("test error", "test_error")):
            assert fact(shown, name).values[m] == pytest.approx(tracked("table", value, rows=rows), rel=SIX_DIGITS)
    (bars,) = (chart for chart in shown.charts if isinstance(chart, Weights))
    assert {name: values.tolist() for name, values in zip(bars.x, bars.series[0][1][0].T, strict=True)} == {
        name: summary["weights"][name] for name in bars.x
    }


@pytest.mark.slow
def test_the_numbers_of_relatives_are_the_tracked_ones(inside: Clone) -> None:
    shown = shown_here("relatives")
    assert shown.second
    (risks, counts) = (chart for chart in shown.charts if isinstance(chart, OverDecays))
    methods = {"L2": "l2", "ℓ1": "l1", "elastic net": "elastic_net", "early stopping": "early_stopping"}
    for m, truth in enumerate(("sparse", "dense")):
        for chart, value in ((risks, "risk"), (counts, "nonzeros")):
            for line in chart.lines:
                known = tracked("relatives", value, run=f"{truth}_{methods[line.name]}")
                assert line.values[m] == pytest.approx(known, rel=SIX_DIGITS)
    (points,) = (chart for chart in shown.charts if isinstance(chart, Weights))
    assert points.truth is not None
    assert list(shown.second.values) == np.count_nonzero(points.truth, axis=1).tolist()


@pytest.mark.slow
def test_the_numbers_of_phase_are_the_tracked_ones(inside: Clone) -> None:
    shown = shown_here("phase")
    assert shown.second
    for m, share in enumerate(shown.second.values):
        for place, decay in enumerate(shown.decay.values):
            steps = tracked("phase", "steps_to_generalise", weight_decay=decay, train_fraction=share / 100)
            expected = steps.mean() if (steps >= 0).all() else NAN
            np.testing.assert_allclose(fact(shown, "step at which it generalises").values[m, place], expected)


def test_the_walls_are_reached_by_as_many_weights_as_is_said() -> None:
    weight_decays, lost = np.array([0.0, 5.0]), {kind: np.zeros((2, 2), dtype=bool) for kind in ("adam", "adamw")}
    risks = {"adam": np.array([[1.0, 0.55], [1.2, 0.75]]), "adamw": np.array([[1.0, 1.55], [1.2, 1.75]])}
    weight = np.array([[[9.0, 9, 9, 9], [0.2, -0.2, 0.1, 0]], [[9, 9, 9, 9], [0.191, 0.18, 0.1, 0]]])  # 3 of 8 are at ±0.2
    null = np.array([1.4, 1.6])  # of w = 0
    said = sentences(weight_decays, risks, lost, weight, null)
    assert said[0] == "Without decay the risk is 1.1 with Adam; 1.1 with AdamW"
    assert said[1] == (
        "λ = 5 lowers the risk by 41%: 0.65 with Adam; it raises the risk by 50%: 1.65 with AdamW, where a constant predicts "
        "better; 38% of AdamW's weights are at the walls ±0.2"
    )
    assert sentences(weight_decays, risks, lost, weight / 2, null)[1].endswith("none of AdamW's weights is at the walls ±0.2")


@pytest.mark.parametrize(
    ("share", "left"),
    [
        (0.92, "92% of what the random start adds is left"),
        (0.02, "2% of what the random start adds is left"),
        (0.003, "forgotten"),
    ],
)
def test_a_start_is_forgotten_where_nothing_of_it_is_left(share: float, left: str) -> None:
    assert forgotten(share).endswith(left)
