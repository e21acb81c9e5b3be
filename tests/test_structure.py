"""The house: layers import downwards, each its own libraries, and no study is known outside its folder."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from conftest import ARMED, ROOT

from stages import studies

BELOW = {  # layer → those that it may import, itself aside
    "base": set[str](),
    "console": {"base"},
    "engine": {"base"},
    "theory": {"base"},
    "drawing": {"base"},
    "studies": {"base"},
    "studies/system": {"base"},
    "studies/training": {"base", "engine"},
    "studies/results": {"base", "theory"},
    "studies/figures": {"base", "drawing", "theory"},
    "studies/explorer": {"base", "drawing", "theory"},
    "verb": {"base", "console", "engine", "theory", "drawing", "studies"},
}
LIBRARIES = {  # beside Python's own
    "base": {"msgspec", "numpy", "yaml"},
    "console": {"tqdm"},
    "engine": {"numpy", "torch"},
    "engine/cluster": {"ray", "torch"},
    "theory": {"numpy", "scipy"},
    "drawing": {"numpy", "matplotlib", "PIL", "vl_convert"},
    "studies/system": {"msgspec", "numpy"},
    "studies/training": {"numpy", "torch"},
    "studies/results": {"numpy", "scipy"},
    "studies/figures": {"numpy"},
    "studies/explorer": {"numpy"},
}
MODULES = sorted((ROOT / "stages").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def floor(path: Path) -> str:
    """The layer of a module; a study's part for itself."""
    words = path.relative_to(ROOT / "stages").parts
    if words[0] == "studies" and len(words) == 3:
        return f"studies/{path.stem}"
    return words[0] if len(words) > 1 else "verb"


def imported(path: Path) -> set[str]:
    """The dotted names that a module imports."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_downwards_only(path: Path) -> None:
    own = floor(path)
    allowed = set() if path == ROOT / "stages" / "__init__.py" else BELOW[own]
    for name in imported(path):
        words = name.split(".")
        if words[0] != "stages" or len(words) < 2:
            continue
        if words[1] == "studies" and own.startswith("studies/"):
            assert len(words) == 2 or words[2] == path.parent.name, f"imports another study: {name}"
            assert len(words) < 4 or words[3] == "system" or words[3] == path.stem, f"imports another part: {name}"
        else:
            assert words[1] in allowed | {own}, name


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
    names = [f"stages.{verb}", *(f"stages.studies.{study}.{part}" for study in ARMED for part in asked(module))]
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
    return [path for path in MODULES if not floor(path).startswith("studies/")] + tools


@pytest.mark.parametrize("path", outside(), ids=name_of)
def test_no_study_is_named_outside_its_folder(path: Path) -> None:
    named = re.compile(rf"(?:.*[./@])?(?:{'|'.join(studies.NAMES)})(?:[./].*)?")
    assert not [text for text in strings(path) if named.fullmatch(text)]
    assert not [name for name in imported(path) if re.match(r"stages\.studies\.\w+", name) and name != "stages.studies.part"]
    numbers = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr"]
    assert not numbers, "a study says what it has; nobody looks for it"


@pytest.mark.parametrize("path", [path for path in MODULES if floor(path) == "verb"], ids=name_of)
def test_a_verb_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
