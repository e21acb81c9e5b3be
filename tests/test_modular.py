"""modular: the committed results, the frequencies of waves, and what its figures may say."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, metrics, speaks_of, table
from PIL import Image, ImageSequence

from stages.drawing import style
from stages.engine.models import accuracy
from stages.studies.modular import figures, results, training

TOLERANCE = 1e-12  # the same arithmetic in another order
NEVER = -1.0


@speaks_of("wd", 3)
def test_modular_groks_with_decay_and_only_with_it() -> None:
    rows = metrics("modular")
    for arm in ("baseline", "wd"):
        assert rows[arm]["train_accuracy"] == 1
        assert 0 < rows[arm]["steps_to_memorise"] < 200
    assert rows["baseline"]["steps_to_generalise"] == -1
    assert rows["baseline"]["val_accuracy"] < 0.1
    assert rows["wd"]["val_accuracy"] > 0.95
    assert rows["wd"]["steps_to_generalise"] > 2 * rows["wd"]["steps_to_memorise"]


def swept(name: str = "steps_to_generalise") -> dict[float, list[float]]:
    """A column at each λ, of the committed trials on the study's own share of the pairs."""
    steps: dict[float, list[float]] = {}
    for row in table("modular_sweep"):
        if row["train_fraction"] == 0.4:
            steps.setdefault(row["weight_decay"], []).append(row[name])
    return steps


def test_modular_generalises_between_too_little_and_too_much(settings: Any) -> None:
    """What the study's page says of λ = 0.5, 3, 5 and 10: too little is late, too much learns nothing."""
    steps, memorised = swept(), swept("steps_to_memorise")
    helped = [decay for decay, each in steps.items() if min(each) > 0]
    assert tuple(steps) == settings.modular.sweep.wd
    assert 3 in helped
    assert 0 < min(helped) <= max(helped) < settings.modular.sweep.wd[-1]
    assert {step for decay in (0, 0.5, 5, 10, settings.modular.sweep.wd[-1]) for step in steps[decay]} == {NEVER}
    assert min(memorised[0.5]) >= 0
    assert min(memorised[5]) == NEVER < max(memorised[5])
    assert set(memorised[10]) == {NEVER}


def test_the_pace_is_the_step_in_units_of_forgetting() -> None:
    """1/(lr·λ) steps each, up to the quickest λ; `law` is the geometric mean."""
    steps = {0.0: (NEVER, NEVER), 1.0: (100, 300), 2.0: (50, 70), 4.0: (80, NEVER), 5.0: (90, 90)}
    table = [{"weight_decay": decay, "steps_to_generalise": step} for decay, each in steps.items() for step in each]
    found = results.pace(table, lr=0.01)
    expected = {"quickest_lambda": 2.0, "steps_at_quickest": 60, "lr": 0.01, "pace_at_1": 2.0, "pace_at_2": 1.2, "law": 2.4**0.5}
    assert found == pytest.approx(expected)


def test_the_time_to_generalise_is_about_one_over_lr_times_decay(settings: Any) -> None:
    """Within a factor of 1.4 from λ = 1 to the quickest, while λ itself changes threefold."""
    summary = metrics("modular_sweep")
    paces = [summary[f"pace_at_{decay:g}"] for decay in (1, 2, 3)]
    assert max(paces) < 1.4 * min(paces)
    for decay, pace in zip((1, 2, 3), paces, strict=True):
        assert pace == pytest.approx(np.mean(swept()[decay]) * settings.modular.train.lr * decay, rel=1e-5)


def test_decay_moves_the_share_of_the_pairs_that_it_takes() -> None:
    arrived = {
        decay: {
            row["train_fraction"]
            for row in table("modular_sweep")
            if row["weight_decay"] == decay and row["steps_to_generalise"] >= 0
        }
        for decay in (0, 3)
    }
    assert arrived == {0: {0.6, 0.7}, 3: {0.3, 0.4, 0.5, 0.6, 0.7}}
    steps = {
        decay: [
            row["steps_to_generalise"]
            for row in table("modular_sweep")
            if (row["weight_decay"], row["train_fraction"]) == (decay, 0.7)
        ]
        for decay in (0, 3)
    }
    assert max(steps[0]) < min(steps[3])  # with so many pairs decay only delays


def test_a_third_of_the_rows_right_is_a_third() -> None:
    """The number of params.yaml, which a threshold may be, and not 0.333333."""
    targets = torch.nn.functional.one_hot(torch.zeros(1, 3, dtype=torch.long), 2).double()
    assert accuracy(torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]]]), targets).item() == 1 / 3


def grokked(arrivals: dict[float, list[float]], memorised: float = 10.0) -> Any:
    """The figure of a sweep in which the trials generalise at these steps, on four and on nine tenths of the pairs."""
    runs = [
        {"weight_decay": decay, "trial": trial, "diverged": 0, "steps_to_memorise": memorised, "steps_to_generalise": step}
        | {"train_accuracy": 1.0, "weight_norm": 1.0, "train_fraction": 0.4}
        for decay, steps in arrivals.items()
        for trial, step in enumerate(steps)
    ]
    others = [run | {"train_fraction": 0.9} for run in runs]
    summary = {"threshold": 0.95, "steps": 1000, "train_fraction": 0.4} | results.pace(runs, lr=0.01)
    said = {"steps": results.pace_said(runs, summary), "shares": results.shares_said(runs + others, tuple(arrivals), 31)}
    return figures.grokking(runs + others, summary | {"findings": said})


@pytest.mark.parametrize(
    ("arrivals", "said"),
    [
        (
            {0.0: [NEVER, NEVER], 1.0: [300.0, 500.0], 3.0: [100.0, 300.0]},
            "λ = 3 generalises soonest, at step 200; λ = 0 not within 1,000 steps",
        ),
        ({0.0: [NEVER, 800.0], 1.0: [100.0, 300.0]}, "λ = 1 generalises soonest, at step 200; λ = 0 not in every trial"),
        (
            {0.0: [800.0, 900.0], 1.0: [100.0, 300.0]},
            "λ = 1 generalises soonest, at step 200 (0 not visibly later); λ = 0 at step 850",
        ),
        ({0.0: [100.0, 100.0], 1.0: [100.0, 300.0]}, "λ = 0 generalises soonest, at step 100 (1 not visibly later)"),
        ({0.0: [NEVER, NEVER], 1.0: [100.0, NEVER]}, "No λ makes every trial generalise within 1,000 steps"),
    ],
)
def test_a_title_is_what_the_runs_did(arrivals: dict[float, list[float]], said: str) -> None:
    assert " ".join(grokked(arrivals).get_suptitle().split()) == said


@pytest.mark.parametrize(
    ("arrived", "said"),
    [
        ({0: [0.6, 0.9], 3: [0.3, 0.6, 0.9]}, "λ = 0 needs 60%, λ = 3 needs 30% of the pairs"),
        ({0: [], 3: [0.9]}, "λ = 0 needs more, λ = 3 needs 90% of the pairs"),
        ({0: [0.3, 0.9], 3: [0.3, 0.6, 0.9]}, "λ = 0 needs 90%, λ = 3 needs 30% of the pairs"),
    ],
)
def test_a_share_is_needed_where_no_larger_one_fails(arrived: dict[float, list[float]], said: str) -> None:
    rows = [
        {"weight_decay": decay, "train_fraction": share, "trial": 0, "steps_to_generalise": 10.0 if share in shares else NEVER}
        for decay, shares in arrived.items()
        for share in (0.3, 0.6, 0.9)
    ]
    assert results.shares_said(rows, tuple(arrived), 31) == f"{said}, for all trials to generalise"


def test_a_share_is_said_of_whole_pairs() -> None:
    rows = [{"weight_decay": 0.0, "train_fraction": 0.99, "trial": 0, "steps_to_generalise": 10.0}]
    assert results.shares_said(rows, (0.0,), 2) == "λ = 0 needs 75% of the pairs, for all trials to generalise"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"steps_to_generalise": 333.3}, "generalises at step 333"),
        ({"steps_to_generalise": 1480.0}, "generalises at step 1,480"),
        ({"generalised": 0.5}, "generalises in 50% of trials"),
        ({}, "does not generalise within 2,000 steps"),
        ({"memorised": 0.5}, "memorises in 50% of trials and does not generalise within 2,000 steps"),
        ({"memorised": 0.0}, "does not even memorise within 2,000 steps"),
        ({"diverged": 1, "steps_to_generalise": 10}, "generalises at step 10, 1 of 6 trials diverged"),
    ],
)
def test_a_fate_says_nothing_beyond_the_last_step(row: dict[str, float], said: str) -> None:
    usual = {"diverged": 0, "trials": 6, "steps_to_generalise": NEVER, "generalised": 0, "memorised": 1}
    assert results.fate(usual | row, 2000) == said


def test_what_arrives_at_once_is_drawn_on_a_log_axis() -> None:
    axes = grokked({0.0: [NEVER], 1.0: [0.0], 2.0: [50.0]}, memorised=0.0).axes[0]
    heights = [float(point.get_ydata()[0]) for point in axes.lines if len(point.get_ydata()) == 1]
    assert len(heights) == 6
    assert min(heights) > axes.get_ylim()[0] > 0


MEMORISES: dict[str, Any] = {
    "weight_decay": 0.0,
    "steps_to_generalise": NEVER,
    "generalised": 0.0,
    "val_loss": 0.08,
    "purity": 0.28,
    "purity_at_start": 0.22,
}


def arms(**changes: Any) -> dict[str, Any]:
    """The rows of a study in which λ = 3 helps, with changes of its row `wd`."""
    usual = {"diverged": 0, "trials": 6, "memorised": 1.0, "val_loss_se": 0.001}
    wd = {
        "weight_decay": 3.0,
        "steps_to_generalise": 333.3,
        "generalised": 1.0,
        "val_loss": 0.004,
        "purity": 0.78,
        "purity_at_start": 0.22,
    }
    rows = {"wd": usual | wd | changes, "baseline": usual | MEMORISES, "null": {"val_loss": 0.03}}
    gap = rows["wd"]["val_loss"] - 0.08
    return rows | {"wd_minus_baseline": {"val_loss": gap, "val_loss_se": 0.001, "trials": 6}}


def test_what_is_found_of_the_arms_is_said_of_them() -> None:
    assert results.findings(arms(), 2000) == {
        "panel": "λ = 3 generalises at step 333; λ = 0 does not generalise within 2,000 steps",
        "accuracy": "λ = 3 generalises at step 333; λ = 0 does not generalise within 2,000 steps",
        "curves": "λ = 3 lowers the validation loss by 95% after 2,000 steps",
        "frequencies": "A unit's strongest frequency holds 78% of its power at λ = 3, 28% at λ = 0, 22% at the start",
    }
    nothing = {"weight_decay": 30.0, "steps_to_generalise": NEVER, "generalised": 0.0, "memorised": 0.0, "val_loss": 0.0301}
    assert results.findings(arms(**nothing), 2000)["curves"].endswith("after 2,000 steps; with decay it is no better than chance")
    said = results.findings(arms(**MEMORISES), 2000)
    assert said["panel"] == "In both arms λ = 0 does not generalise within 2,000 steps"
    assert said["curves"] == "Both arms have λ = 0: nothing to compare"
    assert said["frequencies"] == "A unit's strongest frequency holds 28% of its power at λ = 0, 22% at the start"


def test_the_animation_is_small_and_shows_first_and_last() -> None:
    path = ROOT / "plots" / "modular" / "frequencies.gif"
    assert path.stat().st_size <= 1e5
    with Image.open(path) as animation:
        assert sum(1 for _ in ImageSequence.Iterator(animation)) == len(figures.frames(np.arange(0, 1001, 10)))
    for steps in (np.array([0]), np.array([0, 7]), np.arange(0, 1001, 10)):
        shown = figures.frames(steps)
        assert (shown[0], shown[-1]) == (0, len(steps) - 1)
        assert shown == sorted(set(shown))
        assert len(shown) <= figures.FRAMES + 1


def test_an_animation_is_the_same_bytes_twice() -> None:
    def frames() -> Iterator[style.Figure]:
        figure = style.Figure(figsize=(2, 1))
        (line,) = figure.subplots().plot([0, 1], [0, 1], animated=True)
        for height in (0.2, 0.5, 1.0):
            line.set_ydata([0, height])
            yield figure

    assert style.gif(frames()) == style.gif(frames())
    with Image.open(io.BytesIO(style.gif(frames()))) as animation:
        assert sum(1 for _ in ImageSequence.Iterator(animation)) == 3


def test_the_spectrum_of_a_wave_is_one_frequency() -> None:
    p, turns = 7, 2 * np.pi * np.arange(7) / 7
    waves = np.stack([np.cos(turns), np.cos(3 * turns + 1), 2 * np.cos(turns) + np.cos(2 * turns), np.zeros(p)], axis=1)
    hidden = torch.from_numpy(np.concatenate([waves, np.ones_like(waves)]))[None, None]
    shares = training.spectrum({}, {"hidden": hidden})["spectrum"]
    assert shares.dtype == torch.uint8
    assert shares[0, 0].tolist() == [[255, 0, 0], [0, 0, 255], [204, 51, 0], [0, 0, 0]]
