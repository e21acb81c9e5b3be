"""layers, drawn."""

import numpy as np

from stages.drawing.figures import Figures
from stages.drawing.style import BASELINE, BLACK, DECAY, DIAMOND, Figure, Metrics, Table, band, curve, headline, label_ends
from stages.studies.layers.system import LAYERS, SEEN

COLOURS = {"one": BASELINE, "two": DECAY}
THEORY = DIAMOND | {"markersize": 3.5, "markeredgewidth": 0.6}


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"values": values(table, summary), "error": errors(table, summary)}


def values(table: Table, summary: Metrics) -> Figure:
    """The singular values of what each model learns from all entries, over λ; diamonds are theory's."""
    decays = sorted({row["weight_decay"] for row in table})
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (layers, name) in zip(panels, LAYERS.items(), strict=True):
        measured, theory = (np.array(summary[f"{layers}_{kind}"]["values"], dtype=float) for kind in ("all", "theory"))
        axes.plot(decays, measured, color=COLOURS[layers], linewidth=1.2)
        axes.plot(decays, theory, "D", **THEORY)
        axes.axvline(summary["two_all"].get("best_lambda") or decays[-1], color=BLACK, linewidth=1, linestyle=":")
        axes.set(xlabel="λ", title=f"singular values, {name}")
    panels[0].set(ylim=(0, None))
    panels[0].plot([], [], "D", label="theory", **THEORY)
    figure.legend(loc="outside lower center")
    headline(figure, summary["findings"]["values"])
    return figure


def errors(table: Table, summary: Metrics) -> Figure:
    """The error of each model over λ: with all entries seen, and on those that were hidden; rings are the lowest."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    for axes, seen, title in zip(panels, SEEN, ("all entries seen", "on hidden entries"), strict=True):
        ends = []
        for layers, name in LAYERS.items():
            path, colour = curve(table, f"{layers}_{seen}"), COLOURS[layers]
            band(axes, path, "weight_decay", "error", color=colour, linewidth=2.5)
            if seen == "all":
                theory = curve(table, f"{layers}_theory")
                axes.plot(theory["weight_decay"], theory["error"], "D", **THEORY)
            at = path["weight_decay"] == summary[f"{layers}_{seen}"].get("best_lambda")
            axes.plot(path["weight_decay"][at], path["error"][at], "o", color=colour, markerfacecolor="white", markeredgewidth=2)
            ends.append((path["error"][-1], name, colour))
        axes.axhline(1, color=BLACK, linewidth=1, linestyle=":")
        axes.set(xlabel="λ", title=title)
    panels[0].set(ylim=(0, None), ylabel="error, ‖W − M‖/‖M‖")
    label_ends(panels[1], [end for end in ends if np.isfinite(end[0])])
    panels[0].plot([], [], "D", label="theory", **THEORY)
    panels[0].plot([], [], color=BLACK, linewidth=1, linestyle=":", label="zero everywhere")
    figure.legend(loc="outside lower center", ncols=2)
    headline(figure, summary["findings"]["error"])
    return figure


FIGURES = Figures(sweep=sweep, sweep_columns=("run", "weight_decay", "error", "error_se"))
