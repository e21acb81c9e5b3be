"""optimizers: noisy rows of a linear model, trained by four optimisers. The rows are orthogonal, so every weight is for itself.

Beside them stand the Gaussian rows that they were made from, on which the weights depend on each other.
"""

import numpy as np

from stages.base.params import SGD, Adam, AdamW, Count, Grid, NonNegative, Positive, Positives, Section, Settings, ascending
from stages.base.streams import Arrays, Purpose, Streams, single
from stages.base.system import System, Treatment

CURVATURE = 1.0  # c of the data loss (c/2)·mean (ŷ − y)²: half the mean squared error
KINDS = ("sgd", "momentum", "adam", "adamw")  # keys of the section's optimizers
ROWS = {"sgd": "", "momentum": "_momentum", "adam": "_adam", "adamw": "_adamw"}  # what an arm's rows are named after the arm


class OwnSGD(SGD, frozen=True):
    """SGD with a learning rate of its own."""

    lr: Positive


class Optimizers(Section, frozen=True):
    sgd: OwnSGD
    momentum: OwnSGD
    adam: Adam
    adamw: AdamW


class Data(Section, frozen=True):
    rows: Count
    val_rows: Count
    inputs: Count
    weight_norm: Positive
    noise: NonNegative
    start_std: NonNegative
    evaluate_every: Count

    def __post_init__(self) -> None:
        if self.rows < self.inputs:
            raise ValueError("rows: expected at least as many as inputs, so that they can be orthogonal")


class Comparison(Section, frozen=True):
    trials: Count
    steps: Count
    lr: Positive
    wd: NonNegative
    optimizers: Optimizers
    sweep: Grid
    learning_rates: Positives
    system: Data

    def __post_init__(self) -> None:
        ascending("sweep", self.sweep, zero_first=True)
        ascending("learning_rates", self.learning_rates)


def draw(section: Comparison, streams: Streams) -> Arrays:
    """y = Xw* + N(0, noise²), w* of fixed length in a uniform direction, X Gaussian, or made orthogonal: XᵀX = nI.

    Shapes: T trials, n training rows, m validation rows, d inputs.
    """
    system = section.system

    def trial(rng: Purpose) -> Arrays:
        direction = rng("truth").standard_normal(system.inputs)
        weight = system.weight_norm * direction / np.linalg.norm(direction)
        gaussian = rng("inputs").standard_normal((system.rows, system.inputs))
        inputs = {
            "train": np.sqrt(system.rows) * np.linalg.qr(gaussian).Q,
            "general": gaussian,
            "val": rng("val inputs").standard_normal((system.val_rows, system.inputs)),
        }
        noise = {"train": system.noise * rng("noise").standard_normal(system.rows)}
        noise |= {"general": noise["train"], "val": system.noise * rng("val noise").standard_normal(system.val_rows)}
        arrays: Arrays = {"true_weight": weight, "start_weight": system.start_std * rng("start").standard_normal(system.inputs)}
        for split, rows in inputs.items():
            stored = rows.astype(np.float32).astype(np.float64)
            arrays |= {f"{split}_inputs": stored, f"{split}_targets": stored @ weight + noise[split]}
        return arrays

    steps = {"steps": np.array(section.steps), "evaluate_every": np.array(system.evaluate_every)}
    return single(streams.draw(section.trials, trial)) | steps | {"noise": np.array(system.noise)}


def footprint(section: Comparison) -> int:
    """The arrays six times over: drawn, stacked, in double precision, with gradients; and the weights of the whole sweep."""
    system = section.system
    drawn = (2 * system.rows + system.val_rows + 2) * (system.inputs + 1)
    return 8 * section.trials * (6 * drawn + 4 * (2 + len(section.learning_rates)) * len(section.sweep) * system.inputs)


def general(arrays: Arrays) -> Arrays:
    """The data with Gaussian rows to train on."""
    return arrays | {f"train_{name}": arrays[f"general_{name}"] for name in ("inputs", "targets")}


def treatments(settings: Settings) -> dict[str, Treatment]:
    section = settings.optimizers
    rates = {
        "sgd": section.optimizers.sgd.lr,
        "momentum": section.optimizers.momentum.lr,
        "adam": section.lr,
        "adamw": section.lr,
    }
    return {
        f"{arm}{suffix}": Treatment(decay, rates[kind], section.steps)
        for arm, decay in (("baseline", settings.baseline), ("wd", section.wd))
        for kind, suffix in ROWS.items()
    }


SYSTEM = System(
    section=Comparison,
    arrays={
        "train_inputs": 3,  # (T, n, d), orthogonal columns
        "train_targets": 2,  # (T, n)
        "general_inputs": 3,  # (T, n, d)
        "general_targets": 2,  # (T, n)
        "val_inputs": 3,  # (T, m, d)
        "val_targets": 2,  # (T, m)
        "true_weight": 2,  # (T, d)
        "start_weight": 2,  # (T, d)
        "noise": 0,  # standard deviation
        "steps": 0,
        "evaluate_every": 0,
    },
    draw=draw,
    footprint=footprint,
    key="optimizers",
    arms={arm: tuple(f"{arm}{suffix}" for suffix in ROWS.values()) for arm in ("baseline", "wd")},
    treatments=treatments,
)
