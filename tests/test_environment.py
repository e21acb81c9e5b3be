"""The wrong Python, no Python, an environment that was made elsewhere: one line each that says what to type."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, Clone

ACTIVATE = "`make repro` installs it, `. .venv/bin/activate` enters it"


def repro_with(programs: dict[str, str], clone: Clone, path: Path) -> str:
    """What `dvc repro check` says where these are the only programs besides Git and the shell."""
    path.mkdir()
    found = {name: shutil.which(name) or name for name in ("git", "sh", "env", "dirname")} | {
        "dvc": str(Path(sys.prefix, "bin", "dvc"))
    }
    for name, target in found.items():
        (path / name).symlink_to(target)
    for name, text in programs.items():
        (path / name).write_text(text, encoding="utf-8")
        (path / name).chmod(0o755)
    said = clone.run(str(path / "env"), f"PATH={path}", "dvc", "repro", "--force", "--single-item", "check", check=False)
    assert said.returncode != 0
    assert "Traceback" not in said.stderr
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_dvc_from_elsewhere_without_python_names_the_environment(reproduced: Clone, tmp_path: Path) -> None:
    assert (
        repro_with({}, reproduced, tmp_path / "bin")
        == f"error: expected the project's environment, got no command `python`: {ACTIVATE}"
    )


def test_a_python_without_the_packages_names_the_environment(reproduced: Clone, tmp_path: Path) -> None:
    bare = f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n'  # no site-packages
    told = repro_with({"python": bare}, reproduced, tmp_path / "bin")
    assert told.startswith("error: expected the project's environment, got /")
    assert told.endswith(f", which has no yaml: {ACTIVATE}") or told.endswith(f", which has no msgspec: {ACTIVATE}")


def test_an_old_python_names_the_environment() -> None:
    code = "import sys; sys.version_info = (3, 9, 2); sys.version = '3.9.2 (main)'; import stages"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (1, f"error: expected the project's environment, got Python 3.9.2: {ACTIVATE}\n")


def test_a_folder_that_was_moved_gets_an_environment_of_its_own(tmp_path: Path) -> None:
    """Its scripts call Python by the path where they were installed."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy2(ROOT / name, tmp_path / name)
    ready = tmp_path / ".venv" / ".ready"
    ready.parent.mkdir()
    os.utime(tmp_path / "requirements.txt", (0, 0))

    def planned() -> str:
        return subprocess.run(["make", "--dry-run", "diff"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    ready.write_text(f"{tmp_path.resolve()}\n", encoding="utf-8")
    assert "-m venv" not in planned()
    ready.write_text("/somewhere/else\n", encoding="utf-8")
    assert planned().index("rm -rf .venv") < planned().index("-m venv .venv")
