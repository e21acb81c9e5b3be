"""Metrics and curves of some studies → plots/overview.png, a panel each, in the order in which they are named.

It also ends a run: it prints what these studies found, and where to look further.
"""

from pathlib import Path

from stages import studies
from stages.base import storage
from stages.base.errors import UserError
from stages.console import command
from stages.drawing.figures import Figures
from stages.drawing.style import Figure, png, wrapped

SIZE = (10, 5.625)  # inches
LINE = 22  # characters of a finding in a line
FURTHER = "every λ, to move by hand: open plots/explorer.html; what changed: make diff"


def main(*study: str) -> None:
    figure = Figure(figsize=SIZE)
    titles, said = [], []
    for name, axes in zip(study, figure.subplots(1, len(study), squeeze=False)[0], strict=True):
        figures, stage = studies.part(name, Figures), f"evaluate@{name}"
        if figures.panel is None:
            raise UserError(f"python -m stages.overview: expected studies with a panel, got {name!r}, which has none")
        metrics = storage.load_metrics(Path("metrics", "details", f"{name}.json"), figures.panel_rows, stage=stage)
        table = storage.load_table(Path("metrics", f"{name}_curves.csv"), figures.panel_columns, stage=stage)
        figures.panel(axes, table, metrics)
        titles.append((axes, f"{name}\n{wrapped(metrics['findings']['panel'], LINE)}"))
        said.append(f"{name}: {metrics['findings']['panel']}")
    lines = max((title.count("\n") for _, title in titles), default=0)
    for axes, title in titles:
        axes.set_title(title + "\n" * (lines - title.count("\n")), fontweight="bold")
    storage.save_bytes(Path("plots", "overview.png"), png(figure))
    print("", *said, FURTHER, "", sep="\n")


if __name__ == "__main__":
    command.run(main, studies.NAMES, several=True)
