"""Chunks that are kept: found again under the same code, data and parameters, and under no other."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU, TINY, TRAINING, at, changed, draw, fit, jobs_of
from torch import Tensor

from stages import studies
from stages.base.streams import Arrays
from stages.engine import fit as loop
from stages.engine import kept, packing
from stages.engine.chunk import Chunk, split
from stages.engine.decay import Decay
from stages.engine.fit import Fit
from stages.engine.job import Job
from stages.engine.models import Parameters
from stages.engine.optimizers import sgd


def made(settings: Any, arrays: Arrays, *decays: float, **changes: Any) -> Chunk:
    job = TRAINING["wide"].job(settings.wide, arrays, CPU, decays)
    short = {"schedule": replace(job.schedule, batches=job.schedule.batches[:4])}
    return split(replace(job, **(short | changes)), 1000)[0][0]


def watched(_: Parameters, now: Parameters) -> dict[str, Tensor]:
    return {"bias": now["bias"].clone()}


def enough(measured: dict[str, Tensor]) -> bool:
    return bool((measured["train_loss"] == 0).all())


def test_a_name_says_code_data_and_parameters(settings: Any, wide_arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    known = made(settings, wide_arrays, 0.0, 3.0)
    assert made(settings, wide_arrays, 0.0, 3.0).name == known.name
    targets = wide_arrays["train_targets"].copy()
    targets[0, 0] += 1e-6
    problem, schedule = known.share.problem, known.share.schedule
    changes: list[dict[str, Any]] = [
        {"decay": Decay((0.0, 3.1))},
        {"decay": Decay((0.0, 3.0), penalty=True)},
        {"decay": Decay((0.0, 3.0), l1_ratio=0.5)},
        {"lr": 0.011},
        {"optimizer": sgd(0.9)},
        {"watch": watched},
        {"enough": enough},
        {"problem": replace(problem, spared=())},
        {"schedule": replace(schedule, batches=schedule.batches[::-1])},
        {"schedule": replace(schedule, evaluate_every=2)},
        {"schedule": replace(schedule, pace=[1, 0.5, 0.25, 0])},
    ]
    others = [made(settings, wide_arrays, 0.0, 3.0, **change).name for change in changes]
    others += [each.name for each in (made(settings, wide_arrays | {"train_targets": targets}, 0.0, 3.0), *known.halves()[0])]
    monkeypatch.setattr(packing, "code", lambda: b"another")
    others.append(made(settings, wide_arrays, 0.0, 3.0).name)
    assert len({known.name, *others}) == 1 + len(others) == 16


def test_what_is_kept_is_found_bit_for_bit_until_the_stage_has_written(
    settings: Any, wide_arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chunk, other = made(settings, wide_arrays, 0.0, 3.0), made(settings, wide_arrays, 1.0)
    fitted = loop.fit(chunk.job)
    kept.keep(chunk, fitted, 10.0)
    assert not list(tmp_path.iterdir())  # no stage asked for it
    with contextlib.suppress(ZeroDivisionError), kept.until_written("stage"):
        kept.keep(other, fitted, 0.01)  # trained as soon as read
        kept.keep(chunk, fitted, 10.0)
        raise ZeroDivisionError
    with kept.until_written("another"):
        assert not kept.find([chunk])
    with kept.until_written("stage"):
        found = kept.find([other, chunk])
        assert list(found) == [chunk]
        for name, value in (fitted.parameters | fitted.history).items():
            assert torch.equal((found[chunk].parameters | found[chunk].history)[name], value), name
        assert found[chunk].steps == fitted.steps
        assert torch.equal(found[chunk].diverged, fitted.diverged)
    assert not list(Path("build", "chunks").iterdir())


@pytest.mark.parametrize("study", studies.NAMES)
def test_every_job_of_a_study_can_travel(study: str, settings: Any) -> None:
    """What it hands to the engine comes back the same in another process: functions by name, numbers to the last bit."""
    small = changed(settings, dict(sorted(TINY.items())))  # fewer inputs before fewer rows
    arrays = draw(study, at(small, study))
    for job in jobs_of(study, small, arrays).values():
        must_travel(job)

    def travelled(label: str, job: Job) -> Fit:
        must_travel(job)
        return fit(label, job)

    TRAINING[study].sweep(at(small, study), arrays, CPU, travelled)


def must_travel(job: Job) -> None:
    (chunk,), *_ = split(job, 10**6)
    again = Chunk.unpacked(chunk.share.packed(), chunk.packed(), CPU).job
    for name in ("optimizer", "lr", "decay", "watch", "enough"):
        assert getattr(again, name) == getattr(job, name)
    for name in ("model", "weights", "spared", "classes", "least_squares"):
        assert getattr(again.problem, name) == getattr(job.problem, name)
    one, other = (each.problem.loss.of_zero(each.problem.train[1]) for each in (job, again))
    assert torch.equal(one, other)
    assert replace(again.schedule, batches=()) == replace(job.schedule, batches=())
    assert again.problem.splits.keys() == job.problem.splits.keys()
    for here, there in zip(numbers(job), numbers(again), strict=True):
        assert here is there is None or (here is not None and there is not None and torch.equal(here, there))


def numbers(job: Job) -> list[Tensor | None]:
    splits = [each for split in job.problem.splits.values() for each in split]
    return [*job.problem.start.values(), *splits, *job.schedule.batches]
