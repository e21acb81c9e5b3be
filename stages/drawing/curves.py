"""Curves over training, of the arms with and without decay."""

from collections.abc import Mapping

from stages.drawing.style import (
    BLACK,
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
    loss_axis,
)


def curves(table: Table, metrics: Metrics, references: Mapping[str, str], *, x: str, title: str, log_x: bool = False) -> Figure:
    """Losses, and beside them the weight norm, of both arms.

    `references` are rows whose validation loss is drawn, with their labels.
    """
    figure = Figure()
    panels = figure.subplots(1, 2, width_ratios=(3, 2))
    drawn = [("val_loss", "-"), ("train_loss", "--")], [("weight_norm", "-")]
    for axes, names in zip(panels, drawn, strict=True):
        ends = []
        for arm, colour, width in RUNS:
            path, theory = (curve(table, f"{arm}{kind}") for kind in ("", "_theory"))
            for name, style in names:
                band(axes, path, x, name, color=colour, linewidth=width, linestyle=style)
                axes.plot(theory[x], theory[name], linestyle="", marker="o", markersize=3.5, color=BLACK)
            ends.append((path[names[0][0]][-1], label(metrics, arm), colour))
        if axes is panels[0]:
            for (row, said), style in zip(references.items(), (":", "-."), strict=False):
                axes.axhline(metrics[row]["val_loss"], color=BLACK, linewidth=1, linestyle=style)
                ends.append((metrics[row]["val_loss"], said, BLACK))
            loss_axis(axes)
            axes.plot([], [], color=BLACK, label="validation")
            axes.plot([], [], color=BLACK, linestyle="--", label="training")
            if len(theory[x]):
                axes.plot([], [], color=BLACK, linestyle="", marker="o", markersize=3.5, label="exact theory")
            axes.legend()
        else:
            axes.set_ylim(0, None)
        axes.set(xlabel=x, title="loss" if axes is panels[0] else "‖w‖₂, the weights' length")
        axes.locator_params(axis="x", integer=True)
        if log_x:
            log_steps(axes, path[x])
        label_ends(axes, ends)
    headline(figure, title)
    return figure


def panel(axes: Axes, table: Table, metrics: Metrics, *, x: str, y: str) -> None:
    """A study's panel of the overview: validation with and without decay. Accuracies have an axis from 0 to 1."""
    ends = []
    for run, colour, width in RUNS:
        path = curve(table, run)
        band(axes, path, x, y, color=colour, linewidth=width)
        ends.append((path[y][-1], label(metrics, run), colour))
    if y.endswith("accuracy"):
        axes.set_ylim(-0.02, 1.02)
    else:
        loss_axis(axes)
    axes.set(xlabel=x, ylabel=f"validation {y.removeprefix('val_')}")
    label_ends(axes, ends, apart=0.065)
