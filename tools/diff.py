"""What the working tree changes against BASE, HEAD where none is given, in 80 columns: `make diff`.

Headlines that have changed; with ALL=1 in the environment every value. Of each study what is largest in standard errors comes
first. Colours on a terminal.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from stages.base.errors import UserError
from stages.console.command import in_one_line
from stages.measure.findings import counted
from tools.compared import Compared, compare, headline, resolve
from tools.verdict import HIDDEN, by_study, change, judged, value
from tools.verify import printable

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 24  # letters of a name that has its numbers beside it
COLOURS = {"better": "\x1b[32m", "worse": "\x1b[31m", HIDDEN: "\x1b[2m"}


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1 or not arguments[0]:
        raise UserError("expected a base to compare with, got none: make diff BASE=HEAD")
    commit = resolve(ROOT, arguments[0])
    everything = os.environ.get("ALL", "0") not in ("", "0")
    for line in lines(compare(ROOT, commit), f"{printable(arguments[0])} ({commit[:7]})", everything=everything):
        print(line)


def lines(found: Compared, base: str, *, everything: bool, colours: bool | None = None) -> Iterator[str]:
    """The table, and a line for what is not in it; where nothing has changed, that line alone."""
    shown = [place for place in found.changed if everything or headline(place)]
    others = len(found.changed) - len(shown)
    if shown:
        yield from table(found, shown, colours=sys.stdout.isatty() if colours is None else colours)
    if others:
        yield f"{counted(others, 'more value')} changed{'' if shown else f' since {base}, no headline'}: ALL=1 shows them"
    elif not shown:
        yield f"no result has changed since {base}"


def table(found: Compared, places: list[str], *, colours: bool) -> Iterator[str]:
    """A name that is too long for its column has a line of its own."""
    rows = {place: [value(found, place, 0), value(found, place, 1), change(found, place)] for place in places}
    widths = [max(map(len, each)) for each in zip(("base", "now", "change"), *rows.values(), strict=True)]

    def line(name: str, cells: Sequence[str]) -> str:
        first, second, last = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"{name:{LONGEST}} {first}  {second}  {last.strip().rjust(widths[2])}"

    yield line("what", ("base", "now", "change"))
    for study, own in by_study(places).items():
        yield study
        for place in sorted(own, key=lambda place: (-found.size(place), place)):
            name = f" {printable(place.removeprefix(study).lstrip('_.'))}"
            if len(name) > LONGEST:
                yield name
                name = ""
            said = judged(found, place)
            colour, end = (COLOURS.get(said, ""), "\x1b[0m") if colours and said else ("", "")
            yield f"{line(name, rows[place])} {colour}{said}{end}".rstrip()


if __name__ == "__main__":
    with in_one_line("diff"):
        main(sys.argv[1:])
