"""optimizers, drawn: coupled decay in warm colours, decoupled decay in blue."""

from functools import partial
from typing import Any

import numpy as np

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import panel
from stages.drawing.figures import Figures
from stages.drawing.style import (
    BASELINE,
    BLACK,
    DECAY,
    DIAMOND,
    START,
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
    matplotlib,
)
from stages.drawing.sweeps import decay_axis
from stages.drawing.tables import column

LOOK: dict[str, dict[str, Any]] = {  # optimiser → its curves; wider where others lie on top
    "sgd": {"color": "#cc79a7", "linewidth": 5},
    "momentum": {"color": START, "linewidth": 3},
    "adam": {"color": "#d55e00", "linewidth": 1.5},
    "adamw": {"color": DECAY, "linewidth": 2},
}
NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "adamw": "AdamW"}
ROWS = {"": "sgd", "_momentum": "momentum", "_adam": "adam", "_adamw": "adamw"}  # what follows an arm's name → optimiser
APART = 0.07  # of an axis: the height of a line of text beside it
ORACLES = {"adam": "ridge", "adamw": "box"}
FLOOR = 1e-5  # a distance below it is drawn there
BINS = 60
CONTRAST = 4  # a risk that is as many times the lowest has the last colour
FEW, LABELS = 5, 9  # λ in a heat map: so many leave room for words, so many for their own numbers


def draw(arrays: Arrays, trained: Trained, table: Table, metrics: Metrics) -> dict[str, Figure]:
    return {"weights": weights(arrays, trained, metrics), "curves": curves(table, metrics)}


def weights(arrays: Arrays, trained: Trained, metrics: Metrics) -> Figure:
    """Every weight of every trial above that of least squares, with Adam and with AdamW; beside it their histograms."""
    figure = Figure()
    scatter, histogram = figure.subplots(1, 2, width_ratios=(5, 2), sharey=True)
    decay = metrics["wd"]["weight_decay"]
    inputs, targets = (arrays[f"train_{name}"].astype(np.float64) for name in ("inputs", "targets"))
    least = np.einsum("tnd,tn->td", inputs, targets) / inputs.shape[1]  # as the columns are orthogonal, of length √n
    reach = 1.05 * float(np.abs(least).max())
    height = min(reach, 1.7 / decay) if decay else reach
    line = np.linspace(-reach, reach, 401)
    scatter.plot(line, line, color=BASELINE, linewidth=1.5)
    scatter.annotate("λ = 0", (0.93 * height,) * 2, (8, 0), textcoords="offset points", va="center", color=BASELINE)
    exact = {"adam": line / (1 + decay), "adamw": np.clip(line, -1 / decay, 1 / decay) if decay else line}
    for (kind, ends), side in zip(exact.items(), ("left", "right"), strict=True):
        run, colour = trained[f"wd_{kind}"], LOOK[kind]["color"]
        kept = ~run["diverged"]
        scatter.plot(least[kept].ravel(), run["weight"][kept].ravel(), ".", color=colour, markersize=6, alpha=0.5)
        scatter.plot(line, ends, color=BLACK, linewidth=0.8)
        place = -0.98 * reach if side == "left" else 0.98 * reach
        at = (place, float(np.interp(place, line, ends)))
        shift = (0, 11 if side == "left" else 7)
        scatter.annotate(NAMES[kind], at, shift, textcoords="offset points", ha=side, color=colour, weight="bold")
        shares, edges = np.histogram(run["weight"][kept], np.linspace(-height, height, BINS))
        share = shares / max(run["weight"][kept].size, 1)
        histogram.stairs(share, edges, orientation="horizontal", color=colour, fill=True, alpha=0.5)
    scatter.plot([], [], color=BLACK, linewidth=0.8, label="exact")
    scatter.legend(loc="lower right")
    if decay:
        for axes in (scatter, histogram):
            for wall in (-1 / decay, 1 / decay):
                axes.axhline(wall, color=BLACK, linewidth=0.8, linestyle=":")
        scatter.annotate(f"1/λ = {1 / decay:g}", (-0.98 * reach, 1 / decay), (0, 4), textcoords="offset points")
    scatter.set(
        xlim=(-reach, reach),
        ylim=(-height, height),
        xlabel="weight of least squares",
        title=f"trained weight, {label(metrics, 'wd')}",
    )
    histogram.set(xlabel="share of the weights")
    headline(figure, metrics["findings"]["weights"])
    return figure


def curves(table: Table, metrics: Metrics) -> Figure:
    """Validation loss and length of the weights, of all optimisers with decay, and of Adam without."""
    figure = Figure()
    panels = figure.subplots(1, 2, width_ratios=(3, 2))
    for axes, name in zip(panels, ("val_loss", "weight_norm"), strict=True):
        path = curve(table, "baseline_adam")
        axes.plot(path["step"], path[name], color=BASELINE, linewidth=3)
        ends = [(path[name][-1], f"Adam, {label(metrics, 'baseline_adam')}", BASELINE)]
        for suffix, kind in ROWS.items():
            path = curve(table, f"wd{suffix}")
            band(axes, path, "step", name, **LOOK[kind])
            ends.append((path[name][-1], NAMES[kind], LOOK[kind]["color"]))
        for row in ("ridge", "box"):
            axes.axhline(metrics[row][name], color=BLACK, linewidth=1, linestyle=":")
        loss_axis(axes)
        log_steps(axes, path["step"])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="step", title="validation loss" if axes is panels[0] else "‖w‖₂, the weights' length")
        label_ends(axes, ends, apart=APART)
    panels[0].plot([], [], color=BLACK, linewidth=1, linestyle=":", label="exact: ridge, and in the box")
    panels[0].legend(loc="lower left")
    headline(figure, metrics["findings"]["curves"])
    return figure


def sweep(table: Table, summary: Metrics) -> dict[str, Figure]:
    figures = {"distance": distance(table, summary), "learning_rate": learning_rate(table, summary)}
    return figures | {"batches": batches(table, summary)}


def distance(table: Table, summary: Metrics) -> Figure:
    """How far each optimiser ends from ridge, and from least squares in the box, over λ."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    table = [row for row in table if row["batch_size"] is None]
    for axes, oracle, named in zip(panels, ("ridge", "box"), ("ridge", "least squares in the box"), strict=True):
        axes.set(yscale="log", ylim=(FLOOR / 2, 30), title=f"distance from {named}")
        ends = []
        for kind, look in LOOK.items():
            rows = [row for row in table if row["run"] == kind and row["lr"] == summary[kind]["lr"]]
            apart = np.maximum(column(rows, f"from_{oracle}"), FLOOR)
            axes.plot(column(rows, "weight_decay"), apart, marker="o", markersize=look["linewidth"] + 3, **look)
            if np.isfinite(apart).any():
                ends.append((apart[np.isfinite(apart)][-1], NAMES[kind], look["color"]))
        if oracle == "box":
            rows = [row for row in table if row["run"] == "rest"]
            exact = np.maximum(column(rows, "from_box"), FLOOR)
            axes.plot(column(rows, "weight_decay"), exact, "D", label="exact, with ε", **DIAMOND)
            axes.legend(loc="upper left")
        decay_axis(axes, sorted({row["weight_decay"] for row in table}))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter(lambda share, _: ("≤ " if share <= FLOOR else "") + f"{100 * share:g}%")
        label_ends(axes, ends, apart=APART)
    headline(figure, summary["findings"]["distance"])
    return figure


def learning_rate(table: Table, summary: Metrics) -> Figure:
    """The risk over learning rate and λ, coupled beside decoupled, above each its oracle; the best λ of every row is marked."""
    figure = Figure()
    panels = figure.subplots(1, 2, sharey=True)
    table = [row for row in table if row["batch_size"] is None]
    weight_decays = sorted({row["weight_decay"] for row in table})
    every = [row for row in table if row["run"] in {*ORACLES, *ORACLES.values()}]
    low, high = np.nanmin(column(every, "risk")), np.nanmax(column(every, "risk"))
    shown: dict[str, Any] = {"vmin": low, "vmax": min(high, CONTRAST * low)}
    for axes, (kind, oracle) in zip(panels, ORACLES.items(), strict=True):
        rates = [*sorted({row["lr"] for row in table if row["run"] == kind}), None]
        rows = [[row for row in table if row["run"] in (kind, oracle) and row["lr"] == rate] for rate in rates]
        grid = np.array([column(each, "risk") for each in rows])  # (R + 1, L), NaN where a trial diverged
        image = axes.imshow(grid, origin="lower", aspect="auto", cmap="cividis_r", interpolation="nearest", **shown)
        best = {place: int(np.nanargmin(each)) for place, each in enumerate(grid) if np.isfinite(each).any()}
        exact = best.pop(len(rates) - 1)
        mark: dict[str, Any] = {"color": "white", "markeredgecolor": BLACK, "markersize": 9}
        axes.plot(list(best.values()), list(best), marker="o", **mark)
        axes.plot(exact, len(rates) - 1, marker="D", **mark)
        for place, index in np.argwhere(np.isnan(grid)):
            axes.text(
                index, place, "diverged", ha="center", va="center", rotation=90 if len(weight_decays) > FEW else 0, fontsize=8
            )
        axes.axhline(len(rates) - 1.5, color="white", linewidth=4)
        every_few = -(-len(weight_decays) // LABELS)
        axes.set_xticks(
            range(0, len(weight_decays), every_few), [f"{decay:g}" for decay in weight_decays[::every_few]], fontsize=11
        )
        axes.set_yticks(range(len(rates)), ["exact" if rate is None else f"{rate:g}" for rate in rates])
        axes.set(xlabel="λ", title=f"{NAMES[kind]} (exact: {oracle})")
        axes.grid(visible=False)
    panels[0].set(ylabel="first learning rate")
    figure.colorbar(image, ax=panels, label="risk, ‖w − w*‖²", extend="max" if high > CONTRAST * low else "neither")
    headline(figure, summary["findings"]["learning_rate"])
    return figure


def batches(table: Table, summary: Metrics) -> Figure:
    """The risk of AdamW over λ for each batch size, between ridge's and the box's; and how near its weights get to the wall."""
    figure = Figure()
    over_decay, over_size = figure.subplots(1, 2, width_ratios=(3, 2))
    trained, rest = (
        [row for row in table if row["run"] == run and row["batch_size"] is not None] for run in ("adamw", "batch_rest")
    )
    sizes = sorted({row["batch_size"] for row in trained})
    for oracle, dash in (("ridge", ":"), ("box", "--")):
        rows = [row for row in table if row["run"] == oracle]
        over_decay.plot(column(rows, "weight_decay"), column(rows, "risk"), color=BLACK, linestyle=dash, label=f"exact: {oracle}")
    ends = []
    for place, size in enumerate(sizes):
        colour = matplotlib.colors.to_hex(matplotlib.colormaps["Blues"](0.35 + 0.6 * place / max(len(sizes) - 1, 1)))
        own, expected = ([row for row in rows if row["batch_size"] == size] for rows in (trained, rest))
        over_decay.plot(column(own, "weight_decay"), column(own, "risk"), marker="o", color=colour, linewidth=2)
        over_decay.plot(column(expected, "weight_decay"), column(expected, "risk"), "D", **DIAMOND)
        if np.isfinite(end := column(own, "risk")[-1]):
            ends.append((float(end), f"{size:g}", colour))
    over_decay.plot([], [], "D", label="exact: AdamW", **DIAMOND)
    decay_axis(over_decay, sorted({row["weight_decay"] for row in table}))
    over_decay.xaxis.set_major_formatter("{x:g}")
    over_decay.set(title="risk, ‖w − w*‖², with AdamW on batches of …", ylim=(0, None))
    over_decay.legend(loc="lower left")
    label_ends(over_decay, ends, apart=APART)
    largest = max(row["weight_decay"] for row in table)
    own, expected = ([row for row in rows if row["weight_decay"] == largest] for rows in (trained, rest))
    over_size.axhline(1, color=BLACK, linestyle="--", linewidth=1)
    over_size.plot(column(own, "batch_size"), column(own, "largest_share"), marker="o", color=DECAY, linewidth=2)
    over_size.plot(column(expected, "batch_size"), column(expected, "largest_share"), "D", **DIAMOND)
    over_size.set(xscale="log", xlabel="batch size", ylim=(0, 1.1), title=f"largest |w|·λ at λ = {largest:g}")
    over_size.set_xticks(sizes, [f"{size:g}" for size in sizes])
    over_size.minorticks_off()
    headline(figure, summary["findings"]["batches"])
    return figure


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("run", "lr", "batch_size", "weight_decay", "diverged", "risk", "from_ridge", "from_box", "largest_share"),
    study=draw,
    panel=partial(panel, x="step", y="val_loss"),
    panel_columns=("run", "step", "val_loss"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
