"""Hand-made studies for the explorer: one whose numbers one can tell by their digits, and some that lack what others have."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.drawing.explorer.contract import Line, OverDecays, OverSteps, Shown, Slider, Weights

DECAYS, EPOCHS, STEPS, INPUTS = (0.0, 0.1, 1.0, 10.0), (3.0, 30.0), (0.0, 1.0, 3.0, 30.0), (1.0, 2.0, 3.0)


def numbered(first: float, *extents: int) -> NDArray:
    """Numbers that are all different: of the place (m, l, k) it is first + m + 0.1·l + 0.01·k."""
    return first + sum((10.0**-axis * place for axis, place in enumerate(np.indices(extents))), np.zeros(extents))


def whole() -> Shown:
    """A study that has all there is; its best λ is 10 after 3 epochs and 1 after 30."""
    end = Line("validation", np.array([[5.0, 4, 3, 2], [9, 8, 6, 7]]), np.full((2, 4), 0.25))
    ends = (end, Line("exact", numbered(3, 2, 4), theory=True))
    training, validation = (
        Line(name, numbered(first, 2, 4, 4), np.full((2, 4, 4), 0.1)) for name, first in (("training", np.pi), ("validation", 5))
    )
    exact = Line("validation, exact", numbered(6, 2, 4, 4), theory=True)
    return Shown(
        title="Three inputs </script><b>& one row",
        question="Which λ is best?",
        decay=Slider("λ", DECAYS),
        second=Slider("epochs", EPOCHS, 1),
        charts=(
            OverDecays("Loss at the end", "λ", "validation loss", lines=ends, level=("best constant", 4.5)),
            OverSteps(
                "Loss while it learns", "epoch", "loss", log_y=True, x=STEPS, until=EPOCHS, lines=(training, validation, exact)
            ),
            Weights(
                "Weights",
                "weight",
                "value",
                x=INPUTS,
                series=(("AdamW", numbered(-2, 2, 4, 3)),),
                truth=np.ones((1, 3)),
                walls=np.full((2, 4), 1.5),
            ),
        ),
        said=[[f"said of {decay:g} after {epochs:g}" for decay in DECAYS] for epochs in EPOCHS],
        facts=(("loss", end), ("‖w‖₂", Line("‖w‖₂", numbered(20, 2, 4)))),
        best=(3, 2),
        of_best="lowest validation loss",
    )


def alone() -> Shown:
    """One λ, one trial, no curves over steps."""
    one = Line("accuracy", np.array([[0.5]]))
    return replace(
        whole(),
        title="One λ",
        decay=Slider("lr·λ", (0.3,)),
        second=None,
        charts=(OverDecays("Accuracy", "lr·λ", "accuracy", lines=(one,)),),
        said=[["one"]],
        facts=(("accuracy", one),),
        best=(None,),
        notes=("a single trial has no standard error",),
        words=("An accuracy is a share of right answers",),
    )


def lost() -> Shown:
    """Every trial diverged; no weight, error or best λ is known."""
    none = Line("validation", np.full((1, 4), np.nan), np.full((1, 4), np.nan))
    paths = Line("validation", np.full((1, 4, 4), np.nan), np.full((1, 4, 4), np.inf))
    return replace(
        whole(),
        title="All diverged",
        second=None,
        charts=(
            OverDecays("Loss", "λ", "loss", log_y=True, lines=(none,)),
            OverSteps("Path", "step", "loss", log_x=True, log_y=True, x=STEPS, lines=(paths,)),
            Weights("Weights", "weight", "value", x=INPUTS, series=(("w", np.full((1, 4, 3), np.nan)),), bars=True),
        ),
        said=[[""] * 4],
        facts=(("loss", none),),
        best=(None,),
        notes=("2 of 2 trials diverged at every λ",),
    )


def gaps() -> Shown:
    """A λ is missing, several lines and bars stand beside each other, and a wall is unknown."""
    values = numbered(2, 1, 4)
    values[0, 2] = np.nan
    both = tuple(Line(name, values + shift, np.full((1, 4), 3.0)) for name, shift in (("Adam", 0), ("AdamW", 1)))
    weights = numbered(-1, 1, 4, 3)
    return replace(
        whole(),
        title="Gaps",
        second=None,
        charts=(
            Weights(
                "Weights",
                "weight",
                "value",
                x=INPUTS,
                bars=True,
                series=(("Adam", weights), ("AdamW", -weights)),
                walls=np.full((1, 4), np.nan),
            ),
            OverDecays("Loss", "λ", "loss", log_y=True, lines=both),
        ),
        said=[["no decay", "little", "unknown", "much"]],
        facts=(("loss", both[0]),),
        best=(0,),
    )


SHOWN = {"wide": whole(), "alone": alone(), "lost": lost(), "gaps": gaps()}
PARAMETERS = {name: {"train": {"lr": 0.5, "of": "</pre>"}} for name in SHOWN}
