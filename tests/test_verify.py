"""The gate, on a repository whose pipeline takes a second: what is tampered with is named, what a user has set plays no part."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from stages.base.errors import UserError
from tools import verify
from tools.verify import compare, main, printable, produced

PASSED = "are what its code produces, byte for byte"
MAKE = r"""
from pathlib import Path
for name, blob in (("metrics/x.json", b'{"a": {"b": 1}}\n'), ("plots/x.png", b"\x89PNG\r\n$Id$\n"), ("data/x", b"x\n")):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(blob)
"""
PIPELINE = """
stages:
  make:
    cmd: python make.py
    deps: [make.py]
    params: [wd]
    outs: [data/x]
    metrics: [metrics/x.json: {cache: false}]
    plots: [plots/x.png: {cache: false}]
"""
MD5 = "401b30e3b8b5d629635a5c613cdb7919"  # of data/x, by md5sum
VERIFY = """
import sys
from pathlib import Path
from stages.console.command import in_one_line
from tools.verify import main
with in_one_line("verify"):
    main(Path(sys.argv[1]))
"""


class Repository:
    """A folder under Git."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self("init", "-q", "-b", "main")

    def __call__(self, *words: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example"]
        done = subprocess.run(["git", *identity, *words], cwd=self.path, capture_output=True, check=False)
        assert done.returncode == 0, done
        return os.fsdecode(done.stdout).strip()

    def commit(self) -> str:
        self("add", "-A")
        self("commit", "-qm", "change")
        return self("rev-parse", "HEAD")

    def state(self) -> dict[str, bytes]:
        """Every file, with Git's own: HEAD, branches, index, settings, objects."""
        return {str(each): each.read_bytes() for each in self.path.rglob("*") if each.is_file()}


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    """This interpreter's `python` and `dvc` first, as `make` has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="module")
def reproduced(path: None, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A pipeline of one stage, and its results."""
    repository = Repository(tmp_path_factory.mktemp("small"))
    (repository.path / ".dvc").mkdir()
    (repository.path / ".dvc" / "config").touch()
    files = {"make.py": MAKE, "dvc.yaml": PIPELINE, "params.yaml": "wd: 3\n", ".gitignore": "data\ncache\ntmp\n"}
    for name, text in files.items():
        (repository.path / name).write_text(text, encoding="utf-8")
    subprocess.run(["dvc", "repro", "-q"], cwd=repository.path, check=True)
    repository.commit()
    return repository


@pytest.fixture
def small(reproduced: Repository, tmp_path: Path) -> Repository:
    """A copy of it."""
    return Repository(shutil.copytree(reproduced.path, tmp_path / "small"))


def refused(repository: Repository, capfd: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """The differences that the gate names in HEAD, and its last word."""
    repository.commit()
    with pytest.raises(UserError) as raised:
        main(repository.path)
    said = capfd.readouterr().out.splitlines()
    assert not any(line.endswith(PASSED) for line in said)
    return [line for line in said if line.startswith(("dvc.lock:", "params.yaml:", "metrics/", "plots/"))], str(raised.value)


def test_what_the_code_produces_passes(small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    before = small.state()
    main(small.path)
    commit = small("rev-parse", "--short", "HEAD")
    assert capfd.readouterr().out.splitlines()[-1] == f"verify: dvc.lock, params.yaml, metrics/ and plots/ of {commit} {PASSED}"
    assert small.state() == before


@pytest.mark.slow
def test_a_table_that_dvc_keeps_is_there_too(small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    """Of other content it is another input, and where it is gone DVC says so."""
    (small.path / "dvc.yaml").write_text(PIPELINE.replace("[make.py]", "[make.py, mine.csv]"), encoding="utf-8")
    (small.path / "mine.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    for words in (["add", "-q", "mine.csv"], ["repro", "-q"]):
        subprocess.run(["dvc", *words], cwd=small.path, check=True)
    small.commit()
    assert "mine.csv" not in small("ls-files").split("\n")
    main(small.path)
    assert capfd.readouterr().out.splitlines()[-1].endswith(PASSED)
    (small.path / "mine.csv").write_text("a,b\n1,3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"got \d difference"):
        main(small.path)
    (small.path / "mine.csv").unlink()
    with pytest.raises(UserError, match="expected the pipeline of"):
        main(small.path)


def test_a_folder_of_a_larger_repository_is_verified_alone(small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    (small.path.parent / "larger").mkdir()
    larger = Repository(small.path.parent / "larger")
    own = Path(shutil.copytree(small.path, larger.path / "ml" / "decay", ignore=shutil.ignore_patterns(".git")))
    (larger.path / "metrics").mkdir()
    (larger.path / "metrics" / "other.json").write_text("{}", encoding="utf-8")
    larger.commit()
    main(own)
    assert capfd.readouterr().out.splitlines()[-1].endswith(PASSED)
    (own / "metrics" / "x.json").write_text('{"a": {"b": 2}}\n', encoding="utf-8")
    larger.commit()
    with pytest.raises(UserError, match=r"got 1 difference"):
        main(own)
    assert "metrics/x.json: a.b: committed 2, produced 1" in capfd.readouterr().out.splitlines()


def test_where_a_gpu_trains_it_says_whose_numbers_are_committed(small: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "on_gpu", lambda: True)
    (small.path / "metrics" / "x.json").write_text('{"a": {"b": 2}}\n', encoding="utf-8")
    small.commit()
    with pytest.raises(UserError, match=r"got 1 difference\(s\); they are a CPU's: WEIGHT_DECAY_DEVICE=cpu make verify$"):
        main(small.path)


def test_each_difference_is_named_in_a_line(small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    """Hashes of data among them, and names that are no UTF-8, or pretend to be the gate's last line."""
    lock = small.path / "dvc.lock"
    text = lock.read_text(encoding="utf-8").replace(MD5, "f" * 32)
    text += f"  gone:\n    cmd: python gone.py\n    outs:\n    - path: data/gone\n      md5: {MD5}\n"
    lock.write_text(text, encoding="utf-8")
    (small.path / "metrics" / "x.json").write_text('{"a": {"b": 2}}\n', encoding="utf-8")
    (small.path / "metrics" / "extra.csv").touch()
    Path(os.fsdecode(bytes(small.path) + b"/metrics/\xff.json")).touch()
    (small.path / "plots" / f"x\n{PASSED}").touch()
    (small.path / "plots" / "x.png").write_bytes(b"\x89PNG\n")
    lines, last = refused(small, capfd)
    assert sorted(lines) == [
        f"dvc.lock: stages.gone.outs.0.md5: committed {MD5}, produced not computed",
        f"dvc.lock: stages.make.outs.0.md5: committed {'f' * 32}, produced {MD5}",
        "metrics/\\udcff.json: committed, but not produced",
        "metrics/extra.csv: committed, but not produced",
        "metrics/x.json: a.b: committed 2, produced 1",
        "plots/x.png: 5 bytes committed, other 11 produced",
        f"plots/x\\n{PASSED}: committed, but not produced",
    ]
    assert last.endswith(", got 7 difference(s)")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("mv metrics kept; ln -s kept metrics", "metrics: expected a regular file in Git, got a symbolic link"),
        ("mv dvc.lock kept; ln -s kept dvc.lock", "dvc.lock: expected a regular file in Git, got a symbolic link"),
        ("cd plots; mv x.png ../kept; ln -s ../kept x.png", "plots/x.png: expected a regular file in Git, got a symbolic link"),
        ("chmod +x metrics/x.json", "metrics/x.json: expected a regular file in Git, got an executable"),
        ("git rm -qr plots; git clone -q . plots", "plots: expected a regular file in Git, got a repository of its own"),
    ],
)
def test_only_regular_files_are_results(change: str, named: str, small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["bash", "-e", "-c", change], cwd=small.path, check=True)
    assert refused(small, capfd) == ([], named)


def test_what_is_produced_is_read_only_from_regular_files(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    (metrics / "deep" / "er").mkdir(parents=True)
    (metrics / "deep" / "er" / "x.json").write_bytes(b"1")
    (metrics / "empty").mkdir()
    os.mkfifo(metrics / "pipe")
    (metrics / "folder").symlink_to("deep")
    (metrics / "file").symlink_to("deep/er/x.json")
    (metrics / "dangling").symlink_to("nowhere")
    (tmp_path / "plots").symlink_to("metrics")
    (tmp_path / "other").touch()
    links = dict.fromkeys(("plots", "metrics/pipe", "metrics/folder", "metrics/file", "metrics/dangling"))
    assert produced(tmp_path) == {"metrics/deep/er/x.json": b"1"} | links
    assert list(compare({"plots": b""}, {"plots": None})) == ["plots: committed, but what is produced is no regular file"]


def test_a_result_that_is_removed_and_ignored_is_missed(small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    small("rm", "-q", "metrics/x.json")
    (small.path / ".gitignore").write_text("data\ncache\ntmp\nx.json\n", encoding="utf-8")
    assert refused(small, capfd)[0] == ["metrics/x.json: not committed, but produced"]


def test_a_stage_that_is_frozen_proves_nothing(small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    (small.path / "dvc.yaml").write_text(PIPELINE.replace("    cmd", "    frozen: true\n    cmd"), encoding="utf-8")
    assert "to run, got what DVC says above" in refused(small, capfd)[1]


@pytest.mark.parametrize("settings", ["core.autocrlf=true", "core.autocrlf=input core.eol=crlf"])
def test_what_a_user_has_set_plays_no_part(
    settings: str, small: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Line ends, filters, ignored files, hooks, a shared cache; nor does another repository that Git's variables name.
    Only that the user trusts a repository which another owns is heard.
    """
    victim = Repository(shutil.copytree(small.path, tmp_path / "victim"))
    files = {
        "git/ignore": "*.json\n*.png\ndvc.yaml\n",
        "git/attributes": "*.py filter=edit\n* ident\n",
        "git/config": "",
        "dvc/config": f"[cache]\n    dir = {tmp_path}/shared\n    type = symlink\n",
        "hooks/post-checkout": f"#!/bin/sh\ntouch {tmp_path}/hooked\n",
        "template/hooks/post-checkout": f"#!/bin/sh\ntouch {tmp_path}/hooked\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    told = {"core.hooksPath": f"{tmp_path}/hooks", "init.templateDir": f"{tmp_path}/template"}
    told |= {"filter.edit.smudge": "sed s/1/2/", "safe.directory": "*"} | dict(setting.split("=") for setting in settings.split())
    for key, value in told.items():
        small("config", "--file", str(tmp_path / "git" / "config"), key, value)
    for name in ("GIT_CONFIG_GLOBAL", "DVC_GLOBAL_CONFIG_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    before = victim.state()
    places = {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_WORK_TREE": ".", "GIT_OBJECT_DIRECTORY": ".git/objects"}
    for name, place in places.items():
        monkeypatch.setenv(name, str(victim.path / place))
    main(small.path)
    assert capfd.readouterr().out.splitlines()[-1].endswith(PASSED)
    assert not (tmp_path / "hooked").exists()
    assert not (tmp_path / "shared").exists()
    assert victim.state() == before


def test_attributes_of_the_commit_change_no_file(small: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    (small.path / ".gitattributes").write_text("* text eol=crlf ident\n*.json working-tree-encoding=UTF-16\n", encoding="utf-8")
    small("add", ".gitattributes")
    small("commit", "-qm", "attributes")
    main(small.path)
    assert capfd.readouterr().out.splitlines()[-1].endswith(PASSED)


def test_called_by_git_it_leaves_the_callers_repository_alone(small: Repository, tmp_path: Path) -> None:
    """`git rebase --exec` in a linked worktree exports GIT_DIR and more; so does a hook."""
    small("commit", "-q", "--allow-empty", "-m", "second")
    linked = tmp_path / "linked"
    small("worktree", "add", "-q", "-b", "linked", str(linked))
    index = (small.path / ".git" / "worktrees" / "linked" / "index").read_bytes()
    before = [small("show-ref"), (small.path / ".git" / "config").read_bytes(), index]
    (tmp_path / "call.py").write_text(VERIFY, encoding="utf-8")
    words = shlex.join([sys.executable, str(tmp_path / "call.py"), str(linked)])
    said = small("-C", str(linked), "rebase", "-q", "--exec", f"env > {tmp_path}/told; {words}", "HEAD~1")
    assert f"GIT_DIR={small.path}/.git/worktrees/linked\n" in (tmp_path / "told").read_text(encoding="utf-8")
    assert said.splitlines()[-1].endswith(PASSED)
    assert small("-C", str(linked), "status", "--porcelain") == small("status", "--porcelain") == ""
    index = (small.path / ".git" / "worktrees" / "linked" / "index").read_bytes()
    assert [small("show-ref"), (small.path / ".git" / "config").read_bytes(), index] == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", "[" * 100_000),
        ("x.json", '{"a":' * 900 + "1" + "}" * 900),
        ("x.json", "9" * 5_000),
        ("x.json", "\udcff"),
        ("x.csv", "a,b\n" + "9" * 200_000),
        ("params.yaml", "a: 0x" + "f" * 5_000),
        ("params.yaml", "a: &a [*a]"),
        ("params.yaml", "a: !!timestamp b"),
        ("x.yaml", "[" * 100_000),
    ],
    ids=["open", "deep", "digits", "no UTF-8", "field", "hexadecimal", "cycle", "no time", "brackets"],
)
def test_what_no_parser_can_read_is_one_difference(name: str, text: str) -> None:
    blob = os.fsencode(text)
    lines = list(compare({name: blob}, {name: blob + b" "}))
    assert lines == [f"{name}: {len(blob)} bytes committed, other {len(blob) + 1} produced"]


def test_a_line_is_one_line_of_bounded_length() -> None:
    (line,) = compare({"x.json": b'{"a\\n\\u001b[2J\\u03bb": 1}'}, {"x.json": b'{"a\\n\\u001b[2J\\u03bb": 2}'})
    assert printable(line) == r"x.json: a\n\x1b[2Jλ: committed 1, produced 2"
    assert len(printable("λ" * 1_000_000)) < 1_000


def verified(path: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", VERIFY, str(path)], stderr=subprocess.PIPE, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ({"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, "got fatal: detected dubious ownership in repository at "),
        ({"GIT_CONFIG_GLOBAL": "{tmp_path}/broken"}, "got fatal: bad config line "),
        ({"PATH": ""}, "git: expected to read or write it, got No such file or directory"),
    ],
)
def test_a_git_that_fails_is_heard(variable: dict[str, str], reason: str, small: Repository, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("[", encoding="utf-8")
    values = {key: value.format(tmp_path=tmp_path) for key, value in variable.items()}
    done = verified(small.path, env=os.environ | {"LC_ALL": "C.UTF-8", "LANGUAGE": "de"} | values, stdout=subprocess.DEVNULL)
    assert done.returncode == 1
    assert done.stderr.startswith("error: verify: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_no_repository_or_has_no_commit_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"got fatal: not a git repository"):
        main(tmp_path)
    with pytest.raises(UserError, match=r"^expected `git rev-parse --short HEAD` to work, got fatal: "):
        main(Repository(tmp_path).path)


def test_a_temporary_folder_that_is_full_is_said(small: Repository, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(full)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system of 64 KiB")
    try:
        done = verified(small.path, env=os.environ | {"LC_ALL": "C", "TMPDIR": str(full)}, stdout=subprocess.DEVNULL)
    finally:
        subprocess.run(["umount", str(full)], check=True)
    assert done.returncode == 1
    assert re.fullmatch(r"error: verify: expected `git clone .*` to work, got .*No space left on device.*\n", done.stderr)


@pytest.mark.parametrize("output", ["> /dev/full", "| :"])
def test_a_standard_output_that_takes_nothing_ends_it_in_a_line(output: str, small: Repository) -> None:
    words = f"{shlex.join([sys.executable, '-c', VERIFY, str(small.path)])} {output}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"error: verify: standard output: .*\n", done.stderr)
