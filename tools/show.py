"""The experiments of this commit in at most 80 columns: where their params differ, and what came of it. `make show`.

Results are those with decay: each study's validation accuracy or loss, and its weight norm.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stages.console.command import in_one_line
from tools.experiments import Experiment, Shown, differing, short, shown, telling
from tools.tables import number, real
from tools.verify import printable

ROOT = Path(__file__).resolve().parent.parent
WIDTH, CELL, GAP = 80, 20, "  "  # columns: of all, of a cell at most, between two


def main() -> None:
    print("\n".join(lines(shown(ROOT))))


def lines(found: Shown) -> Iterator[str]:
    places = differing(found.rows)
    columns = {place: column(place, found.rows) for place in places}
    kept = fitting(columns, telling(found.rows, places), names(found.rows))
    yield from table([names(found.rows), *(columns[place] for place in places if place in kept)])
    if not places:
        yield "no experiment of this commit differs from it: dvc exp run -S wd=1"
    dropped = [" ".join(columns[place][:2]).strip() for place in places if place not in kept]
    if dropped:
        yield f"no room for {len(dropped)}: {', '.join(dropped)}"
    if found.left_out:
        yield f"left out: {found.left_out}"
    yield from of_workspace(found)


def names(rows: Sequence[Experiment]) -> list[str]:
    return ["", "experiment", *(cut(row.name) for row in rows)]


def column(place: str, rows: Sequence[Experiment]) -> list[str]:
    """Two lines of a header, and a value a row with the digits that tell it from the others; – where there is none."""
    study, _, value = place.partition(".wd.")
    if any(place in row.results for row in rows):
        head = [study, {"weight_norm": "‖w‖₂"}.get(value, value)]
    else:
        head = ["", short(place, [key for row in rows for key in row.params])]
    values = [row.values.get(place) for row in rows]
    return [*map(cut, head), *(cell(each, values) for each in values)]


def cell(value: Any, others: Sequence[Any]) -> str:
    return number(value, *others) if real(value) else "–" if value is None else cut(str(value))


def cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def fitting(columns: dict[str, list[str]], order: Sequence[str], first: Sequence[str]) -> set[str]:
    """As many of the most telling columns as there is room for beside the first."""
    room, kept = WIDTH - max(map(len, first)), set()
    for place in order:
        room -= len(GAP) + max(map(len, columns[place]))
        if room < 0:
            break
        kept.add(place)
    return kept


def table(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    """Names to the left, numbers to the right."""
    widths = [max(map(len, each)) for each in columns]
    for row in zip(*columns, strict=True):
        cells = [
            text.ljust(width) if index == 0 else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        if any(row):
            yield GAP.join(cells).rstrip()


def of_workspace(found: Shown) -> Iterator[str]:
    """Where the next `-S` would start from, if that is not the commit."""
    if found.workspace is None or not found.rows or found.workspace.params == found.rows[0].params:
        return
    alike = [row.name for row in found.rows if row.params == found.workspace.params]
    whose = cut(alike[0]) if alike else "none of them"
    yield f"the workspace has the params of {whose}: make reset goes back to {cut(found.rows[0].name)}"


if __name__ == "__main__":
    with in_one_line("show"):
        main()
