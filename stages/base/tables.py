"""A user's CSV file → numbers, checked: every error names the file, the column and the row, as a spreadsheet counts them.

The file is UTF-8 with a header, its cells separated by commas, semicolons or tabs, quoted as RFC 4180 says. Where semicolons
separate them, a comma is a decimal comma. Shapes: N rows, d inputs.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.base.errors import UserError, meant
from stages.base.memory import must_fit
from stages.base.params import LARGEST

MISSING = {"", "?", "NA", "N/A", "na", "n/a", "NaN", "nan", "NULL", "null", "None"}
MARKS = "nothing, ?, NA, N/A, NaN, NULL or None"
BYTES = 10  # of memory for each byte of a file, while its cells are texts
SHOWN = 30  # characters of a cell in an error
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """The cells of a file, as texts."""

    file: str
    part: str  # of params.yaml, which names the file
    decimal_comma: bool
    columns: Mapping[str, Sequence[str]]
    numbers: Sequence[int]  # of the rows in the file; the header's is 1, a blank line has one too

    def wrong(self, column: str, expected: str, row: int | None = None) -> UserError:
        """The error of a column, or of its cell in the row of this index."""
        place = f"column {short(column)}"
        got = "" if row is None else f", got {short(self.columns[column][row])}"
        at = "" if row is None else f", row {self.numbers[row]}"
        return UserError(f"{self.file}: {place}{at}: expected {expected}{got}")


@dataclass(frozen=True)
class Encoded:
    """Inputs as numbers. A missing one is NaN."""

    names: tuple[str, ...]
    inputs: Floats  # (N, d)


def short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def read_table(content: bytes, file: str, part: str) -> Table:
    """Read all cells. A first column without a name is left out: R and pandas write their rows' names there.

    Raises UserError at what is no table.
    """
    must_fit(BYTES * len(content), f"{part}.file", "a table")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{file}: row {row}: expected UTF-8, got the byte {content[error.start]:#x}: save it as CSV UTF-8"
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as error:
        raise UserError(f"{file}: row {reader.line_num}: expected CSV, got {error}") from error
    if len(rows) < 2:
        raise UserError(f"{file}: expected a header and rows below it, got {'a header alone' if rows else 'an empty file'}")
    if not rows[0][1][0]:
        print(f"{file}: the first column has no name, so it is taken for names of rows, and left out")
        rows = [(number, cells[1:]) for number, cells in rows]
    (_, header), body = rows[0], rows[1:]
    for name, count in Counter(header).items():
        if not name or count > 1:
            got = f"{count} columns {short(name)}" if name else "one without"
            raise UserError(f"{file}: expected a header with a name of its own for each column, got {got}")
    for number, cells in body:
        if len(cells) != len(header):
            raise UserError(f"{file}: row {number}: expected as many cells as in the header, {len(header)}, got {len(cells)}")
    columns = dict(zip(header, zip(*(cells for _, cells in body), strict=True), strict=True))
    return Table(file, part, delimiter == ";", columns, [number for number, _ in body])


def other_columns(table: Table, target: str, without: Sequence[str]) -> list[str]:
    """List the columns that are inputs: all but the target and those that are left out. Raises UserError where one is missing."""
    for name in (target, *without):
        if name not in table.columns:
            raise UserError(
                f"{table.file}: expected a column called as params.yaml says, got none called {meant(name, table.columns)}"
            )
    if target in without:
        raise UserError(f"{table.file}: expected {short(target)} as the target or left out, got both in params.yaml")
    names = [name for name in table.columns if name != target and name not in without]
    if not names:
        raise UserError(f"{table.file}: expected a column beside {short(target)}, got none")
    return names


def decimals(table: Table, column: str) -> Floats | None:
    """A column's numbers, NaN where one is missing; None where most of its cells are none.

    Raises UserError at a text among numbers, and at a number that is not finite.  (N,)
    """
    cells = table.columns[column]
    try:
        found = np.array(list(map(float, cells)))
    except ValueError:
        parsed = [parse(cell, table.decimal_comma) for cell in cells]
        texts = [row for row, number in enumerate(parsed) if number is None]
        known = sum(1 for cell in cells if cell not in MISSING)
        if 2 * len(texts) > known or not known:
            return None
        if texts:
            raise table.wrong(
                column, f"a number, as in most of its rows, or a mark of what is missing: {MARKS}", texts[0]
            ) from None
        found = np.array(parsed, dtype=np.float64)
    beyond = np.flatnonzero(np.isinf(found) | (np.abs(found) > LARGEST))
    if len(beyond):
        raise table.wrong(column, f"a number of at most {LARGEST:g}", int(beyond[0]))
    return found


def parse(cell: str, decimal_comma: bool) -> float | None:
    """A cell's number; NaN where it is missing, None where it is a text."""
    if cell in MISSING:
        return math.nan
    try:
        return float(cell.replace(",", ".", 1) if decimal_comma else cell)
    except ValueError:
        return None


def encoded(table: Table, names: Sequence[str], target: str) -> Encoded:
    """The columns as numbers: a text with two values becomes 0 or 1, one with more a column for each value (one-hot).

    Raises UserError at a column that says nothing, or that says what another one says, or the target.
    """
    seen = {table.columns[target]: target}
    parts: dict[str, Floats | tuple[str, ...]] = {}
    for name in names:
        cells = table.columns[name]
        if cells in seen:
            raise table.wrong(name, f"other values than in column {short(seen[cells])}: leave one out")
        seen[cells] = name
        numbers = decimals(table, name)
        values = tuple(sorted({*cells} - MISSING)) if numbers is None else ()
        several = len(values) if numbers is None else len(np.unique(numbers[~np.isnan(numbers)]))
        if several < 2:
            raise table.wrong(name, f"at least two different values, got {several}: {table.part}.without leaves it out")
        if 2 * len(values) > len(cells):
            first = next(row for row, cell in enumerate(cells) if parse(cell, table.decimal_comma) is None)
            raise table.wrong(name, f"numbers, or categories that come back ({table.part}.without leaves it out)", first)
        if values:
            print(f"{table.file}: column {short(name)} is text, and becomes {len(values)} categories")
        parts[name] = values if numbers is None else numbers
    count = sum(len(part) if isinstance(part, tuple) else 1 for part in parts.values())
    must_fit(8 * 6 * count * len(table.numbers), f"{table.part}.file", f"{count:,} inputs, a column for each category,")
    return laid_out(table, parts)


def laid_out(table: Table, parts: Mapping[str, Floats | tuple[str, ...]]) -> Encoded:
    found: dict[str, Floats] = {}
    for name, part in parts.items():
        if not isinstance(part, tuple):
            found[name] = part
            continue
        cells = np.array(table.columns[name])
        gaps = np.isin(cells, list(MISSING))
        for value in part if len(part) > 2 else part[1:]:
            found[f"{name}={value}"] = np.where(gaps, np.nan, cells == value)
    return Encoded(tuple(found), np.column_stack(list(found.values())))


def classes_of(table: Table, column: str) -> tuple[tuple[str, ...], Floats]:
    """A column's classes, sorted, and the place of each row's among them. Raises UserError where a class has one row.  (N,)"""
    cells = table.columns[column]
    counts = Counter(cells)
    for row, cell in enumerate(cells):
        if cell in MISSING:
            raise table.wrong(column, "a class in each row", row)
        if counts[cell] == 1:
            raise table.wrong(column, f"at least two rows of each class, as {table.part}.task is classification", row)
    if len(counts) < 2:
        raise table.wrong(column, f"at least two classes, got {len(counts)}")
    names = tuple(sorted(counts))
    places = {name: float(place) for place, name in enumerate(names)}
    return names, np.array([places[cell] for cell in cells])


def amounts_of(table: Table, column: str) -> Floats:
    """A column's numbers. Raises UserError where one is missing, or where all are the same.  (N,)"""
    found = decimals(table, column)
    if found is None:
        first = next(row for row, cell in enumerate(table.columns[column]) if parse(cell, table.decimal_comma) is None)
        raise table.wrong(column, f"numbers, as {table.part}.task is regression", first)
    if (gaps := np.flatnonzero(np.isnan(found))).size:
        raise table.wrong(column, "a number in each row", int(gaps[0]))
    if found.min() == found.max():
        raise table.wrong(column, "at least two different numbers, got one")
    return found
