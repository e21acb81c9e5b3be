"""metrics/details/<study>_sweep.json and metrics/<study>_sweep.csv → plots/<study>_sweep/*.png."""

from pathlib import Path

from stages import studies
from stages.base import storage
from stages.console import command
from stages.drawing.figures import Figures
from stages.drawing.style import png


def main(study: str) -> None:
    figures, stage = studies.part(study, Figures), f"evaluate-sweep@{study}"
    table = storage.load_table(Path("metrics", f"{study}_sweep.csv"), figures.sweep_columns, stage=stage)
    summary = storage.load_metrics(Path("metrics", "details", f"{study}_sweep.json"), (), stage=stage)
    pictures = {name: png(drawn) for name, drawn in figures.sweep(table, summary).items()}
    for name, content in pictures.items():
        storage.save_bytes(Path("plots", f"{study}_sweep", f"{name}.png"), content)


if __name__ == "__main__":
    command.run(main, studies.NAMES)
