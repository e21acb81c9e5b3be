"""params.yaml → frozen, validated dataclasses. The classes below are the schema; every error names key, rule and value."""

import functools
import itertools
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import yaml

from stages.science.errors import UserError
from stages.science.yaml12 import Yaml12Loader

FILE = "params.yaml"
SMALLEST, LARGEST = 1e-30, 1e30  # data fit in float32, and products of two numbers are far from the ends of float64


@dataclass(frozen=True)
class Rule:
    """What a value must be: its wording in an error, and the check of a finite number of the field's type."""

    expected: str
    holds: Callable[[Any], bool]


Number = Annotated[float, Rule("a number", lambda x: True)]
Positive = Annotated[float, Rule("a number > 0", lambda x: x > 0)]
NonNegative = Annotated[float, Rule("a number ≥ 0", lambda x: x >= 0)]
Momentum = Annotated[float, Rule("a number ≥ 0 and < 1", lambda x: 0 <= x < 1)]
Fraction = Annotated[float, Rule("a number > 0 and < 1", lambda x: 0 < x < 1)]
Accuracy = Annotated[float, Rule("a number > 0 and ≤ 1", lambda x: 0 < x <= 1)]
Seed = Annotated[int, Rule("an integer ≥ 0", lambda x: x >= 0)]
Count = Annotated[int, Rule("an integer from 1 to 10⁷", lambda x: 1 <= x <= 10**7)]
Grid = Annotated[
    tuple[NonNegative, ...],
    Rule("0 and then ascending λ", lambda grid: grid[0] == 0 and all(a < b for a, b in itertools.pairwise(grid))),
]
Rows = Annotated[tuple[Count, ...], Rule("ascending integers", lambda rows: all(a < b for a, b in itertools.pairwise(rows)))]
Modulus = Annotated[int, Rule("an integer from 2 to 10⁴", lambda x: 2 <= x <= 10**4)]


@dataclass(frozen=True)
class SGD:
    momentum: Momentum

    def arguments(self) -> dict[str, Any]:
        """For `torch.optim.SGD`."""
        return {"momentum": self.momentum}


@dataclass(frozen=True)
class Adam:
    beta1: Momentum
    beta2: Momentum
    eps: Positive

    def arguments(self) -> dict[str, Any]:
        """For `torch.optim.Adam` and `AdamW`."""
        return {"betas": (self.beta1, self.beta2), "eps": self.eps}


@dataclass(frozen=True)
class OwnAdam(Adam):
    """Adam with a schedule, a learning rate and a λ of its own."""

    epochs: Count
    evaluate_every: Count
    lr: Positive
    wd: NonNegative


@dataclass(frozen=True)
class LineOptimizers:
    sgd: SGD
    adam: OwnAdam


@dataclass(frozen=True)
class SGDAlone:
    sgd: SGD


@dataclass(frozen=True)
class ModularOptimizers:
    adamw: Adam


@dataclass(frozen=True)
class LineSystem:
    slope: Number
    intercept: Number
    train_x: tuple[Number, ...]
    val_x: tuple[Number, ...]


@dataclass(frozen=True)
class Line:
    trials: Count
    epochs: Count
    batch_size: Count
    lr: Positive
    wd: NonNegative
    optimizers: LineOptimizers
    system: LineSystem
    sweep: Grid


@dataclass(frozen=True)
class WideSystem:
    train_rows: Count
    val_rows: Count
    inputs: Count
    weight: Number
    intercept: Number
    noise: NonNegative
    start_std: NonNegative


@dataclass(frozen=True)
class Wide:
    trials: Count
    epochs: Count
    batch_size: Count
    lr: Positive
    optimizers: SGDAlone
    system: WideSystem
    sweep: Grid


@dataclass(frozen=True)
class ModularSystem:
    hidden: Count
    train_fraction: Fraction
    start_scale: Positive
    evaluate_every: Count


@dataclass(frozen=True)
class Modular:
    trials: Count
    p: Modulus
    steps: Count
    lr: Positive
    threshold: Accuracy
    optimizers: ModularOptimizers
    sweep: Grid
    system: ModularSystem


@dataclass(frozen=True)
class DescentSystem:
    inputs: Count
    weight_norm: Positive
    noise: NonNegative


@dataclass(frozen=True)
class Descent:
    trials: Count
    steps: Count
    lr: Positive
    optimizers: SGDAlone
    sweep: Grid
    rows: Rows
    system: DescentSystem


@dataclass(frozen=True)
class Params:
    seed: Seed
    baseline: NonNegative
    wd: NonNegative
    line: Line
    wide: Wide
    modular: Modular
    descent: Descent

    def at(self, key: str) -> Any:
        """The value at a dotted key: `at("line.wd")`."""
        return functools.reduce(getattr, key.split("."), self)


def load(path: str | Path = FILE) -> Params:
    """Read and check the whole file. Raises UserError at the first value that breaks its rule."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a readable UTF-8 file, got {_short(error)}") from error
    try:
        tree = yaml.load(text, Loader=Yaml12Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: expected YAML, got {_short(error)}") from error
    return _checked(tree, Params, str(path), "")


def _checked(value: Any, kind: Any, path: str, key: str) -> Any:
    here = f"{path}: {key}" if key else path
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, dict):
            raise UserError(f"{here}: expected a section, got {_short(value)}")
        hints = get_type_hints(kind, include_extras=True)
        names = {field.name: f"{key}.{field.name}" if key else field.name for field in fields(kind)}
        for name in value:
            if name not in names:
                raise UserError(f"{here}: expected only {', '.join(names)}, got {_short(name)}")
        for name, dotted in names.items():
            if name not in value:
                raise UserError(f"{path}: {dotted}: expected {_expected(hints[name])}, got nothing")
        return kind(**{name: _checked(value[name], hints[name], path, dotted) for name, dotted in names.items()})
    if get_origin(get_args(kind)[0]) is tuple:
        items, rule = get_args(kind)
        grid = _checked(value, items, path, key)
        if not rule.holds(grid):
            raise UserError(f"{here}: expected {rule.expected}, got {_short(value)}")
        return grid
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not value:
            raise UserError(f"{here}: expected {_expected(kind)}, got {_short(value)}")
        return tuple(_checked(item, get_args(kind)[0], path, f"{key}[{index}]") for index, item in enumerate(value))
    number, rule = get_args(kind)
    allowed = (int, float) if number is float else (int,)
    if isinstance(value, bool) or not isinstance(value, allowed) or not _finite(value) or not rule.holds(value):
        raise UserError(f"{here}: expected {rule.expected}, got {_short(value)}")
    if number is float and value and not SMALLEST <= abs(value) <= LARGEST:
        raise UserError(f"{here}: expected {rule.expected}, of size {SMALLEST:g} to {LARGEST:g} or 0, got {_short(value)}")
    return number(value)


def _expected(kind: Any) -> str:
    if is_dataclass(kind):
        return "a section"
    if get_origin(kind) is tuple:
        return "a list of at least one number"
    return get_args(kind)[1].expected


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of float
        return False


def _short(value: object) -> str:
    text = " ".join((str(value) if isinstance(value, Exception) else reprlib.repr(value)).split())
    return text if len(text) <= 120 else text[:117] + "..."
