"""What every figure shows, read off its axes by `drawn`: each word beside or before the numbers of the table that it names.

Tables and metrics are those committed. Weights are drawn here by chance.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import COMMITTED, ROOT, at, draw, metrics, table
from drawn import BLACK, bars, colour_of, end_labels, heading, image, level, pairs, panel, plain, points, text, tick
from numpy.typing import NDArray

from stages import overview, studies
from stages.base.streams import Arrays
from stages.drawing.figures import Figures
from stages.drawing.style import BASELINE, Figure
from stages.studies.line import figures as line
from stages.studies.modular.figures import UNITS

FIGURES = {study: studies.part(study, Figures) for study in studies.NAMES}
ARMS = ("baseline", "wd")
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "line": {"val_loss": (11,)},
    "wide": {"weight": (200,)},
    "optimizers": {"weight": (50,)},
    "digits": {"weight": (64, 10), "bias": (10,)},
}
Rows = list[dict[str, Any]]


@functools.cache
def shown(study: str) -> dict[str, Any]:
    """All figures of a study, of an animation the last frame."""
    found: dict[str, Any] = dict(FIGURES[study].sweep(table(f"{study}_sweep"), metrics(f"{study}_sweep")))
    if own := FIGURES[study].study:
        found |= own(draw(study, at(COMMITTED, study)), trained(study), table(f"{study}_curves"), metrics(study))
    return {name: each if isinstance(each, Figure) else list(each)[-1] for name, each in found.items()}


@functools.cache
def trained(study: str) -> dict[str, Arrays]:
    """Runs with weights by chance, whose last trial has diverged."""
    rng, rows = np.random.default_rng(7), {row["run"] for row in table(f"{study}_curves")}
    steps = sorted({int(row["step"]) for row in table(f"{study}_curves") if "step" in row})
    trials = at(COMMITTED, study).data.trials
    runs: dict[str, Arrays] = {
        row: {name: rng.normal(size=(trials, *shape)) for name, shape in SHAPES.get(study, {}).items()}
        | {"diverged": np.arange(trials) == trials - 1, "steps": np.array(steps)}
        for row in sorted(rows)
    }
    runs["wd"]["spectrum"] = rng.integers(0, 255, size=(1, 2 * UNITS, 4, len(steps))).astype(np.uint8)
    return runs


def path(study: str, row: str) -> dict[str, NDArray]:
    """A row's columns of the table of curves."""
    rows = [each for each in table(f"{study}_curves") if each["run"] == row]
    return {name: np.array([each[name] for each in rows], dtype=float) for name in table(f"{study}_curves")[0] if name != "run"}


def said(known: Mapping[str, Any], row: str) -> str:
    return f"λ = {known[row]['weight_decay']:g}"


def columns(rows: Rows, *names: str) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in names]


def check(found: NDArray, *expected: NDArray) -> None:
    """The same points; some figures subtract in single precision."""
    joined = np.concatenate(expected)
    np.testing.assert_allclose(found, pairs(*joined.T), rtol=1e-6, atol=1e-7)
    assert len(found)


@pytest.mark.parametrize("study", studies.NAMES)
def test_above_each_figure_stands_its_finding_and_grey_is_no_decay(study: str) -> None:
    known = metrics(f"{study}_sweep")["findings"] | (metrics(study)["findings"] if FIGURES[study].study else {})
    for name, figure in shown(study).items():
        assert plain(figure.get_suptitle()) == plain(known[name]), name
        for axes in figure.axes:
            colours = {each.get_color() for each in axes.texts if each.get_text() == "λ = 0"}
            assert not colours or BASELINE in colours, name


@pytest.mark.parametrize("study", studies.NAMES)
def test_a_label_stands_where_a_line_of_its_colour_ends_or_is_lowest(study: str) -> None:
    """Within a fifth of the axes: labels that would overlap are moved apart."""
    for name, figure in shown(study).items():
        figure.draw_without_rendering()
        for axes in figure.axes:
            for word, place, ends in end_labels(axes):
                assert min(abs(place - each) for each in ends) < 0.2, (name, word)


CURVES = [  # study, x, rows beside the curves
    ("wide", "epoch", {"best constant": "null"}),
    ("modular", "step", {"chance": "null"}),
    ("relatives", "step", {"w = 0": "null"}),
]


@pytest.mark.parametrize(("study", "x", "references"), CURVES)
def test_curves_are_those_of_the_arm_beside_them(study: str, x: str, references: dict[str, str]) -> None:
    figure, known = shown(study)["curves"], metrics(study)
    drawn = [("loss", "val_loss", "validation"), ("loss", "train_loss", "training"), ("‖w‖₂", "weight_norm", "validation")]
    for title, value, word in drawn:
        for label in {said(known, arm) for arm in ARMS}:
            own = [path(study, arm) for arm in ARMS if said(known, arm) == label]
            check(points(panel(figure, title), label, word), *(pairs(each[x], each[value]) for each in own))
    exact = [path(study, f"{row}_theory") for row in ARMS]
    if len(exact[0][x]):
        check(
            points(figure.axes[0], "exact theory"),
            *(pairs(each[x], each[v]) for each in exact for v in ("val_loss", "train_loss")),
        )
    for word, row in references.items():
        assert level(figure.axes[0], word) == [known[row]["val_loss"]]


@pytest.mark.parametrize("study", [study for study in studies.NAMES if FIGURES[study].panel and study != "wide"])
def test_a_panel_of_the_overview_shows_both_arms(study: str) -> None:
    axes, known = Figure().subplots(), metrics(study)
    FIGURES[study].panel(axes, table(f"{study}_curves"), known)  # type: ignore[misc]
    x, y = axes.get_xlabel(), axes.get_ylabel().replace("validation ", "val_")
    for label in {said(known, arm) for arm in ARMS}:
        own = [path(study, arm) for arm in ARMS if said(known, arm) == label]
        check(points(axes, label), *(pairs(each[x], each[y]) for each in own))


def test_the_overview_has_a_panel_for_each_study_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def png(figure: Figure) -> bytes:
        drawn.append(figure)
        return b""

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(overview, "png", png)
    Path("metrics").symlink_to(ROOT / "metrics")
    overview.main("modular", "line")
    for axes, study in zip(drawn[0].axes, ("modular", "line"), strict=True):
        assert heading(axes) == plain(f"{study} {metrics(study)['findings']['panel']}")
        own = path(study, "wd")
        check(
            points(axes, said(metrics(study), "wd")),
            pairs(own[axes.get_xlabel()], own[axes.get_ylabel().replace("validation ", "val_")]),
        )


def test_line_over_lambda() -> None:
    axes, rows = shown("line")["loss"].axes[0], table("line_sweep")
    check(points(axes, "a trial"), pairs(*columns(rows, "weight_decay", "val_loss")))
    grid = sorted({row["weight_decay"] for row in rows})
    for word, value in (("mean over trials", "val_loss"), ("exact theory", "theory")):
        if value in rows[0]:
            means = [np.mean([row[value] for row in rows if row["weight_decay"] == each]) for each in grid]
            check(points(axes, word), pairs(grid, means))
    assert level(axes, "best constant") == [metrics("line_sweep")["val_loss_of_null"]]


def test_line_changes_from_each_start() -> None:
    axes, known, runs = shown("line")["starts"].axes[0], metrics("line"), trained("line")
    before, after = (runs[arm]["val_loss"][:-1, -1] for arm in ARMS)
    percent, gap = 100 / known["baseline"]["val_loss"], known["wd_minus_baseline"]["val_loss"]
    check(points(axes, mark="o"), pairs(before, percent * (after - before)))
    assert level(axes, f"{said(known, 'wd')}, mean") == [pytest.approx(percent * gap)]
    assert 0.0 in level(axes, said(known, "baseline"))


def test_line_without_a_change_has_an_axis_in_per_cent() -> None:
    """Not one of rounding noise, where both arms have one λ."""
    runs, known = trained("line"), metrics("line")
    same = known | {"wd": known["baseline"], "wd_minus_baseline": {"val_loss": 0.0, "val_loss_se": 0.0}}
    assert line.starts(runs | {"wd": runs["baseline"]}, same).axes[0].get_ylim() == (-1, 1)


def test_wide_weights_are_the_histograms_beside_their_names() -> None:
    axes, known, runs = shown("wide")["weights"].axes[0], metrics("wide"), trained("wide")
    start: Any = axes.patches[0]
    edges = start.get_data().edges
    for label in {said(known, arm) for arm in ARMS}:
        own = [runs[arm]["weight"][:-1] for arm in ARMS if said(known, arm) == label]
        for drawn, weights in zip(bars(axes, colour_of(axes, label)), own, strict=True):
            np.testing.assert_allclose(drawn, np.histogram(weights, edges)[0] / weights.size)
        check(points(axes, label, "mean"), pairs([weights.mean() for weights in own], 0.03))
    arrays = draw("wide", COMMITTED.wide)
    assert level(axes, f"truth {arrays['true_weight'][0, 0]:g}") == [float(arrays["true_weight"][0, 0])]
    np.testing.assert_allclose(
        start.get_data().values, np.histogram(arrays["start_weight"], edges)[0] / arrays["start_weight"].size
    )


def test_wide_over_lambda_for_each_length_of_training() -> None:
    axes, known = shown("wide")["map"].axes[0], metrics("wide_sweep")
    found = known["map"]
    words = [f"{epochs:,}" for epochs in found["epochs"]]
    words[0] += " epoch" + "s" * (found["epochs"][0] != 1)
    for epochs, word in zip(found["epochs"], words, strict=True):
        here, grid = found["random"][f"epochs_{epochs}"], found["weight_decay"]
        above = np.array(here["val_loss"], dtype=float) - known["val_loss_of_null"]
        colours = {"color": colour_of(axes, word)}
        check(points(axes, "theory", **colours), pairs(grid, np.array(here["theory"], dtype=float) - found["theory_of_null"]))
        check(points(axes, "mean", **colours), pairs(grid, above))
        if "best_lambda" in here:
            check(points(axes, "best λ", **colours), pairs(here["best_lambda"], above[grid.index(here["best_lambda"])]))


def test_modular_accuracies_of_both_arms() -> None:
    figures, known = shown("modular"), metrics("modular")
    axes, course = figures["accuracy"].axes[0], panel(figures["frequencies"], "right answers")
    for label in {said(known, arm) for arm in ARMS}:
        own = [path("modular", arm) for arm in ARMS if said(known, arm) == label]
        for value, word, dash in (("val_accuracy", "pairs not trained on", "-"), ("train_accuracy", "pairs trained on", "--")):
            expected = [pairs(each["step"], each[value]) for each in own]
            check(points(axes, label, word), *expected)
            check(points(course, label, dash=dash), *expected)


def test_modular_frequencies_at_the_last_step() -> None:
    picture = panel(shown("modular")["frequencies"], said(metrics("modular"), "wd"))
    last = trained("modular")["wd"]["spectrum"][0, :, :, -1] / 255  # (h, F)
    np.testing.assert_allclose(image(picture), last[np.argsort(last.argmax(axis=1), kind="stable")][::2])


def test_modular_steps_of_every_trial() -> None:
    figure, known, rows = shown("modular")["steps"], metrics("modular_sweep"), table("modular_sweep")
    (axes,) = figure.axes
    own = [row for row in rows if row["train_fraction"] == known["train_fraction"]]
    grid = sorted({row["weight_decay"] for row in own})
    for word, value in (("memorises", "steps_to_memorise"), ("generalises", "steps_to_generalise")):
        drawn, never = points(axes, word), points(axes, mark="o" if "gen" in word else "s", fill="hollow")
        for decay in grid:
            reached = sorted(row[value] for row in own if row["weight_decay"] == decay and row[value] >= 0)
            lost = sum(row[value] < 0 for row in own if row["weight_decay"] == decay)
            place = tick(axes, "x", f"{decay:g}")
            assert sorted(y for x, y in drawn if abs(x - place) < 0.5) == reached
            assert sum(abs(x - place) < 0.5 for x, _ in never) == lost
    law = [decay for decay in grid if f"pace_at_{decay:g}" in known]
    expected = pairs([tick(axes, "x", f"{each:g}") for each in law], [known["law"] / (known["lr"] * each) for each in law])
    check(points(axes, "∝ 1/(lr·λ)", dash="--"), expected)


def test_optimizers_weights_are_those_of_the_optimizer_named() -> None:
    figure, known, arrays = shown("optimizers")["weights"], metrics("optimizers"), draw("optimizers", COMMITTED.optimizers)
    scatter, histogram = figure.axes
    decay = known["wd"]["weight_decay"]
    inputs, targets = arrays["train_inputs"].astype(float), arrays["train_targets"].astype(float)
    least = np.stack([np.linalg.lstsq(x, y, rcond=None)[0] for x, y in zip(inputs, targets, strict=True)])
    for word in ("Adam", "AdamW"):
        weights = trained("optimizers")[f"wd_{word.lower()}"]["weight"][:-1]
        np.testing.assert_allclose(points(scatter, word, mark="."), pairs(least[:-1].ravel(), weights.ravel()), atol=1e-6)
        (shares,) = bars(histogram, colour_of(scatter, word))
        inside = np.abs(weights) <= scatter.get_ylim()[1]
        assert shares.sum() == pytest.approx(inside.mean(), abs=1e-9)
    line = np.unique(points(scatter, "exact", color=BLACK)[:, 0])
    limits = {"Adam": line / (1 + decay), "AdamW": np.clip(line, -1 / decay, 1 / decay)}
    check(points(scatter, "exact", color=BLACK), *(pairs(line, each) for each in limits.values()))
    for word, limit in limits.items():  # each stands at its own
        x, y = text(scatter, word)
        assert y == pytest.approx(np.interp(x, line, limit), rel=1e-3)
    assert level(scatter, f"1/λ = {1 / decay:g}") == [-1 / decay, 1 / decay]


def test_optimizers_on_batches_of_the_size_named() -> None:
    axes, rows = shown("optimizers")["batches"].axes[0], table("optimizers_sweep")
    for size in {row["batch_size"] for row in rows if row["batch_size"]}:
        own = [row for row in rows if (row["run"], row["batch_size"]) == ("adamw", size)]
        check(points(axes, f"{size:g}"), pairs(*columns(own, "weight_decay", "risk")))
    for oracle, dash in (("ridge", ":"), ("box", "--")):
        exact = pairs(*columns([row for row in rows if row["run"] == oracle], "weight_decay", "risk"))
        check(points(axes, f"exact: {oracle}", dash=dash), exact)
        assert text(axes, f"exact: {oracle}") == tuple(exact[exact[:, 1].argmin()])


def test_equilibrium_norms_beside_theory() -> None:
    figure, known = shown("equilibrium")["norm"], metrics("equilibrium")
    for title, value in (("‖w‖₂", "weight_norm"), ("effective learning rate", "effective_lr")):
        for label in {said(known, arm) for arm in ARMS}:
            own = [path("equilibrium", arm) for arm in ARMS if said(known, arm) == label]
            check(points(panel(figure, title), label), *(pairs(each["step"], each[value]) for each in own))
    if norm := known["wd"].get("late_norm_theory"):
        word = f"theory's equilibrium, {said(known, 'wd')}"
        assert level(panel(figure, "‖w‖₂"), word) == [norm]
        assert level(panel(figure, "effective learning rate"), word) == [pytest.approx(known["wd"]["lr"] / norm**2)]


@pytest.mark.parametrize(("place", "x"), [(0, "weight_decay"), (1, "product")])
def test_equilibrium_risks_for_the_learning_rate_named(place: int, x: str) -> None:
    panels = shown("equilibrium")["risk"].axes
    rows = [row for row in table("equilibrium_sweep") if row["product"] > 0]
    hollow = []
    for rate in {row["lr"] for row in rows}:
        own = [row for row in rows if row["lr"] == rate]
        means = {}
        for decay in {row[x] for row in own}:
            trials = [row for row in own if row[x] == decay]
            means[decay] = np.mean([row["risk"] for row in trials])
            hollow += [(decay, means[decay])] * (not trials[0]["settled"])
        colour = colour_of(panels[0], f"{rate:g}")
        for dash in ("-", ""):
            check(points(panels[place], color=colour, dash=dash), pairs([*means], [*means.values()]))
    check(points(panels[place], mark="o", fill="hollow"), pairs(*np.array(hollow).T))
    assert {"weight_decay": "λ", "product": "lr·λ"}[x] == panels[place].get_xlabel()


def test_descent_risks_beside_theory() -> None:
    over_rows, over_penalties = shown("descent")["risk"].axes
    known, rows = metrics("descent_sweep"), table("descent_sweep")
    best, d = known["theory_penalty"], known["inputs"]
    words = {
        each.get_text(): float(each.get_text().removeprefix("Λ = ").partition(",")[0])
        for each in over_rows.texts
        if "Λ" in each.get_text()
    }
    assert {0.0, best} < set(words.values())
    for word, penalty in words.items():
        own = [row for row in rows if row["penalty"] == penalty]
        assert ("the best" in word) == (penalty == best)
        for kind, legend in ((1, "trained"), (0, "solved by SVD, not trained")):
            if chosen := [row for row in own if row["trained"] == kind]:
                check(points(over_rows, plain(word), legend), pairs(*columns(chosen, "rows", "risk")))
        theory = points(over_rows, plain(word), dash="-")
        if penalty:
            check(theory, pairs(*columns(own, "rows", "theory")))
        for n, risk in theory if not penalty else ():
            expected = known["noise"] ** 2 * (min(n, d) / (abs(n - d) - 1) if abs(n - d) > 1 else np.inf)
            expected += known["signal"] ** 2 * max(1 - n / d, 0)  # Hastie et al. 2022, for normal inputs
            assert risk == pytest.approx(expected) or (expected == np.inf and risk > 1e3 * over_rows.get_ylim()[1])
    middle = float(heading(over_penalties).removeprefix("at n = ").partition(",")[0])
    own = [row for row in rows if row["rows"] == middle and row["penalty"]]
    check(points(over_penalties, dash="-"), pairs(*columns(own, "penalty", "theory")))
    check(points(over_penalties, mark="o"), pairs(*columns(own, "penalty", "risk")))


def test_table_over_lambda() -> None:
    """With few training rows and with all: a regression's losses as errors in the target's unit."""
    known, rows = metrics("table_sweep"), table("table_sweep")
    words = {"training rows": "train", "validation rows": "val", "test rows": "test"}
    words |= {} if known["classes"] else {"leave-one-out": "loo"}
    counts = sorted({row["rows"] for row in rows})
    for axes, count in zip(shown("table")["decays"].axes, (counts[1], counts[-1]), strict=True):
        assert heading(axes) == f"{count:,.0f} training rows"
        own = [row for row in rows if row["rows"] == count]
        for word, split in words.items():
            heights = errors([row[f"{split}_loss"] for row in own], known)
            check(points(axes, word), pairs(columns(own, "weight_decay")[0], heights))
        for fill, arrived in (("full", 1), ("hollow", 0)):
            some = [row for row in own if row["arrived"] == arrived]
            drawn = points(axes, mark="o", fill=fill)
            assert len(drawn) == len(some)
            if some:
                check(drawn, pairs(columns(some, "weight_decay")[0], errors([row["test_loss"] for row in some], known)))
        (best,) = [row for row in own if row["weight_decay"] == known[f"rows_{count:.0f}"]["best_lambda"]]
        check(points(axes, mark="D"), pairs(best["weight_decay"], errors([best["val_loss"]], known)))


def errors(losses: list[float], known: Mapping[str, Any]) -> NDArray:
    """Roots of mean squares in the target's unit; a classification's losses as they are."""
    return np.array(losses) if known["classes"] else known["unit"] * np.sqrt(2 * np.array(losses, dtype=float))


def test_table_over_rows() -> None:
    level_axes, change = shown("table")["rows"].axes
    known = metrics("table_sweep")
    counts = sorted(int(name.removeprefix("rows_")) for name in known if name.startswith("rows_"))
    for word, what in (("λ = 0", "zero"), ("tuned λ", "chosen")):
        check(points(level_axes, word), pairs(counts, [known[f"rows_{count}"][f"test_median_at_{what}"] for count in counts]))
    check(points(change, mark="o"), pairs(counts, [100 * np.expm1(known[f"rows_{count}"]["change"]) for count in counts]))
    for count in counts:
        assert tick(change, "x", f"{count:,}") == count


def test_table_weights_over_what_decay_leaves() -> None:
    axes, known = shown("table")["weights"].axes[0], metrics("table_sweep")
    rows = [row for row in table("table_sweep") if row["rows"] == max(each["rows"] for each in table("table_sweep"))]
    x = columns(rows, "weight_decay" if known["classes"] else "degrees_of_freedom")[0]
    best = [row["weight_decay"] for row in rows].index(known["best_lambda"])
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [x[best]]
    named = [each.get_text() for each in axes.texts]
    sizes = sorted((abs(path[best]) for path in known["weights"].values()), reverse=True)
    for word in named:
        assert abs(known["weights"][word][best]) >= sizes[len(named) - 1]
    blue = colour_of(axes, named[0])
    drawn = points(axes, named[0])
    check(drawn, *(pairs(x, known["weights"][word]) for word in named))
    others = [path for word, path in known["weights"].items() if word not in named]
    grey = [np.column_stack(line.get_data()) for line in axes.lines if line.get_color() != blue and line.get_linestyle() == "-"]
    check(pairs(*np.concatenate(grey).T), *(pairs(x, path) for path in others))


LABELS = {"right labels": "", "20% wrong labels": "_noisy"}


@pytest.mark.parametrize(("model", "suffix"), [("logistic regression", "_noisy"), ("network", "_network_noisy")])
def test_digits_stopped_early_in_the_model_of_the_title(model: str, suffix: str) -> None:
    axes, known = panel(shown("digits")["stopping"], f"{model}, 20% wrong labels"), metrics("digits")
    rows = [f"{arm}{suffix}" for arm in ARMS]
    for label in {said(known, row) for row in rows}:
        own = [path("digits", row) for row in rows if said(known, row) == label]
        check(points(axes, label, dash="-"), *(pairs(each["step"], each["val_loss"]) for each in own))
    assert level(axes, "λ = 0, stopped") == [path("digits", rows[0])["val_loss"].min()]


@pytest.mark.parametrize("labels", LABELS)
def test_digits_reliability_of_the_arm_named(labels: str) -> None:
    axes, known = panel(shown("digits")["reliability"], labels), metrics("digits")
    arrays = draw("digits", COMMITTED.digits)
    inputs = torch.from_numpy((arrays["test_pixels"] - arrays["train_pixels"].mean(1, keepdims=True)) / arrays["white"])[:-1]
    for arm in ARMS:
        run = {name: torch.from_numpy(each[:-1]) for name, each in trained("digits")[f"{arm}{LABELS[labels]}"].items()}
        sure, answer = torch.softmax(inputs @ run["weight"] + run["bias"][:, None], dim=2).max(dim=2)
        right = (answer.numpy() == arrays["test_labels"][:-1]).ravel()
        bins = np.digitize(sure.numpy().ravel(), np.linspace(0, 1, 11), right=True)
        expected = [
            (sure.numpy().ravel()[bins == each].mean(), right[bins == each].mean())
            for each in set(bins.tolist())
            if (bins == each).sum() >= 30
        ]
        found = {tuple(each) for each in np.round(points(axes, said(known, f"{arm}{LABELS[labels]}")), 9)}
        assert {tuple(each) for each in np.round(expected, 9)} == found


@pytest.mark.parametrize("measure", ["accuracy", "calibration_error"])
def test_digits_gains_stand_beside_their_model_and_labels(measure: str) -> None:
    figure, known = shown("digits")["gain"], metrics("digits_sweep")
    axes = panel(figure, f"test {measure.replace('_', ' ')}")
    cases = {f"{model}, {labels}": f"{case}{suffix}" for model, case in MODELS.items() for labels, suffix in LABELS.items()}
    places = {word: tick(figure.axes[0], "y", word) for word in cases}
    for word, value in (("λ = 0", "at_zero"), ("tuned λ, ± standard error of the change", "at_chosen")):
        expected = [(known[case][f"test_{measure}_{value}"], places[label]) for label, case in cases.items()]
        check(points(axes, color=colour_of(axes, word), mark="o"), pairs(*np.array(expected).T))


MODELS = {"logistic regression": "logistic", "network": "network"}


@pytest.mark.parametrize("model", MODELS)
def test_digits_over_lambda_of_the_model_in_the_title(model: str) -> None:
    axes, known = panel(shown("digits")["decays"], model), metrics("digits_sweep")
    ends, best = {}, []
    for word, suffix, dash in (("right", "", "-"), ("20% wrong", "_noisy", "--")):
        case = f"{MODELS[model]}{suffix}"
        rows = [row for row in table("digits_sweep") if row["run"] == case]
        means = {
            decay: np.mean([row["val_loss"] for row in rows if row["weight_decay"] == decay])
            for decay in columns(rows, "weight_decay")[0]
        }
        check(points(axes, word, dash=dash), pairs([*means], [*means.values()]))
        ends[word] = [*means.values()][-1]
        best.append((known[case]["best_lambda"], means[known[case]["best_lambda"]]))
    check(points(axes, mark="D"), pairs(*np.array(best).T))
    assert [text(axes, f"{decay:g}") for decay, _ in best] == best
    assert sorted(ends, key=ends.__getitem__) == sorted(ends, key=lambda word: text(axes, word)[1])


METHODS = {
    "none": "none",
    "L2": "l2",
    "early stopping": "early_stopping",
    "dropout": "dropout",
    "elastic net": "elastic_net",
    "ℓ1": "l1",
}


@pytest.mark.parametrize("truth", ["dense", "sparse"])
def test_relatives_risks_stand_beside_their_method(truth: str) -> None:
    figure, known = shown("relatives")["risk"], metrics("relatives_sweep")
    axes = panel(figure, known["titles"][truth])
    places = {method: tick(figure.axes[0], "y", word) for word, method in METHODS.items()}
    kept = {"keeps every weight": ("l2", "early_stopping", "dropout"), "makes weights exactly 0": ("l1", "elastic_net")}
    for word, methods in kept.items():
        expected = [(known[truth][each]["risk"], places[each]) for each in methods]
        check(points(axes, word), pairs(*np.array(expected).T))
    assert points(axes, mark="o")[:, 1].tolist().count(places["none"]) == 1
    assert (known[truth]["none"]["risk"], places["none"]) in {tuple(each) for each in points(axes, mark="o")}
    assert level(axes, "w = 0") == [known["signal"] ** 2]
    for each in axes.texts:
        place = each.xy[1]  # type: ignore[attr-defined]
        (method,) = [method for method, own in places.items() if own == place]
        assert float(each.get_text()) == pytest.approx(known[truth][method]["risk"], rel=0.05)


def test_relatives_paths_of_the_method_named() -> None:
    figure, known, rows = shown("relatives")["paths"], metrics("relatives_sweep"), table("relatives_sweep")
    over_time, over_norm = panel(figure, "dense truth"), panel(figure, known["titles"]["sparse"])
    exact = []
    for word in ("L2", "early stopping"):
        own = [row for row in rows if row["run"] == f"dense_{METHODS[word]}" and row["strength"] > 0]
        strength, risk, theory = (np.array(each, dtype=float) for each in columns(own, "strength", "risk", "theory"))
        times = 1 / strength if word == "L2" else known["lr"] * strength
        check(points(over_time, word), pairs(times, risk))
        exact.append(pairs(times, theory))
    check(points(over_time, "exact"), *exact)
    for word in ("L2", "early stopping", "ℓ1"):
        own = [row for row in rows if row["run"] == f"sparse_{METHODS[word]}"]
        check(points(over_norm, color=colour_of(over_norm, word), dash="-"), pairs(*columns(own, "weight_norm", "risk")))


def test_phase_cells_are_those_of_their_ticks() -> None:
    axes, rows = shown("phase")["map"].axes[0], table("phase_sweep")
    drawn, words = image(axes), {each.get_text(): each.get_position() for each in axes.texts}
    assert {name for name in {row["phase"] for row in rows} if not any(PHASES[name] in word for word in words)} == set()
    for decay in {row["weight_decay"] for row in rows}:
        for share in {row["train_fraction"] for row in rows}:
            cell = [row for row in rows if (row["weight_decay"], row["train_fraction"]) == (decay, share)]
            x, y = int(tick(axes, "x", f"{decay:g}")), int(tick(axes, "y", f"{100 * share:g}"))
            steps = [row["steps_to_generalise"] for row in cell]
            expected = np.mean(steps) if min(steps) >= 0 else np.nan
            np.testing.assert_allclose(drawn[y, x], expected)
            inside = [word for word, (at_x, at_y) in words.items() if abs(at_x - x) <= 0.5 and abs(at_y - y) <= 0.5]
            assert all(PHASES[cell[0]["phase"]] in word for word in inside)


PHASES = {"soon": "soon", "late": "grokking", "by_heart": "by heart only", "neither": "not even", "diverged": "diverges"}
