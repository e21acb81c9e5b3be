"""The house: layers import downwards, each its own libraries, and no study is known outside its folder."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

from stages import studies

PARTS = ("system", "training", "results", "figures", "explorer")  # of a study; its other modules are helpers of its results
BELOW = {  # layer → those that it may import, itself aside
    "base": set[str](),
    "console": {"base"},
    "engine": {"base"},
    "theory": {"base"},
    "measure": {"base", "theory"},
    "drawing": {"base"},
    "studies": {"base"},
    "study/system": {"base"},
    "study/training": {"base", "engine", "study/system"},
    "study/helper": {"base", "theory", "measure", "study/system"},
    "study/results": {"base", "theory", "measure", "study/system", "study/helper"},
    "study/figures": {"base", "drawing", "measure", "theory", "study/system", "study/helper"},
    "study/explorer": {"base", "drawing", "measure", "theory", "study/system", "study/helper"},
    "verb": {"base", "console", "engine", "theory", "measure", "drawing", "studies"},
}
LIBRARIES = {  # beside Python's own
    "base": {"msgspec", "numpy", "yaml"},
    "console": {"tqdm"},
    "engine": {"numpy", "torch"},
    "engine/cluster": {"ray", "torch"},
    "theory": {"numpy", "scipy"},
    "measure": {"numpy", "scipy"},
    "drawing": {"numpy", "matplotlib", "PIL", "vl_convert"},
    "study/system": {"msgspec", "numpy"},
    "study/training": {"numpy", "torch"},
    "study/helper": {"numpy", "scipy"},
    "study/results": {"numpy", "scipy"},
    "study/figures": {"numpy"},
    "study/explorer": {"numpy"},
}
MODULES = sorted((ROOT / "stages").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def floor(path: Path) -> str:
    """The layer of a module; a part of a study for itself."""
    words = path.relative_to(ROOT / "stages").parts
    if words[0] == "studies" and len(words) > 2:
        return f"study/{path.stem if path.stem in PARTS else 'helper'}"
    return words[0] if len(words) > 1 else "verb"


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """What a module imports, within its functions too: a dotted name, and where it says `from` what it takes from there."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "a relative import"  # noqa: PT018
            yield from ((node.module, alias.name) for alias in node.names)


def imported(path: Path) -> set[str]:
    """The dotted names that a module imports."""
    return {name for package, taken in imports(path) for name in (package, f"{package}.{taken}".rstrip("."))}


def file_of(name: str) -> Path | None:
    """The module or package of a dotted name; None where it is something in a module, or from elsewhere."""
    place = ROOT.joinpath(*name.split("."))
    return next((each for each in (place.with_suffix(".py"), place / "__init__.py") if each.is_file()), None)


def local(path: Path) -> set[Path]:
    """The modules of the pipeline that a module asks for: of `from stages.base import params` params alone."""
    found = set()
    for package, taken in imports(path):
        if package.partition(".")[0] == "stages":
            file = file_of(f"{package}.{taken}".rstrip(".")) or file_of(package)
            assert file, f"{package} is not there"
            found.add(file)
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_downwards_only(path: Path) -> None:
    """Of the studies its own alone."""
    own = floor(path)
    for other in local(path):
        below = floor(other)
        if below.startswith("study/"):
            assert below in BELOW[own], name_of(other)
            assert other.parent == path.parent, f"another study: {name_of(other)}"
        else:
            assert below in (BELOW[own] | {own}) - {"verb"}, name_of(other)
    assert path != ROOT / "stages" / "__init__.py" or not local(path)


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Not even within a function."""
    graph = {name_of(path): {name_of(other) for other in local(path)} for path in MODULES}
    assert all(graph[name] for name in ("stages/train.py", "stages/engine/train.py"))
    TopologicalSorter(graph).prepare()  # or it raises CycleError, which names the circle


@pytest.mark.parametrize("path", [path for path in MODULES if floor(path) in LIBRARIES], ids=name_of)
def test_a_layer_imports_its_own_libraries_only(path: Path) -> None:
    """Ray is for one module alone: it is not installed where nobody asked for it."""
    others = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names) - {"stages"}
    alone = path.relative_to(ROOT / "stages").with_suffix("").as_posix()
    assert others <= LIBRARIES[alone if alone in LIBRARIES else floor(path)]


def asked(verb: Path) -> set[str]:
    """The parts that a verb loads: `studies.part(study, System)` is system."""
    calls = (node for node in ast.walk(tree(verb)) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "part")
    return {str(getattr(call.args[1], "id", "")).lower() for call in calls}


ABSENT = {
    "generate": {"torch", "matplotlib", "scipy"},
    "train": {"matplotlib", "PIL", "ray"},
    "evaluate": {"torch", "matplotlib"},
}


@pytest.mark.parametrize("verb", ABSENT)
def test_a_stage_loads_no_more_than_it_needs(verb: str) -> None:
    """As it runs: the stage's module, and the parts that it asks for."""
    module = ROOT / "stages" / f"{verb}.py"
    names = [f"stages.{verb}", *(f"stages.studies.{study}.{part}" for study in studies.NAMES for part in asked(module))]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not ABSENT[verb] & set(done.stdout.split())


def strings(path: Path) -> set[str]:
    """The texts of a module that are no documentation and no type of a Vega mark."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    types = {
        id(value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "type"
    }
    constants = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {str(node.value) for node in constants if id(node) not in documentation | types}


def outside() -> list[Path]:
    """The code that may know no study; a benchmark is of something, and names it."""
    tools = [path for path in (ROOT / "tools").glob("*.py") if path.name not in ("bench.py", "contenders.py")]
    return [path for path in MODULES if not floor(path).startswith("study/")] + tools


@pytest.mark.parametrize("path", outside(), ids=name_of)
def test_no_study_is_named_outside_its_folder(path: Path) -> None:
    named = re.compile(rf"(?:.*[./@])?(?:{'|'.join(studies.NAMES)})(?:[./].*)?")
    assert not [text for text in strings(path) if named.fullmatch(text)]
    own = f"stages.studies.{path.parent.name if path.parent.name.startswith('_') else 'part'}"
    known = [name for name in imported(path) if re.match(r"stages\.studies\.\w+", name)]
    assert not [name for name in known if not f"{name}.".startswith(f"{own}.")]
    numbers = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr"]
    assert not numbers, "a study says what it has; nobody looks for it"


@pytest.mark.parametrize("path", [path for path in MODULES if floor(path) == "verb"], ids=name_of)
def test_a_verb_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
