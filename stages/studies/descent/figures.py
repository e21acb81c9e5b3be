"""descent, drawn."""

from typing import Any

import numpy as np

from stages.drawing.figures import Figures
from stages.drawing.style import BASELINE, BLACK, DECAY, START, Axes, Figure, Metrics, Table, headline, label_ends, plain_numbers
from stages.drawing.sweeps import column
from stages.theory.risk import least_norm_risk

DECADES = 6  # of the risk that are shown at most


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    return {"risk": risks(table, summary)}


def risks(table: Table, summary: Metrics) -> Figure:
    """Risk over the number of rows: without decay, with too little, with the best Λ. Beside it, over Λ where n is nearest d."""
    inputs, best = summary["inputs"], summary["theory_penalty"]
    penalties = sorted({row["penalty"] for row in table})
    middle = min({row["rows"] for row in table}, key=lambda rows: (abs(rows - inputs), rows))
    over_penalties = [row for row in table if row["rows"] == middle and row["penalty"] > 0 and len(penalties) > 2]
    colours = {0.0: BASELINE} | dict.fromkeys([each for each in penalties if 0 < each < best][-2:-1], START) | {best: DECAY}

    figure = Figure()
    shape: dict[str, Any] = {"width_ratios": (3, 2)} if over_penalties else {}
    panels = figure.subplots(1, 1 + bool(over_penalties), squeeze=False, sharey=True, **shape)[0]
    over_rows, shown = panels[0], [row for row in table if row["penalty"] in colours]
    over_rows.set(
        yscale="log",
        ylim=limits([*shown, *over_penalties], summary),
        xlabel=f"n, number of rows (d = {inputs} inputs)",
    )
    over_rows.set_title("risk, ‖w − w*‖²")
    plain_numbers(over_rows.yaxis)
    ends = []
    for penalty, colour in colours.items():
        rows = [row for row in table if row["penalty"] == penalty]
        line = closed_form(rows, summary) if penalty == 0 else (column(rows, "rows"), column(rows, "theory"))
        over_rows.plot(*line, color=colour, linewidth=1.5)
        points(over_rows, rows, "rows", color=colour)
        said = [f"Λ = {penalty:g}"] + (["the best"] if penalty == best else [])
        ends.append((rows[-1]["risk"], ",\n".join(said), colour))
    infinite(over_rows, [row for row in table if row["penalty"] == 0], summary)
    label_ends(over_rows, ends)

    for axes in panels[1:]:
        axes.plot(column(over_penalties, "penalty"), column(over_penalties, "theory"), color=BLACK, linewidth=1)
        for row in over_penalties:
            points(axes, [row], "penalty", color=colours.get(row["penalty"], BLACK))
        axes.set(xscale="log", xlabel="Λ = nλ", title=f"at n = {middle:.0f}, over Λ")
        plain_numbers(axes.xaxis)
    kinds = {row["trained"] for row in [*shown, *over_penalties]}
    for kind, fill, label in ((1, BLACK, "trained"), (0, "white", "solved by SVD, not trained")):
        if kind in kinds:
            over_rows.plot([], [], "o", color=BLACK, markerfacecolor=fill, label=label)
    over_rows.plot([], [], color=BLACK, linewidth=1, label="theory")
    figure.legend(loc="outside lower center", ncols=3)
    headline(figure, summary["findings"]["risk"])
    return figure


def limits(rows: Table, summary: Metrics) -> tuple[float, float]:
    """Of the axis: around all risks, but for those without a finite expectation."""
    known = [row["risk"] for row in rows if row["penalty"] > 0 or np.isfinite(expected(row["rows"], summary))]
    every = [row["risk"] for row in rows]
    top = 4 * (max(known or every) or 1.0)
    return min([risk for risk in every if risk > top / 10**DECADES] or [top / 10]) / 1.5, top


def expected(rows: float, summary: Metrics) -> float:
    """The risk at Λ = 0."""
    return least_norm_risk(int(rows), **{name: summary[name] for name in ("inputs", "signal", "noise")})


def closed_form(table: Table, summary: Metrics) -> tuple[list[int], list[float]]:
    """The expected risk at Λ = 0 for every n in the range of the table; what is infinite lies far above all else."""
    every = list(range(int(table[0]["rows"]), int(table[-1]["rows"]) + 1))
    risks = [expected(rows, summary) for rows in every]
    far = 1e6 * max([risk for risk in risks if np.isfinite(risk)] + [row["risk"] for row in table])
    return every, [min(risk, far) for risk in risks]


def points(axes: Axes, rows: Table, x: str, *, color: str) -> None:
    """Measured risks with their errors, hollow where the solver stood in for training; arrowheads for what is off the axis."""
    places, risks, errors = (column(rows, name) for name in (x, "risk", "risk_se"))
    axes.errorbar(places, risks, np.nan_to_num(errors), fmt="none", ecolor=color, elinewidth=1.2)
    low, high = axes.get_ylim()
    for trained, fill in ((1, color), (0, "white")):
        own = column(rows, "trained") == trained
        style: dict[str, Any] = {"linestyle": "", "color": color, "markerfacecolor": fill, "zorder": 3}
        axes.plot(places[own], risks[own], marker="o", markersize=6, **style)
        for marker, height, off in (("^", 0.95, own & (risks > high)), ("v", 0.05, own & (risks < low))):
            heights = np.full(off.sum(), height)
            axes.plot(places[off], heights, marker=marker, markersize=9, transform=axes.get_xaxis_transform(), **style)


def infinite(axes: Axes, rows: Table, summary: Metrics) -> None:
    """The highest risk at Λ = 0 that has no finite expectation, in words: beside it, or far left where the curve is."""
    without = [row for row in rows if not np.isfinite(expected(row["rows"], summary))]
    if without:
        row = max(without, key=lambda row: row["risk"])
        said = f"{row['risk']:,.0f}" if 100 <= row["risk"] < 1e7 else f"{row['risk']:.3g}"
        beside, middle = row["rows"] + 2, np.mean(axes.get_xlim())
        place: dict[str, Any] = {"xy": (beside, 0.98), "xycoords": ("data", "axes fraction")}
        if beside >= middle:
            place = {"xy": (0, 0.98), "xycoords": "axes fraction"}
        axes.annotate(
            f"{said} at n = {row['rows']:.0f};\nexpected: infinite",
            xytext=(10, 0),
            textcoords="offset points",
            verticalalignment="top",
            color=BASELINE,
            **place,
        )


FIGURES = Figures(sweep=sweep, sweep_columns=("rows", "penalty", "trained", "risk", "risk_se", "theory"))
