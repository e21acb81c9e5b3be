"""How far a step of Adam and of AdamW turns normalised weights, where gradients have other sizes.

Shapes: S scales of the loss, T trials, K evaluations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measure.results import Metrics
from stages.measure.statistics import mean_and_error
from stages.studies.equilibrium.system import ADAPTIVE

PLACES = ("smallest", "largest")  # of the scales


def turns(swept: Mapping[str, NDArray], expected: float) -> dict[str, Any]:
    """The root mean square of the angle of a step, in degrees: the mean over trials, at the smallest and the largest scale.

    `expected` is AdamW's in theory.
    """
    found: dict[str, Any] = {}
    for name in ADAPTIVE:
        each = np.degrees(np.sqrt(np.mean(swept[f"{name}_angle"] ** 2, axis=2)))  # (S, T)
        found[name] = {}
        for place, scale in zip(PLACES, (0, -1), strict=True):
            found[name] |= mean_and_error(f"angle_at_{place}", each[scale])
    found["adamw"]["angle_theory"] = expected
    return found


def turns_said(found: Metrics, scales: Sequence[float]) -> str:
    """Say of AdamW and Adam by which angles a step turns the weights, with the smallest gradients and with the largest."""
    begun = f"With {' and with '.join(f'{scale:g}' for scale in dict.fromkeys([scales[0], scales[-1]]))} times the gradient"
    angles = {name: [found[name].get(f"angle_at_{place}") for place in PLACES] for name in ADAPTIVE}
    if any(angle is None for each in angles.values() for angle in each):
        return f"{begun} the weights of Adam or AdamW grow beyond all bounds"
    said = {name: " and by ".join(dict.fromkeys(f"{angle:.3g}°" for angle in each)) for name, each in angles.items()}
    return f"{begun} AdamW turns the weights by {said['adamw']} a step, Adam with L2 by {said['adam']}"
