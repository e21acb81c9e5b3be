"""data/<study>.npz → data/<study>/sweep.npz: runs of the study at every λ of a grid, all λ × trials in batches."""

from functools import partial
from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.system import SWEPT_WITH, System, made_of_data, read_data
from stages.console import command
from stages.console.progress import Progress
from stages.engine.machine import device
from stages.engine.train import train
from stages.engine.training import Training


def main(study: str) -> None:
    system, training = studies.part(study, System), studies.part(study, Training)
    settings = params.read(study, system.section, *SWEPT_WITH)
    fit = partial(train, progress=Progress)
    swept = training.sweep(settings.section, read_data(study, system), device(), fit)
    storage.save_arrays(Path("data", study, "sweep.npz"), swept, made_of_data(study, settings))


if __name__ == "__main__":
    command.run(main, studies.NAMES)
