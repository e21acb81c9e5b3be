"""metrics/details/<study>.json, metrics/<study>_curves.csv and data/ → plots/<study>/*.png and *.gif."""

from pathlib import Path

from stages import studies
from stages.base import storage
from stages.base.errors import UserError
from stages.base.system import System, read_arms, read_data
from stages.console import command
from stages.drawing.figures import Figures
from stages.drawing.style import Figure, gif, png


def main(study: str) -> None:
    system, figures = studies.part(study, System), studies.part(study, Figures)
    if figures.study is None:
        raise UserError(f"python -m stages.plot: expected a study with arms, got {study!r}, which has none")
    rows, stage = [row for arm in system.arms.values() for row in arm], f"evaluate@{study}"
    metrics = storage.load_metrics(Path("metrics", "details", f"{study}.json"), rows, stage=stage)
    table = storage.load_table(Path("metrics", f"{study}_curves.csv"), ("run", "val_loss"), stage=stage)
    arrays = read_data(study, system)
    drawn = figures.study(arrays, read_arms(study, system, arrays), table, metrics)
    pictures = {f"{name}.png": png(each) for name, each in drawn.items() if isinstance(each, Figure)}
    pictures |= {f"{name}.gif": gif(each) for name, each in drawn.items() if not isinstance(each, Figure)}
    for name, content in pictures.items():
        storage.save_bytes(Path("plots", study, name), content)


if __name__ == "__main__":
    command.run(main, studies.NAMES)
