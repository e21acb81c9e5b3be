"""Vega-Lite specifications of the three charts; the page feeds the rows of the chosen λ to the data source `now`.

Colours are names in the page's CSS.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from stages.drawing.explorer.axes import MARGIN, Spec, along, along_decays, upwards
from stages.drawing.explorer.contract import Line, OverDecays, OverSteps, Slider, Weights
from stages.drawing.explorer.looks import looks, measured, named, wide_below

ROOM = 40  # letters of all names below bars, where they stand level
CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **{f"{part}FontSize": {"expr": "size"} for part in ("label", "title")},
        **{f"{part}Color": "var(--soft)" for part in ("label", "title", "domain", "tick")},
        "titleFontWeight": "normal",
        "gridColor": "var(--grid)",
        "labelPadding": 6,
    },
    "axisX": {"grid": False, "labelFlush": False, "tickSize": 5, "titlePadding": 8},
    "axisY": {
        "domain": False,
        "ticks": False,
        "titleAngle": 0,
        "titleAnchor": "end",
        "titleAlign": "left",
        "titleBaseline": "bottom",
        "titleX": 0,
        "titleY": -10,
    },
}


def over_steps(chart: OverSteps, shades: Mapping[str, str]) -> Spec:
    """Curves at one λ, the baseline's behind them in grey."""
    x = along(chart.x, chart.x_title, log=chart.log_x)
    if chart.until:
        x["scale"]["domain"][1] = {"expr": "until"}
    y = upwards(lines_and_errors(chart.lines), chart.y_title, log=chart.log_y, level=chart.level)
    colour, dash = looks(chart.lines, shades)
    grey = {"detail": {"field": "name"}, "color": {"value": "var(--baseline)"}}
    return {
        **frame({"until": max(chart.x, default=1)}),
        "layer": [
            *level(chart.level, y),
            band("baseline", x, y, **grey),
            curve("baseline", x, y, width=4, **grey, strokeDash=dash),
            band("now", x, y, color=colour),
            curve("now", x, y, width=5, color=colour, strokeDash=dash, **wide_below(chart.lines)),
            theory(x, y, dash),
        ],
    }


def over_decays(chart: OverDecays, decay: Slider, shades: Mapping[str, str]) -> Spec:
    """What each λ ends with; rules where the reader stands, what they expected, and the best."""
    x = along_decays(decay)
    y = upwards(lines_and_errors(chart.lines), chart.y_title, log=chart.log_y, level=chart.level)
    colour, dash = looks(chart.lines, shades)
    place = {"x": {"field": "x", **x}}
    point = {"type": "point", "filled": True, "opacity": 1, "clip": False}
    here = {"color": {"value": "var(--ink)"}} if len(measured(chart.lines)) > 1 else {"color": {"value": "var(--decay)"}}
    word = {
        "type": "text",
        "baseline": "top",
        "color": "var(--ink)",
        "fontSize": {"expr": "size"},
        "align": {"expr": "datum.before ? 'right' : 'left'"},
        "dx": {"expr": "datum.before ? -6 : 6"},
    }
    return {
        **frame({}),
        "layer": [
            *level(chart.level, y),
            {**only("chosen"), "mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": {**place, **here}},
            *(
                {
                    **only(name),
                    "layer": [
                        {"mark": {"type": "rule", "strokeDash": [5, 4], "color": "var(--ink)"}, "encoding": place},
                        {"mark": word, "encoding": {**place, "y": {"value": top}, "text": {"field": "text"}}},
                    ],
                }
                for name, top in (("guess", 2), ("best", {"expr": "2 + 1.4 * size"}))
            ),
            band("now", x, y, color=colour),
            curve("now", x, y, width=5, color=colour, strokeDash=dash, **wide_below(chart.lines)),
            theory(x, y, dash),
            {
                **only("now"),
                "mark": {**point, "size": {"expr": "2 * size"}},
                "encoding": {**place, "y": {"field": "y", **y}, "color": colour},
            },
            {
                **only("here"),
                "mark": {**point, "size": {"expr": "10 * size"}, "stroke": "var(--paper)", "strokeWidth": 2},
                "encoding": {**place, "y": {"field": "y", **y}, "color": colour},
            },
        ],
    }


def weights(chart: Weights, shades: Mapping[str, str]) -> Spec:
    """Bars or points at one λ; the truth as short black lines, the walls as dashed ones."""
    walls = np.array([]) if chart.walls is None else np.asarray(chart.walls, dtype=float)
    drawn = [np.ravel(values) for _, values in chart.series]
    reach = max((np.nanmax(np.abs(each)) for each in drawn if np.isfinite(each).any()), default=0.0)
    near = walls[walls <= 2 * reach]  # a wall far outside would leave no room for the weights
    y = upwards([*drawn, near, -near, [] if chart.truth is None else chart.truth], chart.y_title, log=chart.log_y)
    place: Spec = {"field": "x"}
    ordinal = chart.bars or named_places(chart)
    if ordinal:
        place |= {"type": "ordinal", "sort": None, "scale": {"paddingInner": 0.25}}
        slanted = {"labelAngle": -30, "labelAlign": "right", "labelLimit": 100, "labelOverlap": False}
        level = {"labelAngle": 0, "labelOverlap": "greedy"}
        place |= {"axis": {"title": chart.x_title, **(slanted if sum(len(str(each)) for each in chart.x) > ROOM else level)}}
    else:
        place |= along(np.array(chart.x, dtype=float), chart.x_title, log=chart.log_x, margin=MARGIN / 2)
    names = [name for name, _ in chart.series]
    colour = named(names, shades)
    beside = {"xOffset": {"field": "name", "scale": {"domain": names}}} if chart.bars and len(names) > 1 else {}
    mark = {"type": "bar"} if chart.bars else {"type": "point", "filled": True, "size": {"expr": "2 * size"}}
    short = f"max(2, {(0.6 if ordinal else 0.8) / max(len(chart.x), 1):.6g} * width)"
    tick = {"type": "tick", "thickness": 1.5, "orient": "horizontal", "size": {"expr": short}}
    rule = {"type": "rule", "strokeDash": [6, 4]}
    height = {"field": "y", **y}
    both = {"x": place, "y": height}
    return {
        **frame({}),
        "layer": [
            {**only("now"), "mark": {**mark, "clip": True, "opacity": 0.9}, "encoding": {**both, "color": colour, **beside}},
            {**only("truth"), "mark": {**tick, "color": "var(--ink)", "clip": True}, "encoding": both},
            {**only("wall"), "mark": {**rule, "color": "var(--ink)", "clip": True}, "encoding": {"y": height}},
        ],
    }


def named_places(chart: Weights) -> bool:
    return any(isinstance(place, str) for place in chart.x)


def frame(parameters: Spec) -> Spec:
    """What all charts have: the space that the page gives, the rows that it feeds, the switches that it turns."""
    switches = {"band": True, "theory": True, "size": 13} | parameters
    return {
        "width": "container",
        "height": "container",
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 2, "top": 4, "right": 12, "bottom": 2},
        "params": [{"name": name, "value": value} for name, value in switches.items()],
        "data": {"name": "now"},
    }


def only(run: str) -> Spec:
    return {"transform": [{"filter": f"datum.run == '{run}'"}]}


def curve(run: str, x: Spec, y: Spec, *, width: float, **encoding: Spec) -> Spec:
    stroke = {} if "strokeWidth" in encoding else {"strokeWidth": {"expr": f"size / {width}"}}
    mark = {"type": "line", "clip": True, "strokeJoin": "round", **stroke}
    return {**only(run), "mark": mark, "encoding": {"x": {"field": "x", **x}, "y": {"field": "y", **y}, **encoding}}


def band(run: str, x: Spec, y: Spec, **encoding: Spec) -> Spec:
    mark = {"type": "area", "clip": True, "opacity": {"expr": "band ? 0.2 : 0"}}
    between = {"x": {"field": "x", **x}, "y": {"field": "low", **y}, "y2": {"field": "high"}}
    return {**only(run), "mark": mark, "encoding": {**between, **encoding}}


def theory(x: Spec, y: Spec, dash: Spec) -> Spec:
    drawn = curve("theory", x, y, width=13, detail={"field": "name"}, color={"value": "var(--ink)"}, strokeDash=dash)
    drawn["mark"] |= {"opacity": {"expr": "theory ? 1 : 0"}}
    return drawn


def level(known: tuple[str, float] | None, y: Spec) -> list[Spec]:
    """A dotted line."""
    if known is None:
        return []
    mark = {"type": "rule", "strokeDash": [2, 3], "color": "var(--ink)", "clip": True}
    return [{"data": {"values": [{"y": float(known[1])}]}, "mark": mark, "encoding": {"y": {"field": "y", **y}}}]


def lines_and_errors(lines: Iterable[Line]) -> list[NDArray]:
    drawn = []
    for line in lines:
        values = np.asarray(line.values, dtype=float)
        error = np.zeros(1) if line.error is None else np.nan_to_num(np.asarray(line.error, dtype=float))
        drawn += [values, values - error, values + error]
    return drawn
