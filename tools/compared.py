"""The working tree's results beside those of a base: a branch, tag, commit or experiment, which is read from Git.

A value has a place, `file.row.value` of metrics/details/. Where two commits share their data, the same trials are compared.
"""

import csv
import functools
import io
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages import studies
from stages.base.errors import UserError
from stages.base.rounding import DIGITS
from stages.measure.findings import sign
from stages.measure.results import Better, Results
from stages.measure.statistics import difference
from tools.process import output, run

MANY = 1000  # trials of a mean whose number is not written
Side = Callable[[str], str | None]  # path → text, None where there is no such file
Change = tuple[float | None, float | None]  # at the base, now
OUTPUT = re.compile(r"^    outs:\n    - path: (data/\w+\.npz)\n      hash: md5\n      md5: (\w+)$", re.MULTILINE)  # in dvc.lock


@dataclass(frozen=True)
class Effect:
    """How far a value moved."""

    change: float
    error: float | None  # its standard error; None where none is known
    trials: int  # so many pairs of trials gave it, or so many trials the smaller of two means

    @property
    def size(self) -> float:
        """In standard errors; 0 where none is known."""
        if not self.change or self.error is None:
            return 0.0
        return abs(self.change) / self.error if self.error else math.inf

    @property
    def seen(self) -> bool:
        """Whether it is visible; what has no error is."""
        gap = {"value": self.change, "value_se": self.error or 0.0, "trials": self.trials}
        return bool(self.change) and (self.error is None or sign(gap, "value") != 0)


@dataclass(frozen=True)
class Compared:
    """Finite numbers by their place, and the effects that pairs of trials gave."""

    metrics: Mapping[str, Change]
    paired: Mapping[str, Effect]

    @property
    def places(self) -> list[str]:
        """Those of values, which stand beside their standard errors."""
        return sorted(place for place in self.metrics if not place.endswith("_se"))

    @property
    def changed(self) -> list[str]:
        return [place for place in self.places if self.differs(place)]

    def differs(self, place: str) -> bool:
        """Whether a value has changed, or its standard error."""
        return any(old != new for old, new in (self.at(place), self.errors(place)))

    def at(self, place: str) -> Change:
        return self.metrics.get(place, (None, None))

    def errors(self, place: str) -> Change:
        return self.at(f"{place}_se")

    def effect(self, place: str) -> Effect | None:
        """By its pairs of trials, else as a difference of means with independent errors; None where a side has no number."""
        old, new = self.at(place)
        if place in self.paired:
            return self.paired[place]
        if old is None or new is None or never(place, old) or never(place, new):
            return None
        before, now = self.errors(place)
        trials = [int(each) for each in self.at(f"{place.rpartition('.')[0]}.trials") if each]
        return Effect(new - old, None if before is None or now is None else math.hypot(before, now), min(trials, default=MANY))

    def size(self, place: str) -> float:
        """In standard errors; a step that is reached no more, or now, is beyond all."""
        moved = self.effect(place)
        return moved.size if moved else math.inf if any(never(place, value) for value in self.at(place)) else 0.0


def study_of(place: str) -> str:
    return place.partition(".")[0].removesuffix("_sweep")


@functools.cache
def declared(study: str) -> Results | None:
    """What a study says of its values; None for one that is no more."""
    return studies.part(study, Results) if study in studies.NAMES else None


def better(place: str) -> Better:
    known, name = declared(study_of(place)), place.rpartition(".")[2]
    return known.headlines.get(name, Better.NEITHER) if known and "_minus_" not in place else Better.NEITHER


def headline(place: str) -> bool:
    """Whether a value is in metrics/<study>.json."""
    file, *rows, name = place.split(".")
    known = declared(study_of(place))
    return bool(known and name in known.headlines and (file.endswith("_sweep") or (rows and rows[0] in known.rows)))


def never(place: str, value: float | None) -> bool:
    """A step that no trial, or not every trial, reaches is written as −1."""
    return place.rpartition(".")[2].startswith("steps_to_") and value == -1


def compare(repo: Path, commit: str) -> Compared:
    """Raises UserError where a file of metrics/details/ cannot be read."""
    listed = output(repo, "git", "ls-tree", "-r", "--name-only", commit, "--", "metrics/details").splitlines()
    here = [path.relative_to(repo).as_posix() for path in (repo / "metrics" / "details").glob("*.json")]
    sides: list[Side] = [
        lambda name: attempt(repo, "show", f"{commit}:./{name}"),
        lambda name: (repo / name).read_text(encoding="utf-8") if (repo / name).is_file() else None,
    ]
    before, now = numbers(sides[0], listed), numbers(sides[1], here)
    metrics = {place: (before.get(place), now.get(place)) for place in {**before, **now}}
    return Compared(metrics, pairs(sides, metrics))


def numbers(side: Side, names: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in names:
        try:
            found |= leaves(json.loads(side(name) or ""), Path(name).stem)
        except ValueError as error:
            raise UserError(f"{name}: expected JSON, got {error}; `dvc repro` writes it") from error
    return {place: value for place, value in found.items() if real(value)}


def leaves(tree: Any, place: str = "") -> dict[str, Any]:
    """A tree's values by their dotted place; a list is a value."""
    if not isinstance(tree, dict):
        return {place: tree}
    return {name: value for key, each in tree.items() for name, value in leaves(each, f"{place}.{key}".lstrip(".")).items()}


def real(value: Any) -> bool:
    """A number with which something can be computed."""
    largest = sys.float_info.max
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -largest <= value <= largest


def pairs(sides: Sequence[Side], metrics: Mapping[str, Change]) -> dict[str, Effect]:
    """The differences of the same trials, of all trained rows whose λ is on the grid of both sides."""
    found: dict[str, Effect] = {}
    drawn = [dict(OUTPUT.findall(side("dvc.lock") or "")) for side in sides]
    for study in sorted({place.partition(".")[0] for place in metrics}):
        data = {known.get(f"data/{study}.npz") for known in drawn}
        if len(data) > 1 or None in data:
            continue
        tables = [list(csv.DictReader(io.StringIO(side(f"metrics/{study}_sweep.csv") or ""))) for side in sides]
        for place, (old, new) in metrics.items():
            row, _, name = place.rpartition(".")
            if not row.startswith(f"{study}.") or old is None or new is None or old == new:
                continue
            weight_decays = metrics.get(f"{row}.weight_decay", (None, None))
            each = [trials(*known) for known in zip(tables, weight_decays, (name, name), (old, new), strict=True)]
            if both := sorted(each[0].keys() & each[1].keys()):
                found[place] = paired(*(np.array([values[trial] for trial in both]) for values in each))
    return found


def trials(table: Sequence[Mapping[str, str]], decay: float | None, name: str, mean: float) -> dict[str, float]:
    """A value of each trial at one λ, of the runs whose mean, of six digits, is the row's: others were trained in another way."""
    names = list(table[0]) if table else []
    settings = names[: names.index("trial")] if "trial" in names else []  # λ, and what else a sweep goes over
    if decay is None or "weight_decay" not in settings or name not in names[len(settings) :]:
        return {}
    alike: dict[tuple[str, ...], dict[str, float]] = {}
    for each in table:
        if each["weight_decay"] and float(each["weight_decay"]) == decay and each[name]:
            alike.setdefault(tuple(each[key] for key in settings), {})[each["trial"]] = float(each[name])
    for known in alike.values():
        own = math.fsum(known.values()) / len(known)
        if math.isclose(own, mean, rel_tol=10.0 ** (1 - DIGITS)) and not any(never(name, value) for value in known.values()):
            return known
    return {}


def paired(old: np.ndarray, new: np.ndarray) -> Effect:
    """The mean difference of trials with its standard error, as far as six digits know it."""
    largest = float(max(np.abs(old).max(), np.abs(new).max()))
    known_to = 10.0 ** (math.floor(math.log10(largest)) + 1 - DIGITS) if largest else 0.0
    found = difference({"value": new}, {"value": old}, {"value": known_to})
    return Effect(found["value"], found.get("value_se"), len(old))


def resolve(repo: Path, base: str) -> str:
    """The commit of a branch, also of origin's, of a tag or an experiment. Raises UserError where there is none."""
    for name in (base, f"refs/remotes/origin/{base}"):
        if found := attempt(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"):
            return found
    if base in (known := experiments(repo)):
        return known[base]
    hint = "`git fetch --tags origin` brings what is there"
    raise UserError(f"expected a branch, tag, commit or experiment, got {base!r}, which is not here; {hint}")


def experiments(repo: Path, of: str = "") -> dict[str, str]:
    """The experiments' commits by their name, the youngest last; on one commit, or on all."""
    folder = f"refs/exps/{of[:2]}/{of[2:]}" if of else "refs/exps"  # where DVC also keeps what is queued
    listed = output(repo, "git", "for-each-ref", "--sort=creatordate", "--format=%(objectname) %(refname)", folder)
    return {name: commit for commit, name in re.findall(r"^(\w+) refs/exps/\w{2}/\w{38}/(.+)$", listed, re.MULTILINE)}


def attempt(repo: Path, *words: str) -> str | None:
    """What Git prints; None where it fails."""
    done = run(repo, "git", *words)
    return None if done.returncode else done.stdout.strip()
