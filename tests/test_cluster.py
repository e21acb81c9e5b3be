"""A sweep on a Ray cluster of this machine: the bytes of the same sweep in process, whatever is lost on the way."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from conftest import Clone

pytestmark = pytest.mark.slow
needs_ray = pytest.mark.usefixtures("ray")
# 10 networks that take about a second each
SMALL = {
    "modular.data.trials": 2,
    "modular.train.steps": 500,
    "modular.sweep.wd": [0, 1, 3, 5],
    "modular.sweep.shares.trials": 1,
    "modular.sweep.shares.train_fraction": [0.5],
}
NETWORK = "stages/engine/addition.py"
OUTPUT = "data/modular/sweep.npz"
WANTED = "expected host:port of the head of a Ray cluster that this process may join"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("cluster"))
    for key, value in SMALL.items():
        made.set(key, value)
    made.run("git", "commit", "-qam", "small")
    made.run(sys.executable, "-m", "stages.generate", "modular")
    return made


@pytest.fixture(scope="module")
def expected(clone: Clone) -> bytes:
    """What the sweep writes in process."""
    clone.run(sys.executable, "-m", "stages.sweep", "modular")
    return (clone.path / OUTPUT).read_bytes()


@pytest.fixture
def fresh(clone: Clone) -> Iterator[Clone]:
    """Without the sweep's output; its code is put back afterwards."""
    (clone.path / OUTPUT).unlink(missing_ok=True)
    yield clone
    clone.run("git", "checkout", "-q", ".")
    clone.run("rm", "-rf", "build")


@pytest.fixture(scope="module")
def make() -> Iterator[Callable[..., Any]]:
    """Starts clusters on this machine: a head without a core, and two nodes of one core each."""
    from ray.cluster_utils import Cluster

    started = []
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:  # a socket's path is short
        os.environ |= {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled"}  # else Ray writes a token into the home

        def make(**system: float) -> Any:
            head = {"num_cpus": 0, "include_dashboard": False, "_system_config": system}
            cluster = Cluster(initialize_head=True, head_node_args=head)
            started.append(cluster)
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            return cluster

        yield make
        for cluster in started:
            cluster.shutdown()
        del os.environ["RAY_TMPDIR"], os.environ["RAY_AUTH_MODE"]


@pytest.fixture(scope="module")
def cluster(make: Callable[..., Any]) -> Any:
    return make()


def start(clone: Clone, address: str = "", study: str = "modular", cores: int = 1) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "stages.sweep", study]
    return subprocess.Popen(
        words,
        cwd=clone.path,
        env=os.environ | {"RAY_ADDRESS": address, "OMP_NUM_THREADS": str(cores)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def until(reached: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def training(cluster: Any) -> list[psutil.Process]:
    """The workers of a cluster that train."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes() if "raylet" in node.all_processes]
    workers = [child for pid in raylets if psutil.pid_exists(pid) for child in psutil.Process(pid).children()]
    found = []
    for worker in workers:
        try:
            if worker.cmdline()[:1] == ["ray::train"]:
                found.append(worker)
        except psutil.Error:
            continue
    return found


@needs_ray
def test_what_a_lost_worker_and_a_lost_node_trained_is_trained_again(fresh: Clone, expected: bytes, cluster: Any) -> None:
    third = cluster.add_node(num_cpus=1)
    process = start(fresh, cluster.address)
    until(lambda: training(cluster))
    training(cluster)[0].send_signal(signal.SIGKILL)
    until(lambda: training(cluster))
    cluster.remove_node(third, allow_graceful=False)
    status, out, err = ended(process)
    assert (status, err) == (0, "")
    assert re.match(r"Ray cluster at \S+: nodes: 4, CPUs: 3, GPUs: 0\n", out)
    assert "8/8 runs" in out
    assert "raylet" not in out
    assert (fresh.path / OUTPUT).read_bytes() == expected


@needs_ray
def test_an_error_in_a_worker_is_one_line(fresh: Clone, cluster: Any) -> None:
    path = fresh.path / NETWORK
    before, found, after = path.read_text(encoding="utf-8").partition("    hidden, output = ")
    assert found
    path.write_text(f"{before}    1 / 0\n{found}{after}", encoding="utf-8")
    status, _, err = ended(start(fresh, cluster.address))
    assert status == 1
    assert re.fullmatch(r"error: modular sweep: expected the cluster to train it, got ZeroDivisionError: .*\n", err)
    assert not (fresh.path / OUTPUT).exists()


@needs_ray
def test_ctrl_c_cancels_what_runs(fresh: Clone, cluster: Any) -> None:
    process = start(fresh, cluster.address)
    until(lambda: training(cluster))
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process)[::2] == (130, "")
    until(lambda: not training(cluster), seconds=10)
    assert not (fresh.path / OUTPUT).exists()


@needs_ray
def test_no_cluster_at_the_address_is_one_line_at_once(fresh: Clone) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        deaf = f"127.0.0.1:{silent.getsockname()[1]}"
        none = ", which does not answer"
        for address, reason in (("127.0.0.1:1", none), (deaf, none), ("ray://x:1", ""), ("local", "")):
            status, _, err = ended(start(fresh, address))
            assert (status, err) == (1, f"error: RAY_ADDRESS: {WANTED}, got {address!r}{reason}\n")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "a kill"])
def test_a_sweep_that_ends_early_takes_its_processes_with_it(sent: signal.Signals, fresh: Clone) -> None:
    process = start(fresh, cores=2)
    workers = until(lambda: (found := psutil.Process(process.pid).children(recursive=True)) and len(found) > 2 and found)
    time.sleep(2)  # they import torch, and train
    os.killpg(process.pid, sent) if sent == signal.SIGINT else process.kill()
    status, _, err = ended(process)
    assert (status, err) == (130, "") if sent == signal.SIGINT else status == -sent
    until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in workers), seconds=10)
    assert not (fresh.path / OUTPUT).exists()


def test_without_ray_the_address_of_a_cluster_is_one_line(fresh: Clone) -> None:
    (fresh.path / "ray.py").write_text("raise ModuleNotFoundError", encoding="utf-8")
    status, _, err = ended(start(fresh, "127.0.0.1:1"))
    (fresh.path / "ray.py").unlink()
    assert (status, err) == (1, "error: RAY_ADDRESS is set: expected the package ray, got none; `make extras` installs it\n")


@needs_ray
def test_a_head_that_is_gone_is_one_line(fresh: Clone, make: Callable[..., Any]) -> None:
    cluster = make()
    process = start(fresh, cluster.address)
    until(lambda: training(cluster))
    cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    status, _, err = ended(process)
    assert status == 1
    assert re.fullmatch(r"error: RAY_ADDRESS: expected the cluster to stay, got no answer any more; .*\n", err)


@needs_ray
def test_workers_that_are_killed_for_their_memory_are_one_line(fresh: Clone, make: Callable[..., Any]) -> None:
    """Ray kills all of them, as it may use next to no memory."""
    fresh.run(sys.executable, "-m", "stages.generate", "wide")
    cluster = make(memory_usage_threshold=0.001, memory_monitor_refresh_ms=100)
    status, _, err = ended(start(fresh, cluster.address, "wide"))
    assert status == 1
    assert re.fullmatch(r"error: wide sweep: expected the cluster to train it, got OutOfMemoryError: .*\n", err)
