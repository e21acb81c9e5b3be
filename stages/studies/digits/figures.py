"""digits, drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import panel
from stages.drawing.figures import Figures
from stages.drawing.style import (
    BASELINE,
    BLACK,
    DECAY,
    DIAMOND,
    RUNS,
    Figure,
    Metrics,
    Table,
    band,
    curve,
    headline,
    label,
    label_ends,
    log_steps,
)
from stages.drawing.sweeps import by_decay, decay_axis, means
from stages.drawing.tables import column

BINS, FEW = 10, 30  # bins of the confidence, and how many answers a bin must hold, of all trials, to be drawn
MODELS = {"logistic": "logistic regression", "network": "network"}
MEASURES = {"accuracy": "test accuracy, → is better", "calibration_error": "test calibration error, ← is better"}


def labels(wrong: float) -> dict[str, str]:
    """The suffix of a row or a case → what its training labels are, at this share of wrong ones."""
    return {"": "right labels", "_noisy": f"{100 * wrong:.3g}% wrong labels"}


def draw(arrays: Arrays, trained: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    sets = labels(float(np.mean(arrays["wrong_labels"] != arrays["train_labels"])))
    return {"stopping": stopping(table, metrics, sets["_noisy"]), "reliability": reliability(arrays, trained, metrics, sets)}


def stopping(table: Table, metrics: Metrics, labels: str) -> Figure:
    """Validation loss over steps with wrong labels, in each model; dotted is the lowest of λ = 0."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    losses = column([row for row in table if row["run"].endswith("_noisy") and row["step"] > 0], "val_loss")
    panels[0].set(ylabel="validation loss", ylim=(0, 1.1 * np.nanmax(losses, initial=0) or 1))
    for axes, (suffix, model) in zip(panels, {"_noisy": "logistic regression", "_network_noisy": "network"}.items(), strict=True):
        ends = []
        for run, colour, width in RUNS:
            path = curve(table, f"{run}{suffix}")
            band(axes, path, "step", "val_loss", color=colour, linewidth=width)
            ends.append((path["val_loss"][-1], label(metrics, f"{run}{suffix}"), colour))
        lowest = np.nanmin(curve(table, f"baseline{suffix}")["val_loss"], initial=np.inf)
        if np.isfinite(lowest):
            axes.axhline(lowest, color=BLACK, linewidth=1, linestyle=":")
            ends.append((lowest, f"{label(metrics, f'baseline{suffix}')},\nstopped", BLACK))
        log_steps(axes, path["step"])
        axes.set(xlabel="step", title=f"{model}, {labels}")
        label_ends(axes, ends)
    headline(figure, metrics["findings"]["stopping"])
    return figure


def reliability(arrays: Arrays, trained: Trained, metrics: Metrics, sets: Mapping[str, str]) -> Figure:
    """How often answers on test rows are right, over how sure they are: with right labels, and beside it with wrong ones."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    inputs = (arrays["test_pixels"] - arrays["train_pixels"].mean(axis=1, keepdims=True)) / arrays["white"]  # (T, r, d)
    for axes, (noisy, said) in zip(panels, sets.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=BLACK, linewidth=1, linestyle=":")
        for run, colour, width in RUNS:
            sure, right = answers(inputs, arrays["test_labels"], trained[f"{run}{noisy}"])
            points = binned(sure, right)
            axes.plot(*points, color=colour, linewidth=width, marker="o", markersize=6, label=label(metrics, f"{run}{noisy}"))
        axes.text(0.03, 0.98, "too unsure", verticalalignment="top")
        axes.text(0.98, 0.03, "too sure", horizontalalignment="right")
        axes.set(xlabel="confidence", title=said, xlim=(0, 1.03), ylim=(0, 1.03))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda share, _: f"{share:.0%}")
    panels[0].set(ylabel="right answers")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    headline(figure, metrics["findings"]["reliability"])
    return figure


def answers(inputs: NDArray, labels: NDArray, run: Arrays) -> tuple[NDArray, NDArray]:
    """How sure each answer of logistic regression is, which is its largest probability, and whether it is right.

    Of the trials that did not diverge.  (T, r, d), (T, r) → (T', r) each
    """
    kept = ~run["diverged"]
    scores = inputs[kept] @ run["weight"][kept].astype(np.float64) + run["bias"][kept].astype(np.float64)[:, None]  # (T', r, C)
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    return powers.max(axis=2) / powers.sum(axis=2), scores.argmax(axis=2) == labels[kept]


def binned(sure: NDArray, right: NDArray) -> tuple[NDArray, NDArray]:
    """Mean confidence and share of right answers, in each bin of the confidence with enough answers.  (T, r) each → (B,) each"""
    places = np.ceil(sure * BINS)
    kept = [places == each for each in range(1, BINS + 1) if np.sum(places == each) >= FEW]
    return np.array([sure[each].mean() for each in kept]), np.array([right[each].mean() for each in kept])


def gain(summary: Metrics) -> Figure:
    """Test rows without decay and with the λ chosen on validation rows, each model with each set of labels.

    A bar is one standard error of the change, paired over trials.
    """
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    sets = labels(summary["wrong"]).items()
    cases = {f"{model}{noisy}": f"{name},\n{said}" for noisy, said in sets for model, name in MODELS.items()}
    for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        for place, case in enumerate(cases):
            ends = ("at_zero", "at_chosen", "change_se")
            before, after, error = (summary[case].get(f"test_{measure}_{end}", np.nan) for end in ends)
            axes.plot([before, after], [place, place], color=DECAY, linewidth=3)
            axes.plot(before, place, "o", color=BASELINE, markersize=11)
            axes.errorbar(after, place, xerr=np.nan_to_num(error), color=DECAY, marker="o", markersize=11, capsize=5)
        axes.set(title=title, ylim=(len(cases) - 0.5, -0.5))
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    panels[0].set_yticks(range(len(cases)), cases.values())
    panels[1].set_xlim(0, None)
    for word, colour in {"λ = 0": BASELINE, "tuned λ, ± standard error of the change": DECAY}.items():
        panels[0].plot([], [], "o", color=colour, markersize=11, label=word)
    figure.legend(loc="outside lower center", ncols=2)
    headline(figure, summary["findings"]["gain"])
    return figure


def weight_decays(table: Table, summary: Metrics) -> Figure:
    """Validation loss over λ, of each model with right and with wrong labels; a diamond and a number are at the best λ."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    highest = max((row["val_loss"] for row in table if row["val_loss"] is not None), default=1)
    panels[0].set(ylabel="validation loss", ylim=(0, 1.05 * highest))
    for axes, (model, name) in zip(panels, MODELS.items(), strict=True):
        ends = []
        for (noisy, said), style in zip(labels(summary["wrong"]).items(), ("-", "--"), strict=True):
            case = f"{model}{noisy}"
            grid, runs = by_decay([row for row in table if row["run"] == case])
            losses = means(runs, "val_loss")
            axes.plot(grid, losses, color=DECAY, linestyle=style, marker="o", markersize=4)
            if (best := summary[case].get("best_lambda")) is not None:
                at = (best, losses[grid.index(best)])
                axes.plot(*at, "D", **DIAMOND)
                axes.annotate(f"{best:g}", at, (0, -20), textcoords="offset points", ha="center")
            ends.append((losses[-1], said.removesuffix(" labels"), DECAY))
        decay_axis(axes, grid)
        axes.set_xticks([grid[0], *grid[2::2]])
        axes.xaxis.set_major_formatter(lambda decay, _: f"{decay:g}")
        axes.set_title(name)
        label_ends(axes, ends)
    headline(figure, summary["findings"]["decays"])
    return figure


def sweeps(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"gain": gain(summary), "decays": weight_decays(table, summary)}


FIGURES = Figures(
    sweep=sweeps,
    sweep_columns=("run", "weight_decay", "diverged", "val_loss"),
    study=draw,
    panel=partial(panel, x="step", y="val_loss"),
    panel_columns=("run", "step", "val_loss"),
    panel_rows=("baseline", "wd", "findings"),
)
