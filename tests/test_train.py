"""Many runs at once: indifferent to how they are split into chunks, to who trains them, and to neighbours that diverge."""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from conftest import CPU, TRAINING, changed, draw, fit
from torch import Tensor

from stages.base.streams import Arrays
from stages.engine import fit as loop
from stages.engine.fit import Fit
from stages.engine.job import Job
from stages.engine.models import Parameters
from stages.engine.train import train
from stages.engine.work import workers

TOLERANCE = 1e-12  # the same arithmetic in another order


@pytest.fixture(scope="module", autouse=True)
def end_of_the_processes() -> Iterator[None]:
    """Those that trained end with this file, and not with the whole suite."""
    yield
    workers(2).shutdown()
    workers.cache_clear()


def job(arrays: Arrays, settings: Any, *weight_decays: float, **changes: Any) -> Job:
    return replace(TRAINING["wide"].job(settings.wide, arrays, CPU, weight_decays), **changes)


def swept(arrays: Arrays, settings: Any, *weight_decays: float, **changes: Any) -> Fit:
    return fit("wide", job(arrays, settings, *weight_decays, **changes))


@pytest.fixture(scope="module")
def wide_arrays(settings: Any) -> Arrays:
    """Sixteen trials, which halves divide."""
    return draw("wide", changed(settings.wide, {"data.trials": 16}))


@pytest.mark.parametrize(
    ("weight_decays", "most", "told"),
    [
        ((0.0, 3.0), 20, ["out of memory with 32 runs at once: going on with 16"]),
        (
            (0.0, 1.0, 3.0),
            1,
            [f"out of memory with {size} runs at once: going on with {size // 2}" for size in (48, 24, 12, 6, 3)],
        ),
    ],
    ids=["a part", "a single trial"],
)
def test_out_of_memory_halves_the_parts_and_says_so_once(
    weight_decays: tuple[float, ...],
    most: int,
    told: list[str],
    settings: Any,
    wide_arrays: Arrays,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Trials are parted first, then the λ of one. Each run is trained once."""
    expected, whole, seen = swept(wide_arrays, settings, *weight_decays), loop.fit, []

    def small(job: Job, **options: Any) -> Fit:
        if job.runs > most:
            raise MemoryError
        seen.append(job.runs)
        return whole(job, **options)

    monkeypatch.setattr(loop, "fit", small)
    found = swept(wide_arrays, settings, *weight_decays)
    assert sum(seen) == 16 * len(weight_decays)
    assert capsys.readouterr().err.splitlines() == told
    for name, value in expected.history.items():
        torch.testing.assert_close(found.history[name], value, atol=TOLERANCE, rtol=0)


def first_waits(_: Parameters, __: Parameters, *, seen: Path, others: str) -> dict[str, Tensor]:
    """A watch: the first process that comes here waits, the others fail, are killed or go on."""
    try:
        seen.symlink_to(str(os.getpid()))
    except FileExistsError:
        if others == "fail":
            raise ZeroDivisionError from None
        if others == "are killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return {}
    time.sleep(120)
    return {}


@contextlib.contextmanager
def interrupted(*_: object, **__: object) -> Iterator[Callable[..., None]]:
    """Progress during which somebody presses Ctrl-C, when some runs have ended."""

    def report(step: int, measured: object, ended: int) -> None:
        if ended:
            raise KeyboardInterrupt

    yield report


@pytest.mark.parametrize(
    ("others", "raised"), [("fail", ZeroDivisionError), ("are killed", MemoryError), ("go on", KeyboardInterrupt)]
)
def test_an_error_in_one_process_ends_the_others(
    others: str,
    raised: type[BaseException],
    settings: Any,
    wide_arrays: Arrays,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So does Ctrl-C. The next training, of the tests below, has processes again."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    watch = functools.partial(first_waits, seen=tmp_path / "seen", others=others)
    heavy = job(wide_arrays, settings, 0.0, 3.0, runs_at_once=4, heavy=True, watch=watch)
    with pytest.raises(raised):
        train("wide", heavy, progress=interrupted)
    deadline = time.monotonic() + 30
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(int(os.readlink(tmp_path / "seen")))
        while first.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def who(_: Parameters, now: Parameters) -> dict[str, Tensor]:
    """A watch: the process that trains a run.  (T, L)"""
    return {"process": torch.full(now["bias"].shape, os.getpid(), dtype=torch.float64)}


@pytest.mark.parametrize(("size", "heavy"), [(1, True), (5, True), (64, True), (5, False)])
def test_processes_change_nothing(
    size: int, heavy: bool, settings: Any, wide_arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the last bit: who computes a chunk does not matter. Several cores train several heavy chunks, and no others."""
    alone = swept(wide_arrays, settings, 0.0, 1.0, 3.0, runs_at_once=size)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    together = swept(wide_arrays, settings, 0.0, 1.0, 3.0, runs_at_once=size, heavy=heavy, watch=who)
    processes = set(together.history.pop("process").flatten().tolist())
    assert processes == {os.getpid()} if size == 64 or not heavy else os.getpid() not in processes
    assert len(processes) <= 2
    assert together.steps == alone.steps
    assert torch.equal(together.diverged, alone.diverged)
    for name, value in (alone.parameters | alone.history).items():
        assert torch.equal((together.parameters | together.history)[name], value), name


def at_most_four(_: Parameters, now: Parameters) -> dict[str, Tensor]:
    """A watch: memory suffices for four runs."""
    if now["bias"].numel() > 4:
        raise MemoryError
    return {}


def test_out_of_memory_in_a_process_halves_its_chunk(
    settings: Any, wide_arrays: Arrays, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    options: dict[str, Any] = {"runs_at_once": 8, "watch": at_most_four}
    alone, together = (swept(wide_arrays, settings, 0.0, 3.0, heavy=heavy, **options) for heavy in (False, True))
    told = "out of memory with 8 runs at once: going on with 4\n"
    assert capsys.readouterr().err == told  # a process says it on its own standard error
    for name, value in (alone.parameters | alone.history).items():
        assert torch.equal((together.parameters | together.history)[name], value), name


def progress_into(told: list[Any]) -> Callable[..., contextlib.AbstractContextManager]:
    @contextlib.contextmanager
    def progress(label: str, steps: int, *, runs: int) -> Iterator[Callable[[int, Any, int], None]]:
        told.append((label, steps, runs))
        yield lambda step, _, ended: told.append((step, ended))

    return progress


def test_progress_forgets_what_ran_out_of_memory(settings: Any, wide_arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of 16 runs fails after it has reported its 20 steps; the halves begin anew."""
    told: list[Any] = []
    whole, one = loop.fit, job(wide_arrays, settings, 0.0, runs_at_once=16)
    schedule = replace(one.schedule, batches=one.schedule.batches[:20], evaluate_every=20)

    def failing(job: Job, **options: Any) -> Fit:
        found = whole(job, **options)
        if job.runs == 16:
            raise MemoryError
        return found

    monkeypatch.setattr(loop, "fit", failing)
    train("wide", replace(one, schedule=schedule), progress=progress_into(told))
    failed, halves = [(0, 0), (20, 0)], [(0, 0), (10, 0), (10, 8), (10, 8), (20, 8), (20, 16)]
    assert told == [("wide", 20, 16), *failed, *halves]


@pytest.mark.parametrize("heavy", [False, True])
def test_progress_is_the_mean_step_of_all_runs_and_how_many_have_ended(
    heavy: bool, settings: Any, wide_arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of other processes it is known when a part has ended, and no sooner."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    told: list[Any] = []
    one = job(wide_arrays, settings, 0.0, runs_at_once=8, heavy=heavy)
    train("wide", replace(one, schedule=replace(one.schedule, evaluate_every=20)), progress=progress_into(told))
    here = [(0, 0), (10, 0), (20, 0), (20, 8), (20, 8), (30, 8), (40, 8), (40, 16)]
    assert told == [("wide", 40, 16), *([(20, 8), (40, 16)] if heavy else here)]


def test_a_decay_beyond_stability_is_marked_and_harms_no_other(settings: Any, wide_arrays: Arrays) -> None:
    alone, beside = swept(wide_arrays, settings, 0.0, 3.0), swept(wide_arrays, settings, 0.0, 3.0, 1e4, 1e200)
    assert beside.diverged.all(0).tolist() == [False, False, True, True]
    assert not beside.diverged[:, :2].any()
    for name, value in alone.history.items():
        torch.testing.assert_close(beside.history[name][:, :2], value, atol=TOLERANCE, rtol=0)
