"""dvc.yaml: each stage depends on the code that it imports, on the keys that it reads and on the files of its own study."""

import ast
import importlib
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ARMED, ROOT, SYSTEMS, Clone, at, contents
from test_structure import asked, imported, name_of, tree

from stages import studies
from stages.base import inputs, params
from stages.base.params import PARTS, SHARED, Section
from stages.base.streams import Streams

NO_RESULT_COMES_FROM = ("stages/__init__.py", "stages/console/", "stages/studies/__init__.py")  # the last knows names alone
LAYERS = ("base", "engine", "theory", "measure", "drawing")
BY_FILE = ("generate", "train", "sweep")  # verbs whose stages depend on some modules of a study; others, on its whole folder


def closure(starts: set[Path]) -> set[str]:
    """The local files that importing modules loads, themselves and packages included, transitively."""
    found, waiting = set(), list(starts)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        packages = [parent / "__init__.py" for parent in path.parents if ROOT in parent.parents]
        places = [ROOT.joinpath(*name.split(".")) for name in imported(path)]
        candidates = [each for place in places for each in (place.with_suffix(".py"), place / "__init__.py")]
        waiting += [each for each in packages + candidates if each.is_file()]
    return {name_of(path) for path in found}


def resolved() -> dict[str, dict]:
    """Every stage as DVC resolves it."""
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo, warnings.catch_warnings(action="ignore"):  # of DVC's own libraries
        graph = repo.index.graph
        return {
            stage.addressing: {
                "cmd": [stage.cmd] if isinstance(stage.cmd, str) else stage.cmd,
                "deps": {str(dep.def_path) for dep in stage.deps if not getattr(dep, "params", None)},
                "params": {key for dep in stage.deps for key in getattr(dep, "params", [])},
                "outs": {str(out.def_path) for out in stage.outs},
                "plots": {str(out.def_path): out.plot for out in stage.outs if isinstance(out.plot, dict)},
                "after": {each.addressing for each in graph.successors(stage)},
            }
            for stage in repo.index.stages
        }


STAGES = resolved()
TREE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def commands(stage: str) -> list[tuple[str, list[str]]]:
    """What a stage runs: verbs with their words."""
    return [(verb, words) for _, _, verb, *words in (command.split() for command in STAGES[stage]["cmd"])]


def kind(stage: str) -> str:
    """The part of dvc.yaml that a stage comes from."""
    return stage.partition("@")[0]


def own(stage: str) -> set[str]:
    """The studies that a stage is of; `check` asks for all."""
    return {word for _, words in commands(stage) for word in words} & set(studies.NAMES) or set(studies.NAMES)


@cache
def loaded(stage: str) -> set[str]:
    """The files that a stage's commands import, those aside from which no result comes."""
    found = set()
    for verb, words in commands(stage):
        path = ROOT / "stages" / f"{verb}.py"
        of = set(words) & set(studies.NAMES) or own(stage)
        found |= closure({path} | {ROOT / "stages" / "studies" / study / f"{part}.py" for study in of for part in asked(path)})
    return {name for name in found if not name.startswith(NO_RESULT_COMES_FROM)}


def written(stage: str, name: str) -> str:
    """How dvc.yaml writes a file that a stage imports: as its layer, as its study's folder, or by itself."""
    words = name.split("/")
    if words[1] in LAYERS or (words[1] == "studies" and not {verb for verb, _ in commands(stage)} & set(BY_FILE)):
        return "/".join(words[: 3 if words[1] == "studies" else 2])
    return name


def needed(stage: str) -> set[str]:
    return {written(stage, name) for name in loaded(stage)}


def shared(name: str) -> bool:
    """Whether a dependency is a layer, which a template lists once for all studies."""
    return name.startswith(tuple(f"stages/{layer}" for layer in LAYERS))


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "check"])
def test_a_stage_depends_on_exactly_the_code_it_imports(stage: str) -> None:
    """On its verb and its study, and on the layers that the stages of its kind import."""
    code = {dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")}
    alike = [other for other in STAGES if kind(other) == kind(stage)]
    assert code == needed(stage) | {dep for other in alike for dep in needed(other) if shared(dep)}
    for name in loaded(stage):
        assert any(name == dep or name.startswith(f"{dep}/") for dep in code), name


@pytest.mark.parametrize(
    "stage", ["evaluate@wide", "evaluate-grid@phase", "plot@wide", "plot-grid@phase", "overview", "explorer"]
)
def test_a_stage_depends_on_every_result_that_it_reads(stage: str, reproduced: Clone) -> None:
    read = set()
    for verb, words in commands(stage):
        done = reproduced.stage(f"stages.{verb}", *words)
        assert done.returncode == 0, done.stderr
        read |= {place for place, *_ in inputs._seen if place.startswith(("data/", "metrics/"))}
    assert read
    deps = STAGES[stage]["deps"]
    assert {place for place in read if not any(place == dep or place.startswith(f"{dep}/") for dep in deps)} == set()


def test_what_dvc_plots_is_what_its_title_says() -> None:
    curves = {name: each for stage in STAGES.values() for name, each in stage["plots"].items() if name.endswith("_curves.csv")}
    assert curves
    for name, each in curves.items():
        assert each["title"] == f"{Path(name).stem.removesuffix('_curves')}: {each['y_label']}"
        assert each["y"] == each["y_label"].replace("validation", "val").replace(" ", "_")


def test_check_depends_on_what_no_other_stage_checks() -> None:
    """A study's section, whose rules stand in its `system.py`, is checked whole by `generate` when they change."""
    code = {dep for dep in STAGES["check"]["deps"] if dep.startswith("stages/")}
    left = {name for name in loaded("check") if not any(name == dep or name.startswith(f"{dep}/") for dep in code)}
    assert code == {"stages/check.py", "stages/base"}
    assert "params.yaml" in STAGES["check"]["deps"]
    for study in studies.NAMES:
        rules = {name for name in closure({ROOT / "stages" / "studies" / study / "system.py"}) if "/studies/" in name}
        left -= rules & (STAGES[f"generate@{study}"]["deps"] | {"stages/studies/__init__.py"})
    assert not left


def leaves(value: object, key: str = "") -> set[str]:
    """The keys of a part of params.yaml that hold numbers."""
    if not isinstance(value, dict):
        return {key}
    return set().union(*(leaves(each, f"{key}.{name}" if key else name) for name, each in value.items()))


KEYS = sorted(leaves(TREE))


def within(keys: set[str]) -> set[str]:
    """The keys that hold numbers, of some keys and of the sections that they name. Each must be there."""
    found = {name: {key for key in KEYS if key == name or key.startswith(f"{name}.")} for name in keys}
    assert all(found.values()), "a key that is not in params.yaml"
    return set().union(*found.values())


class Asked(Exception):
    """A verb has asked for its part of params.yaml."""


READERS = {"check", "generate", "train", "sweep", "evaluate", "explorer"}


def test_these_verbs_alone_read_params_and_each_of_them_once() -> None:
    found: list[str] = []
    for path in sorted((ROOT / "stages").rglob("*.py")):
        calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and node.attr in ("read", "read_all")]
        found += [name_of(path) for node in calls if getattr(node.value, "id", "") == "params"]
        assert path.stem == "params" or not imported(path) & {
            f"stages.base.params.{name}" for name in ("read", "read_all", "_load")
        }
        known = "params.yaml" in {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)}
        assert not known or name_of(path) == "stages/base/params.py", "opens params.yaml itself"
    assert sorted(found) == sorted(f"stages/{verb}.py" for verb in READERS)


def read_by(stage: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys that hold numbers and that a stage's verbs ask for, as they run."""
    found: set[str] = set()

    def read(study: str, section: type[Section], *names: str) -> None:
        found.update(params.key_of(study, section, name) for name in names)
        raise Asked

    monkeypatch.setattr(params, "read", read)
    for verb, words in commands(stage):
        main = importlib.import_module(f"stages.{verb}").main
        each = [[word] for word in words] if set(words) <= set(studies.NAMES) else [words]
        for some in each if verb in READERS - {"check"} else ():
            with pytest.raises(Asked):
                main(*some)
    return within(found)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_tracks_exactly_the_keys_that_it_asks_for(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` depends on the whole file."""
    tracked = STAGES[stage]["params"]
    assert within(tracked) == read_by(stage, monkeypatch)
    assert ("params.yaml" in STAGES[stage]["deps"]) == (stage == "check")


def tracks(stage: str, key: str) -> bool:
    return any(key == known or key.startswith(f"{known}.") for known in STAGES[stage]["params"])


def tracking(key: str) -> set[str]:
    return {stage for stage in STAGES if tracks(stage, key)}


def stages_of(study: str, *verbs: str) -> set[str]:
    """The stages of a study by the name of their template, such of them as there are; `evaluate` by either of its names."""
    named = {f"{verb}{grid}@{study}" for verb in verbs for grid in ("", "-grid")}
    return named & set(STAGES)


SHOWN = own("explorer")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in SHARED])
def test_a_key_of_a_study_is_tracked_by_the_stages_of_its_part(key: str) -> None:
    """And by no other: a change of `sweep` trains no arm, one of `report` trains nothing, a λ of an arm that arm alone."""
    study, part, *_ = key.split(".")
    arms = SYSTEMS[study].arms.items()
    trained = {
        "data": {f"generate@{study}"},
        "train": {f"sweep@{study}", *(f"train-{name}@{study}" for name, _ in arms)},
        "sweep": {f"sweep@{study}"},
        "report": set[str](),
    }.get(part, {f"train-{name}@{study}" for name, arm in arms if part in arm.weight_decays.values()})
    assert part in PARTS or trained, "a λ that no arm has"
    shown = {"explorer"} if part in PARTS and study in SHOWN else set()
    assert tracking(key) == trained | stages_of(study, "evaluate") | shown


def test_a_shared_key_is_tracked_by_the_stages_that_it_is_for() -> None:
    everyone = {verb: set().union(*(stages_of(study, verb) for study in studies.NAMES)) for verb in ("generate", "evaluate")}
    assert tracking("seed") == everyone["generate"] | everyone["evaluate"] | {"explorer"}
    for name in ("baseline", "wd"):
        arms = {
            (study, arm) for study in ARMED for arm, known in SYSTEMS[study].arms.items() if name in known.weight_decays.values()
        }
        arms = {(study, arm) for study, arm in arms if name not in TREE[study]}
        trained = {f"train-{arm}@{study}" for study, arm in arms}
        assert trained
        assert tracking(name) == trained.union(*(stages_of(study, "evaluate") for study, _ in arms))
    assert {key for key in KEYS if "." not in key} == set(SHARED)


class Watched:
    """A section that writes down which of its keys are read."""

    def __init__(self, section: Section, place: str, read: set[str]) -> None:
        self._known = (section, place, read)

    def __getattr__(self, name: str) -> Any:
        section, place, read = self._known
        value, key = getattr(section, name), f"{place}.{name}"
        if isinstance(value, Section):
            return Watched(value, key, read)
        read.add(key)
        return value


@pytest.mark.parametrize("study", studies.NAMES)
def test_generate_tracks_exactly_the_keys_that_a_study_draws_from(study: str, settings: Any) -> None:
    read: set[str] = set()
    system = SYSTEMS[study]
    files = contents(study, at(settings, study))
    system.draw(Watched(at(settings, study), study, read), Streams(settings.seed, system.key), *files)
    assert f"{study}.data.trials" in read
    assert read == {key for key in KEYS if key.startswith(f"{study}.data.")}
    system.footprint(Watched(at(settings, study), study, read), *files)
    assert {key for key in KEYS if tracks(f"generate@{study}", key)} == read | {"seed"}


@pytest.mark.parametrize("study", studies.NAMES)
def test_a_study_is_evaluated_and_drawn_from_all_that_is_trained_of_it(study: str, settings: Any) -> None:
    """Its archives are what its folder holds, and whoever reads it waits for all of them; training reads its data alone.

    Its data come from the files that it reads, and from no other.
    """
    arms = {f"train-{arm}@{study}": arm for arm in SYSTEMS[study].arms}
    for stage, arm in arms.items():
        assert commands(stage) == [("train", [study, arm])]
        assert STAGES[stage]["outs"] == {f"data/{study}/{arm}.npz"}
    assert {stage for stage in STAGES if stage.startswith("train") and stage.endswith(f"@{study}")} == set(arms)
    assert STAGES[f"sweep@{study}"]["outs"] == {f"data/{study}/sweep.npz"}
    assert STAGES[f"generate@{study}"]["outs"] == {f"data/{study}.npz"}
    trained = {f"generate@{study}", f"sweep@{study}", *arms}
    for stage in trained:
        read = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("data/", "metrics/"))}
        files = {at(settings, f"{study}.data.{key}") for key in SYSTEMS[study].files}
        assert read == (files if stage.startswith("generate") else {f"data/{study}.npz"})
        assert own(stage) == {study}
    (evaluate,), (plot,) = (stages_of(study, verb) for verb in ("evaluate", "plot"))
    assert (kind(evaluate), kind(plot)) == (("evaluate", "plot") if arms else ("evaluate-grid", "plot-grid"))
    folder = {f"data/{study}.npz", f"data/{study}"}
    assert {dep for dep in STAGES[evaluate]["deps"] if dep.startswith("data/")} == folder
    assert {dep for dep in STAGES[plot]["deps"] if dep.startswith("data/")} == (folder if arms else set())
    assert STAGES[evaluate]["after"] == trained
    assert STAGES[plot]["after"] == {evaluate} | (trained if arms else set())
    told = {f"metrics/details/{study}_sweep.json", f"metrics/{study}_sweep.csv"}
    told |= {f"metrics/details/{study}.json", f"metrics/{study}_curves.csv"} if arms else set()
    assert STAGES[evaluate]["outs"] == told | {f"metrics/{study}.json"}
    assert {dep for dep in STAGES[plot]["deps"] if dep.startswith("metrics/")} == told


def test_commands_carry_names_and_no_values() -> None:
    for stage in STAGES.values():
        for command in stage["cmd"]:
            assert re.fullmatch(r"sh stages/run [a-z_]+( [a-z_]+)*", command)
