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


def made_with(python: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make diff` in a folder without an environment, with another Python."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "python").write_text(python, encoding="utf-8")
    (folder / "python").chmod(0o755)
    words = ["make", f"PYTHON={folder}/python", "diff"]
    return subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)


PYTHON = """#!/bin/sh
if [ "$*" = "-m venv .venv" ]; then
    mkdir -p .venv/bin
    printf '#!/bin/sh\\nenv | grep ^PIP_; echo "$@"\\n' > .venv/bin/pip
    chmod +x .venv/bin/pip
fi
"""


def test_pip_that_installs_elsewhere_is_said_and_leaves_the_environment_unfinished(tmp_path: Path) -> None:
    """A user's settings: those of the environment are dropped, `user` of a file is overruled, `target` of a file is named."""
    moved = {f"PIP_{name}": str(tmp_path / "elsewhere") for name in ("TARGET", "PREFIX", "ROOT", "USER")}
    done = made_with(PYTHON, tmp_path, PIP_INDEX_URL="https://pip.example", **moved)
    assert done.returncode == 2
    assert (
        "error: expected pip to install into .venv, got another place: see target, prefix and root in `pip config list`"
        in done.stderr
    )
    assert "PIP_INDEX_URL=https://pip.example\n" in done.stdout
    assert str(tmp_path / "elsewhere") not in done.stdout
    assert "install --no-user" in done.stdout
    assert not (tmp_path / ".venv" / ".ready").exists()


def test_a_failing_venv_does_not_guess_the_reason(tmp_path: Path) -> None:
    broken = '#!/bin/sh\ncase "$*" in *venv*) echo "No space left on device" >&2; exit 1;; esac\n'
    said = made_with(broken, tmp_path).stderr
    assert said.index("No space left on device") < said.index("error: `")
    assert "failed, as said above" in said


def test_pythons_safe_path_does_not_hide_the_project(reproduced: Clone) -> None:
    assert reproduced.run("sh", "stages/run", "check", PYTHONSAFEPATH="1").returncode == 0
