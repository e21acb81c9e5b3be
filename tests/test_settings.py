"""What a user or a machine has set elsewhere changes no result: settings of matplotlib, of Git, of Python; a calling Git."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Clone

DRAW = """
import hashlib
import numpy as np
from stages.drawing import style
from matplotlib.font_manager import findfont
figure = style.Figure(figsize=(4, 3))
axes = figure.subplots()
axes.plot([1, 2, 3], [1e-3, 2, 3], label="λ = 3, ‖w‖₂")
axes.hist(np.arange(9.0) % 4, 5)
axes.imshow([[1, 2]])
axes.set(yscale="log", title="½ × ±1 − 2")
axes.legend()
print(hashlib.sha256(style.png(figure)).hexdigest(), findfont("DejaVu Sans"))
"""
SET = b"axes.facecolor: red\nsavefig.bbox: tight\ntext.usetex: True\nfont.family: serif\nimage.cmap: gray\n"
UNREADABLE = b"\xff\xfe"
ELSEWHERE = {  # places of a user's settings, and what these tests find there
    "in the home directory": ({".config/matplotlib/matplotlibrc": SET}, {"HOME": "."}, ""),
    "in variables": ({"rc": SET}, {"MATPLOTLIBRC": "rc", "MPLBACKEND": "nonsense"}, ""),
    "in the working directory, read before": ({"matplotlibrc": SET}, {}, "import matplotlib.figure\n"),
    "unreadable": ({"matplotlibrc": UNREADABLE, "matplotlib/stylelib/x.mplstyle": UNREADABLE}, {"XDG_CONFIG_HOME": "."}, ""),
}


def draw(folder: Path, before: str = "", **variables: str) -> list[str]:
    """The digest of a figure that is drawn there, and the font it is drawn with."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | variables
    done = subprocess.run([sys.executable, "-c", before + DRAW], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(maxsplit=1)


@pytest.fixture(scope="module")
def figure(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return draw(tmp_path_factory.mktemp("plain"))


def test_figures_are_drawn_with_matplotlibs_own_font(figure: list[str]) -> None:
    assert re.search(r"/site-packages/matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf$", figure[1].strip())


@pytest.mark.parametrize("place", ELSEWHERE)
def test_figures_are_the_same_bytes_whatever_a_user_has_set(place: str, figure: list[str], tmp_path: Path) -> None:
    files, variables, before = ELSEWHERE[place]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert draw(tmp_path, before, **{key: value.replace(".", str(tmp_path)) for key, value in variables.items()}) == figure


def test_matplotlib_is_imported_in_one_place_only() -> None:
    """Where its search for settings is kept from a user's."""
    modules = [*(ROOT / "stages").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    importing = re.compile(r"^\s*(from|import) matplotlib", re.MULTILINE)
    found = {path.relative_to(ROOT).as_posix() for path in modules if importing.search(path.read_text(encoding="utf-8"))}
    assert found == {"stages/drawing/style.py"}


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("committed"))


def test_stages_make_the_same_bytes_whatever_a_user_has_set(committed: Clone) -> None:
    variables = ["LC_ALL=C", "TZ=Asia/Kathmandu", "OMP_NUM_THREADS=1", "MKL_CBWR=COMPATIBLE"]
    variables += ["PYTHONHASHSEED=7", "PYTHONIOENCODING=ascii", "PYTHONOPTIMIZE=2", "PYTHONUTF8=0"]
    outputs = [committed.path / name for name in ("data/line.npz", "plots/descent_sweep/risk.png")]
    made = []
    for others in ([], variables):
        for path in outputs:
            path.unlink(missing_ok=True)
        for words in (["stages.generate", "line"], ["stages.plot", "descent"]):
            committed.run("env", *others, sys.executable, "-m", *words)
        made.append([path.read_bytes() for path in outputs])
    assert made[0] == made[1]


@pytest.mark.parametrize("settings", [["core.autocrlf=true"], ["core.autocrlf=input", "core.eol=crlf"]])
def test_git_changes_no_byte_on_the_way_out_and_in(settings: list[str], committed: Clone, tmp_path: Path) -> None:
    """Whatever a user has set for line ends, and with a user's own filter for large files."""
    (tmp_path / "attributes").write_text("* filter=large ident\n", encoding="utf-8")
    settings = [*settings, f"core.attributesFile={tmp_path}/attributes", "filter.large.clean=wc -c", "filter.large.smudge=rev"]
    git = ["git", *(word for setting in settings for word in ("-c", setting))]
    committed.run(*git, "clone", "-q", ".", str(tmp_path / "other"))
    names = committed.run("git", "ls-files", "-z").stdout.split("\0")[:-1]
    assert {"params.yaml", "plots/overview.png", "stages/train.py"} <= set(names)
    before, after = ({name: (folder / name).read_bytes() for name in names} for folder in (committed.path, tmp_path / "other"))
    assert before == after
    committed.run(*git, "-C", str(tmp_path / "other"), "add", "--renormalize", ".")
    assert committed.run(*git, "-C", str(tmp_path / "other"), "status", "--porcelain").stdout == ""


@pytest.fixture
def victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that a calling Git names in the environment, with a change in it that is not committed."""
    victim = tmp_path / "victim"
    victim.mkdir()
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=victim, check=True)
    (victim / "changed").touch()
    subprocess.run(["git", "add", "changed"], cwd=victim, check=True)
    for name, place in {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_WORK_TREE": "."}.items():
        monkeypatch.setenv(name, str(victim / place))
    return victim


def test_tests_do_not_work_on_the_repository_that_calls_them(victim: Path, tmp_path: Path) -> None:
    """Nor with a user's settings; what they start has neither in its environment."""
    before = {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()}
    copy = tmp_path / "copy"
    copy.mkdir()
    script = (
        "import os, sys; from pathlib import Path; from conftest import Clone; Clone(Path(sys.argv[1])); print(dict(os.environ))"
    )
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "GIT_CONFIG_GLOBAL": "a", "DVC_EXP_NAME": "b"}
    done = subprocess.run([sys.executable, "-c", script, str(copy)], env=env, capture_output=True, text=True, check=True)
    assert {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()} == before
    assert (copy / ".git" / "HEAD").read_text(encoding="utf-8") == "ref: refs/heads/main\n"
    assert not {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "DVC_EXP_NAME"} & set(ast.literal_eval(done.stdout))


def test_make_runs_nothing_on_the_repository_that_calls_it(tmp_path: Path) -> None:
    words = ["make", "--no-print-directory", "--eval", "variables: ; @env", "variables"]
    foreign = {name: str(tmp_path) for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")}
    shown = subprocess.run(words, cwd=ROOT, env=os.environ | foreign, capture_output=True, text=True, check=True).stdout
    assert "PATH=" in shown
    assert not any(name in shown for name in foreign)
