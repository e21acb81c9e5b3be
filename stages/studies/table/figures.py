"""table, drawn: a regression's losses as errors in the target's own unit."""

from typing import Any

import numpy as np

from stages.drawing.figures import Figures
from stages.drawing.style import (
    BASELINE,
    BLACK,
    DECAY,
    DIAMOND,
    Axes,
    Figure,
    Metrics,
    Table,
    headline,
    label_ends,
    plain_numbers,
)
from stages.drawing.sweeps import decay_axis
from stages.drawing.tables import column

MANY = 1000  # rows, from which on every second number is written
NAMED, LONGEST = 6, 18  # weights that have their name beside them, and its characters
CURVES = {  # loss → what is written beside it, colour, line
    "train_loss": ("training rows", BASELINE, "-"),
    "val_loss": ("validation rows", DECAY, "--"),
    "loo_loss": ("leave-one-out", BLACK, ":"),
    "test_loss": ("test rows", DECAY, "-"),
}


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    whole = [row for row in table if row["rows"] == max(row["rows"] for row in table)]
    return {"decays": decays(table, summary), "rows": rows(summary), "weights": weights(whole, summary)}


def spoken(summary: Metrics) -> str:
    return "loss" if summary["classes"] else "error, in the target's unit"


def shown(losses: Any, summary: Metrics) -> np.ndarray:
    """Losses as they are drawn: in a regression as errors."""
    known = np.asarray(losses, dtype=float)
    return known if summary["classes"] else summary["unit"] * np.sqrt(2 * known)


def decays(table: Table, summary: Metrics) -> Figure:
    """Loss over λ, with few training rows and with all; hollow where training does not arrive."""
    counts = sorted({row["rows"] for row in table})
    chosen = sorted({counts[1 if len(counts) > 2 else 0], counts[-1]})
    figure = Figure()
    panels = figure.subplots(1, len(chosen), squeeze=False, sharey=True)[0]
    for axes, count in zip(panels, chosen, strict=True):
        own = [row for row in table if row["rows"] == count]
        grid = column(own, "weight_decay")
        for name, (_, colour, line) in CURVES.items():
            if name in own[0]:
                axes.plot(grid, shown(column(own, name), summary), color=colour, linestyle=line, linewidth=2)
        heights, arrived = shown(column(own, "test_loss"), summary), column(own, "arrived")
        for kind, fill in ((1, DECAY), (0, "white")):
            some = arrived == kind
            axes.plot(grid[some], heights[some], "o", color=DECAY, markerfacecolor=fill, markersize=5)
        best = grid.tolist().index(summary[f"rows_{count:.0f}"]["best_lambda"])
        axes.plot(grid[best], shown(own[best]["val_loss"], summary), "D", **DIAMOND)
        decay_axis(axes, grid.tolist())
        axes.set_xticks([grid[0], *grid[1::3]])
        axes.xaxis.set_major_formatter(lambda decay, _: f"{decay:g}")
        axes.set_title(f"{count:,.0f} training rows")
    drawn = [row for row in table if row["rows"] in chosen]
    losses = [column(drawn, name) for name in CURVES if name in table[0] and name != "train_loss"]
    around(panels[0], shown(np.concatenate(losses), summary))
    panels[0].set(ylabel=spoken(summary))
    for name, (said, colour, line) in CURVES.items():
        if name in table[0]:
            panels[0].plot([], [], color=colour, linestyle=line, label=said)
    if any(not row["arrived"] for row in drawn):
        said = "training has not arrived" if summary["classes"] else "solved, as training would not arrive"
        panels[0].plot([], [], "o", color=DECAY, markerfacecolor="white", markersize=5, label=said)
    figure.legend(loc="outside lower center", ncols=3)
    headline(figure, summary["findings"]["decays"])
    return figure


def around(axes: Axes, heights: np.ndarray) -> None:
    """Limits around what is judged: the loss of few training rows can be next to nothing."""
    low, high = np.nanmin(heights), np.nanmax(heights)
    if 0 < 10 * low < high:
        axes.set(yscale="log", ylim=(low / 2, 1.3 * high))
        plain_numbers(axes.yaxis)
    else:
        axes.set_ylim(max(low - 0.8 * (high - low), 0), high + 0.1 * (high - low or 1))


def rows(summary: Metrics) -> Figure:
    """The median on test rows over the number of training rows, at λ = 0 and at the chosen one; beside it the gain."""
    each = {int(name.removeprefix("rows_")): own for name, own in summary.items() if name.startswith("rows_")}
    counts = sorted(each)
    figure = Figure()
    level, change = figure.subplots(1, 2)
    ends = []
    for what, said, colour, width in (("zero", "λ = 0", BASELINE, 3.5), ("chosen", "tuned λ", DECAY, 2.0)):
        heights = [each[count][f"test_median_at_{what}"] for count in counts]
        level.plot(counts, heights, color=colour, linewidth=width, marker="o", markersize=5)
        ends.append((heights[-1], said, colour))
    gains = 100 * np.expm1([each[count]["change"] for count in counts])
    errors = (100 + gains) * np.nan_to_num([each[count].get("change_se", np.nan) for count in counts])
    change.errorbar(counts, gains, errors, color=DECAY, marker="o", markersize=5, capsize=4)
    change.axhline(0, color=BLACK, linewidth=1)
    for axes in (level, change):
        axes.set(xscale="log", xlabel="training rows")
        named = counts if counts[-1] < MANY else counts[::-2]
        axes.set_xticks(named, [f"{count:,}" for count in named])
        axes.minorticks_off()
    around(level, np.array([each[count][f"test_median_at_{what}"] for count in counts for what in ("zero", "chosen")]))
    level.set_title(f"test {spoken(summary)}")
    change.set_title("what tuned λ changes of it")
    change.yaxis.set_major_formatter(lambda share, _: f"{share:+g}%".replace("-", "−") if share else "0")
    label_ends(level, ends)
    headline(figure, summary["findings"]["rows"])
    return figure


def weights(table: Table, summary: Metrics) -> Figure:
    """The weight of each input over the degrees of freedom that λ leaves, or over λ where they are not known."""
    figure = Figure()
    axes = figure.subplots()
    grid, paths = column(table, "weight_decay"), summary["weights"]
    free = "degrees_of_freedom" in table[0]
    places = column(table, "degrees_of_freedom") if free else grid
    best = grid.tolist().index(summary["best_lambda"])
    largest = sorted(paths, key=lambda name: -abs(paths[name][best]))[:NAMED]
    for name, path in paths.items():
        named = name in largest
        axes.plot(places[::-1], path[::-1], color=DECAY if named else BASELINE, linewidth=2 if named else 1, zorder=2 + named)
    axes.axvline(places[best], color=BLACK, linewidth=1, linestyle=":")
    if free:
        axes.set(xlabel="degrees of freedom")
        axes.margins(x=0)
    else:
        decay_axis(axes, grid.tolist())
        axes.set_xlim(*reversed(axes.get_xlim()))
    decayed = np.array([path[1:] or path for path in paths.values()])  # λ = 0 may be far off
    low, high = min(decayed.min(), 0), max(decayed.max(), 0)
    axes.set(
        ylabel="weight of a standard deviation" if free else "size of the weights",
        ylim=(low - 0.1 * (high - low), high + 0.3 * (high - low) or 1),
    )
    label_ends(axes, [(paths[name][0], written(name), DECAY) for name in largest], apart=0.07)
    headline(figure, summary["findings"]["weights"])
    return figure


def written(name: str) -> str:
    """A column's name, short, and no formula."""
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")


FIGURES = Figures(sweep=sweep, sweep_columns=("rows", "weight_decay", "arrived", "train_loss", "val_loss", "test_loss"))
