"""wide, drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import curves, panel
from stages.drawing.figures import Figures
from stages.drawing.style import BLACK, RUNS, START, Figure, Metrics, Table, label
from stages.drawing.sweeps import sweep


def draw(arrays: Arrays, trained: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    final = {run: trained[run]["weight"][~trained[run]["diverged"]] for run, *_ in RUNS}  # (≤ R, d)
    truth = float(arrays["true_weight"][0, 0])
    return {
        "curves": curves(
            table, metrics, {"null": "best constant", "ridge": "ridge"}, x="epoch", title=metrics["findings"]["curves"]
        ),
        "weights": weights(arrays["start_weight"], final, truth, metrics),
        "parts": parts(metrics),
    }


def weights(start: NDArray, final: Mapping[str, NDArray], truth: float, metrics: Metrics) -> Figure:
    """Histograms of all trials' weights, before and after training, against the true weight."""
    figure = Figure(figsize=(9, 3.8))
    axes = figure.subplots()
    every = np.concatenate([start.ravel()] + [final[run].ravel() for run, *_ in RUNS])
    edges = np.linspace(every.min(), every.max(), 61)
    for run, colour, _ in RUNS:
        shares = np.histogram(final[run], edges)[0] / final[run].size
        axes.stairs(shares, edges, color=colour, alpha=0.3, fill=True)
        axes.stairs(shares, edges, color=colour, linewidth=1.8, label=f"after training, {label(metrics, run)}")
    axes.stairs(np.histogram(start, edges)[0] / start.size, edges, color=START, linewidth=1.2, label="random start")
    axes.axvline(truth, color=BLACK, linewidth=1)
    axes.annotate(f"every true weight = {truth:g}", (truth, axes.get_ylim()[1]), xytext=(6, -12), textcoords="offset points")
    axes.set(xlabel="weight", ylabel="share of all trials' weights", title=f"{start.shape[1]} weights, {len(start)} trials")
    axes.legend(loc="upper left")
    return figure


def parts(metrics: Metrics) -> Figure:
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
        for kind, (named, colour) in kinds.items():
            width = metrics[run][f"excess_{kind}"]
            axes.barh(position, width, left=left, color=colour, label=None if position else named, height=0.6)
            left += width
        said = " + ".join(f"{metrics[run][f'excess_{kind}']:.3g}" for kind in kinds)
        axes.text(left, position, f"  {said} = {left:.3g}", ha="left", va="center", fontsize=9)
        totals.append(left)
    gain, forgotten = totals[0] - totals[1], metrics["baseline"]["excess_start"] - metrics["wd"]["excess_start"]
    constant = metrics["null"]["population_loss"] - metrics["oracle"]["population_loss"]
    axes.axvline(constant, color=BLACK, linewidth=1, linestyle=":", label="best constant")
    axes.set(yticks=range(len(RUNS)), yticklabels=[label(metrics, run) for run, *_ in RUNS], xlim=(0, 1.5 * max(totals)))
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


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("weight_decay", "val_loss"),
    study=draw,
    panel=partial(panel, x="epoch", y="val_loss"),
    panel_columns=("run", "epoch", "val_loss"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
