"""A study is added as docs/extending.md says, and by nothing else: it runs alone, and is tested by what tests every study.

So is an arm, which leaves nothing behind when it is taken away again.
"""

import contextlib
import csv
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import ROOT, Clone
from test_pipeline import ran

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^### `(stages/studies/slope/[\w.]+)`\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
SECTION = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
LINES, STAGE = re.findall(r"^```diff\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
OWN_DECAY = re.findall(r"`(wd: [^`]*)`", TEXT)  # what it quotes of a λ of the study's own
ARM = re.findall(r"`([^`\n]*heavy[^`\n]*)`", TEXT.partition("## An arm")[2])  # what the page quotes of the arm `heavy`
SLOPE = "stages/studies/slope"
OWN = {f"{verb}@slope" for verb in ("generate", "train-baseline", "train-wd", "sweep", "evaluate", "plot")}
WRITTEN = {"check", "overview"}  # what runs at any new section and at any new metrics
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
        "x = (1 + section.sweep.wd[-1]) * rng(",
        "test_no_decay_and_no_learning_rate_changes_a_draw",
    ),
    "trials share a stream": (
        "system.py",
        "streams.draw(data.trials, trial)",
        "streams.draw(data.trials, lambda rng: trial(lambda purpose: streams.stream(data.trials, purpose)))",
        "test_more_trials_leave_the_first_ones_alone",
    ),
    "an arm has another λ": (
        "training.py",
        "device, [wd])",
        "device, [wd / 2])",
        "test_an_archive_says_every_number_that_its_rows_are_trained_with_and_no_other",
    ),
}


@pytest.fixture(scope="module")
def extended(reproduced: Clone) -> Iterator[Clone]:
    assert len(FILES) == 5
    for name, content in FILES.items():
        (reproduced.path / name).parent.mkdir(exist_ok=True)
        (reproduced.path / name).write_text(content, encoding="utf-8")
    (section,) = SECTION
    params = reproduced.path / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8") + "\n" + section, encoding="utf-8")
    subprocess.run(["git", "apply", "-"], cwd=reproduced.path, input=LINES, text=True, check=True)
    yield reproduced
    reproduced.restore()
    reproduced.run("git", "clean", "-qfdx", SLOPE, "data/slope", "data/slope.npz")
    assert reproduced.run("git", "status", "--porcelain").stdout == ""


@contextlib.contextmanager
def edited(clone: Clone, name: str, *changes: tuple[str, str]) -> Iterator[None]:
    """A file in which other words stand, for as long as it takes."""
    path = clone.path / name
    content = text = path.read_text(encoding="utf-8")
    as_it_was = path.stat()
    for right, wrong in changes:
        assert text.count(right) == 1, right
        text = text.replace(right, wrong)
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(content, encoding="utf-8")
        os.utime(path, ns=(as_it_was.st_atime_ns, as_it_was.st_mtime_ns))  # or bytecode of the same second and size stands for it


def test_it_runs_and_no_other_study_runs_again(extended: Clone) -> None:
    assert ran(extended.run("dvc", "repro")) == WRITTEN | OWN
    changed = {line.split()[-1] for line in extended.run("git", "status", "--porcelain").stdout.splitlines()}
    made = {"metrics/slope.json", "metrics/slope_curves.csv", "metrics/slope_sweep.csv"}
    made |= {"metrics/details/slope.json", "metrics/details/slope_sweep.json"}
    assert changed == {"dvc.lock", "dvc.yaml", "params.yaml", f"{SLOPE}/", "plots/slope/", "plots/slope_sweep/"} | made


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
        words = ["tests/test_readme.py", "-k", names, "--no-header"]
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
        told = extended.run("python", "-m", "stages.check", check=False)
        assert told.returncode == 1
        assert told.stderr.startswith(f"error: stages/studies/{name}: expected a name of ")
        assert said in told.stderr
        assert told.stderr.count("\n") == 1
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_study_fails_a_test_that_nobody_wrote_for_it(mistake: str, extended: Clone) -> None:
    name, right, wrong, test = MISTAKES[mistake]
    with edited(extended, f"{SLOPE}/{name}", (right, wrong)):
        said = complaints(extended, f"tests/test_contract.py::{test}")
    assert f"FAILED tests/test_contract.py::{test}[slope" in said, said


@pytest.mark.parametrize("part", ["system", "training", "results", "figures"])
def test_a_part_that_is_missing_or_is_none_is_named_in_one_line(part: str, extended: Clone) -> None:
    verb = {"system": "generate", "training": "sweep", "results": "evaluate", "figures": "plot"}[part]
    path = extended.path / "stages" / "studies" / "slope" / f"{part}.py"
    content = path.read_text(encoding="utf-8")
    try:
        path.unlink()
        said = extended.run("python", "-m", f"stages.{verb}", "slope", check=False)
        assert said.stderr == f"error: stages/studies/slope/{part}.py: expected this part of the study, got no file\n"
        path.write_text(f"{part.upper()} = 3\n", encoding="utf-8")
        said = extended.run("python", "-m", f"stages.{verb}", "slope", check=False)
        kind = part.capitalize()
        assert said.stderr == f"error: stages/studies/slope/{part}.py: expected {part.upper()}, of type {kind}, got int\n"
    finally:
        path.write_text(content, encoding="utf-8")


BROKEN = [  # file, what is written there, what is written instead, the stage that refuses it, how
    (
        "system.py",
        '"start_weight": 2}',
        '"start_weight": 1}',
        "generate slope",
        "expected `draw` to return what `arrays` lists, got a difference in ['start_weight']",
    ),
    ("training.py", '{"": job', '{"_more": job', "train slope wd", "expected a job for each row of wd, got none for ['wd']"),
]


@pytest.mark.parametrize(("name", "right", "wrong", "words", "message"), BROKEN)
def test_a_broken_contract_is_named_in_one_line(
    name: str, right: str, wrong: str, words: str, message: str, extended: Clone
) -> None:
    with edited(extended, f"{SLOPE}/{name}", (right, wrong)):
        verb, *rest = words.split()
        said = extended.run("python", "-m", f"stages.{verb}", *rest, check=False)
    assert said.returncode == 1
    assert said.stderr.startswith(f"error: {SLOPE}/{name}: {message}")
    assert said.stderr.count("\n") == 1


def results(clone: Clone) -> dict[str, bytes]:
    """What the study has made: its metrics and figures, and its files in data/."""
    found = [path for folder in ("data", "metrics", "plots") for path in (clone.path / folder).rglob("*slope*")]
    found += [each for path in found for each in path.rglob("*")]
    return {str(path.relative_to(clone.path)): path.read_bytes() for path in found if path.is_file()}


def locked(clone: Clone) -> dict[str, Any]:
    return yaml.safe_load(clone.read("dvc.lock"))["stages"]


def test_a_decay_of_its_own_is_tracked_once_the_page_is_followed(extended: Clone) -> None:
    declared, number, in_pipeline = OWN_DECAY
    section = extended.read("params.yaml").partition("\nslope:")[2].partition("\n")[0]
    with (
        edited(extended, f"{SLOPE}/system.py", ("    data: Data\n", f"    {declared}\n    data: Data\n")),
        edited(extended, "params.yaml", (section, f"{section}\n  {number}")),
        edited(extended, "dvc.yaml", ("slope: {wd: wd, second_wd: wd,", f"slope: {{{in_pipeline},")),
    ):
        said = complaints(extended, "tests/test_contract.py", "tests/test_stages.py")
    assert "failed" not in said, said
    assert re.search(r"(\d+) passed", said)


def copied(pipeline: str) -> str:
    """The stage `train-wd` without the lines that the page takes away, and with those that it has for them."""
    (block,) = re.findall(r"^  train-wd:\n(?:(?: {4}.*)?\n)+", pipeline, re.MULTILINE)
    changes = re.findall(r"^-(.*\n)(?:\+(.*\n))?", STAGE, re.MULTILINE)
    assert len(re.findall(r"^[-+]", STAGE, re.MULTILINE)) == sum(map(bool, itertools.chain(*changes)))
    for old, new in changes:
        assert block.count(old) == 1
        block = block.replace(old, new)
    return block


def test_an_arm_is_added_by_what_the_page_says_and_leaves_nothing_behind(extended: Clone) -> None:
    """Its own stage trains it, and `evaluate` sees its row. Taken away again, it is as if it had never been."""
    extended.run("dvc", "repro")
    before, stages = results(extended), locked(extended)
    assert "data/slope/wd.npz" in before
    name, declared, arms, number = ARM
    in_system = [("import System,", "import Arm, System,"), ("    data: Data\n", f"    {declared}\n    data: Data\n")]
    in_system.append(('    arms=two_arms(("",)),\n', f"    {arms}\n"))
    with contextlib.ExitStack() as added:
        added.enter_context(edited(extended, f"{SLOPE}/system.py", *in_system))
        section = extended.read("params.yaml").partition("\nslope:")[2].partition("\n")[0]
        added.enter_context(edited(extended, "params.yaml", (section, f"{section}\n  {number}")))
        sweep = "  sweep:\n    foreach: *studies\n"
        added.enter_context(edited(extended, "dvc.yaml", (sweep, copied(extended.read("dvc.yaml")) + sweep)))
        done = ran(extended.run("dvc", "repro"))
        assert {f"train-{name}@slope", "evaluate@slope", "plot@slope"} <= done <= {f"train-{name}@slope"} | WRITTEN | OWN
        now, rows = results(extended), json.loads(extended.read("metrics/details/slope.json"))
        assert now.keys() - before.keys() == {f"data/slope/{name}.npz"}
        assert {each for each in before if now[each] != before[each]} == {
            "metrics/details/slope.json",
            "metrics/slope_curves.csv",
        }
        assert (rows[name]["weight_decay"], rows[name]["trials"]) == (float(number.partition(": ")[2]), rows["wd"]["trials"])
        assert rows[name]["weight_norm"] < rows["wd"]["weight_norm"] < rows["baseline"]["weight_norm"]
        runs = {run["run"] for run in csv.DictReader(extended.read("metrics/slope_curves.csv").splitlines())}
        assert runs == {"baseline", "wd", name}
        said = complaints(extended, "tests/test_contract.py", "tests/test_structure.py", "tests/test_stages.py")
        assert "failed" not in said, said
        assert f"slope: {name}" in extended.run(sys.executable, "-m", "pytest", "tests/test_contract.py", "--co").stdout
    assert (extended.path / "data" / "slope" / f"{name}.npz").is_file()
    done = ran(extended.run("dvc", "repro"))
    assert "evaluate@slope" in done <= WRITTEN | OWN
    assert results(extended) == before
    assert {stage: each for stage, each in locked(extended).items() if stage != f"train-{name}@slope"} == stages
    assert ran(extended.run("dvc", "repro")) == set()
