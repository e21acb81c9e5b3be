"""Figures from tables and arrays: λ = 0 in grey, weight decay in blue, theory and references in thin black.

Every function takes what it draws and returns a figure; `png` turns it into bytes that do not depend on the day.
A curve is the mean over trials, its band one standard error of that mean.
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

# Whoever needs a class of matplotlib's takes it from here, so that nothing imports matplotlib earlier.
os.environ["MPLBACKEND"] = "agg"
with contextlib.chdir(str(distribution("matplotlib").locate_file("matplotlib/mpl-data"))):
    import matplotlib  # here it finds its own settings before any user's, whatever those hold; so nothing else imports it
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("style.mplstyle")
matplotlib.rcParams.update(matplotlib.rc_params_from_file(STYLE, fail_on_error=True))  # on top of matplotlib's defaults

BASELINE, DECAY, START, BLACK = "#767676", "#0072b2", "#e69f00", "#000000"
RUNS = (("baseline", BASELINE, 3.5), ("wd", DECAY, 2.0))  # the wider line shows where the two coincide
DIAMOND: dict[str, Any] = {"markersize": 7, "markerfacecolor": "none", "markeredgewidth": 0.8, "color": BLACK}
Table = Sequence[Mapping[str, Any]]
Metrics = Mapping[str, Mapping[str, float]]
Curve = Mapping[str, NDArray]


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def curve(table: Table, run: str) -> Curve:
    """One run's columns of a curves table; empty arrays where the run is not in it."""
    rows = [row for row in table if row["run"] == run]
    return {name: np.array([row[name] for row in rows], dtype=float) for name in table[0] if name != "run"}


def curves(
    table: Table,
    metrics: Metrics,
    references: Mapping[str, str],
    *,
    x: str,
    log_x: bool = False,
    suffix: str = "",
) -> Figure:
    """Losses on a log axis beside the weight norm, of the runs `baseline<suffix>` and `wd<suffix>`.

    `references` are rows whose validation loss is drawn, with their labels.
    """
    figure = Figure(figsize=(9, 4.2))
    losses, norms = figure.subplots(1, 2, width_ratios=(3, 2))
    for arm, colour, width in RUNS:
        run = f"{arm}{suffix}"
        path, label = curve(table, run), _label(metrics, run)
        _band(losses, path, x, "val_loss", color=colour, linewidth=width, label=f"validation, {label}")
        _band(losses, path, x, "train_loss", color=colour, linewidth=0.7 * width, linestyle="--", label=f"training, {label}")
        _band(norms, path, x, "weight_norm", color=colour, linewidth=width)
        theory = curve(table, f"{run}_theory")
        for axes, name in ((losses, "train_loss"), (losses, "val_loss"), (norms, "weight_norm")):
            said = "exact theory" if run == "wd" and name == "train_loss" and len(theory[x]) else None
            axes.plot(theory[x], theory[name], linestyle="", marker="o", markersize=3, color=BLACK, label=said)
    for (row, label), style in zip(references.items(), (":", "-.", "--"), strict=False):
        losses.axhline(metrics[row]["val_loss"], color=BLACK, linewidth=1, linestyle=style, label=label)
    losses.set(yscale="log", ylabel="loss, without the penalty", title=f"Validation loss {_change(metrics, 'val_loss', suffix)}")
    norms.set(ylabel="‖w‖₂", ylim=(0, None), title=f"Weight norm {_change(metrics, 'weight_norm', suffix)}")
    for axes in (losses, norms):
        axes.set(xlabel=x)
        if log_x:
            _log_steps(axes, path[x])
    figure.legend(loc="outside lower center", ncols=(len(losses.get_legend_handles_labels()[0]) + 1) // 2)
    return figure


def line_fit(arrays: Mapping[str, NDArray], metrics: Metrics) -> Figure:
    """The fitted lines, means over trials, against the data, and what they miss of the truth."""
    figure = Figure(figsize=(9, 3.8))
    fits, errors = figure.subplots(1, 2)
    points = {split: (arrays[f"{split}_inputs"][0, :, 0], arrays[f"{split}_targets"][0]) for split in ("train", "val")}
    every = np.concatenate([inputs for inputs, _ in points.values()])
    x = np.linspace(every.min() - 0.5, every.max() + 0.5, 101)
    slope, intercept = float(arrays["true_weight"][0, 0]), float(arrays["true_bias"][0])
    styles = [(run, colour, width, "-", _label(metrics, run)) for run, colour, width in RUNS]
    for row, colour, width, style, label in (*styles, ("ridge", BLACK, 1.5, ":", f"limit at {_label(metrics, 'wd')}")):
        y = metrics[row]["weight"] * x + metrics[row]["bias"]
        fits.plot(x, y, color=colour, linewidth=width, linestyle=style, label=label)
        errors.plot(x, y - slope * x - intercept, color=colour, linewidth=width, linestyle=style, label=label)
    fits.plot(*points["train"], "o", color=BLACK, label="training rows", zorder=3)
    fits.plot(*points["val"], "o", color="white", markeredgecolor=BLACK, label="validation rows", zorder=3)
    errors.axhline(0, color=BLACK, linewidth=1)
    fits.set(xlabel="x", ylabel="y", title="Fitted lines")
    errors.set(xlabel="x", ylabel=f"prediction − ({slope:g}x + {intercept:g})", title="What they miss")
    fits.legend()
    errors.legend()
    return figure


def wide_weights(start: NDArray, final: Mapping[str, NDArray], truth: float, metrics: Metrics) -> Figure:
    """Histograms of all trials' weights, before and after training, against the true weight."""
    figure = Figure(figsize=(9, 3.8))
    axes = figure.subplots()
    every = np.concatenate([start.ravel()] + [final[run].ravel() for run, *_ in RUNS])
    edges = np.linspace(every.min(), every.max(), 61)
    for run, colour, _ in RUNS:
        shares = np.histogram(final[run], edges)[0] / final[run].size
        axes.stairs(shares, edges, color=colour, alpha=0.3, fill=True)
        axes.stairs(shares, edges, color=colour, linewidth=1.8, label=f"after training, {_label(metrics, run)}")
    axes.stairs(np.histogram(start, edges)[0] / start.size, edges, color=START, linewidth=1.2, label="random start")
    axes.axvline(truth, color=BLACK, linewidth=1)
    axes.annotate(f"every true weight = {truth:g}", (truth, axes.get_ylim()[1]), xytext=(6, -12), textcoords="offset points")
    axes.set(xlabel="weight", ylabel="share of all trials' weights", title=f"{start.shape[1]} weights, {len(start)} trials")
    axes.legend(loc="upper left")
    return figure


def wide_parts(metrics: Metrics) -> Figure:
    """Expected validation loss split exactly into what is left of the start, lost signal, fitted noise."""
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots()
    kinds = {
        "start": ("left of the random start", START),
        "shrinkage": ("signal not learnt", "#bbbbbb"),
        "noise": ("noise fitted", "#cc79a7"),
    }
    totals = []
    for position, (run, *_) in enumerate(RUNS):
        left = 0.0
        for kind, (label, colour) in kinds.items():
            width = metrics[run][f"excess_{kind}"]
            axes.barh(position, width, left=left, color=colour, label=None if position else label, height=0.6)
            left += width
        said = " + ".join(f"{metrics[run][f'excess_{kind}']:.3g}" for kind in kinds)
        axes.text(left, position, f"  {said} = {left:.3g}", ha="left", va="center", fontsize=9)
        totals.append(left)
    gain, forgotten = totals[0] - totals[1], metrics["baseline"]["excess_start"] - metrics["wd"]["excess_start"]
    constant = metrics["null"]["population_loss"] - metrics["oracle"]["population_loss"]
    axes.axvline(constant, color=BLACK, linewidth=1, linestyle=":", label="best constant")
    axes.set(yticks=range(len(RUNS)), yticklabels=[_label(metrics, run) for run, *_ in RUNS], xlim=(0, 1.5 * max(totals)))
    axes.set(xlabel="expected validation loss beyond the noise, ½‖w − w*‖²")
    axes.set_title(
        f"{forgotten / gain:.0%} of the gain is the forgotten random start"
        if 0 <= forgotten <= gain and gain > 0
        else "Where the error comes from"
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def modular_accuracy(table: Table, metrics: Metrics) -> Figure:
    """Training and validation accuracy over steps: memorised early, generalised late or never."""
    figure = Figure(figsize=(9, 3.8))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (run, colour, _) in zip(panels, RUNS, strict=True):
        path = curve(table, run)
        _band(axes, path, "step", "train_accuracy", color=colour, linestyle="--", label="training")
        _band(axes, path, "step", "val_accuracy", color=colour, label="validation")
        steps, generalised = metrics[run]["steps_to_generalise"], metrics[run]["generalised"]
        late = f"generalises at step {steps:.0f}" if steps >= 0 else f"generalises in {generalised:.0%} of trials"
        early = "memorises" if metrics[run]["memorised"] == 1 else "does not memorise"
        ending = late if generalised else f"{early}, never generalises"
        axes.set(xlabel="step", title=f"{_label(metrics, run)}: {ending}")
        _log_steps(axes, path["step"])
        axes.legend(loc="upper left" if generalised else "center right")
    panels[0].set(ylabel="accuracy", ylim=(-0.03, 1.05))
    return figure


def overview(tables: Mapping[str, Table], metrics: Mapping[str, Metrics], panels: Mapping[str, tuple[str, str]]) -> Figure:
    """One panel a study: validation with and without decay."""
    figure = Figure(figsize=(11, 3.4))
    for axes, (study, (x, y)) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for run, colour, width in RUNS:
            _band(axes, curve(tables[study], run), x, y, color=colour, linewidth=width, label=_label(metrics[study], run))
        axes.set(xlabel=x, ylabel=f"validation {y.removeprefix('val_')}", title=f"{study}: {_change(metrics[study], y)}")
        if y == "val_loss":
            axes.set_yscale("log")
            axes.axhline(metrics[study]["null"]["val_loss"], color=BLACK, linewidth=1, linestyle=":", label="best constant")
        if x == "step":
            _log_steps(axes, curve(tables[study], "wd")[x])
        axes.legend()
    return figure


def _label(metrics: Metrics, run: str) -> str:
    return f"λ = {metrics[run]['weight_decay']:g}"


def _change(metrics: Metrics, name: str, suffix: str = "") -> str:
    return f"{metrics[f'baseline{suffix}'][name]:.3g} → {metrics[f'wd{suffix}'][name]:.3g}"


def _log_steps(axes: Axes, steps: NDArray) -> None:
    """A log axis from the first evaluation after the start."""
    axes.set_xscale("log")
    if len(steps) > 2:
        axes.set_xlim(steps[1], steps[-1])


def _band(axes: Axes, path: Curve, x: str, y: str, **style: Any) -> None:
    axes.plot(path[x], path[y], **style)
    error = np.nan_to_num(path[f"{y}_se"])
    axes.fill_between(path[x], path[y] - error, path[y] + error, color=style["color"], alpha=0.2, linewidth=0)
