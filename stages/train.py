"""data/<study>.npz → data/<study>/<arm>.npz: one arm of a study, all its trials in one batch.

Nothing is drawn here: data, start and batch order are the file's, the same for every arm. `engine.fit` says what decays, and
how.
"""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError, meant
from stages.base.system import System, read_data
from stages.console import command
from stages.console.progress import Progress
from stages.engine import arms, kept
from stages.engine.machine import device
from stages.engine.training import Training


def main(study: str, arm: str) -> None:
    system = studies.part(study, System)
    if arm not in system.arms:
        known = ", ".join(system.arms) or "no arm, as the study has none"
        raise UserError(f"python -m stages.train: expected one of {known}, got {meant(arm, system.arms)}")
    training = studies.part(study, Training)
    if missing := [row for row in system.arms[arm] if row not in training.runs]:
        raise UserError(f"stages/studies/{study}/training.py: expected a run for each row of {arm}, got none for {missing}")
    runs = {row: training.runs[row] for row in system.arms[arm]}
    settings = params.load({study: system.section})
    with kept.until_written(f"{study}-{arm}"):
        outcome = arms.train(study, runs, settings, read_data(study, system), device=device(), progress=Progress)
        storage.save_arrays(Path("data", study, f"{arm}.npz"), outcome)


if __name__ == "__main__":
    command.run(main, studies.NAMES, None)
