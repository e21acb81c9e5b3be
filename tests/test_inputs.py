"""What a stage has read is what stands there when it writes: params, data and code, edited while it runs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ARMED, ROOT, SECTIONS, SYSTEMS, Clone

from stages import studies
from stages.base import inputs, params
from stages.base.errors import UserError
from stages.base.system import DRAWN_FROM, SWEPT_WITH
from stages.base.yaml12 import Yaml12Loader

MENDED = "`dvc repro` computes them from what stands there now, `make reset` restores the committed ones"


@pytest.fixture
def long(reproduced: Clone) -> Iterator[Clone]:
    """A clone in which an arm of `line` trains for seconds."""
    reproduced.set(f"{ADAM}.epochs", "20000")
    yield reproduced
    reproduced.restore()


def edited_while_it_trains(clone: Clone, name: str, old: str, new: str) -> subprocess.Popen[str]:
    """`dvc repro train-wd@line`; when the stage says that it trains, a file is edited."""
    process = subprocess.Popen(
        ["dvc", "repro", "--single-item", "train-wd@line"],
        cwd=clone.path,
        env=os.environ | {"PATH": f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("line, wd_adam: lr ="):
            break
    path = clone.path / name
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    return process


ADAM = "line.train.adam"
OWN = f"params.yaml: {ADAM}"
EDITS = {
    "params": ("params.yaml", "  wd: 0.01 ", "  wd: 0.05 ", "params.yaml: line.wd was 0.01 and became 0.05"),
    "params of Adam": (
        "params.yaml",
        "  beta1: 0.9 ",
        "  beta1: 0.8 ",
        f"{OWN}.beta1 was 0.9 and became 0.8",
    ),
    "data": ("data/line.npz", "PK\3\4", "PK\3\5", "data/line.npz: changed"),
    "code": ("stages/engine/losses.py", '"""', '"""A comment. ', "stages/engine/losses.py: changed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", EDITS)
def test_what_is_edited_while_a_stage_trains_ends_it_in_one_line(what: str, long: Clone) -> None:
    name, old, new, told = EDITS[what]
    lock = long.read("dvc.lock")
    kept = sorted((long.path / ".dvc" / "cache" / "runs").rglob("*"))
    process = edited_while_it_trains(long, name, old, new)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert [line for line in said.splitlines() if line.startswith("error: ")] == [
        f"error: {told} while this stage ran, so its results are not recorded: {MENDED}"
    ]
    assert "Traceback" not in said
    assert not (long.path / "data" / "line" / "wd.npz").exists()
    assert long.read("dvc.lock") == lock
    assert sorted((long.path / ".dvc" / "cache" / "runs").rglob("*")) == kept
    long.run("make", "reset")
    assert long.run("dvc", "repro", "train-wd@line").returncode == 0


READ_BY_OTHERS = {
    "another part": ("line.sweep.wd", [0, 0.002]),
    "a part that was read before": ("line.data.slope", 3),
    "another λ": ("baseline", 1),
    "another study": ("relatives.train.lr", 0.2),
}


@pytest.mark.slow
def test_what_the_stage_does_not_read_may_be_edited(long: Clone) -> None:
    """The progress bar; in params.yaml all but its own part and its own λ, in the same section too."""
    process = edited_while_it_trains(long, "stages/console/progress.py", '"""', '"""A comment. ')
    for key, value in READ_BY_OTHERS.values():
        long.set(key, value)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "error: " not in said
    assert (long.path / "data" / "line" / "wd.npz").exists()
    assert "train-wd@line" not in json.loads(long.run("dvc", "status", "--json").stdout)


SHIPPED: dict[str, Any] = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"), Loader=Yaml12Loader)


def with_value(tree: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    """A tree with another value at a dotted key."""
    first, _, rest = key.partition(".")
    return {**tree, first: with_value(tree[first], rest, value) if rest else value}


ASKED = {  # words of a stage → what it reads of params.yaml
    "generate": DRAWN_FROM,
    "train baseline": SYSTEMS["line"].arms["baseline"].trained_with,
    "train wd": SYSTEMS["line"].arms["wd"].trained_with,
    "sweep": SWEPT_WITH,
    "evaluate": SYSTEMS["line"].evaluated_with,
}
EDITED = {  # key → the value that it gets, and what is told of it
    "seed": (1, "seed was 0 and became 1"),
    "baseline": (1, "baseline was 0.0 and became 1.0"),
    "line.wd": (1, "line.wd was 0.01 and became 1.0"),
    "line.adam_wd": (1, "line.adam_wd was 0.0001 and became 1.0"),
    "line.data.slope": (3, "line.data.slope was 2.0 and became 3.0"),
    "line.train.adam.beta1": (0.8, "line.train.adam.beta1 was 0.9 and became 0.8"),
    "line.sweep.wd": ([0, 2], r"line.sweep.wd was \[0.0, .*, 1.0\] and became \[0.0, 2.0\]"),
    "wide.train.lr": (1, ""),
    "wd": (1, ""),
}
TRACKED = {
    "generate": {"seed", "line.data.slope"},
    "train baseline": {"baseline", "line.train.adam.beta1"},
    "train wd": {"line.wd", "line.adam_wd", "line.train.adam.beta1"},
    "sweep": {"line.train.adam.beta1", "line.sweep.wd"},
    "evaluate": set(EDITED) - {"wide.train.lr", "wd"},
}


@pytest.mark.parametrize("stage", ASKED)
def test_of_params_a_stage_watches_what_it_reads(stage: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    shipped = SHIPPED | {"line": SHIPPED["line"] | {"wd": 0.01, "adam_wd": 0.0001}, "baseline": 0, "seed": 0}
    told = {}
    for key, (value, said) in EDITED.items():
        path.write_text(yaml.safe_dump(shipped), encoding="utf-8")
        with inputs.watched():
            params.read("line", SECTIONS["line"], *ASKED[stage], path=path)
            path.write_text(yaml.safe_dump(with_value(shipped, key, value)), encoding="utf-8")
            try:
                inputs.check()
            except UserError as error:
                told[key] = str(error)
                assert re.match(rf"{re.escape(str(path))}: {said} while this stage ran, ", told[key])
            path.write_text(yaml.safe_dump(shipped), encoding="utf-8")
    assert set(told) == TRACKED[stage]


def test_of_params_the_sections_of_several_studies_are_watched(tmp_path: Path) -> None:
    """As the explorer reads them, one after the other."""
    path = tmp_path / "params.yaml"
    for study, key in (("wide", "wide.train.lr"), ("line", "line.train.lr"), ("modular", "seed")):
        path.write_text(yaml.safe_dump(SHIPPED), encoding="utf-8")
        with inputs.watched():
            for name in ("wide", "line", "modular"):
                params.read(name, SECTIONS[name], "train", *(["seed"] if name == study else []), path=path)
            path.write_text(yaml.safe_dump(with_value(SHIPPED, key, 5)), encoding="utf-8")
            with pytest.raises(UserError, match=rf"params\.yaml: {key} was .* and became 5(\.0)? while this stage ran, "):
                inputs.check()
            path.write_text(yaml.safe_dump(SHIPPED), encoding="utf-8")


def test_a_section_that_becomes_wrong_is_seen(tmp_path: Path) -> None:
    """In whatever part: the section is read whole."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(SHIPPED), encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml: became unreadable while this stage ran, "), inputs.watched():  # noqa: PT012
        params.read("line", SECTIONS["line"], "train", path=path)
        path.write_text(yaml.safe_dump(with_value(SHIPPED, "line.sweep.wd", [1])), encoding="utf-8")


def answers(clone: Clone, cases: list[tuple[str, str]]) -> list[tuple[int, str]]:
    """What stages exit with and say on standard error, each with a params.yaml of its own."""
    text, found = clone.read("params.yaml"), []
    for content, command in cases:
        (clone.path / "params.yaml").write_text(content, encoding="utf-8")
        done = clone.stage(*command.split())
        found.append((done.returncode, done.stderr))
    (clone.path / "params.yaml").write_text(text, encoding="utf-8")
    return found


def standing(clone: Clone) -> dict[Path, tuple[int, int]]:
    """All that stages write, with what tells one version from another."""
    files = [path for folder in ("data", "metrics", "plots") for path in (clone.path / folder).rglob("*")]
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in files if not path.is_dir()}


@pytest.fixture
def restored(reproduced: Clone) -> Iterator[Clone]:
    """The reproduced clone, put back afterwards."""
    yield reproduced
    reproduced.restore()


def edited(clone: Clone, key: str, value: object) -> str:
    """The text of params.yaml with one value edited in place; the file stays as it is."""
    text = clone.read("params.yaml")
    clone.set(key, value)
    changed = clone.read("params.yaml")
    (clone.path / "params.yaml").write_text(text, encoding="utf-8")
    assert changed != text
    return changed


OTHERWISE = [  # key, value → the archive that is refused, the value and the old one as they are told, the stage to run again
    ("seed", 1, "line", "1", "0", "generate@line"),
    ("line.sweep.wd", [0, 1], "line/sweep", "[0.0, 1.0]", "[0.0, 0.001, .*, 1.0]", "sweep@line"),
    ("digits.network_wd", 2, "digits/wd", "2", "1", "train-wd@digits"),
]


@pytest.mark.slow
def test_evaluate_refuses_in_one_line_what_was_made_otherwise(restored: Clone) -> None:
    before = standing(restored)
    cases = [(edited(restored, key, value), f"stages.evaluate {name.partition('/')[0]}") for key, value, name, *_ in OTHERWISE]
    for (status, said), (key, _, name, new, old, stage) in zip(answers(restored, cases), OTHERWISE, strict=True):
        expected = f"error: data/{name}.npz: expected {key} = {new}, as in params.yaml, got {key} = {old}: dvc repro {stage}\n"
        assert re.fullmatch(re.escape(expected).replace(r"\.\*", ".*"), said), said
        assert status == 1
    assert standing(restored) == before


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every number, or list of numbers, by its dotted key."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def another(key: str, value: Any) -> Any:
    """A value that the same rule allows, not far away."""
    if isinstance(value, list):
        return [*value[:-1], another(key, value[-1])]
    if isinstance(value, str):
        return {"regression": "classification", "linear": "quadratic", "refuse": "mean"}.get(value, f"{value}x")
    if value == 0 and key != "seed":
        return 0.5
    return value + 1 if isinstance(value, int) else 0.9 * value


def refused(study: str, key: str) -> tuple[str, str] | None:
    """The archive, and the stage that makes it, which `evaluate` names where this number is another; None where it does not."""
    part = key.removeprefix(f"{study}.").partition(".")[0]
    if key == "baseline":
        return (f"data/{study}/baseline.npz", f"train-baseline@{study}") if study in ARMED else None
    if key == "wd" and study not in ("wide", "modular"):
        return None
    return {
        "seed": (f"data/{study}.npz", f"generate@{study}"),
        "data": (f"data/{study}.npz", f"generate@{study}"),
        "train": (f"data/{study}/sweep.npz", f"sweep@{study}"),
        "sweep": (f"data/{study}/sweep.npz", f"sweep@{study}"),
        "report": None,
    }.get(part, (f"data/{study}/wd.npz", f"train-wd@{study}"))


@pytest.mark.slow
@pytest.mark.parametrize("study", studies.NAMES)
def test_evaluate_refuses_every_number_that_is_another(study: str, restored: Clone) -> None:
    """Of its study; where it only says how runs are reported, it reports them."""
    numbers = leaves(yaml.load(restored.read("params.yaml"), Loader=Yaml12Loader))
    own = [key for key in numbers if key.startswith(f"{study}.") or "." not in key]
    cases = [(edited(restored, key, another(key, numbers[key])), f"stages.evaluate {study}") for key in own]
    for key, (status, said) in zip(own, answers(restored, cases), strict=True):
        if expected := refused(study, key):
            pattern = r"error: (\S+): expected (\S+) = .+, as in params\.yaml, got (\S+) = .+: dvc repro (\S+)\n"
            assert (match := re.fullmatch(pattern, said)), (key, said)
            assert match.groups() == (expected[0], key, key, expected[1])
            assert status == 1
        else:
            assert (status, said) == (0, ""), key


BY_HAND = {"generate": "generate {study}", "sweep": "sweep {study}"} | {
    f"train-{arm}": f"train {{study}} {arm}" for arm in ("baseline", "wd")
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "key", "value", "stages"),
    [
        ("line", "line.train.adam.eps", 1e-7, ["sweep", "train-baseline", "train-wd"]),
        ("wide", "seed", 1, ["generate", "sweep", "train-baseline", "train-wd"]),
        ("modular", "modular.train.train_fraction", 0.6, ["sweep", "train-baseline", "train-wd"]),
        ("phase", "phase.data.start_scale", 0.6, ["generate", "sweep"]),
    ],
)
def test_evaluate_names_one_after_the_other_what_is_to_be_made_anew(
    study: str, key: str, value: object, stages: list[str], restored: Clone
) -> None:
    """And when all is made of what stands in params.yaml, it measures."""
    text, cases = edited(restored, key, value), []
    for stage in stages:
        cases += [(text, f"stages.evaluate {study}"), (text, f"stages.{BY_HAND[stage].format(study=study)}")]
    *found, last = answers(restored, [*cases, (text, f"stages.evaluate {study}")])
    for stage, (status, said) in zip(stages, found[::2], strict=True):
        assert status == 1
        assert said.startswith(f"error: data/{study}")
        assert said.endswith(f": dvc repro {stage}@{study}\n")
        assert said.count("\n") == 1
    assert all(answer == (0, "") for answer in [*found[1::2], last])


@pytest.mark.slow
def test_runs_of_other_data_are_refused(restored: Clone) -> None:
    """Data drawn anew by hand, with another seed, beside the old arms and the old sweep."""
    text = edited(restored, "seed", 1)
    (made,) = answers(restored, [(text, "stages.generate wide")])
    assert made == (0, "")
    before = standing(restored)
    for named, (status, said) in zip(
        ("sweep sweep@wide", "baseline train-baseline@wide", "sweep sweep@wide"),
        answers(restored, [(text, f"stages.{verb} wide") for verb in ("evaluate", "plot", "explorer")]),
        strict=True,
    ):
        name, stage = named.split()
        expected = f"data/wide/{name}.npz: expected runs that were trained on data/wide.npz, got runs of other data"
        assert (status, said) == (1, f"error: {expected}: dvc repro {stage}\n")
    assert answers(restored, [(text, "stages.sweep wide"), (text, "stages.evaluate wide")]) == [
        (0, ""),
        (1, f"error: {expected}: dvc repro train-baseline@wide\n".replace("sweep.npz", "baseline.npz")),
    ]
    after = standing(restored)
    sweep = restored.path / "data" / "wide" / "sweep.npz"
    assert {path for path in after if after[path] != before.get(path)} == {sweep}


@pytest.mark.slow
def test_the_explorer_refuses_what_was_made_otherwise(restored: Clone) -> None:
    """Data and sweep of each study that it shows; an arm's λ it does not know."""
    known = ["wide", "modular", "line", "optimizers", "equilibrium", "digits", "descent", "relatives", "phase", "layers"]
    words, before = f"stages.explorer {' '.join(known)}", standing(restored)
    keys: dict[str, Any] = {"seed": 1, "line.sweep.wd": [0, 1], "equilibrium.sweep.lr": [0.001]}
    keys |= {f"{study}.data.trials": 9 for study in known} | {f"{study}.train.lr": 0.003 for study in known}
    found = answers(restored, [(edited(restored, *each), words) for each in keys.items()])
    for key, (status, said) in zip(keys, found, strict=True):
        study, part, *_ = f"wide.{key}".split(".") if key == "seed" else key.split(".")
        name, stage = ("", "generate") if part in ("seed", "data") else ("/sweep", "sweep")
        expected = rf"error: data/{study}{name}\.npz: expected {key} = .+, got {key} = .+: dvc repro {stage}@{study}\n"
        assert re.fullmatch(expected, said), said
        assert status == 1
    assert standing(restored) == before
    others = {"wd": 0.7, "baseline": 0.5, "line.wd": 0.5, "digits.network_wd": 2}
    assert answers(restored, [(edited(restored, *each), words) for each in others.items()]) == [(0, "")] * len(others)


def test_only_what_is_read_within_is_watched(tmp_path: Path) -> None:
    before, within = tmp_path / "before", tmp_path / "within"
    for path in (before, within):
        path.write_bytes(b"1")
    inputs.read(before)
    with inputs.watched():
        inputs.read(within)
        before.write_bytes(b"2")
        inputs.check()
        within.write_bytes(b"2")
        with pytest.raises(UserError, match=r"within: changed while this stage ran, so its results are not recorded: "):
            inputs.check()
        within.write_bytes(b"1")
    inputs.check()


def test_a_change_after_the_last_file_is_written_is_seen_too(tmp_path: Path) -> None:
    path = tmp_path / "read"
    path.write_bytes(b"1")
    with pytest.raises(UserError, match=r"read: became unreadable while this stage ran"), inputs.watched():  # noqa: PT012
        inputs.read(path)
        path.unlink()
