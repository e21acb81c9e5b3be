"""A study is added as docs/extending.md says, and by nothing else: it runs alone, and is tested by what tests every study."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT, Clone
from test_pipeline import ran

pytestmark = pytest.mark.pipeline
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^### `(stages/studies/slope/[\w.]+)`\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
SECTION = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
LINES = re.findall(r"^```diff\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
OWN = {"generate", "train", "evaluate", "plot", "sweep", "evaluate-sweep", "plot-sweep"}
MISTAKES = {  # file, what is written there, what is written instead, the test that finds it
    "validation rows are training rows": (
        "system.py",
        'rng(f"{split} inputs")',
        'rng("inputs")',
        "test_validation_rows_are_no_training_rows",
    ),
    "the decay is not the reference's": ("training.py", "spared=()", 'spared=("weight",)', "test_a_reference_is_optimal"),
    "a reference of another λ": ("results.py", "x.shape[1] * weight_decay", "weight_decay", "test_a_reference_is_optimal"),
    "λ changes a draw": (
        "system.py",
        "x = rng(",
        "x = (1 + section.sweep[-1]) * rng(",
        "test_no_decay_and_no_learning_rate_changes_a_draw",
    ),
    "trials share a stream": (
        "system.py",
        "streams.draw(section.trials, trial)",
        "streams.draw(section.trials, lambda rng: trial(lambda purpose: streams.stream(section.trials, purpose)))",
        "test_more_trials_leave_the_first_ones_alone",
    ),
}


@pytest.fixture(scope="module")
def extended(reproduced: Clone) -> Iterator[Clone]:
    assert len(FILES) == 5
    for name, content in FILES.items():
        (reproduced.path / name).parent.mkdir(exist_ok=True)
        (reproduced.path / name).write_text(content, encoding="utf-8")
    (section,), (lines,) = SECTION, LINES
    params = reproduced.path / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8") + "\n" + section, encoding="utf-8")
    subprocess.run(["git", "apply", "-"], cwd=reproduced.path, input=lines, text=True, check=True)
    yield reproduced
    reproduced.restore()
    reproduced.run("git", "clean", "-qfdx", "stages/studies/slope", "data/slope")
    assert reproduced.run("git", "status", "--porcelain").stdout == ""


def test_it_runs_and_no_other_study_runs_again(extended: Clone) -> None:
    done = ran(extended.run("dvc", "repro"))
    assert {stage.partition("@")[0] for stage in done} == {"check", "pages", *OWN}
    assert all("@slope" in stage for stage in done - {"check", "pages"})
    changed = {line.split()[-1] for line in extended.run("git", "status", "--porcelain").stdout.splitlines()}
    made = {"metrics/slope.json", "metrics/slope_curves.csv", "metrics/slope_sweep.csv"}
    made |= {"metrics/details/slope.json", "metrics/details/slope_sweep.json"}
    assert (
        changed == {"dvc.lock", "dvc.yaml", "params.yaml", "stages/studies/slope/", "plots/slope/", "plots/slope_sweep/"} | made
    )


def complaints(clone: Clone, *files: str) -> str:
    """What the tests of every study say of this one."""
    words = ["-k", "slope", "--no-header", "-rf"]
    return clone.run(sys.executable, "-m", "pytest", *files, *words, check=False).stdout


def test_it_passes_what_every_study_is_tested_for(extended: Clone) -> None:
    files = ("contract", "structure", "stages", "results")
    said = complaints(extended, *(f"tests/test_{name}.py" for name in files))
    assert "failed" not in said, said
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 39


def test_its_page_is_one_of_the_pages(extended: Clone) -> None:
    """Linked from the README, in its table of studies, with every figure."""
    readme = extended.path / "README.md"
    text = readme.read_text(encoding="utf-8")
    row = "| [`slope`](stages/studies/slope/README.md) | And a line? | <!-- finding slope.panel --><!-- /finding --> |\n"
    last = "| [`descent`]"
    assert text.count(last) == 1
    readme.write_text(text.replace(last, row + last), encoding="utf-8")
    extended.run("make", "repro")
    extended.run("git", "add", "--intent-to-add", "stages/studies/slope", "plots/slope", "plots/slope_sweep")
    try:
        names = "(page or figure or tracked or line_for_each) and not pytorch"
        words = ["tests/test_readme.py", "-m", "not pipeline", "-k", names, "--no-header"]
        said = extended.run(sys.executable, "-m", "pytest", *words, check=False).stdout
        assert "failed" not in said, said
        assert int(re.findall(r"(\d+) passed", said)[0]) >= 4
    finally:
        extended.run("git", "reset", "-q")
        readme.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("name", "said"), [("my-slope", "letters, digits and _"), ("seed", "none of seed, baseline, wd")])
def test_a_folder_whose_name_cannot_be_a_study_is_named_in_one_line(name: str, said: str, extended: Clone) -> None:
    folder = extended.path / "stages" / "studies" / name
    folder.mkdir()
    (folder / "system.py").write_text(FILES["stages/studies/slope/system.py"], encoding="utf-8")
    try:
        told = extended.stage("stages.check")
        assert told.returncode == 1
        assert told.stderr.startswith(f"error: stages/studies/{name}: expected a name of ")
        assert said in told.stderr
        assert told.stderr.count("\n") == 1
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_study_fails_a_test_that_nobody_wrote_for_it(mistake: str, extended: Clone) -> None:
    name, right, wrong, test = MISTAKES[mistake]
    path = extended.path / "stages" / "studies" / "slope" / name
    content = path.read_text(encoding="utf-8")
    assert content.count(right) == 1
    path.write_text(content.replace(right, wrong), encoding="utf-8")
    try:
        said = complaints(extended, "tests/test_contract.py")
        assert f"FAILED tests/test_contract.py::{test}[slope" in said, said
    finally:
        path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize("part", ["system", "training", "results", "figures"])
def test_a_part_that_is_missing_or_is_none_is_named_in_one_line(part: str, extended: Clone) -> None:
    verb = {"system": "generate", "training": "sweep", "results": "evaluate", "figures": "plot"}[part]
    path = extended.path / "stages" / "studies" / "slope" / f"{part}.py"
    content = path.read_text(encoding="utf-8")
    try:
        path.unlink()
        said = extended.stage(f"stages.{verb}", "slope")
        assert said.stderr == f"error: stages/studies/slope/{part}.py: expected this part of the study, got no file\n"
        path.write_text(f"{part.upper()} = 3\n", encoding="utf-8")
        said = extended.stage(f"stages.{verb}", "slope")
        kind = part.capitalize()
        assert said.stderr == f"error: stages/studies/slope/{part}.py: expected {part.upper()}, of type {kind}, got int\n"
    finally:
        path.write_text(content, encoding="utf-8")


BROKEN = [  # file, what is written there, what is written instead, the stage that refuses it, how
    (
        "system.py",
        '"steps": 0,',
        '"steps": 1,',
        "generate slope",
        "expected `draw` to return what `arrays` lists, got a difference in ['steps']",
    ),
    ("training.py", '"wd": replace', '"dw": replace', "train slope wd", "expected a run for each row of wd, got none for ['wd']"),
]


@pytest.mark.parametrize(("name", "right", "wrong", "words", "message"), BROKEN)
def test_a_broken_contract_is_named_in_one_line(
    name: str, right: str, wrong: str, words: str, message: str, extended: Clone
) -> None:
    path = extended.path / "stages" / "studies" / "slope" / name
    content = path.read_text(encoding="utf-8")
    assert content.count(right) == 1
    try:
        path.write_text(content.replace(right, wrong), encoding="utf-8")
        verb, *rest = words.split()
        said = extended.stage(f"stages.{verb}", *rest)
        assert said.returncode == 1
        assert said.stderr.startswith(f"error: stages/studies/slope/{name}: {message}")
        assert said.stderr.count("\n") == 1
    finally:
        path.write_text(content, encoding="utf-8")
