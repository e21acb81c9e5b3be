"""Files: the same bytes twice, whole or not at all, refused by name when foreign."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from stages.base import storage
from stages.base.errors import UserError


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
    for name in ("a", "b"):
        storage.save_arrays(tmp_path / f"{name}.npz", {"x": np.arange(3.0), "y": np.array(2)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


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


class Trap:
    """Unpickling this raises: a test fails if a pickle is ever loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty", "text", "truncated", "flipped", "pickle", "pickled inside", "array", "other names", "other shape"],
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
