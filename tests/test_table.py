"""table: its divisions, ridge and logistic regression against scikit-learn, leave-one-out against leaving out, its sentences."""

from typing import Any

import numpy as np
import pytest
from conftest import CPU, changed, draw, fit, metrics, table
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from stages.base.streams import Arrays, Streams
from stages.studies.table import figures, losses, results, sentences, system, training
from stages.theory.ridge import degrees_of_freedom, generalised, leave_one_out, path

TOLERANCE = 1e-10  # the same arithmetic in another order, of numbers around 1, with inputs that nearly depend on each other
SUMMARY, TABLE = metrics("table_sweep"), table("table_sweep")


def small(settings: Any, **values: Any) -> tuple[system.Rows, Arrays]:
    own = {"data.trials": 2} | {name.replace("__", "."): value for name, value in values.items()}
    section = changed(settings.table, own)
    return section, draw("table", section)


def of_csv(settings: Any, inputs: NDArray, target: NDArray, **values: Any) -> tuple[system.Rows, Arrays]:
    """A table that is written and read."""
    names = ",".join([*(f"x{index}" for index in range(inputs.shape[1])), "y"])
    rows = [",".join([*map(repr, row.tolist()), str(y)]) for row, y in zip(inputs, target, strict=True)]
    own = {"data.target": "y", "data.trials": 2} | {name.replace("__", "."): value for name, value in values.items()}
    section = changed(settings.table, own)
    return section, system.draw(section, Streams(0, "table"), "\n".join([names, *rows]).encode())


def test_a_trial_divides_all_rows_and_learns_from_the_first_of_its_training_rows(settings: Any) -> None:
    section, arrays = small(settings)
    counts = system.sizes(section, arrays)
    assert counts == sorted({round(share * counts[-1]) for share in section.sweep.rows} | {counts[-1]})
    for order in arrays["order"]:
        assert sorted(order) == list(range(len(arrays["target"])))
    assert not np.array_equal(*arrays["order"])
    targets = [system.divided(arrays, 0, rows) for rows in counts]
    for each, rows in zip(targets, counts, strict=True):
        parts = [len(part[1]) for part in (each.train, each.val, each.test)]
        assert parts == [rows, int(arrays["val_rows"]), int(arrays["test_rows"])]
    assert sum(parts) == len(arrays["target"])
    few, whole = targets[0], targets[-1]
    unit = system.unit(arrays)
    back = few.train[1] * unit + arrays["target"][arrays["order"][0][sum(parts[1:]) :][: counts[0]]].mean()
    assert back == pytest.approx(arrays["target"][arrays["order"][0][sum(parts[1:]) :][: counts[0]]])
    assert np.ptp(whole.val[1]) == pytest.approx(np.ptp(few.val[1]))


def test_inputs_are_standardised_by_training_rows_alone(settings: Any, rng: np.random.Generator) -> None:
    """As scikit-learn's imputer and scaler do that have seen no other row; the squares and products alike."""
    inputs = rng.standard_normal((40, 3)) + 5
    inputs[rng.random((40, 3)) < 0.1] = np.nan
    _, arrays = of_csv(settings, inputs, rng.standard_normal(40), data__missing="mean", data__features="quadratic")
    rows = 12
    found = system.divided(arrays, 1, rows)
    train, others = arrays["order"][1][16:][:rows], arrays["order"][1][:8]
    made = make_pipeline(SimpleImputer(), StandardScaler(), PolynomialFeatures(include_bias=False), StandardScaler())
    expected = made.fit(inputs[train])
    order = [0, 1, 2, 3, 4, 5, 6, 7, 8]  # x0, x1, x2, x0², x0·x1, x0·x2, x1², x1·x2, x2²
    np.testing.assert_allclose(found.train[0], expected.transform(inputs[train])[:, order], atol=TOLERANCE)
    np.testing.assert_allclose(found.val[0], expected.transform(inputs[others])[:, order], atol=TOLERANCE)
    assert system.input_names(arrays)[3:6] == ["x0²", "x0·x1", "x0·x2"]


def test_an_input_that_no_training_row_varies_weighs_nothing(settings: Any, rng: np.random.Generator) -> None:
    inputs = np.column_stack([rng.standard_normal(30), np.full(30, 1 / 3)])
    inputs[-1, 1], inputs[-2, 1] = 2.0, np.nan
    _, arrays = of_csv(settings, inputs, rng.standard_normal(30), data__missing="mean")
    arrays["order"][0] = [*range(28, 30), *range(28)]
    arrays |= {"val_rows": np.array(1), "test_rows": np.array(1)}
    found = system.divided(arrays, 0, 28)
    for part in (found.train, found.val, found.test):
        assert (part[0][:, 1] == 0).all()


def test_products_that_say_nothing_new_are_left_out() -> None:
    """The square of two values, two categories that exclude each other; scikit-learn's diabetes table has 64 inputs."""
    two, other = np.array([0, 1, 0, 1, 0, 1.0]), np.array([0, 0, 5, 0, 5, 0.0])
    assert system.products(np.column_stack([two, other])).tolist() == []
    assert system.products(np.column_stack([two, [5, 5, 0, 0, 0, 0.0]])).tolist() == [[0, 1]]
    assert system.products(np.column_stack([two, [1, 2, 3, 4, 5, np.nan]])).tolist() == [[0, 1], [1, 1]]


def test_the_shipped_table_has_as_many_products_as_in_the_literature(settings: Any) -> None:
    """Efron et al. 2004, section 5: ten main effects, 45 interactions, nine squares."""
    _, arrays = small(settings, data__file="data/diabetes.csv", data__features="quadratic")
    assert len(system.input_names(arrays)) == 64


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Standardised inputs, two of them nearly alike, and a centred target."""
    inputs = rng.standard_normal((25, 6))
    inputs[:, 1] = inputs[:, 0] + 0.1 * inputs[:, 1]
    inputs = StandardScaler().fit_transform(inputs)
    target = inputs @ rng.standard_normal(6) + rng.standard_normal(25)
    return inputs, target - target.mean()


PENALTIES = np.array([0.01, 1.0, 30.0])


def test_the_path_is_scikit_learns_ridge(rows: tuple[NDArray, NDArray]) -> None:
    inputs, target = rows
    found = path(*np.linalg.svd(inputs, full_matrices=False), target, PENALTIES)
    for weights, penalty in zip(found, PENALTIES, strict=True):
        np.testing.assert_allclose(weights, Ridge(alpha=penalty).fit(inputs, target).coef_, atol=TOLERANCE)


@pytest.mark.parametrize("count", [25, 4])
def test_leave_one_out_is_leaving_one_out(count: int, rows: tuple[NDArray, NDArray]) -> None:
    """With more rows than inputs and with fewer: each row predicted by ridge on all others, and RidgeCV's own errors."""
    inputs, target = rows[0][:count], rows[1][:count]
    inputs, target = inputs - inputs.mean(axis=0), target - target.mean()
    left, values, _ = np.linalg.svd(inputs, full_matrices=False)
    found = leave_one_out(left, values, target, PENALTIES)
    for errors, penalty in zip(found, PENALTIES, strict=True):
        for row in range(count):
            others = np.arange(count) != row
            model = Ridge(alpha=penalty).fit(inputs[others], target[others])
            assert errors[row] == pytest.approx(target[row] - model.predict(inputs[[row]])[0], abs=TOLERANCE)
    known = RidgeCV(alphas=PENALTIES, store_cv_results=True).fit(inputs, target)
    np.testing.assert_allclose(found.T**2, known.cv_results_, atol=TOLERANCE)


def test_a_row_that_its_model_must_hit_says_nothing(rows: tuple[NDArray, NDArray]) -> None:
    """At λ = 0 with no more rows than inputs every leverage is 1."""
    inputs, target = rows[0][:5], rows[1][:5]
    inputs, target = inputs - inputs.mean(axis=0), target - target.mean()
    left, values, _ = np.linalg.svd(inputs, full_matrices=False)
    assert np.isnan(leave_one_out(left, values, target, np.array([0.0]))).all()
    freedom = degrees_of_freedom(values, np.array([0.0]))
    assert freedom == pytest.approx(5)
    assert np.isnan(generalised(np.zeros((1, 5)), freedom)).all()


def test_degrees_of_freedom_are_the_trace_of_what_predicts(rows: tuple[NDArray, NDArray]) -> None:
    """Ridge is linear in the targets: the prediction of a row moves by its own target's share."""
    inputs, target = rows
    _, values, _ = np.linalg.svd(inputs, full_matrices=False)
    for penalty, freedom in zip(PENALTIES, degrees_of_freedom(values, PENALTIES), strict=True):
        hat = np.column_stack([Ridge(alpha=penalty).fit(inputs, unit).predict(inputs) for unit in np.eye(25)])
        assert freedom == pytest.approx(np.trace(hat), abs=TOLERANCE)
        expected = np.mean((target - hat @ target) ** 2) / (1 - np.trace(hat) / 25) ** 2
        assert generalised((target - hat @ target)[None], np.array([freedom])) == pytest.approx(expected)


def test_trained_weights_are_ridges_and_what_would_not_arrive_is_not_trained(settings: Any) -> None:
    """`CONVERGED` of an error may be left, of weights below 1."""
    section, arrays = small(settings, sweep__wd=(0.0, 0.003, 0.1, 3.0), sweep__rows=(0.1, 0.3), train__steps=700)
    found = training.sweep(section, arrays, CPU, fit)
    assert not found["trained"].all()
    assert found["trained"][-1].all()
    assert np.isnan(found["weight"][:, ~found["trained"]]).all()
    for index, count in enumerate(found["rows"].tolist()):
        inputs, target = system.divided(arrays, 1, count).train
        for place in np.flatnonzero(found["trained"][index] & (found["weight_decay"] > 0)):
            expected = Ridge(alpha=count * found["weight_decay"][place]).fit(inputs, target)
            np.testing.assert_allclose(found["weight"][1, index, place, :, 0], expected.coef_, atol=2e-6)
            assert expected.intercept_ == pytest.approx(0, abs=TOLERANCE)
    assert (found["bias"][:, found["trained"]] == 0).all()


CANCER = load_breast_cancer()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classification_is_scikit_learns_logistic_regression(classes: int, settings: Any) -> None:
    """C = 1/(nλ), for two classes 2/(nλ), as scikit-learn keeps one weight vector where there are two, each half of it."""
    values: dict[str, Any] = {"data__task": "classification", "sweep__wd": (0.0, 0.03, 1.0), "sweep__rows": (0.5,)}
    if classes == 2:
        section, arrays = of_csv(settings, CANCER.data[::4, :8], CANCER.target[::4], **values)
    else:
        section, arrays = small(settings, data__file="data/wine.csv", data__target="cultivar", **values)
    assert len(arrays["classes"]) == classes
    found = training.sweep(section, arrays, CPU, fit)
    _, summary = results.evaluate_sweep(section, arrays, found)
    count = system.sizes(section, arrays)[-1]
    for place, weight_decay in enumerate(section.sweep.wd[1:], start=1):
        division = system.divided(arrays, 0, count)
        scale = (2 if classes == 2 else 1) / (count * weight_decay)
        model = LogisticRegression(C=scale, tol=1e-10, max_iter=10_000).fit(*division.train)
        own = losses.of_classes(division, found["weight_decay"], found["weight"][0, -1], found["bias"][0, -1])
        chances = model.predict_proba(division.test[0])[np.arange(len(division.test[1])), division.test[1].astype(int)]
        assert own["test_loss"][place] == pytest.approx(-np.log(chances).mean(), abs=1e-5)
        assert own["test_accuracy"][place] == model.score(*division.test)
        assert own["arrived"][place]
    assert "loo_change" not in summary
    short = "; λ = 0 does not arrive within 1,000 steps"
    assert summary["findings"]["panel"].endswith(short) == (not own["arrived"][0])
    assert not own["arrived"][0] or classes == 2
    assert "degrees_of_freedom" not in results.evaluate_sweep(section, arrays, found)[0][0]


def test_the_choice_is_made_without_test_rows_and_judged_on_them(settings: Any) -> None:
    """The test rows' targets turned around: other errors, the same λ."""
    section, arrays = small(settings, sweep__rows=(0.2,))
    found = training.sweep(section, arrays, CPU, fit)
    before = results.evaluate_sweep(section, arrays, found)[1]
    other = dict(arrays)
    other["order"] = arrays["order"].copy()
    val, test = int(arrays["val_rows"]), int(arrays["test_rows"])
    other["order"][:, val : val + test] = arrays["order"][:, val + test :][:, :test]  # rows that were trained on
    after = results.evaluate_sweep(section, other, found)[1]
    for name in ("best_lambda", "least_chosen", "largest_chosen"):
        assert before[name] == after[name]
    assert before["test_median_at_chosen"] != after["test_median_at_chosen"]


def own(change: float, error: float, trials: int = 20, **more: float) -> dict[str, Any]:
    found: dict[str, Any] = {"change": change, "change_se": error, "trials": trials, "classes": 0, "best_lambda": 0.1}
    return found | {"test_median_at_zero": 60.0, "test_median_at_chosen": 50.0} | more


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (own(-0.2, 0.01), "With 9 training rows tuned λ lowers the test error by 18%, in the median from 60 to 50"),
        (own(0.2, 0.01), "With 9 training rows tuned λ raises the test error by 22%, in the median from 60 to 50"),
        (
            own(-0.02, 0.01),
            "With 9 training rows tuned λ has no visible effect on the test error (20 trials would show 2.9% or more)",
        ),
        (
            own(-0.004, 0.0001),
            "With 9 training rows tuned λ has no visible effect on the test error (20 trials would show 0.5% or more)",
        ),
        (own(-0.2, 0.01, trials=1), "A single trial has no error to tell an effect by"),
        (
            own(-0.2, 0.01, classes=3, test_accuracy_at_chosen=0.95, most_frequent_class=0.4),
            "With 9 training rows tuned λ lowers the test loss by 18%, in the median from 60 to 50; "
            "95% of the answers are right, 40% of the rows are of the most frequent class",
        ),
    ],
)
def test_the_answer_is_what_the_numbers_say(found: dict[str, Any], said: str) -> None:
    assert sentences.answer(found, [9]) == said


GAIN, LOSS, NONE = own(-0.2, 0.01), own(0.1, 0.01), own(-0.01, 0.01)


@pytest.mark.parametrize(
    ("each", "said"),
    [
        (
            (own(-0.5, 0.01), GAIN, NONE, NONE),
            "Tuned λ lowers the test error with 5 and 10 training rows, most with 5, by 39%; with more rows not visibly",
        ),
        (
            (GAIN, GAIN, own(-0.5, 0.01), GAIN),
            "Tuned λ lowers the test error with every number of training rows, most with 20, by 39%",
        ),
        ((GAIN, NONE, NONE, NONE), "Tuned λ lowers the test error by 18% with 5 training rows; with more rows not visibly"),
        ((NONE, GAIN, NONE, NONE), "Tuned λ lowers the test error by 18% with 10 training rows"),
        ((NONE, NONE, NONE, GAIN), "Tuned λ lowers the test error by 18% with 40 training rows"),
        ((GAIN, NONE, NONE, LOSS), "Tuned λ lowers the test error by 18% with 5 training rows; with 40 it raises it"),
        ((NONE, NONE, NONE, NONE), "Tuned λ does not visibly lower the test error, with few training rows or many"),
        (
            (NONE, LOSS, LOSS, NONE),
            "Tuned λ does not visibly lower the test error, with few training rows or many; with 10 and 20 it raises it",
        ),
        ((GAIN, NONE, GAIN, NONE), "Tuned λ lowers the test error with 5 and 20 training rows, most with 5, by 18%"),
    ],
)
def test_when_decay_pays_is_said_as_the_numbers_have_it(each: tuple[dict[str, Any], ...], said: str) -> None:
    counts = (5, 10, 20, 40)
    found = own(0, 0.1) | {f"rows_{rows}": one for rows, one in zip(counts, each, strict=True)}
    assert sentences.over_rows(found, counts) == said
    assert sentences.over_rows(found | {"trials": 1}, counts) == "A single trial has no error to tell an effect by"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (0.0, "what leave-one-out chooses, without validation rows, is not visibly worse"),
        (-0.1, "leave-one-out, without validation rows, chooses better, by 10%"),
        (0.1, "leave-one-out, without validation rows, chooses worse, by 11%"),
    ],
)
def test_leave_one_out_is_said_to_choose_as_it_does(change: float, said: str) -> None:
    found = own(0, 0.1, loo_change=change, loo_change_se=0.01)
    assert sentences.by_leaving_out(found) == said


def test_which_decays_are_as_good_is_said_of_their_range() -> None:
    grid, noise = np.array([0, 0.1, 1.0, 10.0]), np.random.default_rng(0).standard_normal((20, 4))
    flat = sentences.as_good(np.array([1.0, 0.99, 1.0, 5.0]) + 0.1 * noise, grid, 9)
    assert flat.endswith("is best on validation rows; 0 to 1 are not visibly worse")
    steep = sentences.as_good(np.array([3.0, 1.0, 2.0, 5.0]) + 0.1 * noise, grid, 9)
    assert steep == "With 9 training rows λ = 0.1 is best on validation rows"
    rising = sentences.as_good(np.array([3.0, 2.5, 2.0, 1.0]) + 0.1 * noise, grid, 9)
    assert rising == "With 9 training rows λ = 10 is best on validation rows, the largest of the grid"
    assert sentences.as_good(noise[:1], grid, 9) == "A single trial has no error to tell an effect by"


def test_what_is_left_of_the_weights_is_said_of_the_best_decay() -> None:
    rows = [{"weight_decay": decay, "degrees_of_freedom": 8 - 2 * decay} for decay in (0.0, 1.0)]
    assert sentences.left({"best_lambda": 1.0}, rows) == "λ = 1 leaves 6 of 8 degrees of freedom"
    assert sentences.left({"best_lambda": 0.0}, rows) == "No λ is better than 0 on validation rows"
    classes = [{"weight_decay": decay} for decay in (0.0, 1.0)]
    found = {"best_lambda": 1.0, "weights": {"x": [-3.0, 0.5], "z": [2.0, 0.7]}}
    assert sentences.left(found, classes) == "λ = 1 leaves a largest weight of 0.7 instead of 3"


OF_WINE = {"data__file": "data/wine.csv", "data__target": "cultivar", "data__task": "classification"}


@pytest.mark.parametrize("classes", [{}, OF_WINE], ids=["numbers", "classes"])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sweep__wd": (0.0,)}, "λ = 0 has nothing to compare with"),
        ({"data__trials": 1}, "A single trial has no error to tell an effect by"),
        ({"sweep__wd": (0.0, 30.0, 1e6)}, "With "),
        ({"train__steps": 1}, "With "),
        ({"train__momentum": 0.0, "sweep__rows": (0.001,)}, "With "),
    ],
)
def test_odd_settings_are_measured_and_drawn_without_a_warning(
    values: dict[str, Any], said: str, classes: dict[str, Any], settings: Any
) -> None:
    section, arrays = small(settings, **{"train__steps": 50} | classes | values)
    found = training.sweep(section, arrays, CPU, fit)
    rows, summary = results.evaluate_sweep(section, arrays, found)
    assert summary["findings"]["panel"].startswith(said)
    for figure in figures.sweep(rows, summary).values():
        figure.draw_without_rendering()


def test_with_few_rows_decay_gains_much_with_many_it_does_not(settings: Any) -> None:
    """Of the committed table where it is the shipped one, with its ten inputs."""
    if settings.table.data.file != "data/diabetes.csv" or settings.table.data.features != "linear":
        pytest.skip("another table is committed")
    few, whole = SUMMARY["rows_27"], SUMMARY["rows_266"]
    assert few["change"] < -5 * few["change_se"]
    assert abs(whole["change"]) < 3 * whole["change_se"]
    assert all(row["test_loss"] < 0.5 for row in TABLE if row["rows"] == 266)  # better than the mean
