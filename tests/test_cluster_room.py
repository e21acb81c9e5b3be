"""Which chunks a cluster gets, and where they find room: with a Ray that runs each task in this process."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import CPU, TRAINING, fit

from stages.base.streams import Arrays
from stages.engine import packing
from stages.engine.fit import Fit

needs_ray = pytest.mark.usefixtures("ray")


class Here:
    """Ray as far as a sweep calls it, with each task in this process; its tasks may be killed for their memory."""

    def __init__(self, nodes: list[dict[str, float]], fits: int, taken: float) -> None:
        self.resources, self.fits, self.taken, self.asked = nodes, fits, taken, list[float]()
        self.tasks: dict[int, tuple[bytes, bytes, int]] = {}

    def remote(self, **_: int) -> Callable[..., Any]:
        return lambda train: SimpleNamespace(options=self.options)

    def options(self, *, num_cpus: int, num_gpus: float) -> Any:
        self.asked.append(num_gpus)
        return SimpleNamespace(remote=self.submit)

    def submit(self, *words: Any) -> int:
        self.tasks[len(self.asked)] = words
        return len(self.asked)

    def get(self, task: int) -> Any:
        from ray.exceptions import OutOfMemoryError

        from stages.engine import cluster

        data, rest, size = self.tasks.pop(task)
        if size > self.fits:
            raise OutOfMemoryError("killed")
        return cluster.train(data, rest, size)[0], self.taken

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Resources": each, "Alive": True} for each in self.resources]


def swept(here: Here | None, arrays: Arrays, settings: Any, monkeypatch: pytest.MonkeyPatch, runs_at_once: int) -> Fit:
    if here:
        from stages.engine import cluster

        context = SimpleNamespace(gcs_address="")
        known: dict[str, Any] = {name: getattr(here, name) for name in ("remote", "get", "nodes")}
        known |= {"put": bytes, "wait": lambda tasks, timeout: (tasks[:1], tasks[1:]), "is_initialized": lambda: True}
        known |= {"get_gpu_ids": list, "get_runtime_context": lambda: context, "cancel": lambda *_, **__: None}
        monkeypatch.setattr(cluster, "ray", SimpleNamespace(**known))
        monkeypatch.setattr(cluster, "answers", lambda _: True)
        monkeypatch.setenv("RAY_ADDRESS", "here")
    job = TRAINING["wide"].job(settings.wide, arrays, CPU, [0.0, 3.0])
    return fit("wide", replace(job, runs_at_once=runs_at_once))


@needs_ray
def test_a_worker_killed_for_its_memory_gets_smaller_parts(
    settings: Any, wide_arrays: Arrays, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last bit what chunks of that size give in process: a chunk of 32 becomes four of 8."""
    small = swept(None, wide_arrays, settings, monkeypatch, 8)
    found = swept(Here([{"CPU": 1}], fits=8, taken=1), wide_arrays, settings, monkeypatch, 32)
    told = [f"out of memory with {size} runs at once: going on with {size // 2}\n" for size in (32, 16)]
    assert capsys.readouterr().err == "".join(told)
    for name, value in (small.parameters | small.history).items():
        assert torch.equal((found.parameters | found.history)[name], value), name


@needs_ray
def test_chunks_share_a_gpu_by_what_the_first_took_and_take_cpus_elsewhere(
    settings: Any, wide_arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.engine.cluster import room_for

    nodes = [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 1.0}]
    assert room_for(1.0, nodes, gpus=True) == {True: 1, False: 1}
    assert room_for(0.25, nodes, gpus=True) == {True: 4, False: 1}
    assert room_for(0.01, nodes, gpus=True) == {True: 8, False: 1}  # a chunk takes a core too
    assert room_for(0.25, nodes, gpus=False) == {True: 0, False: 9}
    here = Here(nodes, fits=32, taken=0.241)
    monkeypatch.delenv("WEIGHT_DECAY_DEVICE", raising=False)
    swept(here, wide_arrays, settings, monkeypatch, 2)
    assert here.asked[:4] == [1.0, 1.0, 0, 0]  # twice the room
    assert set(here.asked[4:]) == {0.25, 0}


def test_what_is_packed_is_no_view_and_comes_back_as_it_lay_in_memory() -> None:
    whole = torch.arange(24.0).reshape(4, 3, 2)
    columns = whole[1:3].mT
    content = packing.pack((columns, [columns, columns[:1].expand(5, 2, 3)]))
    found, (again, spread) = packing.unpack(content, CPU)
    assert found is again
    assert torch.equal(found, columns)
    assert found.stride() == columns.stride() == (6, 1, 2)
    assert torch.equal(spread, columns[:1].expand(5, 2, 3))
    assert found.untyped_storage().nbytes() == columns.numel() * 4
