"""data/<study>.npz and data/<study>/<arm>.npz → metrics/<study>.json, its details and metrics/<study>_curves.csv.

Means over trials with their standard errors; beside the arms, references that need no training. Losses carry no penalty.
`weight_norm` is ‖w‖₂ and `half_squared_norm` ½‖w‖², over all weights and no bias.
"""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError
from stages.base.system import System, read_arms, read_data, refuse_others
from stages.console import command
from stages.theory.results import Metrics, Results

ROWS = ("baseline", "wd", "null")
HEADLINE = (
    "train_loss",
    "val_loss",
    "val_r2",
    "val_accuracy",
    "weight_norm",
    "half_squared_norm",
    "steps_to_memorise",
    "steps_to_generalise",
    "diverged",
)


def main(study: str) -> None:
    system, results = studies.part(study, System), studies.part(study, Results)
    if results.evaluate is None:
        raise UserError(f"python -m stages.evaluate: expected a study with arms, got {study!r}, which has none")
    settings = params.load({study: system.section})
    section = params.at(settings, study)
    arrays = storage.in_float64(read_data(study, system))
    trained = {row: storage.in_float64(run) for row, run in read_arms(study, system, arrays).items()}
    refuse_others(study, system, trained, settings)
    metrics, curves = results.evaluate(section, arrays, trained)
    storage.save_table(Path("metrics", f"{study}_curves.csv"), curves)
    storage.save_metrics(Path("metrics", "details", f"{study}.json"), metrics)
    storage.save_metrics(Path("metrics", f"{study}.json"), headline(metrics))


def headline(metrics: Metrics) -> dict[str, dict[str, float]]:
    """What `dvc metrics diff` is to compare: a few rows and values."""
    return {row: {name: metrics[row][name] for name in HEADLINE if name in metrics[row]} for row in ROWS if row in metrics}


if __name__ == "__main__":
    command.run(main, studies.NAMES)
