"""The axes of the charts: fixed by all λ together, so that they stay where they are while λ moves."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stages.drawing.explorer.contract import Slider

Spec = dict[str, Any]
MARGIN = 0.04  # of an axis's length, at either end
DECADES = 5  # of a logarithmic axis at most; what is smaller leaves the frame


def along(values: ArrayLike, title: str, *, log: bool, margin: float = 0) -> Spec:
    """A horizontal axis over all values; a logarithmic one begins with the first above zero."""
    low, high = extent([values], log=log, margin=margin)
    axis = {"title": title, **(plain(low, high) if log else {"tickCount": 5})}
    return {"type": "quantitative", "scale": scale(low, high, log=log), "axis": axis}


def along_decays(decay: Slider) -> Spec:
    """λ on a logarithmic axis, with 0 at its left end."""
    above = [value for value in decay.values if value > 0] or [1.0]
    zero, high = zero_at(decay.values), max(above)
    marks = ticks(min(above), high) if high >= 100 * min(above) else above
    label = {"labelExpr": f"datum.value == {zero} ? '0' : format(datum.value, '~g')"}
    values = [zero, *marks] if min(decay.values, default=0) == 0 else marks
    low = min([zero, *above] if zero in values else above)
    ends = scale(low / 1.2, high * 1.2, log=True)
    return {
        "type": "quantitative",
        "scale": ends,
        "axis": {"title": decay.name, "values": values, "labelOverlap": "greedy", **label},
    }


def zero_at(weight_decays: Sequence[float]) -> float:
    """Where 0 stands on a logarithmic axis: half a decade below the smallest λ above it."""
    return float(f"{min((value for value in weight_decays if value > 0), default=1.0) / math.sqrt(10):.3g}")


def upwards(drawn: Iterable[ArrayLike], title: str, *, log: bool, level: tuple[str, float] | None = None) -> Spec:
    """A vertical axis with room for all that is drawn; a linear one begins with 0."""
    drawn = [*drawn, [level[1]]] if level else [*drawn]
    log = log and any((np.asarray(each, dtype=float) > 0).any() for each in drawn)
    low, high = extent(drawn if log else [*drawn, [0.0]], log=log, margin=MARGIN)
    axis = {
        "title": title,
        "labelOverlap": True,
        **(plain(low, high) if log else {"tickCount": 5, "labelExpr": "format(datum.value, '~g')"}),
    }
    return {"type": "quantitative", "scale": scale(low, high, log=log), "axis": axis}


def scale(low: float, high: float, *, log: bool) -> Spec:
    return {"type": "log" if log else "linear", "domain": [low, high], "nice": False, **({} if log else {"zero": False})}


def extent(drawn: Iterable[ArrayLike], *, log: bool, margin: float) -> tuple[float, float]:
    """The ends of an axis; around 1 where nothing is known."""
    values = np.concatenate([np.zeros(0), *(np.ravel(np.asarray(each, dtype=float)) for each in drawn)])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    if low == high:
        low, high = (low / 2, high * 2) if log else (min(low, 0.0), max(high, 0.0) or 1.0)
    if log:
        low = max(low, high / 10**DECADES)
        more = (high / low) ** margin
        return tidy(low / more), tidy(high * more)
    more = margin * (high - low)
    return tidy(low - more if low else 0.0), tidy(high + more if high else 0.0)


def tidy(value: float) -> float:
    return float(f"{value:.6g}")


def plain(low: float, high: float) -> Spec:
    """Ticks of a logarithmic axis as 0.1, 1 and 10."""
    return {"values": ticks(low, high), "format": "~g"}


def ticks(low: float, high: float) -> list[float]:
    """Powers of ten; with 3 between them below three decades, with 2 and 5 within one, with more where these are too few."""
    between: tuple[float, ...] = (1,) if high >= 1000 * low else (1, 3) if high > 10 * low else (1, 2, 5)
    between = between if high > 5 * low else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = (float(f"{first}e{power}") for power in decades for first in between)
    return [value for value in found if low <= value <= high]
