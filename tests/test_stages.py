"""dvc.yaml: each stage depends on the code that it imports, on the keys that it reads and on the files of its own study."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ARMED, ROOT, SYSTEMS
from test_structure import asked, imported, name_of

from stages import studies
from stages.base.params import Section, Settings, at
from stages.base.streams import Streams
from stages.engine.training import Training

NO_RESULT_COMES_FROM = ("stages/__init__.py", "stages/console/")
LAYERS = ("base", "engine", "theory", "drawing")


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

    with Repo(str(ROOT)) as repo:
        return {
            stage.addressing: {
                "cmd": stage.cmd,
                "deps": {str(dep.def_path) for dep in stage.deps if dep.def_path != "params.yaml"},
                "params": {key for dep in stage.deps for key in getattr(dep, "params", [])},
            }
            for stage in repo.index.stages
        }


STAGES = resolved()


def needed(stage: str) -> set[str]:
    """What a stage imports, as dvc.yaml writes it: whole layers, the other files one by one."""
    _, _, name, *words = STAGES[stage]["cmd"].split()
    verb = ROOT / "stages" / f"{name}.py"
    own = [word for word in words if word in studies.NAMES] or list(studies.NAMES)  # `check` asks for all
    parts = {ROOT / "stages" / "studies" / study / f"{part}.py" for study in own for part in asked(verb)}
    files = {name for name in closure({verb} | parts) if not name.startswith(NO_RESULT_COMES_FROM)}
    layers = {f"stages/{layer}" for layer in LAYERS if any(name.startswith(f"stages/{layer}/") for name in files)}
    return layers | {name for name in files if not name.startswith(tuple(f"stages/{layer}/" for layer in LAYERS))}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_imports(stage: str) -> None:
    """On each file, and on the layers that the stages of its kind import: a template lists them once for all studies."""
    code = {dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")}
    kind = stage.partition("@")[0]
    layers = {dep for other in STAGES if other.partition("@")[0] == kind for dep in needed(other) if dep.count("/") == 1}
    assert code == needed(stage) | {layer for layer in layers if not layer.endswith(".py")}


def tracks(stage: str, key: str) -> bool:
    return any(key == known or key.startswith(f"{known}.") for known in STAGES[stage]["params"])


def test_every_parameter_is_tracked_by_a_stage() -> None:
    def leaves(tree: object, key: str = "") -> set[str]:
        if not isinstance(tree, dict):
            return {key}
        return set().union(*(leaves(value, f"{key}.{name}" if key else name) for name, value in tree.items()))

    for key in leaves(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))):
        assert any(tracks(stage, key) for stage in STAGES), key


@pytest.mark.parametrize("study", studies.NAMES)
def test_a_stage_tracks_the_keys_that_its_runs_read(study: str) -> None:
    training = studies.part(study, Training)
    stages = {f"train@{study}-{arm}": [training.runs[row] for row in rows] for arm, rows in SYSTEMS[study].arms.items()}
    for stage, runs in stages.items():
        for run in runs:
            for key in (run.weight_decay, run.lr, run.optimizer):
                assert tracks(stage, key), f"{stage}: {key}"
    for key in (f"{study}.sweep", training.swept.lr, training.swept.optimizer):
        assert tracks(f"sweep@{study}", key), key
    for key in ("seed", f"{study}.trials", f"{study}.system"):
        assert tracks(f"generate@{study}", key), key


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
def test_generate_tracks_every_key_that_a_study_draws_from(study: str, settings: Settings) -> None:
    read: set[str] = set()
    system = SYSTEMS[study]
    system.draw(Watched(at(settings, study), study, read), Streams(settings.seed, system.key))
    assert f"{study}.trials" in read
    assert not [key for key in read if not tracks(f"generate@{study}", key)]
    assert not any(key.endswith((".sweep", ".lr", ".wd", ".momentum")) for key in read)


@pytest.mark.parametrize("study", ARMED)
def test_a_study_is_evaluated_and_drawn_from_all_of_its_arms(study: str) -> None:
    files = {f"data/{study}/{arm}.npz" for arm in SYSTEMS[study].arms} | {f"data/{study}.npz"}
    for stage in ("evaluate", "plot"):
        assert {dep for dep in STAGES[f"{stage}@{study}"]["deps"] if dep.startswith("data/")} == files


@pytest.mark.parametrize("study", studies.NAMES)
def test_a_stage_reads_the_data_of_its_own_study(study: str) -> None:
    for stage, known in STAGES.items():
        if stage.partition("@")[2].partition("-")[0] == study:
            files = {dep for dep in known["deps"] if dep.startswith(("data/", "metrics/"))}
            assert all(re.match(rf"(?:data|metrics|metrics/details)/{study}(?:\b|_)", name) for name in files), stage
            assert files or stage.startswith("generate"), stage


def test_commands_carry_names_and_no_values() -> None:
    for stage in STAGES.values():
        assert re.fullmatch(r"sh stages/run [a-z_]+( [a-z_]+)*", stage["cmd"])
