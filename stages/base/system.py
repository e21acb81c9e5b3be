"""What every stage of a study needs to know of it, and the files of `data/` that it has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.base import storage
from stages.base.errors import UserError
from stages.base.params import Section, Settings
from stages.base.streams import Arrays, Streams

TRAINED = {"train_loss": 2, "diverged": 1, "steps": 1, "steps_per_epoch": 0, "weight_decay": 0, "lr": 0}  # name → dimensions
Trained = dict[str, Arrays]  # row of the metrics → its arrays, as `train` writes them


@dataclass(frozen=True)
class Treatment:
    """What params.yaml says of a row: its λ, its learning rate, and how long it is trained."""

    weight_decay: float
    lr: float
    epochs: int  # with all rows in a batch, a step is an epoch


def nothing(_: Settings) -> dict[str, Treatment]:
    return {}


@dataclass(frozen=True)
class System:
    """A study's part `system.py`: its section of params.yaml, its data, the names of its arms."""

    section: type[Section]
    arrays: Mapping[str, int]  # what `draw` returns, name → dimensions; where there are two or more, the trials come first
    draw: Callable[[Any, Streams], Arrays]  # (section, streams) → arrays
    footprint: Callable[[Any], int]  # section → about how many bytes the study needs, in the stage that needs most
    key: str  # names the random streams; a study that is renamed keeps its key, and with it its draws
    arms: Mapping[str, tuple[str, ...]]  # arm → the rows of the metrics that it trains; none for a study that only sweeps
    treatments: Callable[[Settings], Mapping[str, Treatment]] = nothing  # each of these rows


def of_arms(arms: Mapping[str, Sequence[str]], decays: Sequence[float], lr: float, epochs: int) -> dict[str, Treatment]:
    """Arms whose rows differ in λ alone, a λ for each arm."""
    return {row: Treatment(decay, lr, epochs) for rows, decay in zip(arms.values(), decays, strict=True) for row in rows}


def read_data(study: str, system: System) -> Arrays:
    """data/<study>.npz. Raises UserError where it is missing, damaged or not this study's."""
    return storage.load_arrays(Path("data", f"{study}.npz"), system.arrays, stage=f"generate@{study}", exact=True)


def read_arms(study: str, system: System, arrays: Arrays) -> Trained:
    """data/<study>/<arm>.npz of every arm, by row. Raises UserError where one is damaged, or has other trials than the data."""
    trained, trials = {}, next(len(array) for array in arrays.values() if array.ndim > 1)
    for arm, rows in system.arms.items():
        path, stage = Path("data", study, f"{arm}.npz"), f"train@{study}-{arm}"
        expected = {f"{row}.{key}": number for row in rows for key, number in TRAINED.items()}
        stored = storage.load_arrays(path, expected, stage=stage)
        for row in rows:
            own = {key.removeprefix(f"{row}."): value for key, value in stored.items() if key.startswith(f"{row}.")}
            if len(own["diverged"]) != trials:
                got = len(own["diverged"])
                raise UserError(f"{path}: expected {trials} trials as in data/{study}.npz, got {got}: dvc repro {stage}")
            trained[row] = own
    return trained


def refuse_others(study: str, system: System, trained: Trained, settings: Settings) -> None:
    """Raise UserError where a row was trained in another way than params.yaml says now."""
    treatments = system.treatments(settings)
    for arm, row in ((arm, row) for arm, rows in system.arms.items() for row in rows):
        if row not in treatments:
            raise UserError(f"stages/studies/{study}/system.py: expected `treatments` to have {row}, got {', '.join(treatments)}")
        run, wanted = trained[row], treatments[row]
        stored = Treatment(float(run["weight_decay"]), float(run["lr"]), int(run["steps"][-1] // run["steps_per_epoch"]))
        if stored != wanted:
            expected = f"data/{study}/{arm}.npz: expected {row} with {told(wanted)}, as in params.yaml"
            raise UserError(f"{expected}, got {told(stored)}: dvc repro train@{study}-{arm}")


def told(treatment: Treatment) -> str:
    return f"λ = {treatment.weight_decay:.15g}, lr = {treatment.lr:.15g}, epochs = {treatment.epochs}"


def read_sweep(study: str, expected: Mapping[str, int]) -> Arrays:
    """data/<study>/sweep.npz. Raises UserError where it is missing, damaged or not this study's."""
    return storage.load_arrays(Path("data", study, "sweep.npz"), expected, stage=f"sweep@{study}")
