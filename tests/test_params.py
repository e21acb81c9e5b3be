"""params.yaml is accepted as shipped and refused in one line, with the key, the rule and the value, otherwise."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from conftest import SECTIONS

from stages.base import params
from stages.base.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = (ROOT / "params.yaml").read_text(encoding="utf-8")


def load(tmp_path: Path, text: str | bytes) -> Any:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return params.read_all(SECTIONS, path=path)


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


def test_the_shipped_file_is_read_as_it_is_written(settings: Any) -> None:
    assert _lists(msgspec.to_builtins(settings)) == yaml.safe_load(SHIPPED)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("wide.train.lr", -1, "params.yaml: wide.train.lr: expected a number > 0, got -1"),
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
        ("seed", 1.5, "params.yaml: seed: expected an integer from 0 to 2⁶³ − 1, got 1.5"),
        ("seed", 2**63, f"params.yaml: seed: expected an integer from 0 to 2⁶³ − 1, got {2**63}"),
        ("line.data.trials", 0, "params.yaml: line.data.trials: expected an integer from 1 to 10⁷, got 0"),
        ("line.data.train_x", [], "params.yaml: line.data.train_x: expected a list of at least one number, got []"),
        ("line.data.train_x", [1, "b"], "params.yaml: line.data.train_x[1]: expected a number, got 'b'"),
        ("wide.sweep.wd", [], "params.yaml: wide.sweep.wd: expected a list of at least one number, got []"),
        ("wide.sweep.wd", [0, 2, 1], "params.yaml: wide.sweep.wd: expected 0 and then ascending λ, got [0, 2, 1]"),
        ("wide.sweep.wd", [0, 1, 1], "params.yaml: wide.sweep.wd: expected 0 and then ascending λ, got [0, 1, 1]"),
        ("wide.sweep.wd", [1, 2], "params.yaml: wide.sweep.wd: expected 0 and then ascending λ, got [1, 2]"),
        ("wide.sweep.wd", [0, -1], "params.yaml: wide.sweep.wd[1]: expected a number ≥ 0, got -1"),
        ("modular.sweep.shares.wd", [1], "params.yaml: modular.sweep.shares.wd: expected 0 and then ascending λ, got [1]"),
        ("wide.sweep.epochs", [3, 1], "params.yaml: wide.sweep.epochs: expected ascending numbers, got [3, 1]"),
        ("line.sweep", ..., "params.yaml: line.sweep: expected a section, got nothing"),
        ("line.adam_wd", ..., "params.yaml: line.adam_wd: expected a number ≥ 0, got nothing"),
        ("modular.train.train_fraction", 1, "params.yaml: modular.train.train_fraction: expected a number > 0 and < 1, got 1"),
    ],
)
def test_a_bad_value_is_named_with_its_rule(
    key: str, value: object, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text(with_value(key, value), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        params.read_all(SECTIONS)
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("wide.train.lrr", r"wide\.train: expected only epochs, batch_size, lr, momentum, got 'lrr'; did you mean 'lr'\?"),
        ("wide.lr", r"wide: expected only data, train, sweep, got 'lr'"),
        ("digits.netwrk_wd", r"digits: expected only wd, network_wd, data, .*, got 'netwrk_wd'; did you mean 'network_wd'\?"),
        ("modular.sweep.shares.wdd", r"modular\.sweep\.shares: expected only trials, .*, got 'wdd'; did you mean 'wd'\?"),
        ("trials", r"expected only seed, baseline, wd, .*, got 'trials'"),
    ],
)
def test_an_unknown_key_is_named(key: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"params\.yaml: {expected}$"):
        load(tmp_path, with_value(key, 1))


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
        params.read_all(SECTIONS, path=tmp_path / "none.yaml")


def read(tmp_path: Path, study: str, *names: str, text: str = SHIPPED) -> params.Settings:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return params.read(study, SECTIONS[study], *names, path=path)


def test_a_stage_gets_the_parts_and_the_numbers_that_it_asks_for(tmp_path: Path, settings: Any) -> None:
    found = read(tmp_path, "line", "seed", "train", "adam_wd")
    assert found.section.train == settings.line.train
    assert found.numbers == {"seed": settings.seed, "adam_wd": settings.line.adam_wd}
    adam = {f"line.train.adam.{name}" for name in ("epochs", "evaluate_every", "lr", "beta1", "beta2", "eps")}
    train = {f"line.train.{name}" for name in ("epochs", "batch_size", "lr", "momentum")}
    assert set(found.flat) == {"seed", "line.adam_wd"} | train | adam
    assert found.flat["line.train.adam.eps"] == settings.line.train.adam.eps
    assert read(tmp_path, "wide", "wd", "sweep").flat["wide.sweep.epochs"] == list(settings.wide.sweep.epochs)


@pytest.mark.parametrize("study", SECTIONS)
def test_what_a_stage_did_not_ask_for_cannot_be_read(study: str, tmp_path: Path) -> None:
    """Neither another part, nor a λ of the study, even one that it asked for as a number: that stands in `numbers`."""
    asked = ("data", "wd")
    section = read(tmp_path, study, *asked).section
    for name in SECTIONS[study].__struct_fields__:
        if name == "data":
            assert section.data.trials >= 1
            continue
        with pytest.raises(AttributeError, match=rf"^{study}\.{name}\.x is read by a stage that did not ask for {study}\.{name}"):
            getattr(section, name).x  # noqa: B018


def test_a_number_that_a_stage_did_not_ask_for_enters_no_arithmetic(tmp_path: Path) -> None:
    section = read(tmp_path, "line", "train").section
    compared = (lambda decay: decay == 0, lambda decay: decay < 1, lambda decay: decay <= 1, bool)
    computed = (float, int, lambda decay: 2 * decay, lambda decay: decay * 2, lambda decay: decay + 1, lambda decay: 1 / decay)
    for use in (*compared, *computed, str, lambda decay: f"{decay:g}", np.asarray):
        with pytest.raises((AttributeError, TypeError)):
            use(section.wd)


def test_a_section_is_checked_whole_and_others_are_not(tmp_path: Path) -> None:
    """So a mistake in one study stops no stage of another; `check` reads all."""
    with pytest.raises(UserError, match=r"params\.yaml: line\.sweep\.wd: expected 0 and then ascending λ, got \[1\]$"):
        read(tmp_path, "line", "data", text=with_value("line.sweep.wd", [1]))
    assert read(tmp_path, "line", "data", text=with_value("wide.sweep.wd", [1])).flat["line.data.slope"] == 2
    assert read(tmp_path, "line", "data", text=with_value("nonsense", 1)).flat["line.data.slope"] == 2
    with pytest.raises(UserError, match=r"params\.yaml: wd: expected a number ≥ 0, got -1$"):
        read(tmp_path, "line", "data", text=with_value("wd", -1))


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
