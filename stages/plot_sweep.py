"""metrics/<study>_sweep.json and metrics/<study>_sweep.csv → plots/<study>_sweep.png."""

from pathlib import Path
from typing import Any

from stages import command
from stages.science import figures, storage, sweep_figures, theory
from stages.science.studies import STUDIES


def main(study: str) -> None:
    columns = ("rows", "penalty", "risk") if study == "descent" else ("weight_decay", "val_loss")
    table = storage.load_table(Path("metrics", f"{study}_sweep.csv"), columns, stage=f"sweep@{study}")
    summary = storage.load_metrics(Path("metrics", f"{study}_sweep.json"), (), stage=f"sweep@{study}")
    if study == "descent":
        figure = sweep_figures.descent(table, summary, closed_form(table, summary))
    else:
        figure = (sweep_figures.grokking if STUDIES[study].classification else sweep_figures.sweep)(table, summary)
    storage.save_bytes(Path("plots", f"{study}_sweep.png"), figures.png(figure))


def closed_form(table: list[dict[str, Any]], summary: dict[str, Any]) -> tuple[list[int], list[float]]:
    """The expected risk of `descent` at Λ = 0 for every n in its range."""
    counts = [int(row["rows"]) for row in table]
    every, system = list(range(min(counts), max(counts) + 1)), {name: summary[name] for name in ("inputs", "signal", "noise")}
    return every, [theory.least_norm_risk(rows, **system) for rows in every]


if __name__ == "__main__":
    command.run(main, list(STUDIES))
