"""metrics/<study>.json, metrics/<study>_curves.csv and data/ → plots/<study>/*.png."""

from pathlib import Path

from numpy.typing import NDArray

from stages import command
from stages.science import figures, storage
from stages.science.figures import Figure
from stages.science.studies import ARMED, STUDIES


def main(study: str) -> None:
    for name, figure in drawn(study).items():
        storage.save_bytes(Path("plots", study, f"{name}.png"), figures.png(figure))


def drawn(study: str) -> dict[str, Figure]:
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


def trained_weights(arm: str) -> NDArray:
    """The weights of the trials of `wide` that did not diverge.  (≤ R, d)"""
    expected = {f"{arm}.weight": 2, f"{arm}.diverged": 1}
    stored = storage.load_arrays(Path("data", "wide", f"{arm}.npz"), expected, stage=f"train@wide-{arm}")
    return stored[f"{arm}.weight"][~stored[f"{arm}.diverged"]]


if __name__ == "__main__":
    command.run(main, list(ARMED))
