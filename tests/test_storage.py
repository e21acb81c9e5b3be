"""Files: the same bytes twice, whole or not at all, refused by name when foreign."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.base import storage
from stages.base.errors import UserError
from stages.base.storage import Integers, Maybe


def test_metrics_are_sorted_rounded_and_finite(tmp_path: Path) -> None:
    storage.save_metrics(tmp_path / "m.json", {"b": {"x": 1 / 3, "n": 3, "l": [2 / 3, None, 1]}, "a": 2.0000001e-32})
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": 2e-32, "b": {"l": [0.666667, None, 1], "n": 3, "x": 0.333333}}
    assert text.index('"a"') < text.index('"b"') < text.index('"n"') < text.index('"x"')
    with pytest.raises(ValueError, match="Out of range"):
        storage.save_metrics(tmp_path / "m.json", {"a": float("nan")})
    assert (tmp_path / "m.json").read_text(encoding="utf-8") == text


def test_tables_come_back(tmp_path: Path) -> None:
    rows = [{"run": "wd", "epoch": 1, "loss": 0.125, "loss_se": None}, {"run": "wd", "epoch": 2, "loss": 1e-7, "loss_se": 2.0}]
    storage.save_table(tmp_path / "t.csv", rows)
    assert storage.load_table(tmp_path / "t.csv", ("run", "loss"), stage="s") == rows


def test_archives_are_the_same_bytes_twice(tmp_path: Path) -> None:
    made_of = {"seed": 0, "line.data.train_x": [1.0, 2.5], "data/line.npz": "0123"}
    for name, told in (("a", made_of), ("b", dict(reversed(made_of.items())))):
        storage.save_arrays(tmp_path / f"{name}.npz", {"x": np.arange(3.0), "y": np.array(2)}, told)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_an_archive_says_what_it_is_made_of(tmp_path: Path) -> None:
    made_of = {"seed": 0, "line.data.train_x": [1.0, 2.5], "line.train.lr": 1e-30, "data/line.npz": "λ"}
    for told in (made_of, {}, None):
        storage.save_arrays(tmp_path / "a.npz", {"x": np.arange(3.0)}, told)
        arrays, known = storage.load_arrays(tmp_path / "a.npz", {"x": 1}, stage="generate@line", exact=True)
        assert {name: array.tolist() for name, array in arrays.items()} == {"x": [0, 1, 2]}
        assert known == (told or {})


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    storage.save_metrics(path, {"a": 1})

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.save_metrics(path, {"a": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def npy(array: NDArray) -> bytes:
    """An array as a member of an archive."""
    member = io.BytesIO()
    np.lib.format.write_array(member, array)
    return member.getvalue()


class Trap:
    """Unpickling this raises: a test fails if a pickle is ever loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "empty", "text", "truncated", "flipped", "pickle", "pickled inside", "array", "other names", "other shape"),
        *("made of nonsense", "made of a list", "made of text"),
    ],
)
def test_a_foreign_data_file_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.npz"
    storage.save_arrays(path, {"x": np.arange(1000.0)})
    content = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "pickled inside":
        np.savez(path, x=np.array([Trap()], dtype=object))
    elif kind == "array":
        path.unlink()
        np.save(tmp_path / "wide.npy", np.arange(3.0))
        (tmp_path / "wide.npy").rename(path)
    elif kind == "other names":
        storage.save_arrays(path, {"z": np.arange(3.0)})
    elif kind == "other shape":
        storage.save_arrays(path, {"x": np.ones((2, 2))})
    elif kind == "made of text":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("made_of", b"hello")
    elif kind.startswith("made of"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("made_of.npy", npy(np.frombuffer(b"{" if kind == "made of nonsense" else b"[1]", np.uint8)))
    else:
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 255
        replaced = {
            "empty": b"",
            "text": b"x,y\n1,2\n",
            "truncated": content[:500],
            "flipped": bytes(flipped),
            "pickle": pickle.dumps(Trap()),
        }
        path.write_bytes(replaced[kind])
    with pytest.raises(
        UserError, match=r"wide\.npz: expected the arrays that `dvc repro` writes at stage generate@wide, got "
    ) as error:
        storage.load_arrays(path, {"x": 1}, stage="generate@wide")
    assert "\n" not in str(error.value)


FLOATS, INTEGERS = np.ones((2, 3)), np.ones((2, 3), dtype=np.int64)


@pytest.mark.parametrize(
    ("array", "dimensions", "told"),
    [
        (FLOATS.astype(complex), 2, "of type complex128, not floats"),
        (np.array([["a", "b"]]), 2, "of type <U1, not floats"),
        (np.array([[b"a"]]), 2, "of type |S1, not floats"),
        (INTEGERS, 2, "of type int64, not floats"),
        (FLOATS > 0, 2, "of type bool, not floats"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), 2, "of type datetime64[D], not floats"),
        (np.zeros((1, 1), [("a", float)]), 2, "of type [('a', '<f8')], not floats"),
        (FLOATS, Integers(2), "of type float64, not integers"),
        (np.array([["1"]]), Integers(2), "of type <U1, not integers"),
        (np.array("x"), 0, "of type <U1, not floats"),
        (FLOATS[:0], 2, "of shape (0, 3), which is empty"),
        (FLOATS[:, :0], 2, "of shape (2, 0), which is empty"),
        (INTEGERS[:0], Integers(2), "of shape (0, 3), which is empty"),
        (FLOATS[0], 2, "of shape (3,), not 2-dimensional"),
        (FLOATS, 0, "of shape (2, 3), not 0-dimensional"),
        (FLOATS, Maybe(1), "of shape (2, 3), not 1-dimensional"),
        (b"hello", 2, "that is no array"),
    ],
    ids=str,
)
def test_an_array_of_another_kind_is_refused_by_name(array: NDArray | bytes, dimensions: int, told: str, tmp_path: Path) -> None:
    """Numbers of another type, no numbers, none at all, no array at all: each would end in a traceback, or count as data."""
    path = tmp_path / "wide.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("y.npy", npy(FLOATS))
        archive.writestr("x.npy", array if isinstance(array, bytes) else npy(array))
    with pytest.raises(UserError) as error:
        storage.load_arrays(path, {"y": 2, "x": dimensions}, stage="generate@wide")
    assert str(error.value) == f"{path}: expected the arrays that `dvc repro` writes at stage generate@wide, got 'x' {told}"


@pytest.mark.parametrize(
    ("array", "dimensions"),
    [
        (FLOATS, 2),
        (FLOATS.astype(np.float32), 2),
        (INTEGERS, Integers(2)),
        (INTEGERS.astype(np.uint8), Integers(2)),
        (FLOATS > 0, Integers(2)),
        (np.array(0.5), 0),
        (FLOATS[:0], Maybe(2)),
        (FLOATS, Maybe(2)),
        (FLOATS > 0, Maybe(2)),
    ],
)
def test_an_array_of_the_right_kind_comes_back_as_it_was(array: NDArray, dimensions: int, tmp_path: Path) -> None:
    storage.save_arrays(tmp_path / "a.npz", {"x": array})
    found = storage.load_arrays(tmp_path / "a.npz", {"x": dimensions}, stage="s")[0]["x"]
    assert (found.dtype, found.shape, found.tolist()) == (array.dtype, array.shape, array.tolist())


def test_what_is_no_array_is_unexpected_where_names_are_exact(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(FLOATS))
        archive.writestr("readme.txt", b"hello")
    with pytest.raises(UserError, match=r"got an unexpected array 'readme\.txt'$"):
        storage.load_arrays(tmp_path / "a.npz", {"x": 2}, stage="s", exact=True)
