"""The page, as bytes: one file that asks for no other.

`page.html` is filled with the style, the script, Vega, and what each study shows, as JSON with six significant digits.
"""

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
from numpy.typing import ArrayLike

from stages.base.rounding import significant
from stages.drawing.colours import SCREEN
from stages.drawing.explorer import axes, charts, looks
from stages.drawing.explorer.contract import Chart, Line, OverDecays, OverSteps, Shown, Slider, Weights

ALONE = "on its own page alone"
VEGA = "window.vegaEmbed = vegaEmbed;"  # what the page uses of vl-convert's JavaScript
Tree = dict[str, Any]


def page(
    shown: Mapping[str, Shown], *, seed: int, parameters: Mapping[str, Mapping[str, Any]], others: Iterable[str] = ()
) -> bytes:
    """The page of these studies, the first of them on top. `parameters` are their sections of params.yaml.

    `others` are studies that have no part here; the page links theirs.
    """
    parts = {
        "light": colours(0),
        "dark": colours(1),
        "style": beside("page.css"),
        "tabs": "\n".join(tab(name, each.title) for name, each in shown.items()),
        "links": "\n".join([*(link(name, each.title) for name, each in shown.items()), *(link(name, ALONE) for name in others)]),
        "seed": str(seed),
        "parameters": "\n".join(section(name, each) for name, each in parameters.items()),
        "studies": json_of([study(name, each) for name, each in shown.items()]),
        "config": json_of(charts.CONFIG),
        "vega": re.sub(r"</(?=script)", r"<\\/", vl_convert.javascript_bundle(VEGA), flags=re.IGNORECASE),
        "script": beside("page.js"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], beside("page.html")).encode()


def beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def colours(place: int) -> str:
    return "".join(f"--{name}:{values[place]};" for name, values in SCREEN.items())


def tab(name: str, title: str) -> str:
    key, said = escape(name), escape(title)
    return f'<label id="{key}"><input type="radio" name="study" value="{key}"><span>{said} <small>{key}</small></span></label>'


def link(name: str, title: str) -> str:
    return f'<li><a href="../stages/studies/{escape(name)}/README.md">{escape(name)}</a>: {escape(title)}</li>'


def section(name: str, values: Mapping[str, Any]) -> str:
    written = json.dumps(values, indent=2, ensure_ascii=False)
    return f"<details><summary>Parameters of {escape(name)}</summary><pre>{escape(written)}</pre></details>"


def json_of(tree: Any) -> str:
    """JSON that no HTML parser takes for the end of its script."""
    return json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def study(name: str, shown: Shown) -> Tree:
    shades = looks.colours(*map(looks.drawn_in, shown.charts))
    return {
        "key": name,
        "title": shown.title,
        "question": shown.question,
        "decay": slider(shown.decay),
        "second": shown.second and slider(shown.second),
        "charts": [chart(each, shown.decay, shades) for each in shown.charts],
        "said": [list(sentences) for sentences in shown.said],
        "trials": shown.trials,
        "facts": [line(fact) | {"name": called} for called, fact in shown.facts],
        "best": list(shown.best),
        "ofBest": shown.of_best,
        "doubt": list(shown.doubt),
        "finding": shown.finding,
        "absent": shown.absent,
        "zero": axes.zero_at(shown.decay.values),
        "notes": list(shown.notes),
        "words": list(shown.words),
    }


def slider(each: Slider) -> Tree:
    return {"name": each.name, "values": numbers(each.values), "start": each.start}


def chart(each: Chart, decay: Slider, shades: Mapping[str, str]) -> Tree:
    """What is drawn, and how; the page takes the rows of the chosen λ from it."""
    common = {"title": each.title, "x": each.x_title, "y": each.y_title}
    if isinstance(each, OverSteps):
        own = {
            "kind": "steps",
            "spec": charts.over_steps(each, shades),
            "at": numbers(each.x),
            "lines": lines(each.lines, shades),
        }
        return common | own | {"until": each.until and numbers(each.until), "level": each.level, "logX": each.log_x}
    if isinstance(each, OverDecays):
        return common | {
            "kind": "decays",
            "spec": charts.over_decays(each, decay, shades),
            "lines": lines(each.lines, shades),
            "level": each.level,
        }
    if isinstance(each, Weights):
        return common | {
            "kind": "weights",
            "spec": charts.weights(each, shades),
            "at": list(each.x) if charts.named_places(each) else numbers(each.x),
            "lines": [{"name": name, "colour": shades[name], "values": numbers(values)} for name, values in each.series],
            "truth": None if each.truth is None else numbers(each.truth),
            "walls": None if each.walls is None else numbers(each.walls),
        }
    raise TypeError(f"expected OverSteps, OverDecays or Weights, got {type(each).__name__}")


def lines(drawn: Iterable[Line], shades: Mapping[str, str]) -> list[Tree]:
    return [line(each) | {"colour": shades.get(each.name), "dashed": looks.dashed(each.name)} for each in drawn]


def line(each: Line) -> Tree:
    error = None if each.error is None else numbers(each.error)
    return {"name": each.name, "theory": each.theory, "values": numbers(each.values), "error": error}


def numbers(values: ArrayLike) -> Any:
    """Nested lists, with null for what is not finite."""
    known = significant(values)
    return np.where(np.isfinite(known), known, np.array(None)).tolist()
