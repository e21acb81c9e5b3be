"""What the working tree changes against BASE, HEAD where none is given, as one table of 80 columns: `make diff`.

Headlines that have changed; with ALL=1 in the environment every value. Of each study what is largest in standard errors comes
first. Colours on a terminal, plain text elsewhere.
"""

import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from stages.base.errors import UserError
from stages.console.command import in_one_line
from tools.sides import Compared, checked_out, compare, resolve
from tools.tables import HEADLINE, compared, differs, effect, grouped, means, never, plural, study_of
from tools.verify import printable

ROOT = Path(__file__).resolve().parent.parent
WIDTH, NAMES = 80, 26  # columns, of all and at most of a name
COLOURS = {"better": "green", "worse": "red", "within ±": "dim"}


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1 or not arguments[0]:
        raise UserError("expected a base to compare with, got none: make diff BASE=HEAD")
    base = arguments[0]
    commit = resolve(ROOT, base)
    with checked_out(ROOT, commit) as place:
        found = compare(place, ROOT)
    console = screen()
    for line in shown(found, f"{printable(base)} ({commit[:7]})", everything=os.environ.get("ALL", "0") not in ("", "0")):
        console.print(line)


def screen() -> Console:
    """Of 80 columns, or of a narrower terminal's; no colours and no control characters but on a terminal."""
    terminal = sys.stdout.isatty()
    width = min(WIDTH, shutil.get_terminal_size().columns) if terminal else WIDTH
    return Console(width=width, force_terminal=terminal, highlight=False, emoji=False, markup=False)


def shown(found: Compared, base: str, *, everything: bool) -> Iterator[RenderableType]:
    """The table, and a line for what is not in it; where nothing has changed, that line alone."""
    changed = [place for place in means(found.metrics) if differs(found.metrics, place)]
    rows = [place for place in changed if everything or HEADLINE.search(place)]
    others = len(changed) - len(rows)
    if rows:
        yield table(found, rows)
    if others:
        yield f"{plural(others, 'more value')} changed{'' if rows else f' since {base}, no headline'}: ALL=1 shows them"
    elif not changed:
        yield f"no result has changed since {base}"
    for side, name, why in found.torn:
        yield f"left out: {printable(name)} of {(base, 'the working tree')[side]} cannot be read: {printable(why)}"


def table(found: Compared, places: Sequence[str]) -> Table:
    """A section a study, its values from the largest effect to the smallest."""
    rows: list[tuple[Text, ...]] = []
    for study, own in grouped({place: found.metrics[place] for place in places}, study_of).items():
        rows.append((Text(printable(study), "bold"),))
        for place in sorted(own, key=lambda place: (-size(found, place), place)):
            before, *cells, said = compared(found.metrics, place, found.paired)
            name = f" {printable(place.removeprefix(study).lstrip('_.'))}"
            name = name if len(name) <= NAMES else ".\n   ".join(name.rsplit(".", 1))
            rows.append((Text(name), Text(f"{before} "), *map(Text, cells), Text(said, COLOURS.get(said, ""))))
    columns = (
        Column("what", width=min(max(row[0].cell_len for row in rows), NAMES), overflow="fold"),
        *(Column(name, overflow="fold") for name in ("base", "now")),
        Column("change", justify="right", no_wrap=True),
        Column("", no_wrap=True),
    )
    made = Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for row in rows:
        made.add_row(*row)
    return made


def size(found: Compared, place: str) -> float:
    """In standard errors; a step that is now reached, or no longer, is beyond all of them, and what has none comes last."""
    if any(never(place, value) for value in found.metrics[place]):
        return math.inf
    moved = effect(found.metrics, place, found.paired)
    return moved.size if moved else 0.0


if __name__ == "__main__":
    with in_one_line("diff"):
        main(sys.argv[1:])
