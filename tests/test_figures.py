"""What a figure says and shows, read off its axes: true of the table that it was given, whatever that holds."""

from typing import Any

import numpy as np
import pytest

from stages.science import figures, sweep_figures

NEVER = -1.0


def grokked(arrivals: dict[float, list[float]], memorised: float = 10.0) -> Any:
    """The axes of a sweep in which the trials generalise at these steps."""
    table = [
        {"weight_decay": decay, "trial": trial, "diverged": 0, "steps_to_memorise": memorised, "steps_to_generalise": step}
        | {"train_accuracy": 1.0, "weight_norm": 1.0}
        for decay, steps in arrivals.items()
        for trial, step in enumerate(steps)
    ]
    (axes,) = sweep_figures.grokking(table, {"threshold": 0.95, "steps": 1000}).axes
    return axes


def captions(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text().startswith("decay helps")]


@pytest.mark.parametrize(
    ("helped", "said"),
    [
        ([1, 2, 3], ["decay helps: λ from 1 to 3"]),
        ([2], ["decay helps: λ = 2"]),
        ([1, 4, 5], ["decay helps: λ = 1", "decay helps: λ from 4 to 5"]),
        ([], []),
    ],
)
def test_a_range_that_is_said_to_help_has_no_holes(helped: list[int], said: list[str]) -> None:
    arrivals = {float(decay): [100.0, 200.0] if decay in helped else [100.0, NEVER] for decay in range(6)}
    assert captions(grokked(arrivals)) == said


def test_what_arrives_at_once_is_drawn_on_a_log_axis() -> None:
    axes = grokked({0.0: [NEVER], 1.0: [0.0], 2.0: [50.0]}, memorised=0.0)
    heights = [float(point.get_ydata()[0]) for point in axes.lines if len(point.get_ydata()) == 1]
    assert len(heights) == 6
    assert min(heights) > axes.get_ylim()[0] > 0


def test_a_share_beyond_the_whole_is_not_said() -> None:
    """Where the lost signal grows by more than the gain, the forgotten start is no share of it."""

    def parts(start: float, shrinkage: float) -> dict[str, float]:
        row = {"excess_start": start, "excess_shrinkage": shrinkage, "excess_noise": 0.0}
        return row | {"weight_decay": 0.0, "population_loss": 1.0}

    rows = {"null": {"population_loss": 1.0}, "oracle": {"population_loss": 0.5}, "wd": parts(0.0, 0.3)}
    (axes,) = figures.wide_parts(rows | {"baseline": parts(0.5, 0.1)}).axes
    assert "%" not in axes.get_title(loc="left")
    (axes,) = figures.wide_parts(rows | {"baseline": parts(0.3, 0.4)}).axes
    assert axes.get_title(loc="left") == "75% of the gain is the forgotten random start"


@pytest.mark.parametrize("lost", [["zero"], ["end"], ["zero", "best", "end"]])
def test_a_sweep_that_lost_runs_is_drawn_and_says_so(lost: list[str], rng: np.random.Generator) -> None:
    losses = rng.uniform(1, 2, size=(3, 2))
    table = [
        {"weight_decay": decay, "trial": trial, "val_loss": loss, "train_loss": loss}
        for decay, row in zip((0.0, 1.0, 2.0), losses, strict=True)
        for trial, loss in enumerate(row)
    ]
    summary = {"val_loss_of_null": 1.0, "best_lambda": 1.0}
    summary |= {f"val_loss_at_{place}": 1.0 for place in ("zero", "best", "end") if place not in lost}
    if "best" in lost:
        del summary["best_lambda"]
    title = sweep_figures.sweep(table, summary).axes[0].get_title(loc="left")
    assert title == "Validation: some runs diverged"
