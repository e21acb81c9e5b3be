"""Sharing and going back: a remote on a real SSH server, experiments as branches, earlier commits."""

import getpass
import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Clone
from test_pipeline import ran

pytestmark = pytest.mark.slow
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")  # Debian's openssh-server has it
SSH = SSHD and importlib.util.find_spec("dvc_ssh")  # `make extras` installs it; else the remote is a folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An SSH server on a free port of loopback, with keys of its own; its port and the user's key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "StrictModes": "no",
        "UsePAM": "no",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd of a root gives up its rights
    process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.PIPE)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            pytest.fail("sshd did not start")
        yield port, folder / "user"
    finally:
        process.terminate()
        process.communicate()


def second(origin: Path, path: Path) -> Clone:
    """A colleague's clone, with nothing in its cache."""
    subprocess.run(["git", "clone", "--quiet", str(origin), str(path)], check=True)
    return Clone.at(path)


def test_a_colleague_reproduces_without_training(reproduced: Clone, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The results of the commit by `dvc push`, an experiment by `dvc exp push`, which takes its data along."""
    head = reproduced.run("git", "rev-parse", "HEAD").stdout.strip()
    store = tmp_path / "store"
    store.mkdir()
    reproduced.run("git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "origin"))
    secrets: list[tuple[str, str]] = []
    if SSH:
        port, key = request.getfixturevalue("server")
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{store}"
        secrets = [("keyfile", str(key)), ("allow_agent", "false")]
    else:
        address = str(store)
    try:
        reproduced.run("git", "remote", "add", "origin", str(tmp_path / "origin"))
        reproduced.run("dvc", "remote", "add", "--default", "team", address)
        reproduced.run("git", "commit", "-qam", "a team's remote")
        reproduced.run("git", "push", "-q", "origin", "main")
        for option, value in secrets:
            reproduced.run("dvc", "remote", "modify", "--local", "team", option, value)
        reproduced.run("dvc", "push", "--run-cache")
        reproduced.run("dvc", "exp", "run", "-S", "line.wd=0.07", "--name", "heavier", "evaluate@line")
        metrics, weights = reproduced.read("metrics/line.json"), (reproduced.path / "data/line/wd.npz").read_bytes()
        reproduced.run("dvc", "exp", "push", "origin", "heavier")

        colleague = second(tmp_path / "origin", tmp_path / "colleague")
        for option, value in secrets:
            colleague.run("dvc", "remote", "modify", "--local", "team", option, value)
        colleague.run("dvc", "pull", "--run-cache")
        assert ran(colleague.run("dvc", "repro")) == set()
        assert colleague.run("git", "status", "--porcelain").stdout == ""
        colleague.run("dvc", "exp", "pull", "origin", "heavier")
        colleague.run("dvc", "exp", "apply", "heavier")
        assert colleague.read("metrics/line.json") == metrics
        assert (colleague.path / "data/line/wd.npz").read_bytes() == weights
        assert ran(colleague.run("dvc", "repro", "evaluate@line")) == set()
    finally:
        reproduced.run("git", "reset", "-q", "--hard", head)
        reproduced.run("git", "remote", "remove", "origin", check=False)
        reproduced.run("dvc", "exp", "remove", "heavier", check=False)
        (reproduced.path / ".dvc" / "config.local").unlink(missing_ok=True)
        reproduced.run("dvc", "checkout")


def test_an_experiment_becomes_a_branch_and_every_commit_gives_back_its_results(reproduced: Clone) -> None:
    head = reproduced.run("git", "rev-parse", "HEAD").stdout.strip()
    try:
        before = {name: reproduced.read(f"metrics/{name}") for name in ("line.json", "line_curves.csv")}
        figure, weights = ((reproduced.path / name).read_bytes() for name in ("plots/line/starts.png", "data/line/wd.npz"))
        reproduced.run("dvc", "exp", "run", "-S", "line.wd=0.3", "--name", "heavier", "evaluate@line")
        changed = reproduced.read("metrics/line.json")
        assert changed != before["line.json"]
        reproduced.run("git", "checkout", "-q", ".")
        reproduced.run("dvc", "checkout")

        reproduced.run("dvc", "exp", "apply", "heavier")
        assert reproduced.read("metrics/line.json") == changed
        reproduced.run("git", "checkout", "-q", ".")
        reproduced.run("dvc", "checkout")

        reproduced.run("dvc", "exp", "branch", "heavier", "heavier")
        reproduced.run("git", "checkout", "-q", "heavier")
        reproduced.run("dvc", "checkout")
        assert reproduced.read("metrics/line.json") == changed
        assert ran(reproduced.run("dvc", "repro", "evaluate@line")) == set()

        reproduced.run("git", "checkout", "-q", head)
        reproduced.run("dvc", "checkout")
        assert {name: reproduced.read(f"metrics/{name}") for name in before} == before
        assert (reproduced.path / "plots/line/starts.png").read_bytes() == figure
        assert (reproduced.path / "data/line/wd.npz").read_bytes() == weights
        assert reproduced.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    finally:
        reproduced.run("git", "checkout", "-q", "--force", "main")
        reproduced.run("git", "branch", "-D", "heavier", check=False)
        reproduced.run("dvc", "exp", "remove", "heavier", check=False)
        reproduced.run("dvc", "checkout")
