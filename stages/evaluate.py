"""data/<study>.npz and data/<study>/<arm>.npz → metrics/<study>.json and metrics/<study>_curves.csv.

Means over trials with their standard errors; beside the arms, references that need no training. Losses carry no penalty.
`weight_norm` is ‖w‖₂ and `half_squared_norm` ½‖w‖², over all weights and no bias.
"""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError
from stages.base.system import System, read_arms, read_data
from stages.console import command
from stages.theory.results import Results


def main(study: str) -> None:
    system, results = studies.part(study, System), studies.part(study, Results)
    if results.evaluate is None:
        raise UserError(f"python -m stages.evaluate: expected a study with arms, got {study!r}, which has none")
    section = params.at(params.load({study: system.section}), study)
    arrays = storage.in_float64(read_data(study, system))
    trained = {row: storage.in_float64(run) for row, run in read_arms(study, system, arrays).items()}
    metrics, curves = results.evaluate(section, arrays, trained)
    storage.save_table(Path("metrics", f"{study}_curves.csv"), curves)
    storage.save_metrics(Path("metrics", f"{study}.json"), metrics)


if __name__ == "__main__":
    command.run(main, studies.NAMES)
