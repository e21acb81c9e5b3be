"""line, drawn."""

from functools import partial

from stages.base.streams import Arrays
from stages.base.system import Trained
from stages.drawing.curves import panel
from stages.drawing.figures import Figures
from stages.drawing.style import BASELINE, DECAY, Figure, Metrics, Table, headline, label, label_ends
from stages.drawing.sweeps import sweep


def draw(_: Arrays, trained: Trained, __: Table, metrics: Metrics) -> dict[str, Figure]:
    return {"starts": starts(trained, metrics)}


def starts(trained: Trained, metrics: Metrics) -> Figure:
    """Draw what decay changes from each start, over the loss without decay; and the mean change with its error."""
    figure = Figure()
    axes = figure.subplots()
    kept = ~(trained["baseline"]["diverged"] | trained["wd"]["diverged"])
    before, after = (trained[run]["val_loss"][kept, -1] for run in ("baseline", "wd"))  # (≤ T)
    percent = 100 / (metrics["baseline"].get("val_loss") or 1.0)
    axes.plot(before, percent * (after - before), "o", color=DECAY, markersize=8, alpha=0.7)
    axes.axhline(0, color=BASELINE, linewidth=3.5)
    ends = [(0.0, label(metrics, "baseline"), BASELINE)]
    gap = metrics["wd_minus_baseline"]
    if "val_loss" in gap:
        mean, error = percent * gap["val_loss"], percent * gap.get("val_loss_se", 0.0)
        axes.axhline(mean, color=DECAY)
        axes.axhspan(mean - error, mean + error, color=DECAY, alpha=0.2, linewidth=0)
        ends.append((mean, f"{label(metrics, 'wd')},\nmean", DECAY))
    axes.set(xlabel=f"a start's validation loss at {label(metrics, 'baseline')}", ylabel="change by decay, % of mean loss")
    axes.set_xlim(0, None)
    if not (after - before).any():
        axes.set_ylim(-1, 1)  # a per cent, and no rounding noise
    label_ends(axes, ends)
    headline(figure, metrics["findings"]["starts"])
    return figure


FIGURES = Figures(
    sweep=sweep,
    sweep_columns=("weight_decay", "diverged", "val_loss"),
    study=draw,
    panel=partial(panel, x="epoch", y="val_loss"),
    panel_columns=("run", "epoch", "val_loss"),
    panel_rows=("baseline", "wd", "null", "findings"),
)
