"""data/<study>.npz and data/<study>/ → metrics of the study's arms and of its sweep, beside what is known without training.

Of the arms: metrics/<study>_curves.csv and metrics/details/<study>.json. Of the sweep: metrics/<study>_sweep.csv and its details.
Of both the headlines: metrics/<study>.json. Means over trials with their standard errors. Losses carry no penalty. `weight_norm`
is ‖w‖₂ and `half_squared_norm` ½‖w‖², over all weights and no bias.
"""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.system import System, read_arms, read_data, read_sweep
from stages.console import command
from stages.measure.results import Metrics, Results


def main(study: str) -> None:
    system, results = studies.part(study, System), studies.part(study, Results)
    settings = params.read(study, system.section, *system.evaluated_with)
    forget_others(study, system)
    arrays = storage.in_float64(read_data(study, system, settings))
    swept = read_sweep(study, system, results.swept, settings)
    metrics: Metrics = {}
    if results.evaluate:
        trained = {row: storage.in_float64(run) for row, run in read_arms(study, system, settings).items()}
        metrics, curves = results.evaluate(settings.section, arrays, trained)
        storage.save_table(Path("metrics", f"{study}_curves.csv"), curves)
        storage.save_metrics(Path("metrics", "details", f"{study}.json"), metrics)
    table, summary = results.sweep(settings.section, arrays, swept)
    storage.save_table(Path("metrics", f"{study}_sweep.csv"), table)
    storage.save_metrics(Path("metrics", "details", f"{study}_sweep.json"), summary)
    storage.save_metrics(Path("metrics", f"{study}.json"), results.headline(metrics, summary))
    for said in [metrics["findings"]["panel"]] if metrics else dict.fromkeys(summary["findings"].values()):
        print(f"{study}: {said}")


def forget_others(study: str, system: System) -> None:
    """Remove the archives of arms that are no more: DVC leaves them, and counts them as part of the folder."""
    for path in Path("data", study).glob("*.npz"):
        if path.stem not in (*system.arms, "sweep"):
            path.unlink()


if __name__ == "__main__":
    command.run(main, studies.NAMES)
