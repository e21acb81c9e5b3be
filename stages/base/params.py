"""params.yaml → frozen, checked structs. Every error names the key, the rule and the value.

A study declares its section in its part `system.py`: its parts `data`, `train`, `sweep` and `report`, and its own λ. A stage
gets the parts and the numbers that it asks for, and no others. The three numbers that several studies share are declared here.
"""

import functools
import itertools
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args, get_type_hints

import msgspec
import yaml
from msgspec import Meta

from stages.base import inputs
from stages.base.errors import UserError, meant
from stages.base.yaml12 import Yaml12Loader

FILE = Path("params.yaml")
SMALLEST, LARGEST = 1e-30, 1e30  # data fit in float32, and products of two numbers are far from the ends of float64

Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST, description="a number")]
Positive = Annotated[float, Meta(gt=0, le=LARGEST, description="a number > 0")]
NonNegative = Annotated[float, Meta(ge=0, le=LARGEST, description="a number ≥ 0")]
Momentum = Annotated[float, Meta(ge=0, lt=1, description="a number ≥ 0 and < 1")]
Fraction = Annotated[float, Meta(gt=0, lt=1, description="a number > 0 and < 1")]
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
Accuracy = Annotated[float, Meta(gt=0, le=1, description="a number > 0 and ≤ 1")]
Ratio = Annotated[float, Meta(ge=1, le=LARGEST, description="a number ≥ 1")]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1, description="an integer from 0 to 2⁶³ − 1")]
Count = Annotated[int, Meta(ge=1, le=10**7, description="an integer from 1 to 10⁷")]
Numbers = Annotated[tuple[Number, ...], Meta(min_length=1, description="a list of at least one number")]
Grid = Annotated[tuple[NonNegative, ...], Meta(min_length=1, description="a list of at least one number")]
Positives = Annotated[tuple[Positive, ...], Meta(min_length=1, description="a list of at least one number")]
Fractions = Annotated[tuple[Fraction, ...], Meta(min_length=1, description="a list of at least one number")]
Text = Annotated[str, Meta(min_length=1, description="a text")]
Counts = Annotated[tuple[Count, ...], Meta(min_length=1, description="a list of at least one number")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of params.yaml: its fields are its keys, all of them required."""


class Moments(Section, frozen=True):
    """What Adam and AdamW need."""

    beta1: Momentum
    beta2: Momentum
    eps: Positive


SHARED = {"seed": Seed, "baseline": NonNegative, "wd": NonNegative}
PARTS = ("data", "train", "sweep", "report")  # of a study's section, in the order of the stages that read them
Study = TypeVar("Study", bound=Section)


class Unread:
    """Stands in a section for a part that the stage did not ask for."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self._key}.{name} is read by a stage that did not ask for {self._key}")

    def _refuse(self, *_: object) -> Any:
        raise AttributeError(f"{self._key} is read by a stage that did not ask for it")

    __eq__ = __bool__ = __float__ = __format__ = __str__ = __array__ = __lt__ = __gt__ = __mul__ = __rmul__ = _refuse


@dataclass(frozen=True)
class Settings(Generic[Study]):
    """What a stage asked for: parts of a study's section, and single numbers by their names.

    `flat` has every number among them, or list of numbers, by its dotted key.
    """

    section: Study
    numbers: Mapping[str, float]
    flat: Mapping[str, Any]


def read(study: str, kind: type[Study], *names: str, path: str | Path = FILE) -> Settings[Study]:
    """Read some parts of a study's section and some numbers, which stand there or at the file's top.

    The section is checked whole. Raises UserError at the first value that breaks its rule.
    """

    def found() -> Settings[Study]:
        whole = _load({study: kind}, False, Path(path))
        section = getattr(whole, study)
        own, unread = kind.__struct_fields__, {}
        values = {name: getattr(section if name in own else whole, name) for name in names}
        for name in own:
            if name not in names or not isinstance(values[name], Section):
                unread[name] = Unread(f"{study}.{name}")
        numbers = {name: value for name, value in values.items() if not isinstance(value, Section)}
        flat = {key: value for name in names for key, value in _leaves(values[name], key_of(study, kind, name))}
        return Settings(msgspec.structs.replace(section, **unread), numbers, flat)

    settings = found()
    inputs.remember(str(path), settings.flat, lambda: found().flat)
    return settings


def key_of(study: str, kind: type[Section], name: str) -> str:
    """The dotted key of a part or a number: in the study's section where it has one, else at the file's top."""
    return f"{study}.{name}" if name in kind.__struct_fields__ else name


def parts_of(kind: type[Section]) -> tuple[str, ...]:
    return tuple(part for part in PARTS if part in kind.__struct_fields__)


def read_all(sections: Mapping[str, type[Section]], *, path: str | Path = FILE) -> Any:
    """Read params.yaml whole, with these sections and no others, as attributes.

    Raises UserError at the first value that breaks its rule.
    """
    settings = _load(sections, True, Path(path))
    inputs.remember(str(path), dict(_numbers(settings)), lambda: dict(_numbers(_load(sections, True, Path(path)))))
    return settings


def _load(sections: Mapping[str, type[Section]], whole: bool, path: Path) -> Any:
    schema = msgspec.defstruct(
        "Whole", [*SHARED.items(), *sections.items()], frozen=True, kw_only=True, forbid_unknown_fields=whole
    )
    tree = _read(path)
    try:
        settings = msgspec.convert(tree, schema)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {_told(str(error), tree, schema)}") from error
    for key, value in _numbers(settings):
        if isinstance(value, float) and 0 < abs(value) < SMALLEST:
            raise UserError(f"{path}: {_out_of_size(f'{key}: ', value, _described(schema, _keys(key)))}")
    return settings


def ascending(key: str, values: Sequence[float], *, zero_first: bool = False) -> None:
    """Raise ValueError unless a section's list ascends, from 0 if `zero_first`. For `__post_init__` of a section."""
    if not all(a < b for a, b in itertools.pairwise(values)) or (zero_first and values[0] != 0):
        rule = "0 and then ascending λ" if zero_first else "ascending numbers"
        raise ValueError(f"{key}: expected {rule}")


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Yaml12Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a readable UTF-8 file, got {_short(error)}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = _short(error).replace('"<unicode string>"', "the file")
        raise UserError(f"{path}: expected YAML, got {said}") from error


def _told(message: str, tree: Any, schema: type) -> str:
    """msgspec's message, such as "Expected `float` > 0.0 - at `$.wide.lr`", in this file's words and with the value."""
    said, _, place = message.partition(" - at ")
    keys = _keys(place.strip("`").removeprefix("$"))
    if missing := re.fullmatch(r"Object missing required field `(.+)`", said):
        keys.append(missing[1])
        return f"{_dotted(keys)}expected {_described(schema, keys)}, got nothing"
    if unknown := re.fullmatch(r"Object contains unknown field `(.+)`", said):
        known = get_type_hints(_kind(schema, keys))
        return f"{_dotted(keys)}expected only {', '.join(known)}, got {meant(unknown[1][:120], known)}"
    own_rule = re.match(r"(\w+): expected (.+)", said)  # from a section's `__post_init__`
    if own_rule:
        keys.append(own_rule[1])
    rule = own_rule[2] if own_rule else _described(schema, keys)
    value = functools.reduce(lambda part, key: part[key], keys, tree)
    too_large = isinstance(value, int | float) and LARGEST < abs(value) < float("inf")
    if too_large and _kind(schema, keys) in (Number, Positive, NonNegative):
        return _out_of_size(_dotted(keys), value, rule)
    return f"{_dotted(keys)}expected {rule}, got {_got(value)}"


def _got(value: object) -> str:
    """What stands there, in words: nothing, or a number that quotes turn into text."""
    if value is None:
        return "nothing"
    quoted = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", value.strip())
    return f"{_short(value)}, a text: write it without quotes" if quoted else _short(value)


def _out_of_size(place: str, value: float, rule: str) -> str:
    zero = "" if "> 0" in rule else " or 0"
    return f"{place}expected {rule}, of size {SMALLEST:g} to {LARGEST:g}{zero}, got {_short(value)}"


def _keys(place: str) -> list[Any]:
    """`line.data.train_x[1]` → ["line", "system", "train_x", 1]"""
    return [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place)]


def _dotted(keys: Sequence[Any]) -> str:
    """`line.data.train_x[1]: `, or nothing for the whole file"""
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    return f"{place}: " if place else ""


def _kind(schema: Any, keys: Sequence[Any]) -> Any:
    """The declared type at a place of the schema."""
    for key in keys:
        schema = get_args(get_args(schema)[0])[0] if isinstance(key, int) else get_type_hints(schema, include_extras=True)[key]
    return schema


def _described(schema: Any, keys: Sequence[Any]) -> str:
    kind = _kind(schema, keys)
    return get_args(kind)[1].description if get_args(kind) else "a section"


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every number of a struct, with its dotted place."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _numbers(getattr(value, name), f"{key}.{name}" if key else name)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{key}[{index}]")
    else:
        yield key, value


def _short(value: object) -> str:
    text = " ".join((str(value) if isinstance(value, Exception) else reprlib.repr(value)).split())
    return text if len(text) <= 120 else text[:117] + "..."


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every number of a struct, with its dotted key; a list of numbers as one."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _leaves(getattr(value, name), f"{key}.{name}")
    else:
        yield key, list(value) if isinstance(value, tuple) else value
