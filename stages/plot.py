"""`arms`: metrics/<study>.json, metrics/<study>_curves.csv and data/ → plots/<study>/*.png.
`sweep`: metrics/<study>_sweep.json and metrics/<study>_sweep.csv → plots/<study>_sweep.png.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages import command
from stages.science import figures, storage, theory
from stages.science.errors import UserError
from stages.science.studies import ARMED, STUDIES


def main(study: str, what: str) -> None:
    if what == "arms" and study not in ARMED:
        raise UserError(f"python -m stages.plot {study}: expected 'sweep', got {what!r}")
    if what == "sweep":
        drawn = {f"{study}_sweep": sweep(study)}
    else:
        drawn = {f"{study}/{name}": figure for name, figure in arms(study).items()}
    for name, figure in drawn.items():
        storage.save_bytes(Path("plots", f"{name}.png"), figures.png(figure))


def arms(study: str) -> dict[str, Figure]:
    rows = [row for runs in STUDIES[study].arms.values() for row in runs]
    metrics = storage.load_metrics(Path("metrics", f"{study}.json"), rows, stage=f"evaluate@{study}")
    table = storage.load_table(Path("metrics", f"{study}_curves.csv"), ("run", "val_loss"), stage=f"evaluate@{study}")
    arrays = storage.load_arrays(Path("data", f"{study}.npz"), STUDIES[study].arrays, stage=f"generate@{study}", exact=True)

    if study == "line":
        return {
            "curves": figures.curves(table, metrics, {}, x="epoch"),
            "adam": figures.curves(table, metrics, {}, x="epoch", suffix="_adam"),
            "fit": figures.line_fit(arrays, metrics),
        }
    if study == "wide":
        final = {arm: trained_weights(arm) for arm in STUDIES[study].arms}
        truth = float(arrays["true_weight"][0, 0])
        return {
            "curves": figures.curves(table, metrics, {"null": "best constant", "ridge": "ridge at the same λ"}, x="epoch"),
            "weights": figures.wide_weights(arrays["start_weight"], final, truth, metrics),
            "parts": figures.wide_parts(metrics),
        }
    return {
        "curves": figures.curves(table, metrics, {"null": "chance"}, x="step", log_x=True),
        "accuracy": figures.modular_accuracy(table, metrics),
    }


def sweep(study: str) -> Figure:
    columns = ("rows", "penalty", "risk") if study == "descent" else ("weight_decay", "val_loss")
    table = storage.load_table(Path("metrics", f"{study}_sweep.csv"), columns, stage=f"sweep@{study}")
    summary = storage.load_metrics(Path("metrics", f"{study}_sweep.json"), (), stage=f"sweep@{study}")
    if study == "descent":
        return figures.descent(table, summary, closed_form(table, summary))
    return figures.grokking(table, summary) if STUDIES[study].classification else figures.sweep(table, summary)


def closed_form(table: list[dict[str, Any]], summary: dict[str, Any]) -> tuple[list[int], list[float]]:
    """The expected risk of `descent` at Λ = 0 for every n in its range."""
    counts = [int(row["rows"]) for row in table]
    every, system = list(range(min(counts), max(counts) + 1)), {name: summary[name] for name in ("inputs", "signal", "noise")}
    return every, [theory.least_norm_risk(rows, **system) for rows in every]


def trained_weights(arm: str) -> NDArray:
    """The weights of the trials of `wide` that did not diverge.  (≤ R, d)"""
    expected = {f"{arm}.weight": 2, f"{arm}.diverged": 1}
    stored = storage.load_arrays(Path("data", "wide", f"{arm}.npz"), expected, stage=f"train@wide-{arm}")
    return stored[f"{arm}.weight"][~stored[f"{arm}.diverged"]]


if __name__ == "__main__":
    command.run(main, list(STUDIES), ["arms", "sweep"])
