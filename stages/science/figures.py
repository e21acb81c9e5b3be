"""Figures from tables and arrays: λ = 0 in grey, weight decay in blue, theory and references in thin black.

Every function takes what it draws and returns a figure; `png` turns it into bytes that do not depend on the day.
A curve is the mean over trials, its band one standard error of that mean.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

matplotlib.style.use(Path(__file__).with_name("style.mplstyle"))

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
        f"{forgotten / gain:.0%} of the gain is the forgotten random start" if gain > 0 else "Where the error comes from"
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


def sweep(table: Table, summary: Mapping[str, float]) -> Figure:
    """Validation and training loss at the end, over λ: each trial a point, the mean a line, theory where it is exact."""
    figure = Figure(figsize=(9, 4))
    panels = figure.subplots(1, 2)
    grid, runs = _by_decay(table)
    smallest = grid[1] if len(grid) > 1 else 1.0
    points = {"color": DECAY, "alpha": 0.25, "markersize": 5}
    for axes, name in zip(panels, ("val_loss", "train_loss"), strict=True):
        labels = ("a trial", "mean over trials") if axes is panels[0] else (None, None)
        axes.plot(_column(table, "weight_decay"), _column(table, name), ".", label=labels[0], **points)
        axes.plot(grid, _means(runs, name), color=DECAY, marker="o", markersize=4, label=labels[1])
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        axes.set(xlim=(-0.2 * smallest, 1.3 * grid[-1]), yscale="log", xlabel="λ")
    if "theory" in table[0]:
        panels[0].plot(grid, _means(runs, "theory"), "D", label="theory", **DIAMOND)
    panels[0].axhline(summary["val_loss_of_null"], color=BLACK, linewidth=1, linestyle=":", label="best constant")
    panels[0].axvline(
        summary["best_lambda"], color=DECAY, linewidth=1, linestyle="--", label=f"best λ = {summary['best_lambda']:g}"
    )
    at = [summary[f"val_loss_at_{place}"] for place in ("zero", "best", "end")]
    panels[0].set(ylabel="validation loss", title="Validation: " + " → ".join(f"{loss:.3g}" for loss in at))
    panels[1].set(ylabel="training loss", title="Training: too much λ underfits")
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def grokking(table: Table, summary: Mapping[str, float]) -> Figure:
    """When each trial generalises, over λ: never, late, quick; and where it no longer learns the training pairs at all."""
    figure = Figure(figsize=(9, 4.2))
    axes = figure.subplots()
    threshold, last_step = summary["threshold"], int(summary["steps"])
    grid, runs = _by_decay(table)
    position = dict(zip(grid, range(len(grid)), strict=True))
    arrivals = [_arrival(rows) for rows in runs]
    helped = [decay for decay, arrival in zip(grid, arrivals, strict=True) if arrival < arrivals[0]]
    if helped:
        axes.axvspan(position[helped[0]] - 0.5, position[helped[-1]] + 0.5, color=DECAY, alpha=0.12, linewidth=0)
        said = f"decay helps: λ from {helped[0]:g} to {helped[-1]:g}" if len(helped) > 1 else f"decay helps: λ = {helped[0]:g}"
        axes.annotate(
            said, (np.mean([position[helped[0]], position[helped[-1]]]), 0.03), xycoords=("data", "axes fraction"), ha="center"
        )
    never = 1.25 * last_step
    for row in table:
        x = position[row["weight_decay"]] + 0.12 * (row["trial"] - (max(r["trial"] for r in table)) / 2)
        for name, colour, marker in (("steps_to_memorise", START, "s"), ("steps_to_generalise", DECAY, "o")):
            reached = row[name] is not None and row[name] >= 0
            axes.plot(
                x,
                row[name] if reached else never,
                marker,
                color=colour,
                markerfacecolor=colour if reached else "none",
                markersize=7,
            )
    for decay, rows, arrival in zip(grid, runs, arrivals, strict=True):
        fate = _fate(rows, threshold) if arrival == np.inf else "quickest" if arrival == min(arrivals) else "late"
        axes.annotate(fate, (position[decay], 1.42 * last_step), ha="center", va="bottom", fontsize=10)
    axes.plot([], [], "s", color=START, label=f"memorises: {threshold:.0%} of the training pairs")
    axes.plot([], [], "o", color=DECAY, label=f"generalises: {threshold:.0%} of the other pairs")
    axes.plot([], [], "o", color=BLACK, markerfacecolor="none", label=f"not within {last_step} steps")
    axes.set(
        yscale="log",
        xlabel="λ",
        ylabel="step",
        ylim=(None, 2.1 * last_step),
        title="Too little decay never generalises, too much never learns",
    )
    axes.set_xticks(range(len(grid)), [f"{decay:g}" for decay in grid])
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def descent(table: Table, summary: Mapping[str, Any], closed_form: tuple[Sequence[float], Sequence[float]]) -> Figure:
    """Risk over the number of rows, peaked at n = d without decay; and over Λ at the peak, a U.

    `closed_form`: numbers of rows and the expected risk of each at Λ = 0.
    """
    figure = Figure(figsize=(9, 4.4))
    descents, bowl = figure.subplots(1, 2, width_ratios=(3, 2))
    penalties, best, inputs = sorted({row["penalty"] for row in table}), summary["theory_penalty"], summary["inputs"]
    counts = sorted({row["rows"] for row in table})
    middle = min(counts, key=lambda rows: abs(rows - inputs))
    some = [penalty for penalty in penalties if 0 < penalty < best][-2:-1]
    for penalty, colour in zip([0.0, *some, best], (BASELINE, START, DECAY), strict=False):
        _risks(descents, [row for row in table if row["penalty"] == penalty], "rows", color=colour)
        label = f"Λ = {penalty:g}" + (", best in theory" if penalty == best else "")
        descents.plot([], [], "o", color=colour, label=label)
    _risks(bowl, [row for row in table if row["rows"] == middle], "penalty", color=DECAY)
    smallest = penalties[1] if len(penalties) > 1 else 1.0
    bowl.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    bowl.axvline(best, color=DECAY, linewidth=1, linestyle="--")
    bowl.annotate(f"Λ* = {best:g}", (best, 0.95), xycoords=("data", "axes fraction"), xytext=(5, 0), textcoords="offset points")
    descents.axvline(inputs, color=BLACK, linewidth=1, linestyle=":")
    descents.annotate("n = d", (inputs, 0.03), xycoords=("data", "axes fraction"), xytext=(5, 0), textcoords="offset points")
    descents.set(
        yscale="log",
        xlabel=f"n, rows of {inputs:.0f} inputs",
        ylabel="risk, ‖w − w*‖²",
        title="A peak at n = d, but not with the best decay",
    )
    bowl.set(yscale="log", xlabel="Λ = nλ", title=f"The U over Λ at n = {middle:.0f}")
    descents.plot(*closed_form, color=BLACK, linewidth=1, label="closed form at Λ = 0, infinite at n = d")
    descents.plot([], [], "D", **DIAMOND, label="exact theory")
    descents.plot([], [], "o", color=BLACK, markerfacecolor="none", label="solved: training cannot get there")
    figure.legend(loc="outside lower center", ncols=3)
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


def _risks(axes: Axes, rows: Table, x: str, *, color: str) -> None:
    """Measured risks with their errors, hollow where the solver stood in for training, in the diamonds that theory expects."""
    places, risks, errors = (_column(rows, name) for name in (x, "risk", "risk_se"))
    axes.plot(places, risks, color=color, linewidth=1, alpha=0.5)
    axes.plot(places, _column(rows, "theory"), "D", zorder=4, **DIAMOND)
    for trained, fill in ((1, color), (0, "white")):
        own = _column(rows, "trained") == trained
        style: dict[str, Any] = {"fmt": "o", "color": color, "markerfacecolor": fill, "markersize": 4.5, "capsize": 2}
        axes.errorbar(places[own], risks[own], errors[own], zorder=3, **style)


def _column(table: Table, name: str) -> NDArray:
    return np.array([np.nan if row[name] is None else row[name] for row in table], dtype=float)


def _means(runs: Sequence[Table], name: str) -> list[float]:
    """The mean over the trials at each λ, NaN where all of them diverged."""
    columns = [_column(rows, name) for rows in runs]
    return [float(np.nanmean(column)) if not np.isnan(column).all() else np.nan for column in columns]


def _by_decay(table: Table) -> tuple[list[float], list[Table]]:
    """The grid of a sweep's table, and the rows at each λ."""
    grid = sorted({row["weight_decay"] for row in table})
    return grid, [[row for row in table if row["weight_decay"] == decay] for decay in grid]


def _arrival(rows: Table) -> float:
    """The mean step at which the trials at one λ generalise, infinite unless all of them do."""
    steps = [row["steps_to_generalise"] for row in rows]
    return float(np.mean(steps)) if all(step is not None and step >= 0 for step in steps) else np.inf


def _fate(rows: Table, threshold: float) -> str:
    """What becomes of trials that do not generalise, in a word."""
    if any(row["diverged"] for row in rows):
        return "diverges"
    if all(row["train_accuracy"] >= threshold for row in rows):
        return "never"
    return "collapses" if all(row["weight_norm"] < 1e-3 for row in rows) else "underfits"


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
