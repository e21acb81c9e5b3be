"""What README, docs and study pages say is so: numbers are the tracked ones, commands run, pictures and files exist."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import OUTSIDE, ROOT, SYSTEMS, Clone, draw, metrics, speaks_of, table

from stages import pages, studies
from stages.base import params
from stages.base.storage import save_arrays
from stages.base.system import DRAWN_FROM

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "stages" / "studies").glob("*/README.md"))]
TEXT = README.read_text(encoding="utf-8")
SHOWN = {page: re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE) for page in PAGES}
WHOLE = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
QUOTING = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name == "README.md")


def test_the_pages_say_what_the_metrics_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stale = ", ".join(map(str, pages.stale()))
    assert not stale, f"{stale}: quotes other results than those of metrics/: `make repro` mends it"


def at(place: str) -> Any:
    """A value of metrics/details, by its study, row and name; a finding by its study and the figure that it heads."""
    file, *keys = place.split(".")
    found: Any = metrics(file)
    for key in keys:
        found = found and found.get(key)
    return found


def test_each_sentence_with_a_source_is_what_the_rule_said() -> None:
    quoted = re.findall(r"<!-- finding (\w+)\.(\w+) -->(.*?)<!-- /finding -->", QUOTING, re.DOTALL)
    assert len(quoted) >= 3
    for file, name, text in quoted:
        assert " ".join(text.split()) == at(f"{file}.findings.{name}")


def test_the_readme_has_a_line_for_each_study_with_a_question_and_its_finding() -> None:
    link, quoted = r"\[`(\w+)`\]\(stages/studies/(\w+)/README.md\)", r"<!-- finding (\w+?)(?:_sweep)?\.panel -->"
    rows = re.findall(rf"^\| {link} \| (.+\?.*) \| {quoted}", TEXT, re.MULTILINE)
    assert [row[0] for row in rows] == [*dict.fromkeys(row[0] for row in rows)]
    assert {study for study, *_ in rows} == set(studies.NAMES)
    assert all(study == folder == source for study, folder, _, source in rows)


IN_PYTORCH = [
    page.parent.name for page in PAGES if page.parent.parent.name == "studies" and "```python" in page.read_text("utf-8")
]


def test_the_shipped_studies_are_shown_in_plain_pytorch_too() -> None:
    assert set(IN_PYTORCH) >= {"line", "wide", "modular", "descent"}


@pytest.mark.parametrize("study", IN_PYTORCH)
def test_the_plain_pytorch_gives_the_tracked_numbers(study: str, tmp_path: Path) -> None:
    """Each line that prints says in a comment which number it prints; six digits are tracked."""
    page = (ROOT / "stages" / "studies" / study / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(code.splitlines()) <= 30
    settings = params.read(study, SYSTEMS[study].section, *DRAWN_FROM, path=ROOT / "params.yaml")
    arrays = draw(study, settings.section, int(settings.numbers["seed"]))
    save_arrays(tmp_path / "data" / f"{study}.npz", arrays, settings.flat)  # as `generate` writes it
    known = OUTSIDE | {"PYTHONPATH": str(ROOT)}  # as at the project's root, where `stages` tells the order of the batches
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=known, capture_output=True, text=True, check=True)
    promised = re.findall(r"^ *print\(.*\)  # (\S+?)(?: of trial (\d+))?$", code, re.MULTILINE)
    assert len(promised) == len(done.stdout.splitlines()) >= 1
    for (place, trial), text in zip(promised, done.stdout.splitlines(), strict=True):
        assert float(text) == pytest.approx(of_trial(place, trial) if trial else at(place), rel=1e-5)


def of_trial(place: str, trial: str) -> float:
    """How one trial of an arm ended, `study.row.value`, from the row of the sweep at the λ of the arm."""
    study, row, value = place.split(".")
    decay = metrics(study)[row]["weight_decay"]
    runs = [run for run in table(f"{study}_sweep") if run["weight_decay"] == decay and run[value] is not None]
    if not runs:
        pytest.skip(f"λ = {decay:g} is not on the grid of {study}, so no trial of it is tracked")
    (found,) = [run[value] for run in runs if run["trial"] == int(trial)]
    return found


def test_each_number_with_a_source_is_the_sources_number() -> None:
    """A number is followed by its place in metrics/, in a comment; it must be that value, rounded to the digits shown."""
    quoted = re.findall(r"(—|−?[\d.,]*\d(?:e-\d+)?)( %)?[`*]*<!-- (\w+(?:\.\w+)+) \S+ -->", QUOTING)
    assert len(quoted) >= 40
    for text, percent, place in quoted:
        found, text = at(place), text.replace(",", "")
        if text == "—":
            assert found in (None, -1)
            continue
        value = found * (100 if percent else 1)
        half_a_digit = 10 ** -len(text.partition(".")[2]) / 2 if "e" not in text else 1e-9 * value
        assert abs(float(text.replace("−", "-")) - value) <= half_a_digit * (1 + 1e-6), f"{place} is {value:g}"


def swept(study: str, decay: float, value: str) -> float:
    """The mean over trials at one λ of a sweep; runs without a loss stopped early, on another share of the pairs."""
    with (ROOT / "metrics" / f"{study}_sweep.csv").open(encoding="utf-8") as file:
        runs = [run for run in csv.DictReader(file) if float(run["weight_decay"]) == decay and run["val_loss"]]
    return sum(float(run[value]) for run in runs) / len(runs)


def test_the_report_shown_is_of_the_sweeps() -> None:
    """The base is the sweep at λ = 3, the head that at λ = 1."""
    ((head, base),) = re.findall(r"^> - `modular`: generalises with decay at step (\d+) instead of (\d+)\.$", WHOLE, re.MULTILINE)
    (change,) = re.findall(r"^> - `wide`: validation loss with decay \+(\d+) % ± ", WHOLE, re.MULTILINE)
    assert int(head) == round(swept("modular", 1, "steps_to_generalise"))
    assert int(base) == round(swept("modular", 3, "steps_to_generalise"))
    assert int(change) == round(100 * (swept("wide", 1, "val_loss") / swept("wide", 3, "val_loss") - 1))


def test_pictures_and_linked_files_are_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, env=OUTSIDE, capture_output=True, text=True, check=True)
    tracked = set(listed.stdout.split("\n"))
    assert len(tracked) > 50
    for page in PAGES:
        targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", SHOWN[page])]
        linked = {os.path.relpath(page.parent / target, ROOT) for target in targets if not target.startswith("http")}
        assert linked <= tracked, page


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([^)]+\.md)\)", TEXT)}
    assert linked == {page for page in PAGES if page != README}


def test_every_figure_is_on_a_page() -> None:
    pictures = [path for path in (ROOT / "plots").rglob("*.*") if path.suffix != ".html"] + [*(ROOT / "docs").glob("*.png")]
    drawn = {path.relative_to(ROOT).as_posix() for path in pictures}
    shown = set()
    for page in PAGES:
        names = re.findall(r"!\[.*?\]\((.+?)\)", SHOWN[page])
        shown |= {os.path.relpath(page.parent / name, ROOT) for name in names}
    assert shown == drawn


def test_the_tree_names_every_verb_and_folder_and_fits_a_screen() -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    tree = page.partition("## Where things are")[2].partition("```")[2].partition("```")[0]
    assert len(tree.splitlines()) <= 24
    for path in (ROOT / "stages").iterdir():
        assert path.name.startswith("__") or path.stem in tree, path
    for name in ("system.py", "training.py", "results.py", "figures.py", "README.md"):
        assert name in tree


@pytest.mark.slow
def test_the_commands_run_as_written(reproduced: Clone, tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 3
    rng = np.random.default_rng(0)
    rows = [f"{size:.3f},{age},{3 * size:.3f}" for size, age in zip(rng.random(60), rng.choice(["old", "new"], 60), strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["size,age,price", *rows]) + "\n", encoding="utf-8")
    try:
        for block in blocks:
            reproduced.run("bash", "-e", "-c", block.replace(". .venv/bin/activate", ":"), HOME=str(tmp_path))
    finally:
        reproduced.restore()


@speaks_of("wd", 3)
def test_the_best_constant_beats_both_arms_of_wide() -> None:
    """The README says so under its picture."""
    rows = metrics("wide")
    assert (
        rows["null"]["val_loss"] + 2 * rows["wd_minus_null"]["val_loss_se"]
        < rows["wd"]["val_loss"]
        < rows["baseline"]["val_loss"]
    )
