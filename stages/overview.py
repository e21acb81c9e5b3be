"""Every study's metrics and curves → plots/overview.png."""

from pathlib import Path

from stages import command
from stages.science import figures, storage

STUDIES = ("line", "wide", "modular")


def main() -> None:
    metrics = {study: storage.load_json(Path("metrics", f"{study}.json"), stage=f"evaluate@{study}") for study in STUDIES}
    tables = {study: storage.load_table(Path("metrics", f"{study}_curves.csv"), stage=f"evaluate@{study}") for study in STUDIES}
    storage.save_bytes(Path("plots", "overview.png"), figures.png(figures.overview(tables, metrics)))


if __name__ == "__main__":
    command.run(main)
