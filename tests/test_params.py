"""params.yaml is accepted as shipped and refused in one line, with the key, the rule and the value, otherwise."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml
from conftest import SECTIONS

from stages.base import params
from stages.base.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = (ROOT / "params.yaml").read_text(encoding="utf-8")


def load(tmp_path: Path, text: str | bytes) -> params.Settings:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return params.load(SECTIONS, whole=True, path=path)


def with_value(key: str, value: object) -> str:
    tree = yaml.safe_load(SHIPPED)
    *sections, name = key.split(".")
    section = tree
    for part in sections:
        section = section[part]
    if value is ...:
        del section[name]
    else:
        section[name] = value
    return yaml.safe_dump(tree)


def test_the_shipped_file_is_read_as_it_is_written(settings: params.Settings) -> None:
    assert _lists(msgspec.to_builtins(settings)) == yaml.safe_load(SHIPPED)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("wide.lr", -1, "params.yaml: wide.lr: expected a number > 0, got -1"),
        ("wd", "abc", "params.yaml: wd: expected a number ≥ 0, got 'abc'"),
        ("wd", -0.5, "params.yaml: wd: expected a number ≥ 0, got -0.5"),
        ("wd", float("nan"), "params.yaml: wd: expected a number ≥ 0, got nan"),
        ("wd", float("inf"), "params.yaml: wd: expected a number ≥ 0, got inf"),
        ("wd", None, "params.yaml: wd: expected a number ≥ 0, got nothing"),
        ("wd", "3", "params.yaml: wd: expected a number ≥ 0, got '3', a text: write it without quotes"),
        ("wd", True, "params.yaml: wd: expected a number ≥ 0, got True"),
        ("wd", "3; rm -rf .", "params.yaml: wd: expected a number ≥ 0, got '3; rm -rf .'"),
        ("wd", ..., "params.yaml: wd: expected a number ≥ 0, got nothing"),
        ("wide", ..., "params.yaml: wide: expected a section, got nothing"),
        ("wide", 3, "params.yaml: wide: expected a section, got 3"),
        ("seed", 1.5, "params.yaml: seed: expected an integer ≥ 0, got 1.5"),
        ("line.trials", 0, "params.yaml: line.trials: expected an integer from 1 to 10⁷, got 0"),
        ("line.system.train_x", [], "params.yaml: line.system.train_x: expected a list of at least one number, got []"),
        ("line.system.train_x", [1, "b"], "params.yaml: line.system.train_x[1]: expected a number, got 'b'"),
        ("wide.sweep", [], "params.yaml: wide.sweep: expected a list of at least one number, got []"),
        ("wide.sweep", [0, 2, 1], "params.yaml: wide.sweep: expected 0 and then ascending λ, got [0, 2, 1]"),
        ("wide.sweep", [0, 1, 1], "params.yaml: wide.sweep: expected 0 and then ascending λ, got [0, 1, 1]"),
        ("wide.sweep", [1, 2], "params.yaml: wide.sweep: expected 0 and then ascending λ, got [1, 2]"),
        ("wide.sweep", [0, -1], "params.yaml: wide.sweep[1]: expected a number ≥ 0, got -1"),
        ("modular.system.train_fraction", 1, "params.yaml: modular.system.train_fraction: expected a number > 0 and < 1, got 1"),
    ],
)
def test_a_bad_value_is_named_with_its_rule(
    key: str, value: object, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text(with_value(key, value), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        params.load(SECTIONS, whole=True)
    assert str(error.value) == expected


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wide: expected only trials, epochs, .*, got 'lrr'; did you mean 'lr'\?"):
        load(tmp_path, with_value("wide.lrr", 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "a: [",
        SHIPPED.replace("seed: 0", "seed: 0\nseed: 1"),
        "seed: " + "9" * 5000,
        "wd: !!python/object/apply:os.system ['true']",
        "a: &a [*a]",
        "[" * 3000,
        b"\xff\xfe\x00",
        b"\x00",
        "? [1, 2]\n: 3",
    ],
    ids=["empty", "list", "open", "twice", "long", "tag", "alias", "deep", "latin", "null", "key"],
)
def test_what_is_no_lab_book_is_refused_in_one_line(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: .*expected .*, got ") as error:
        load(tmp_path, text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_numbers_are_read_as_dvc_writes_them(tmp_path: Path) -> None:
    """`3e-4` is a number in YAML 1.2, which DVC reads and writes, and a string in 1.1."""
    for text, value in (("3e-4", 3e-4), ("3", 3.0), ("0.5", 0.5), ("1E+2", 100.0), (".5", 0.5)):
        assert load(tmp_path, re.sub(r"(?m)^wd: \S+", f"wd: {text}", SHIPPED)).wd == value


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a readable UTF-8 file"):
        params.load(SECTIONS, path=tmp_path / "none.yaml")


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
