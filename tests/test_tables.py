"""A user's CSV file: what is read of it, and what is refused in a line that names its column and row."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SYSTEMS, Clone, changed, fit
from sklearn.preprocessing import OneHotEncoder

from stages.base import memory
from stages.base.errors import UserError
from stages.base.streams import Arrays, Streams
from stages.base.tables import MARKS, Table, decimals, encoded, read_table
from stages.studies.table import training

COLOURS = ("red", "green", "blue")
ROWS = [["size", "colour", "price"], *([f"{size}.5", COLOURS[size % 3], str(size * size)] for size in range(24))]


def written(rows: list[list[str]], delimiter: str = ",") -> bytes:
    return "".join(delimiter.join(row) + "\n" for row in rows).encode()


def with_cell(row: int, column: int, cell: str) -> bytes:
    """The table with another cell; row 1 is the header, as in a spreadsheet."""
    rows = [list(each) for each in ROWS]
    rows[row - 1][column] = cell
    return written(rows)


def with_column(name: str, cells: list[str]) -> bytes:
    return written([[*row, cell] for row, cell in zip(ROWS, [name, *cells], strict=True)])


def draw(settings: Any, content: bytes, **values: Any) -> Arrays:
    own = {"file": "mine.csv", "target": "price", "trials": 2} | values
    section = changed(settings.table, {f"data.{name}": value for name, value in own.items()})
    return SYSTEMS["table"].draw(section, Streams(0, "table"), content)


def read(content: bytes) -> Table:
    return read_table(content, "mine.csv", "table.data")


CLASSES = {"target": "colour", "task": "classification"}
BAD: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "nothing": (b"", {}, "expected a header and rows below it, got an empty file"),
    "a header alone": (b"size,price\n", {}, "expected a header and rows below it, got a header alone"),
    "another encoding": (
        with_cell(3, 1, "grün").decode().encode("latin-1"),
        {},
        "row 3: expected UTF-8, got the byte 0xfc: save it as CSV UTF-8",
    ),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", {}, "row 1: expected UTF-8, got the byte 0x89: save it as CSV UTF-8"),
    "an open quote": (with_cell(4, 1, '"red'), {}, "row 25: expected CSV, got unexpected end of data"),
    "a short row": (
        written([*ROWS[:5], ["1", "red"], *ROWS[5:]]),
        {},
        "row 6: expected as many cells as in the header, 3, got 2",
    ),
    "a name twice": (
        with_column("size", list("ab" * 12)),
        {},
        "expected a header with a name of its own for each column, got 2 columns 'size'",
    ),
    "no name": (with_cell(1, 1, ""), {}, "expected a header with a name of its own for each column, got one without"),
    "no such target": (
        written(ROWS),
        {"target": "prices"},
        "expected a column called as params.yaml says, got none called 'prices'; did you mean 'price'?",
    ),
    "no such column to leave out": (
        written(ROWS),
        {"without": "color"},
        "expected a column called as params.yaml says, got none called 'color'; did you mean 'colour'?",
    ),
    "the target left out": (
        written(ROWS),
        {"without": "price"},
        "expected 'price' as the target or left out, got both in params.yaml",
    ),
    "the target alone": (written(ROWS), {"without": "size, colour"}, "expected a column beside 'price', got none"),
    "a constant column": (
        with_column("year", ["2024"] * 24),
        {},
        "column 'year': expected at least two different values, got 1: table.data.without leaves it out",
    ),
    "a column that says the same": (
        with_column("width", [row[0] for row in ROWS[1:]]),
        {},
        "column 'width': expected other values than in column 'size': leave one out",
    ),
    "the target among the inputs": (
        with_column("cost", [row[2] for row in ROWS[1:]]),
        {},
        "column 'cost': expected other values than in column 'price': leave one out",
    ),
    "a text among numbers": (
        with_cell(7, 0, "n. a."),
        {},
        f"column 'size', row 7: expected a number, as in most of its rows, or a mark of what is missing: {MARKS}, got 'n. a.'",
    ),
    "a comma in a number": (
        with_cell(7, 0, '"1,234"'),
        {},
        f"column 'size', row 7: expected a number, as in most of its rows, or a mark of what is missing: {MARKS}, got '1,234'",
    ),
    "an infinite number": (with_cell(9, 0, "-inf"), {}, "column 'size', row 9: expected a number of at most 1e+30, got '-inf'"),
    "a missing cell": (
        with_cell(5, 0, "NA"),
        {},
        "column 'size', row 5: expected a value; or table.data.missing = mean, the mean of the training rows, got 'NA'",
    ),
    "a missing category": (
        with_cell(6, 1, ""),
        {},
        "column 'colour', row 6: expected a value; or table.data.missing = mean, the mean of the training rows, got ''",
    ),
    "a missing target": (with_cell(6, 2, "?"), {}, "column 'price', row 6: expected a number in each row, got '?'"),
    "a missing class": (with_cell(6, 1, ""), CLASSES, "column 'colour', row 6: expected a class in each row, got ''"),
    "classes in a regression": (
        written(ROWS),
        {"target": "colour"},
        "column 'colour', row 2: expected numbers, as table.data.task is regression, got 'red'",
    ),
    "a class with one row": (
        with_cell(8, 1, "pink"),
        CLASSES,
        "column 'colour', row 8: expected at least two rows of each class, as table.data.task is classification, got 'pink'",
    ),
    "a single class": (
        written([[row[0], "red" if row[1] != "colour" else row[1], row[2]] for row in ROWS]),
        CLASSES,
        "column 'colour': expected at least two classes, got 1",
    ),
    "a constant target": (
        written([[row[0], row[1], "7" if row[2] != "price" else row[2]] for row in ROWS]),
        {},
        "column 'price': expected at least two different numbers, got one",
    ),
    "names as an input": (
        with_column("name", [f"no. {row}" for row in range(24)]),
        {},
        "column 'name', row 2: expected numbers, or categories that come back (table.data.without leaves it out), got 'no. 0'",
    ),
    "few rows": (written(ROWS[:10]), {}, "expected at least 10 rows below the header, got 9"),
    "fewer rows than asked": (
        written(ROWS),
        {"val": 0.6, "test": 0.39},
        "expected 26 rows for validation, test and training, got 24",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_table_is_refused_in_a_line_with_column_and_row(bad: str, settings: Any) -> None:
    content, values, said = BAD[bad]
    with pytest.raises(UserError) as caught:
        draw(settings, content, **values)
    assert str(caught.value) == f"mine.csv: {said}"


def test_more_categories_than_memory_are_refused_before_they_are_made(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = with_column("town", [f"town {row // 2}" for row in range(24)])
    monkeypatch.setattr(memory, "memory", lambda: 10_000)
    with pytest.raises(
        UserError, match=r"params\.yaml: table\.data\.file: expected 16 inputs, a column for each category, of at most"
    ):
        draw(settings, content)
    monkeypatch.setattr(memory, "memory", lambda: 1_000)
    with pytest.raises(UserError, match=r"params\.yaml: table\.data\.file: expected a table of at most"):
        draw(settings, content)


@pytest.mark.parametrize("bad", ["missing", "folder", "columns"])
def test_a_bad_file_ends_the_stage_with_one_line_and_writes_nothing(bad: str, reproduced: Clone) -> None:
    before = (reproduced.path / "data" / "table.npz").read_bytes()
    name = {"missing": "mine.csv", "folder": "docs", "columns": "data/wine.csv"}[bad]
    said = {
        "missing": "mine.csv: expected a file that can be read, as params.yaml names it at table.data.file, got No such file",
        "folder": "docs: expected a file that can be read, as params.yaml names it at table.data.file, got Is a directory",
        "columns": "data/wine.csv: expected a column called as params.yaml says, got none called 'progression'",
    }[bad]
    try:
        reproduced.set("table.data.file", name)
        done = reproduced.stage("stages.generate", "table")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(f"error: {said}")
        assert (reproduced.path / "data" / "table.npz").read_bytes() == before
        assert not list((reproduced.path / "data").glob(".*.tmp"))
    finally:
        reproduced.run("git", "checkout", "-q", ".")


def test_categories_are_scikit_learns_one_hot(settings: Any) -> None:
    """A text with two values becomes one column."""
    content = with_column("new", ["yes" if row % 5 else "no" for row in range(24)])
    arrays = draw(settings, content)
    cells = [row.split(",") for row in content.decode().split()[1:]]
    expected = OneHotEncoder(drop="if_binary", sparse_output=False).fit_transform([[row[1], row[3]] for row in cells])
    assert arrays["names"].tolist() == ["size", "colour=blue", "colour=green", "colour=red", "new=yes"]
    np.testing.assert_array_equal(arrays["inputs"][:, 1:], expected)
    np.testing.assert_array_equal(arrays["inputs"][:, 0], [float(row[0]) for row in cells])
    np.testing.assert_array_equal(arrays["target"], [float(row[2]) for row in cells])


@pytest.mark.parametrize(
    ("delimiter", "cell", "number"), [(",", "1.5", 1.5), (";", "1,5", 1.5), (";", "1.5", 1.5), ("\t", " 2e3 ", 2000.0)]
)
def test_cells_are_separated_by_commas_semicolons_or_tabs(delimiter: str, cell: str, number: float) -> None:
    """Beside semicolons a comma is a decimal comma, as spreadsheets write it in half of Europe."""
    table = read(b"\xef\xbb\xbf" + written([["a", "b"], [cell, "1"], ["3", "2"]], delimiter).replace(b"\n", b"\r\n"))
    assert list(table.columns) == ["a", "b"]
    found = decimals(table, "a")
    assert found is not None
    assert found.tolist() == [number, 3.0]


def test_quotes_are_those_of_rfc_4180_and_blank_lines_are_none() -> None:
    """A row is counted as a spreadsheet counts it, lines within quotes too."""
    table = read(b'"a, b",c\n"say ""so""",1\n\n"two\nlines",2\n')
    assert table.columns == {"a, b": ('say "so"', "two\nlines"), "c": ("1", "2")}
    assert table.numbers == [2, 5]


def test_a_first_column_without_a_name_is_taken_for_names_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """As R and pandas write them. Elsewhere a column needs a name."""
    table = read(written([["", "a", "b"], ["1", "x", "3"], ["2", "y", "4"]]))
    assert table.columns == {"a": ("x", "y"), "b": ("3", "4")}
    assert capsys.readouterr().out == "mine.csv: the first column has no name, so it is taken for names of rows, and left out\n"


def test_missing_cells_are_gaps_of_numbers_and_of_categories(settings: Any) -> None:
    rows = [list(row) for row in ROWS]
    rows[3][0], rows[5][1] = "NA", ""
    arrays = draw(settings, written(rows), missing="mean")
    gaps = np.argwhere(np.isnan(arrays["inputs"])).tolist()
    assert gaps == [[2, 0], [4, 1], [4, 2], [4, 3]]


def test_a_wide_table_of_texts_and_gaps_is_trained_whole(settings: Any) -> None:
    """A rare category that no training row has weighs nothing."""
    rows = [list(row) for row in ROWS]
    rows[3][0], rows[5][1], rows[7][1], rows[8][1] = "NA", "", "pink", "pink"
    arrays = draw(settings, written(rows), missing="mean", features="quadratic")
    section = changed(settings.table, {"sweep.wd": (0.0, 3.0), "train.steps": 500})
    found = training.sweep(section, arrays, training.torch.device("cpu"), fit)
    assert found["trained"].any()
    assert np.isfinite(found["weight"][:, found["trained"]]).all()
    assert found["weight"].shape[3] == len(arrays["names"]) + len(arrays["terms"])


@pytest.mark.parametrize("values", [{}, {"task": "classification", "target": "kind"}])
def test_inputs_of_which_none_varies_among_the_training_rows_weigh_nothing(values: dict[str, Any], settings: Any) -> None:
    """One rare value: whatever is trained, at λ = 0 alone, are zeros."""
    rows = [[str(int(row == 0)), str(row % 7), "ab"[row % 2]] for row in range(20)]
    content = written([["rare", "price", "kind"], *rows])
    arrays = draw(settings, content, without="kind" if not values else "price", trials=1, **values)
    arrays["order"] = np.arange(20)[None]  # the first row is a validation row
    found = training.sweep(changed(settings.table, {"sweep.wd": (0.0,)}), arrays, training.torch.device("cpu"), fit)
    assert (found["weight"] == 0).all()


def test_the_shipped_tables_are_scikit_learns() -> None:
    from sklearn.datasets import load_diabetes, load_wine

    for name, known in (("diabetes", load_diabetes(scaled=False)), ("wine", load_wine())):
        table = read(Path(__file__).parent.parent.joinpath("data", f"{name}.csv").read_bytes())
        *inputs, target = table.columns
        np.testing.assert_array_equal(encoded(table, inputs, target).inputs, known.data)
        cells = table.columns[target]
        expected = (
            [known.target_names[each] for each in known.target] if name == "wine" else [f"{each:g}" for each in known.target]
        )
        assert list(cells) == expected
