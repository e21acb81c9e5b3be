"""The studies, their arms and runs, as plain facts: what is in the file, which loss, what decays, what is trained.

An arm is what one stage trains, `train@<study>-<arm>`: the λ of its first run is the arm's own, and its further runs,
each a row of the metrics, change one thing. Keys name values in params.yaml; the stage in dvc.yaml tracks them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    decay: str  # key of λ
    optimizer: str  # its settings stand at <study>.optimizers.<optimizer>
    penalty_twin: str = ""  # λ written in the loss; the run with λ in the optimiser that this one must equal to rounding
    zero_start: bool = False


@dataclass(frozen=True)
class Study:
    arrays: Mapping[str, int]  # what the study's file must hold, with the number of dimensions
    curvature: float  # c of the data loss (c/2)·mean (ŷ − y)²: 2 the mean squared error, 1 half of it
    arms: Mapping[str, Mapping[str, Run]]  # arm → row → run
    decays_bias: bool = False
    classification: bool = False


_LINEAR = {f"{split}_{kind}": number for split in ("train", "val") for kind, number in (("inputs", 3), ("targets", 2))}
_LINEAR |= {"start_weight": 2, "start_bias": 1, "true_weight": 2, "true_bias": 1, "null": 1, "order": 3, "batch_size": 0}
_MODULAR = {f"{split}_{kind}": number for split in ("train", "val") for kind, number in (("pairs", 3), ("labels", 2))}
_MODULAR |= {"start_hidden": 3, "start_output": 3, "p": 0, "steps": 0, "evaluate_every": 0}

STUDIES: dict[str, Study] = {
    "line": Study(
        arrays=_LINEAR,
        curvature=2,
        decays_bias=True,
        arms={
            "baseline": {"baseline": Run("baseline", "sgd"), "baseline_adam": Run("baseline", "adam")},
            "wd": {"wd": Run("line.wd", "sgd"), "wd_adam": Run("line.optimizers.adam.wd", "adam")},
        },
    ),
    "wide": Study(
        arrays=_LINEAR | {"noise": 0},
        curvature=1,
        arms={
            "baseline": {"baseline": Run("baseline", "sgd"), "baseline_zero": Run("baseline", "sgd", zero_start=True)},
            "wd": {
                "wd": Run("wd", "sgd"),
                "wd_penalty": Run("wd", "sgd", penalty_twin="wd"),
                "wd_zero": Run("wd", "sgd", zero_start=True),
            },
        },
    ),
    "modular": Study(
        arrays=_MODULAR,
        curvature=2,
        classification=True,
        arms={"baseline": {"baseline": Run("baseline", "adamw")}, "wd": {"wd": Run("wd", "adamw")}},
    ),
    "descent": Study(
        arrays={"train_inputs": 3, "train_targets": 2, "true_weight": 2, "noise": 0, "rows": 1, "steps": 0},
        curvature=1,
        arms={},
    ),
}
ARMED = [name for name, study in STUDIES.items() if study.arms]  # the others are sweeps alone
