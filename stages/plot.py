"""Metrics, tables and data of a study → plots/<study>/*.png and *.gif, plots/<study>_sweep/*.png."""

from pathlib import Path

from stages import studies
from stages.base import storage
from stages.base.errors import UserError
from stages.base.rounding import significant
from stages.base.system import System, Trained, read_arms, read_data
from stages.console import command
from stages.drawing.figures import Drawn, Figures
from stages.drawing.style import Figure, Metrics, gif, png


def main(study: str) -> None:
    figures = studies.part(study, Figures)
    drawn: dict[Path, Drawn] = {}
    if figures.study:
        drawn |= {Path(study, name): each for name, each in of_arms(study, figures).items()}
    table, summary = of_evaluate(study, f"{study}_sweep", (), f"{study}_sweep", figures.sweep_columns)
    drawn |= {Path(f"{study}_sweep", name): each for name, each in figures.sweep(table, summary).items()}
    pictures = {f"{path}.png": png(each) for path, each in drawn.items() if isinstance(each, Figure)}
    pictures |= {f"{path}.gif": gif(each) for path, each in drawn.items() if not isinstance(each, Figure)}
    for name, content in pictures.items():
        storage.save_bytes(Path("plots", name), content)


def of_arms(study: str, figures: Figures) -> dict[str, Drawn]:
    system = studies.part(study, System)
    rows = [row for arm in system.arms.values() for row in arm.rows]
    table, metrics = of_evaluate(study, study, rows, f"{study}_curves", ("run", "val_loss"))
    arrays, trained = read_data(study, system), read_arms(study, system)
    compare(study, trained, metrics)
    assert figures.study
    return dict(figures.study(arrays, trained, table, metrics))


def of_evaluate(study: str, details: str, rows: list[str] | tuple, table: str, columns: tuple[str, ...]) -> tuple[list, Metrics]:
    """A table and the details beside it."""
    stage = f"evaluate@{study}"
    metrics = storage.load_metrics(Path("metrics", "details", f"{details}.json"), rows, stage=stage)
    return storage.load_table(Path("metrics", f"{table}.csv"), columns, stage=stage), metrics


def compare(study: str, trained: Trained, metrics: Metrics) -> None:
    """Raise UserError where the metrics are of runs with another λ, or of another number of trials."""
    for row, run in trained.items():
        own = (float(significant(run["weight_decay"])), len(run["diverged"]))
        known = tuple(metrics[row].get(name) for name in ("weight_decay", "trials"))
        if own != known:
            expected = f"metrics/details/{study}.json: expected {row} with λ and trials {own}, as in data/{study}/"
            raise UserError(f"{expected}, got {known}: dvc repro evaluate@{study}")


if __name__ == "__main__":
    command.run(main, studies.NAMES)
