"""The charts and words that studies of grokking share: right answers while it learns, and the step at which it generalises."""

from collections.abc import Mapping, Sequence

from numpy.typing import NDArray

from stages.drawing.explorer.contract import Line, OverDecays, OverSteps

SPLITS = {"train": "training", "val": "validation"}
LATEST = ("generalise", "memorise")  # what comes last is drawn first
Curve = Sequence[NDArray]  # means and their errors


def charts(
    x: Sequence[float], accuracy: Mapping[str, Curve], when: Mapping[str, Curve], share: float
) -> tuple[OverSteps, OverDecays]:
    """Accuracies over the steps `x`, (M, L, K) by split; the step at which it memorises and generalises, (M, L) by verb.

    To generalise is to be right about this share of the pairs.
    """
    return (
        OverSteps(
            "Right answers while it learns",
            "step",
            "share of right answers",
            log_x=True,
            x=x,
            lines=[Line(name, *accuracy[split]) for split, name in SPLITS.items()],
            level=("what counts as generalised", share),
        ),
        OverDecays(
            "The step at which it generalises",
            "λ",
            "step",
            log_y=True,
            lines=[Line(f"{verb}s", *when[verb]) for verb in LATEST],
        ),
    )


def facts(when: Mapping[str, Curve]) -> list[tuple[str, Line]]:
    return [(f"step at which it {verb}s", Line(f"{verb}s", *when[verb])) for verb in reversed(LATEST)]


def words(share: str) -> str:
    return (
        f"To generalise is to be right about {share} of the pairs that were not trained on; "
        "to memorise, about as many of the others"
    )
