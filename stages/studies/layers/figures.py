"""layers, drawn."""

import numpy as np

from stages.drawing.figures import Figures
from stages.drawing.style import BASELINE, BLACK, DECAY, Figure, Metrics, Table, headline, label_ends
from stages.drawing.sweeps import column

LAYERS = (("one", "one layer", BASELINE), ("two", "two layers", DECAY))


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"values": values(table, summary), "error": errors(table, summary)}


def values(table: Table, summary: Metrics) -> Figure:
    """The singular values of what each model learns from all entries, over λ; theory thin and black."""
    decays = sorted({row["weight_decay"] for row in table})
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (layers, name, colour) in zip(panels, LAYERS, strict=True):
        own = summary[f"{layers}_all"]
        axes.plot(decays, own["theory_values"], color=BLACK, linewidth=0.8)
        axes.plot(decays, own["values"], ".", color=colour, markersize=9)
        axes.set(xlabel="λ", ylim=(0, None), title=f"singular values, {name}")
    panels[0].plot([], [], color=BLACK, linewidth=0.8, label="theory")
    figure.legend(loc="outside lower center")
    headline(figure, summary["findings"]["values"])
    return figure


def errors(table: Table, summary: Metrics) -> Figure:
    """The error of each model over λ: with all entries seen, and on those that were hidden; rings are the lowest."""
    decays = sorted({row["weight_decay"] for row in table})
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    for axes, where, title in zip(panels, ("all", "some"), ("all entries seen", "on hidden entries"), strict=True):
        ends = []
        for layers, name, colour in LAYERS:
            own = [row for row in table if row["run"] == f"{layers}_{where}"]
            heights, spread = column(own, "error"), np.nan_to_num(column(own, "error_se"))
            axes.plot(decays, heights, color=colour, linewidth=2.5)
            axes.fill_between(decays, heights - spread, heights + spread, color=colour, alpha=0.2, linewidth=0)
            axes.plot(decays, column(own, "theory"), color=BLACK, linewidth=0.8)
            if best := summary[f"{layers}_{where}"].get("best_lambda"):
                axes.plot(best, heights[decays.index(best)], "o", color=colour, markerfacecolor="white", markeredgewidth=2)
            ends.append((heights[-1], name, colour))
        axes.axhline(1, color=BLACK, linewidth=1, linestyle=":")
        axes.set(xlabel="λ", ylim=(0, None), title=title)
        if where == "some":
            label_ends(axes, [end for end in ends if np.isfinite(end[0])])
    panels[0].set(ylabel="error, ‖W − M‖/‖M‖")
    panels[0].plot([], [], color=BLACK, linewidth=0.8, label="theory")
    panels[0].plot([], [], color=BLACK, linewidth=1, linestyle=":", label="zero everywhere")
    figure.legend(loc="outside lower center", ncols=2)
    headline(figure, summary["findings"]["error"])
    return figure


FIGURES = Figures(sweep=sweep, sweep_columns=("run", "weight_decay", "error", "theory"))
