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
    Axes,
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

BINS, FEW = 10, 30  # bins of the confidence, and how many answers a bin must hold, of all trials, to be drawn
MODELS = {"logistic": "logistic regression", "network": "network"}
MEASURES = {"loss": "test loss", "accuracy": "test accuracy", "calibration_error": "test calibration error"}


def labels(wrong: float) -> dict[str, str]:
    """The suffix of a row or a case → what its training labels are, at this share of wrong ones."""
    return {"": "right labels", "_noisy": f"{100 * wrong:.3g}% wrong labels"}


def draw(arrays: Arrays, trained: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    sets = labels(float(np.mean(arrays["wrong_labels"] != arrays["train_labels"])))
    return {
        "curves": courses(table, metrics, sets, name="curves", suffix=""),
        "network": courses(table, metrics, sets, name="network", suffix="_network"),
        "reliability": reliability(arrays, trained, metrics, sets),
    }


def courses(table: Table, metrics: Metrics, sets: Mapping[str, str], *, name: str, suffix: str) -> Figure:
    """Validation loss over steps: with right labels, and beside it with wrong ones. A diamond is λ = 0 where it is lowest."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    paths = {(run, noisy): curve(table, f"{run}{suffix}{noisy}") for run, _, _ in RUNS for noisy in sets}
    heights = np.concatenate([path["val_loss"][min(1, len(path["step"]) - 1) :] for path in paths.values()])  # but the start
    highest = np.nanmax(heights, initial=0)
    panels[0].set(ylabel="validation loss", ylim=(0, 1.1 * highest or 1))
    for axes, (noisy, said) in zip(panels, sets.items(), strict=True):
        ends = []
        for run, colour, width in RUNS:
            path = paths[run, noisy]
            band(axes, path, "step", "val_loss", color=colour, linewidth=width)
            ends.append((path["val_loss"][-1], label(metrics, f"{run}{suffix}{noisy}"), colour))
        lowest = np.nan_to_num(paths["baseline", noisy]["val_loss"], nan=np.inf).argmin()
        axes.plot(*(paths["baseline", noisy][column][lowest] for column in ("step", "val_loss")), "D", **DIAMOND)
        axes.set(xlabel="step", title=said)
        log_steps(axes, path["step"])
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:g}")
        label_ends(axes, ends)
    panels[0].plot([], [], "D", label=f"{label(metrics, f'baseline{suffix}')} at its lowest", **DIAMOND)
    panels[0].legend(loc="best")
    headline(figure, metrics["findings"][name])
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
    panels = figure.subplots(1, 3, sharey=True)
    cases = [
        (f"{model}{noisy}", f"{name},\n{said}")
        for noisy, said in labels(summary["wrong"]).items()
        for model, name in MODELS.items()
    ]
    for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        for place, (case, _) in enumerate(cases):
            gained(
                axes,
                place,
                {what: summary[case].get(f"test_{measure}_{what}", np.nan) for what in ("at_zero", "at_chosen", "change_se")},
            )
        axes.set(title=title, ylim=(len(cases) - 0.5, -0.5))
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)
    panels[0].set_yticks(range(len(cases)), [said for _, said in cases])
    panels[0].set_xlim(0, None)
    for axes in panels[1:]:
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    panels[2].set_xlim(0, None)
    panels[0].plot([], [], "o", color=BASELINE, markersize=9, label="λ = 0")
    panels[0].plot([], [], "o", color=DECAY, markersize=8, label="λ chosen on validation rows, ± error of the change")
    figure.legend(loc="outside lower center", ncols=2)
    headline(figure, summary["findings"]["gain"])
    return figure


def gained(axes: Axes, place: int, values: Mapping[str, float]) -> None:
    """From λ = 0 to the chosen λ; nothing where they are not known."""
    before, after, error = (values[what] for what in ("at_zero", "at_chosen", "change_se"))
    axes.plot([before, after], [place, place], color=BASELINE, linewidth=1.5)
    axes.plot(before, place, "o", color=BASELINE, markersize=9)
    axes.errorbar(after, place, xerr=np.nan_to_num(error), color=DECAY, marker="o", markersize=8, capsize=4)


def weight_decays(table: Table, summary: Metrics) -> Figure:
    """Validation loss over λ, of each model with right and with wrong labels; a diamond is at the best λ."""
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
                axes.plot(best, losses[grid.index(best)], "D", **DIAMOND)
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
