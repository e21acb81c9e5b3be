"""data/<study>.npz → data/<study>/<arm>.npz: one arm of a study, all its trials in one batch.

Data and start are the file's, the same for every arm. `engine.fit` says what decays, and how.
"""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError, meant
from stages.base.system import System, made_of_data, read_data
from stages.console import command
from stages.console.progress import Progress
from stages.engine.machine import device
from stages.engine.train import train_arm
from stages.engine.training import Training


def main(study: str, arm: str) -> None:
    system = studies.part(study, System)
    if arm not in system.arms:
        known = ", ".join(system.arms) or "no arm, as the study has none"
        raise UserError(f"python -m stages.train: expected one of {known}, got {meant(arm, system.arms)}")
    training, chosen = studies.part(study, Training), system.arms[arm]
    settings = params.read(study, system.section, *chosen.trained_with)
    weight_decays = {name: settings.numbers[key] for name, key in chosen.weight_decays.items()}
    jobs = training.jobs(settings.section, read_data(study, system), device(), **weight_decays)
    if missing := [row for row in chosen.rows if row.removeprefix(arm) not in jobs]:
        raise UserError(f"stages/studies/{study}/training.py: expected a job for each row of {arm}, got none for {missing}")
    rows = {row: jobs[row.removeprefix(arm)] for row in chosen.rows}
    twins = {f"{arm}{one}": f"{arm}{other}" for one, other in training.twins.items()}
    outcome = train_arm(study, rows, twins, progress=Progress)
    storage.save_arrays(Path("data", study, f"{arm}.npz"), outcome, made_of_data(study, settings))


if __name__ == "__main__":
    command.run(main, studies.NAMES, None)
