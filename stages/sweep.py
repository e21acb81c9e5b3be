"""data/<study>.npz → data/<study>/sweep.npz: a run of the study at every λ of a grid, all λ × trials in batches."""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.system import System, read_data
from stages.console import command
from stages.console.progress import Progress
from stages.engine import kept
from stages.engine.machine import device
from stages.engine.sweep import over_decays
from stages.engine.training import Training


def main(study: str) -> None:
    system, training = studies.part(study, System), studies.part(study, Training)
    settings = params.load({study: system.section})
    arrays = read_data(study, system)
    with kept.until_written(f"{study}-sweep"):
        if training.sweep:
            swept = training.sweep(settings, arrays, device(), Progress)
        else:
            decays = params.at(settings, study).sweep
            swept = over_decays(study, training.swept, decays, settings, arrays, device=device(), progress=Progress)
        storage.save_arrays(Path("data", study, "sweep.npz"), swept)


if __name__ == "__main__":
    command.run(main, studies.NAMES)
