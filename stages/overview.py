"""Every study's metrics and curves → plots/overview.png."""

from pathlib import Path

from stages import command
from stages.science import figures, storage

PANELS = {"line": ("epoch", "val_loss"), "wide": ("epoch", "val_loss"), "modular": ("step", "val_accuracy")}


def main() -> None:
    metrics, tables = {}, {}
    for study, axes in PANELS.items():
        stage = f"evaluate@{study}"
        metrics[study] = storage.load_metrics(Path("metrics", f"{study}.json"), ("baseline", "wd", "null"), stage=stage)
        tables[study] = storage.load_table(Path("metrics", f"{study}_curves.csv"), ("run", *axes), stage=stage)
    storage.save_bytes(Path("plots", "overview.png"), figures.png(figures.overview(tables, metrics, PANELS)))


if __name__ == "__main__":
    command.run(main)
