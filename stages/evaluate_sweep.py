"""data/<study>.npz and data/<study>/sweep.npz → metrics/<study>_sweep.csv and metrics/details/<study>_sweep.json."""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.system import System, read_data, read_sweep
from stages.console import command
from stages.theory.results import Results


def main(study: str) -> None:
    system, results = studies.part(study, System), studies.part(study, Results)
    section = params.at(params.load({study: system.section}), study)
    arrays, swept = storage.in_float64(read_data(study, system)), read_sweep(study, results.swept)
    table, summary = results.sweep(section, arrays, swept)
    storage.save_table(Path("metrics", f"{study}_sweep.csv"), table)
    storage.save_metrics(Path("metrics", "details", f"{study}_sweep.json"), summary)


if __name__ == "__main__":
    command.run(main, studies.NAMES)
