"""How the lines of a chart look: a name has one colour in all charts of a study."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from stages.drawing.colours import LINES
from stages.drawing.explorer.axes import Spec
from stages.drawing.explorer.contract import Chart, Line, OverDecays, OverSteps, Weights


def measured(lines: Iterable[Line]) -> list[str]:
    return [line.name for line in lines if not line.theory]


def drawn_in(chart: Chart) -> list[str]:
    """The names of what a chart shows at one λ, theory aside."""
    if isinstance(chart, OverSteps | OverDecays):
        return measured(chart.lines)
    return [name for name, _ in chart.series] if isinstance(chart, Weights) else []


def colours(*charts: Sequence[str]) -> dict[str, str]:
    """The CSS name of each line's colour, the same in every chart of a study; the chart with most lines chooses first.

    Training shares the colour of validation, and is dashed; a random start is orange.
    """
    chosen = {"training": LINES[0], "random start": "start"}
    for names in sorted(charts, key=len, reverse=True):
        taken = {chosen[name] for name in names if name in chosen and name != "training"}
        free = itertools.cycle([colour for colour in LINES if colour not in taken] or LINES)
        chosen |= {name: next(free) for name in names if name not in chosen}
    return chosen


def dashed(name: str) -> bool:
    return name == "training"


def named(names: Sequence[str], shades: Mapping[str, str]) -> Spec:
    scale = {"domain": list(names), "range": [f"var(--{shades[name]})" for name in names]}
    return {"field": "name", "type": "nominal", "legend": None, "scale": scale}


def looks(lines: Sequence[Line], shades: Mapping[str, str]) -> tuple[Spec, Spec]:
    """The colour of each measured line, and the dash of each line. Of several of theory the first is whole."""
    names, exact = measured(lines), [line.name for line in lines if line.theory]
    dashes = [[6, 4] if dashed(name) else [1, 0] for name in names] + [
        [6, 3] if place else [1, 0] for place, _ in enumerate(exact)
    ]
    scale = {"domain": [*names, *exact], "range": dashes}
    return named(names, shades), {"field": "name", "type": "nominal", "legend": None, "scale": scale}


def wide_below(lines: Iterable[Line]) -> Spec:
    """Of more than two lines the first are the widest, which shows where they coincide."""
    names = measured(lines)
    ends = [{"expr": f"{width:g} * size"} for width in (0.2 + 0.09 * (len(names) - 1), 0.2)]
    scale = {"domain": names, "range": ends}
    return {"strokeWidth": {"field": "name", "type": "ordinal", "legend": None, "scale": scale}} if len(names) > 2 else {}
