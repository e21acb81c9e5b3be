"""What every stage of a study needs to know of it, and the files of `data/` that it has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.base import inputs, params, storage
from stages.base.errors import UserError
from stages.base.params import Section, Settings
from stages.base.storage import Integers
from stages.base.streams import Arrays

TRAINED = {  # what `train` writes of a row, name → dimensions
    "train_loss": 2,
    "diverged": Integers(1),
    "steps": Integers(1),
    "steps_per_epoch": Integers(0),
    "weight_decay": 0,
    "lr": 0,
}
Trained = dict[str, Arrays]  # row of the metrics → its arrays
DRAWN_FROM, SWEPT_WITH = ("seed", "data"), ("train", "sweep")  # what `generate` and `sweep` read of params.yaml


@dataclass(frozen=True)
class Arm:
    """Runs that differ from those of another arm in λ alone."""

    rows: tuple[str, ...]  # of the metrics, the arm's name first: "wd", "wd_zero"
    weight_decays: Mapping[str, str]  # argument of the study's `jobs` → the λ, by its name in the section or at the file's top

    @property
    def trained_with(self) -> tuple[str, ...]:
        """What `train` reads of params.yaml."""
        return ("train", *self.weight_decays.values())


def two_arms(suffixes: tuple[str, ...], weight_decays: tuple[str, ...] = ("wd",)) -> dict[str, Arm]:
    """The arm `baseline`, every λ of which is the file's `baseline`, and the arm `wd`, with each λ of its own."""
    return {
        "baseline": Arm(tuple(f"baseline{suffix}" for suffix in suffixes), dict.fromkeys(weight_decays, "baseline")),
        "wd": Arm(tuple(f"wd{suffix}" for suffix in suffixes), {name: name for name in weight_decays}),
    }


@dataclass(frozen=True)
class System:
    """A study's part `system.py`: its section of params.yaml, its data, the names of its arms."""

    section: type[Section]
    arrays: Mapping[str, int]  # what `draw` returns, name → dimensions; where there are two or more, the trials come first
    draw: Callable[..., Arrays]  # (section, streams, each file's content) → arrays, from the part `data` alone
    footprint: Callable[..., int]  # (section, each file's content) → about how many bytes the data need, from `data` alone
    key: str  # names the random streams; a study that is renamed keeps its key, and with it its draws
    arms: Mapping[str, Arm]  # none for a study that only sweeps
    files: tuple[str, ...] = ()  # keys of the part `data`, each the path of a file that `draw` reads

    @property
    def evaluated_with(self) -> tuple[str, ...]:
        """What `evaluate` reads of params.yaml: all that data, arms and sweep are made of, and the study's other parts."""
        weight_decays = (name for arm in self.arms.values() for name in arm.weight_decays.values())
        return tuple(dict.fromkeys(("seed", *weight_decays, *params.parts_of(self.section))))


def read_data(study: str, system: System, settings: Settings | None = None) -> Arrays:
    """Read data/<study>.npz. Raises UserError where it is missing, damaged, not this study's or not of these settings."""
    path, stage = Path("data", f"{study}.npz"), f"generate@{study}"
    arrays, made_of = storage.load_arrays(path, system.arrays, stage=stage, exact=True)
    if settings:
        _compare(path, made_of, _wanted(study, system, settings, DRAWN_FROM), stage)
    return arrays


def read_arms(study: str, system: System, settings: Settings | None = None) -> Trained:
    """Read data/<study>/<arm>.npz of every arm, by row.

    Raises UserError where one is damaged, was not trained on the data that are there, or not with these settings.
    """
    trained = {}
    for name, arm in system.arms.items():
        path, stage = Path("data", study, f"{name}.npz"), f"train-{name}@{study}"
        expected = {f"{row}.{key}": number for row in arm.rows for key, number in TRAINED.items()}
        stored, made_of = storage.load_arrays(path, expected, stage=stage)
        _compare(path, made_of, _trained(study, system, settings, arm.trained_with), stage)
        for row in arm.rows:
            trained[row] = {key.removeprefix(f"{row}."): each for key, each in stored.items() if key.startswith(f"{row}.")}
    return trained


def read_sweep(study: str, system: System, expected: Mapping[str, int], settings: Settings) -> Arrays:
    """Read data/<study>/sweep.npz. Raises UserError as `read_arms` does."""
    path, stage = Path("data", study, "sweep.npz"), f"sweep@{study}"
    swept, made_of = storage.load_arrays(path, expected, stage=stage)
    _compare(path, made_of, _trained(study, system, settings, SWEPT_WITH), stage)
    return swept


def made_of_data(study: str, settings: Settings) -> dict[str, Any]:
    """What an archive of trained runs says of itself: the data it was trained on, and every number it was trained with."""
    path = Path("data", f"{study}.npz")
    return {str(path): inputs.digest(inputs.read(path))} | dict(settings.flat)


def _trained(study: str, system: System, settings: Settings | None, names: tuple[str, ...]) -> dict[str, Any]:
    path = Path("data", f"{study}.npz")
    return {str(path): inputs.content(path)} | (_wanted(study, system, settings, names) if settings else {})


def _wanted(study: str, system: System, settings: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    """Every number of these parts, as params.yaml has it."""
    keys = tuple(f"{params.key_of(study, system.section, name)}." for name in names)
    return {key: value for key, value in settings.flat.items() if f"{key}.".startswith(keys)}


def _compare(path: Path, made_of: Mapping[str, Any], wanted: Mapping[str, Any], stage: str) -> None:
    """Raise UserError where an archive was made of something else than it should be."""
    for key, value in wanted.items():
        if made_of.get(key) != value:
            if key.startswith("data/"):
                raise UserError(f"{path}: expected runs that were trained on {key}, got runs of other data: dvc repro {stage}")
            got = f"{key} = {told(made_of[key])}" if key in made_of else f"no {key}"
            raise UserError(f"{path}: expected {key} = {told(value)}, as in params.yaml, got {got}: dvc repro {stage}")


def told(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value) or "nothing"
