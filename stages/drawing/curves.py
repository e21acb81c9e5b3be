"""Curves over training, of the arms with and without decay."""

from collections.abc import Mapping

from stages.drawing.style import BLACK, RUNS, Axes, Figure, Metrics, Table, band, change, curve, label, log_steps


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
        path, said = curve(table, run), label(metrics, run)
        band(losses, path, x, "val_loss", color=colour, linewidth=width, label=f"validation, {said}")
        band(losses, path, x, "train_loss", color=colour, linewidth=0.7 * width, linestyle="--", label=f"training, {said}")
        band(norms, path, x, "weight_norm", color=colour, linewidth=width)
        theory = curve(table, f"{run}_theory")
        for axes, name in ((losses, "train_loss"), (losses, "val_loss"), (norms, "weight_norm")):
            named = "exact theory" if run == "wd" and name == "train_loss" and len(theory[x]) else None
            axes.plot(theory[x], theory[name], linestyle="", marker="o", markersize=3, color=BLACK, label=named)
    for (row, said), style in zip(references.items(), (":", "-.", "--"), strict=False):
        losses.axhline(metrics[row]["val_loss"], color=BLACK, linewidth=1, linestyle=style, label=said)
    losses.set(yscale="log", ylabel="loss, without the penalty", title=f"Validation loss {change(metrics, 'val_loss', suffix)}")
    norms.set(ylabel="‖w‖₂", ylim=(0, None), title=f"Weight norm {change(metrics, 'weight_norm', suffix)}")
    for axes in (losses, norms):
        axes.set(xlabel=x)
        if log_x:
            log_steps(axes, path[x])
    figure.legend(loc="outside lower center", ncols=(len(losses.get_legend_handles_labels()[0]) + 1) // 2)
    return figure


def panel(axes: Axes, table: Table, metrics: Metrics, *, x: str, y: str, name: str) -> None:
    """A study's panel of the overview: validation with and without decay."""
    for run, colour, width in RUNS:
        band(axes, curve(table, run), x, y, color=colour, linewidth=width, label=label(metrics, run))
    axes.set(xlabel=x, ylabel=f"validation {y.removeprefix('val_')}", title=f"{name}: {change(metrics, y)}")


def loss_panel(axes: Axes, table: Table, metrics: Metrics, *, x: str, name: str) -> None:
    """The same of a loss, on a log axis, with the best constant."""
    panel(axes, table, metrics, x=x, y="val_loss", name=name)
    axes.set_yscale("log")
    axes.axhline(metrics["null"]["val_loss"], color=BLACK, linewidth=1, linestyle=":", label="best constant")
    axes.legend()
