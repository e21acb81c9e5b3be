"""What the shared figures say and show, read off their axes: true of the table that they were given."""

import numpy as np
import pytest

from stages.drawing import sweeps


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
    title = sweeps.sweep(table, summary).axes[0].get_title(loc="left")
    assert title == "Validation: some runs diverged"
