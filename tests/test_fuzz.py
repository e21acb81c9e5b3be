"""params.yaml, written by a machine that means harm: accepted and valid, or refused in one line."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from conftest import SECTIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.base import params
from stages.base.errors import UserError
from stages.base.yaml12 import Yaml12Loader

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = (ROOT / "params.yaml").read_text(encoding="utf-8")
TREE: dict[str, Any] = yaml.load(SHIPPED, Loader=Yaml12Loader)
DOCUMENTS = 150  # of each of the three kinds

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.sampled_from([float("nan"), float("inf"), -0.0, 1e308, -1e308, 5e-324, 10**7, 10**7 + 1, 2**63]),
    st.text(max_size=20),
    st.sampled_from(
        ["$(touch pwned)", "; touch pwned", "--help", "3e-4", "0x10", "1_000", "yes", "~", "λ", "\x00", "\ud7ff\U0001f600"]
    ),
    st.binary(max_size=8),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


def places(tree: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, value in tree.items():
        found.append((*prefix, name))
        if isinstance(value, dict):
            found += places(value, (*prefix, name))
    return found


def judged(folder: Path, content: bytes) -> None:
    """Accepted with every value by its rule, or refused in one line, within two seconds of work, however busy the machine is."""
    path = folder / "params.yaml"
    path.write_bytes(content)
    started = time.process_time()
    try:
        found = params.read_all(SECTIONS, path=path)
    except UserError as error:
        said = str(error)
        assert said.startswith(str(path))
        assert "\n" not in said
        assert ": expected " in said
        assert ", got " in said
        assert len(said) < 1_000
    else:
        typed(found)
    assert time.process_time() - started < 2
    assert sorted(folder.iterdir()) == [path]


def typed(section: Any) -> None:
    """No dict, bool or infinity anywhere in what was accepted."""
    for name in section.__struct_fields__:
        value = getattr(section, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, msgspec.Struct):
                typed(item)
            else:
                assert type(item) in (int, float, str)
                assert isinstance(item, str) or abs(item) < float("inf")


def relaxed(test: Any) -> Any:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=DOCUMENTS, derandomize=True, deadline=None, database=None, suppress_health_check=checks)(test)


@relaxed
@given(place=st.sampled_from(places(TREE)), value=VALUES, how=st.sampled_from(["replace", "remove", "add", "twice"]))
def test_a_document_with_one_thing_wrong(tmp_path: Path, place: tuple[str, ...], value: Any, how: str) -> None:
    tree = yaml.load(SHIPPED, Loader=Yaml12Loader)
    section = tree
    for name in place[:-1]:
        section = section[name]
    if how == "replace":
        section[place[-1]] = value
    elif how == "remove":
        del section[place[-1]]
    elif how == "add":
        section[str(value)] = value
    text = yaml.safe_dump(tree, allow_unicode=True)
    if how == "twice":
        text += f"{place[0]}: {yaml.safe_dump(value)}\n"
    judged(tmp_path, text.encode("utf-8", "surrogatepass"))


@relaxed
@given(data=st.data())
def test_the_shipped_document_with_its_text_torn(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(SHIPPED.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(content)))
        pieces = [
            b"",
            b"&a ",
            b"*a",
            b"<<: *a\n",
            b"!!python/object/apply:os.system [touch pwned]",
            b"!!binary x",
            b"{",
            b"[" * 50,
            b"\t",
            b"\r",
        ]
        piece = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from(pieces)))
        content[first : first + data.draw(st.integers(0, 30))] = piece
    judged(tmp_path, bytes(content))


@relaxed
@given(value=st.one_of(VALUES, st.dictionaries(st.sampled_from(sorted(TREE)), VALUES)))
def test_another_document_altogether(tmp_path: Path, value: Any) -> None:
    judged(tmp_path, yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(range(256)) * 20,
        b"a: &a [x, x]\n"
        + b"".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n".encode() for n in range(24)),
        b"[" * 100_000,
        b"- " * 50_000,
        b"{a: " * 5_000,
        b"wd: !!python/object/apply:os.system ['touch pwned']",
        b"? " * 1_000,
        b"\xff\xfe" + "wd: 3".encode("utf-16-le"),
        SHIPPED.replace("seed: 0", "seed: " + "9" * 100_000).encode(),
        SHIPPED.replace("seed: 0", "seed: 1" + "_0" * 3_000).encode(),
    ],
    ids=["empty", "binary", "a billion laughs", "brackets", "dashes", "braces", "tag", "keys", "utf-16", "digits", "underscores"],
)
def test_a_stage_refuses_it_in_one_line_and_writes_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    command = [sys.executable, "-m", "stages.generate", "line"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 1
    assert result.stderr.startswith("error: params.yaml: ")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
