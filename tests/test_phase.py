"""phase: the rules of its sentence and of its figure, the committed map."""

from typing import Any

import numpy as np
import pytest
from conftest import CPU, changed, draw, fit, metrics, table

from stages.measure import arrivals as grokking
from stages.studies.phase import figures, results, training

NEVER = -1
Cell = tuple[int, int]  # the steps to memorise and to generalise of a trial


def runs(cells: dict[float, list[list[Cell]]], diverged: int = 0) -> list[dict[str, Any]]:
    """λ → for each share, 50%, 60%, …, the trials of the cell; the last runs are those that diverged."""
    rows = [
        {"weight_decay": decay, "train_fraction": (5 + place) / 10, "trial": trial, "diverged": 0}
        | {"steps_to_memorise": memorised, "steps_to_generalise": generalised}
        for decay, shares in cells.items()
        for place, trials in enumerate(shares)
        for trial, (memorised, generalised) in enumerate(trials)
    ]
    for row in rows[len(rows) - diverged :]:
        row["diverged"] = 1
    return rows


BOTH = "To generalise within 90 steps in both trials,"
SOON, LATE, BY_HEART, NEITHER = [(10, 20)] * 2, [(10, 50)] * 2, [(10, NEVER)] * 2, [(NEVER, NEVER)] * 2
MIXED = [(10, 20), (10, NEVER)]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (
            {0.0: [BY_HEART, SOON], 1.0: [LATE, SOON], 5.0: [NEITHER, NEITHER]},
            f"{BOTH} λ = 0 needs 60% of the pairs, λ = 1 needs 50%; at λ = 5 no share is enough",
        ),
        (
            {0.0: [BY_HEART, MIXED], 1.0: [LATE, LATE], 2.0: [SOON, SOON], 5.0: [NEITHER] * 2, 9.0: [NEITHER] * 2},
            f"{BOTH} λ = 0 does not on 60% of the pairs, λ = 2 needs 50%; from λ = 5 on no share is enough",
        ),
        (
            {0.0: [SOON, SOON], 1.0: [LATE, LATE]},
            f"{BOTH} λ = 0 needs 50% of the pairs, and no other λ needs fewer",
        ),
        ({0.0: [LATE, BY_HEART, SOON]}, f"{BOTH} λ = 0 needs 70% of the pairs"),
        ({0.0: [BY_HEART] * 2, 1.0: [MIXED] * 2}, "Within 90 steps no λ generalises on any share of the pairs"),
        ({0.0: [BY_HEART] * 2, 1.0: [SOON, MIXED]}, "Within 90 steps no λ generalises on 60% of the pairs"),
        ({0.0: [BY_HEART], 1.0: [LATE], 2.0: [SOON]}, "Within 90 steps 2 of 3 λ generalise on 50% of the pairs"),
        ({0.0: [[(10, NEVER)], [(10, 20)]]}, "To generalise within 90 steps, λ = 0 needs 60% of the pairs"),
    ],
)
def test_the_sentence_is_what_the_runs_did(cells: dict[float, list[list[Cell]]], said: str) -> None:
    assert results.finding(runs(cells), 90, 100) == said


def test_what_diverged_is_said() -> None:
    cells = {0.0: [SOON, SOON], 1.0: [NEITHER, NEITHER]}
    said = f"{BOTH} λ = 0 needs 50% of the pairs, and no other λ needs fewer; at λ = 1 no share is enough"
    assert results.finding(runs(cells, diverged=3), 90, 100) == f"{said}; 3 of 8 runs diverged"


@pytest.mark.parametrize(
    ("trials", "name"),
    [
        (SOON, "soon"),
        ([(10, 30), (10, 30)], "late"),
        ([(10, 20), (10, 41)], "late"),
        ([(10, 20), (10, 39)], "soon"),
        ([(0, 0)], "late"),
        ([(NEVER, 5)], "soon"),
        (MIXED, "by_heart"),
        ([(10, NEVER), (NEVER, NEVER)], "neither"),
    ],
)
def test_a_phase_is_what_all_trials_do(trials: list[Cell], name: str) -> None:
    assert results.phase(runs({0.0: [trials]}), 3) == name
    assert results.phase(runs({0.0: [trials]}, diverged=1), 3) == "diverged"


def test_a_run_that_diverges_gets_nowhere() -> None:
    """Though it was right on the way."""
    right = np.array([[[[0.0, 1.0], [0.0, 1.0]]]])  # one share, one trial, two λ, two evaluations
    swept = {"train_accuracy": right, "val_accuracy": right, "diverged": np.array([[[False, True]]])}
    found = grokking.arrivals(swept, [0.5], [0.0, 1.0], steps=np.array([0, 5]), threshold=0.95)
    assert [row["steps_to_generalise"] for row in found] == [row["steps_to_memorise"] for row in found] == [5, -1]


def drawn(cells: dict[float, list[list[Cell]]], diverged: int = 0) -> Any:
    rows = runs(cells, diverged)
    found = [row | {"phase": results.phase(trials, 3)} for trials in results.by_cell(rows).values() for row in trials]
    return figures.sweep(found, {"findings": {"map": "A sentence"}})["map"]


def test_a_figure_names_each_phase_where_it_is() -> None:
    cells = {0.0: [BY_HEART, SOON], 1.0: [LATE, SOON], 2.0: [LATE, SOON], 5.0: [NEITHER] * 2}
    figure = drawn(cells, diverged=2)
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    by_name = {name: places.get(words) for name, words in figures.WORDS.items()}
    assert by_name == {"soon": (1, 1), "late": (1.5, 0), "by_heart": (0, 0), "neither": (3, 0), "diverged": (3, 1)}
    assert len(figure.axes) == 2  # with the bar of its colours


@pytest.mark.parametrize("cells", [{0.0: [BY_HEART] * 2}, {0.0: [SOON]}, {0.0: [[(0, 0)]], 1.0: [[(0, 0)]]}])
def test_a_map_of_one_phase_has_no_border(cells: dict[float, list[list[Cell]]]) -> None:
    figure = drawn(cells)
    figure.canvas.draw()
    assert not figure.axes[0].lines
    assert len(figure.axes[0].texts) == 1


def test_borders_are_between_different_neighbours_alone() -> None:
    names = np.array([["a", "a", "b"], ["a", "b", "b"]])
    assert set(figures.borders(names)) == {((1.5, 1.5), (-0.5, 0.5)), ((0.5, 0.5), (0.5, 1.5)), ((0.5, 1.5), (0.5, 0.5))}


def test_a_nudge_of_the_start_moves_no_step_of_the_committed_map(settings: Any) -> None:
    """By 1e-13, of the first trial: a hundred times a machine's last bit. A step is where an accuracy crosses the threshold."""
    section = changed(settings.phase, {"data.trials": 1})
    arrays = draw("phase", section, settings.seed)
    nudged = {name: arrays[name].astype(np.float64) * (1 + 1e-13) for name in ("start_hidden", "start_output")}
    swept = training.sweep(section, arrays | nudged, CPU, fit)
    known: dict[str, Any] = {"steps": swept["steps"], "threshold": section.report.threshold}
    found = grokking.arrivals(swept, section.sweep.train_fraction, section.sweep.wd, **known)
    names = ("weight_decay", "train_fraction", "steps_to_memorise", "steps_to_generalise")
    committed = [row for row in table("phase_sweep") if row["trial"] == 0]
    assert [[row[name] for name in names] for row in found] == [[row[name] for name in names] for row in committed]


CELLS = results.by_cell(table("phase_sweep"))
PHASES = {cell: trials[0]["phase"] for cell, trials in CELLS.items()}


def test_all_phases_are_seen_in_the_committed_map(settings: Any) -> None:
    assert metrics("phase_sweep")["cells"].keys() == figures.WORDS.keys()
    assert {name for name, count in metrics("phase_sweep")["cells"].items() if count} == {"soon", "late", "by_heart", "neither"}
    assert len(CELLS) == len(settings.phase.sweep.wd) * len(settings.phase.sweep.train_fraction)


def test_the_page_is_right_about_the_map(settings: Any) -> None:
    """The fewer pairs, the later; too few are never enough; λ = 10 learns nothing; grokking is along the border."""
    shares, weight_decays = settings.phase.sweep.train_fraction, settings.phase.sweep.wd
    steps = {cell: grokking.arrives(trials) for cell, trials in CELLS.items()}
    for decay in weight_decays:
        known = [each for share in shares if (each := steps[decay, share]) is not None]
        assert known == sorted(known, reverse=True)
        assert PHASES[decay, shares[0]] in ("by_heart", "neither")
    assert {PHASES[weight_decays[-1], share] for share in shares} == {"neither"}
    for decay in (0.1, 0.3, 1, 2, 3, 5):
        fewest = min(share for share in shares if steps[decay, share] is not None)
        assert PHASES[decay, fewest] == "late"
    enough = {decay: each for decay in weight_decays if (each := steps[decay, 0.6]) is not None}  # the exercise
    assert list(enough) == [1, 2, 3, 5]
    assert min(enough, key=enough.__getitem__) == 3
