"""descent, drawn."""

from typing import Any

from stages.drawing.figures import Figures
from stages.drawing.style import BASELINE, BLACK, DECAY, DIAMOND, START, Axes, Figure, Metrics, Table
from stages.drawing.sweeps import column
from stages.theory.risk import least_norm_risk


def sweep(table: Table, summary: Metrics) -> Figure:
    """Risk over the number of rows, peaked at n = d without decay; and over Λ at the peak, a U."""
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
    descents.plot(*closed_form(table, summary), color=BLACK, linewidth=1, label="closed form at Λ = 0, infinite at n = d")
    descents.plot([], [], "D", **DIAMOND, label="exact theory")
    descents.plot([], [], "o", color=BLACK, markerfacecolor="none", label="solved: training cannot get there")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def closed_form(table: Table, summary: Metrics) -> tuple[list[int], list[float]]:
    """The expected risk at Λ = 0 for every n in the range of the table."""
    counts = [int(row["rows"]) for row in table]
    every, system = list(range(min(counts), max(counts) + 1)), {name: summary[name] for name in ("inputs", "signal", "noise")}
    return every, [least_norm_risk(rows, **system) for rows in every]


def _risks(axes: Axes, rows: Table, x: str, *, color: str) -> None:
    """Measured risks with their errors, hollow where the solver stood in for training, in the diamonds that theory expects."""
    places, risks, errors = (column(rows, name) for name in (x, "risk", "risk_se"))
    axes.plot(places, risks, color=color, linewidth=1, alpha=0.5)
    axes.plot(places, column(rows, "theory"), "D", zorder=4, **DIAMOND)
    for trained, fill in ((1, color), (0, "white")):
        own = column(rows, "trained") == trained
        style: dict[str, Any] = {"fmt": "o", "color": color, "markerfacecolor": fill, "markersize": 4.5, "capsize": 2}
        axes.errorbar(places[own], risks[own], errors[own], zorder=3, **style)


FIGURES = Figures(sweep=sweep, sweep_columns=("rows", "penalty", "risk"))
