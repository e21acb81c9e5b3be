"""Many runs at once: indifferent to how they are split into chunks, and to neighbours that diverge."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from conftest import silent
from numpy.typing import NDArray

from stages.base.params import Settings
from stages.engine import chunks
from stages.engine.fit import Fit, fit
from stages.engine.problem import Problem
from stages.studies.wide import training as wide

CPU = torch.device("cpu")
TOLERANCE = 1e-12  # the same arithmetic in another order


def swept(arrays: dict[str, NDArray], settings: Settings, decays: list[float], runs_at_once: int = 10_000) -> Fit:
    schedule = wide.by_epochs(arrays, None, CPU)
    return chunks.fit_in_chunks(
        wide.problem(arrays, CPU),
        schedule.batches,
        runs_at_once=runs_at_once,
        optimizer="sgd",
        settings={"lr": settings.wide.lr},
        weight_decay=torch.tensor(decays, dtype=torch.float64),
        evaluate_every=schedule.evaluate_every,
        label="wide",
        progress=silent,
    )


def test_a_swept_run_is_the_arm_at_its_decay(settings: Settings, wide_arrays: dict[str, NDArray]) -> None:
    """The arm's λ goes through torch.optim's own weight_decay; trial by trial, before rounding."""
    together, schedule = swept(wide_arrays, settings, [0.0, 1.0, 3.0, 10.0]), wide.by_epochs(wide_arrays, None, CPU)
    for index, decay in ((0, 0.0), (2, 3.0)):
        arm = fit(
            wide.problem(wide_arrays, CPU),
            schedule.batches,
            optimizer="sgd",
            settings={"lr": settings.wide.lr},
            weight_decay=decay,
            evaluate_every=4,
        )
        for name, value in arm.parameters.items():
            torch.testing.assert_close(together.parameters[name][:, index], value[:, 0], atol=TOLERANCE, rtol=0)
        for name, value in arm.history.items():
            torch.testing.assert_close(together.history[name][:, index], value[:, 0], atol=TOLERANCE, rtol=0)


def test_chunks_change_nothing(settings: Settings, wide_arrays: dict[str, NDArray]) -> None:
    whole, single = (swept(wide_arrays, settings, [0.0, 3.0], runs_at_once=size) for size in (10_000, 1))
    for name, value in whole.history.items():
        torch.testing.assert_close(single.history[name], value, atol=TOLERANCE, rtol=0)


def test_out_of_memory_halves_the_chunk_and_says_so_once(
    settings: Settings, wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, whole = swept(wide_arrays, settings, [0.0, 3.0]), chunks.loop.fit

    def small(problem: Problem, *arguments: Any, **options: Any) -> Fit:
        if len(problem.train[1]) > 10:
            raise MemoryError
        return whole(problem, *arguments, **options)

    monkeypatch.setattr(chunks.loop, "fit", small)
    found = swept(wide_arrays, settings, [0.0, 3.0])
    assert capsys.readouterr().err == "out of memory with 32 runs at once: going on with 16\n"
    for name, value in expected.history.items():
        torch.testing.assert_close(found.history[name], value, atol=TOLERANCE, rtol=0)


def test_out_of_memory_with_one_trial_halves_its_decays(
    settings: Settings, wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, whole, seen = swept(wide_arrays, settings, [0.0, 1.0, 3.0]), chunks.loop.fit, []

    def tiny(problem: Problem, *arguments: Any, **options: Any) -> Fit:
        runs = len(problem.train[1]) * len(options["weight_decay"])
        if runs > 1:
            raise MemoryError
        seen.append(runs)
        return whole(problem, *arguments, **options)

    monkeypatch.setattr(chunks.loop, "fit", tiny)
    found = swept(wide_arrays, settings, [0.0, 1.0, 3.0])
    assert len(seen) == 16 * 3
    assert capsys.readouterr().err.splitlines()[-1] == "out of memory with 3 runs at once: going on with 1"
    for name, value in expected.history.items():
        torch.testing.assert_close(found.history[name], value, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("size", [1, 5, 64])
def test_cores_change_nothing(
    size: int, settings: Settings, wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the last bit: who computes a chunk does not matter."""
    alone = swept(wide_arrays, settings, [0.0, 1.0, 3.0], runs_at_once=size)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    together = swept(wide_arrays, settings, [0.0, 1.0, 3.0], runs_at_once=size)
    for name, value in (alone.parameters | alone.history).items():
        assert torch.equal((together.parameters | together.history)[name], value), name


def test_an_error_in_one_chunk_stops_the_others(
    settings: Settings, wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    left, running = [], threading.Event()

    def failing(problem: Problem, *_: Any, stop: Callable[[], bool], **__: Any) -> Fit:
        if running.is_set():
            raise ZeroDivisionError
        running.set()
        deadline = time.monotonic() + 60
        while not stop() and time.monotonic() < deadline:
            time.sleep(0.01)
        left.append(stop())
        raise chunks.loop.Stopped

    monkeypatch.setattr(chunks.loop, "fit", failing)
    with pytest.raises(ZeroDivisionError):
        swept(wide_arrays, settings, [0.0, 3.0], runs_at_once=4)
    assert left == [True]


def test_a_fit_that_nobody_waits_for_ends_at_its_next_step(settings: Settings, wide_arrays: dict[str, NDArray]) -> None:
    steps = iter([False, False, True])
    schedule = wide.by_epochs(wide_arrays, None, CPU)
    with pytest.raises(chunks.loop.Stopped):
        fit(
            wide.problem(wide_arrays, CPU),
            schedule.batches,
            optimizer="sgd",
            settings={"lr": settings.wide.lr},
            weight_decay=0.0,
            evaluate_every=4,
            stop=lambda: next(steps),
        )
    assert next(steps, None) is None


def test_progress_tells_of_every_run_and_forgets_what_ran_out_of_memory(
    settings: Settings, wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of 16 fails after it has reported its 20 steps; the halves begin anew."""
    told: list[tuple[int, dict[str, torch.Tensor]]] = []
    whole = chunks.loop.fit

    def failing(problem: Problem, *arguments: Any, **options: Any) -> Fit:
        found = whole(problem, *arguments, **options)
        if len(problem.train[1]) == 16:
            raise MemoryError
        return found

    @contextlib.contextmanager
    def progress(_: str, __: int, **___: int) -> Iterator[Callable[[int, Any, int], None]]:
        yield lambda step, measured, finished: told.append((step, measured))

    monkeypatch.setattr(chunks.loop, "fit", failing)
    found = chunks.fit_in_chunks(
        wide.problem(wide_arrays, CPU),
        wide.by_epochs(wide_arrays, None, CPU).batches[:20],
        runs_at_once=16,
        optimizer="sgd",
        settings={"lr": settings.wide.lr},
        weight_decay=0.0,
        evaluate_every=20,
        label="wide",
        progress=progress,
    )
    assert [step for step, _ in told] == [0, 20, 0, 10, 10, 20, 20]
    assert torch.equal(told[-1][1]["val_loss"], found.history["val_loss"][:, 0, -1])


def test_progress_is_the_mean_step_of_all_runs_and_the_chunks_that_are_finished(
    settings: Settings, wide_arrays: dict[str, NDArray]
) -> None:
    told: list[object] = []

    @contextlib.contextmanager
    def progress(label: str, steps: int, *, runs: int, chunks: int, kept: int) -> Iterator[Callable[[int, Any, int], None]]:
        told.append((label, steps, runs, chunks, kept))
        yield lambda step, _, finished: told.append((step, finished))

    chunks.fit_in_chunks(
        wide.problem(wide_arrays, CPU),
        wide.by_epochs(wide_arrays, None, CPU).batches,
        runs_at_once=8,
        optimizer="sgd",
        settings={"lr": settings.wide.lr},
        weight_decay=0.0,
        evaluate_every=20,
        label="wide",
        progress=progress,
    )
    assert told == [("wide", 40, 16, 2, 0), (0, 0), (10, 0), (20, 0), (20, 1), (20, 1), (30, 1), (40, 1), (40, 2)]


def test_a_decay_beyond_stability_is_marked_and_harms_no_other(settings: Settings, wide_arrays: dict[str, NDArray]) -> None:
    alone, beside = swept(wide_arrays, settings, [0.0, 3.0]), swept(wide_arrays, settings, [0.0, 3.0, 1e4, 1e200])
    assert beside.diverged.all(0).tolist() == [False, False, True, True]
    assert not beside.diverged[:, :2].any()
    for name, value in alone.history.items():
        torch.testing.assert_close(beside.history[name][:, :2], value, atol=TOLERANCE, rtol=0)
