"""The experiments of this commit in at most 80 columns: what differs of their params, and what came of it. `make show`.

They are read from Git, where DVC keeps each that has succeeded: a queue that stands still, or has lost its files, is not asked.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.base.errors import UserError
from stages.base.yaml12 import Yaml12Loader
from stages.console.command import in_one_line
from tools.compared import declared, experiments, leaves, never, real
from tools.process import output
from tools.verdict import number
from tools.verify import printable

ROOT = Path(__file__).resolve().parent.parent
WIDTH, CELL, GAP = 80, 24, "  "  # columns: of all, of a cell at most, between two


@dataclass(frozen=True)
class Experiment:
    """Its params by their key, and each study's headlines by `row.value`."""

    name: str
    params: Mapping[str, Any]
    results: Mapping[str, Mapping[str, Any]]


def main(root: Path = ROOT) -> None:
    head = output(root, "git", "rev-parse", "HEAD")
    found = experiments(root, head)
    if not found:
        print("no experiment of this commit: dvc exp run -S wd=1")
        return
    branch = output(root, "git", "rev-parse", "--abbrev-ref", "HEAD")
    rows = [read(root, name, commit) for name, commit in {branch: head, **found}.items()]
    here = flat((root / "params.yaml").read_text(encoding="utf-8"))
    print("\n".join([*lines(rows), *of_workspace(here, rows)]))


def read(root: Path, name: str, commit: str) -> Experiment:
    files = output(root, "git", "ls-tree", "--name-only", commit, "metrics/").splitlines()
    texts = {Path(path).stem: output(root, "git", "show", f"{commit}:./{path}") for path in files if path.endswith(".json")}
    params = flat(output(root, "git", "show", f"{commit}:./params.yaml"))
    return Experiment(name, params, {study: leaves(json.loads(text)) for study, text in texts.items()})


def flat(text: str) -> dict[str, Any]:
    try:
        return leaves(yaml.load(text, Yaml12Loader))
    except yaml.YAMLError as error:
        raise UserError(f"params.yaml: expected YAML, got {' '.join(str(error).split())}") from error


def lines(rows: Sequence[Experiment]) -> Iterator[str]:
    """A table of each study that has changed: params that differ, then its headlines in their order."""
    given, made = [row.params for row in rows], [row.results for row in rows]
    first = [["experiment", *(cut(row.name) for row in rows)]]
    first += [column(key, [each.get(key) for each in given]) for key in differing(given)]
    for study in differing(made):
        own = [each.get(study, {}) for each in made]
        places = sorted(differing(own), key=lambda place: rank(study, place))
        kept = fitting([*first, *(column(place, [each.get(place) for each in own]) for place in places)])
        yield study
        yield from table(kept)
        if dropped := places[max(len(kept) - len(first), 0) :]:
            yield from textwrap.wrap(f"no room for {', '.join(dropped)}", WIDTH)
        yield ""
    if not differing(made):
        yield from table(fitting(first))
        yield "no result differs"


def differing(each: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all."""
    keys = dict.fromkeys(key for one in each for key in one)
    return [key for key in keys if any(one.get(key) != each[0].get(key) for one in each)]


def rank(study: str, place: str) -> tuple[int, int]:
    """Where a headline and its row stand in the study's declaration; `sweep`, which is no row of the arms, comes last."""
    known, (row, *_, name) = declared(study), place.split(".")
    return ([*known.headlines, name].index(name), [*known.rows, row].index(row)) if known else (0, 0)


def column(place: str, values: Sequence[Any]) -> list[str]:
    """A header, which leaves out that it is the arm `wd`, and a cell a row; – where there is nothing."""

    def cell(value: Any) -> str:
        if never(place, value):
            return "not reached"
        if real(value):
            return number(value, values[0] if real(values[0]) else None)
        return "–" if value is None else cut(str(value))

    return [cut(place.removeprefix("wd.")), *map(cell, values)]


def cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def fitting(columns: list[list[str]]) -> list[list[str]]:
    """As many of the columns, from the left, as there is room for."""
    widths = [max(map(len, each)) + len(GAP) for each in columns]
    return [each for index, each in enumerate(columns) if sum(widths[: index + 1]) <= WIDTH + len(GAP)]


def table(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    """Names to the left, numbers to the right."""
    widths = [max(map(len, each)) for each in columns]
    for first, *others in zip(*columns, strict=True):
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        yield GAP.join([first.ljust(widths[0]), *cells]).rstrip()


def of_workspace(here: Mapping[str, Any], rows: Sequence[Experiment]) -> Iterator[str]:
    """Where the next `-S` would start from, if that is not the commit."""
    if here != rows[0].params:
        whose = next((cut(row.name) for row in rows if row.params == here), "none of them")
        yield f"the workspace has the params of {whose}: make reset goes back to {cut(rows[0].name)}"


if __name__ == "__main__":
    with in_one_line("show"):
        main()
