"""What the shared figures show, read off their axes: true of the table that they were given."""

import itertools

import numpy as np

from stages.drawing import sweeps
from stages.drawing.style import Figure, label_ends


def test_a_sweep_marks_where_trials_diverged(rng: np.random.Generator) -> None:
    table = [
        {"weight_decay": decay, "trial": trial, "diverged": int(decay == 2 and trial == 1), "val_loss": loss}
        for decay, row in zip((0.0, 1.0, 2.0), rng.uniform(1, 2, size=(3, 2)), strict=True)
        for trial, loss in enumerate(row)
    ]
    summary = {"val_loss_of_null": 1.0, "findings": {"loss": "what was found"}}
    axes = sweeps.sweep(table, summary)["loss"].axes[0]
    (marked,) = [line for line in axes.lines if line.get_label() == "some trials diverged"]
    np.testing.assert_array_equal(marked.get_xdata(), [2.0])


def test_labels_stand_beside_their_curves_and_never_on_each_other() -> None:
    axes = Figure().subplots()
    axes.set(xlim=(0, 1), ylim=(1e-3, 1e3), yscale="log")
    heights = {"a": 1e-3, "b": 1.1e-3, "c": 1.0, "d": 900.0, "e": 1e3, "two\nlines": 950.0}
    label_ends(axes, [(height, name, "k") for name, height in heights.items()], apart=0.1)
    places = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert places["c"] == 0.5  # alone, where its curve ends
    order = sorted(places, key=places.__getitem__)
    assert order == ["a", "b", "c", "d", "two\nlines", "e"]
    for one, other in itertools.pairwise(order):
        lines = 1 + (one.count("\n") + other.count("\n")) / 2
        assert places[other] - places[one] >= 0.1 * lines - 1e-9
    assert max(places.values()) <= 1
