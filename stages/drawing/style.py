"""The style of every figure: λ = 0 in grey, weight decay in blue, theory and references in thin black.

A curve is the mean over trials, its band one standard error of that mean. `png` turns a figure into bytes that are the same
on every day.
"""

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# matplotlib reads a user's settings when it is imported; imported from within its own folder, it reads its own instead. So
# only this module imports it, and all others take its classes from here.
os.environ["MPLBACKEND"] = "agg"
with contextlib.chdir(str(distribution("matplotlib").locate_file("matplotlib/mpl-data"))):
    import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("style.mplstyle")
matplotlib.rcParams.update(matplotlib.rc_params_from_file(STYLE, fail_on_error=True))  # on top of matplotlib's defaults

BASELINE, DECAY, START, BLACK = "#767676", "#0072b2", "#e69f00", "#000000"
RUNS = (("baseline", BASELINE, 3.5), ("wd", DECAY, 2.0))  # the wider line shows where the two coincide
DIAMOND: dict[str, Any] = {"markersize": 7, "markerfacecolor": "none", "markeredgewidth": 0.8, "color": BLACK}
Table = Sequence[Mapping[str, Any]]
Metrics = Mapping[str, Any]
Curve = Mapping[str, NDArray]
__all__ = ["BASELINE", "BLACK", "DECAY", "DIAMOND", "RUNS", "START", "Axes", "Curve", "Figure", "Metrics", "Table", "matplotlib"]


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def curve(table: Table, run: str) -> Curve:
    """One run's columns of a curves table; empty arrays where the run is not in it."""
    rows = [row for row in table if row["run"] == run]
    return {name: np.array([row[name] for row in rows], dtype=float) for name in table[0] if name != "run"}


def label(metrics: Metrics, run: str) -> str:
    """`λ = 3`, the λ of a run."""
    return f"λ = {metrics[run]['weight_decay']:g}"


def change(metrics: Metrics, name: str, suffix: str = "") -> str:
    """`0.0185 → 0.0105`, a value without and with decay."""
    return f"{metrics[f'baseline{suffix}'][name]:.3g} → {metrics[f'wd{suffix}'][name]:.3g}"


def log_steps(axes: Axes, steps: NDArray) -> None:
    """A log axis from the first evaluation after the start."""
    axes.set_xscale("log")
    if len(steps) > 2:
        axes.set_xlim(steps[1], steps[-1])


def band(axes: Axes, path: Curve, x: str, y: str, **style: Any) -> None:
    """A curve with its band."""
    axes.plot(path[x], path[y], **style)
    error = np.nan_to_num(path[f"{y}_se"])
    axes.fill_between(path[x], path[y] - error, path[y] + error, color=style["color"], alpha=0.2, linewidth=0)
