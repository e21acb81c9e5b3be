"""Chunks that are kept: found again under the same code, data and parameters, and under no other."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import draw
from numpy.typing import NDArray

from stages import studies
from stages.base.params import Settings, at
from stages.engine import kept, packing
from stages.engine.chunk import Chunk, Share, split
from stages.engine.fit import fit
from stages.engine.problem import Problem
from stages.engine.training import Training
from stages.studies.wide import training as wide

CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {"optimizer": "sgd", "settings": {"lr": 0.01}, "evaluate_every": 4}


def made(arrays: dict[str, NDArray], *decays: float, problem: Problem | None = None, **options: object) -> Chunk:
    batches = wide.by_epochs(arrays, None, CPU).batches[:4]
    known = OPTIONS | options
    whole = problem or wide.problem(arrays, CPU)
    return split(whole, batches, torch.tensor(decays, dtype=torch.float64), known, 1000)[0][0]


def test_a_name_says_code_data_and_parameters(wide_arrays: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch) -> None:
    known = made(wide_arrays, 0.0, 3.0)
    assert made(wide_arrays, 0.0, 3.0).name == known.name
    targets = wide_arrays["train_targets"].copy()
    targets[0, 0] += 1e-6
    others = [
        each.name
        for each in (
            made(wide_arrays, 0.0, 3.1),
            made(wide_arrays, 0.0, 3.0, settings={"lr": 0.011}),
            made(wide_arrays, 0.0, 3.0, penalty=True),
            made(wide_arrays | {"train_targets": targets}, 0.0, 3.0),
            made(wide_arrays, 0.0, 3.0, problem=replace(wide.problem(wide_arrays, CPU), spared=())),
            *known.halves()[0],
        )
    ]
    monkeypatch.setattr(packing, "code", lambda: b"another")
    others.append(made(wide_arrays, 0.0, 3.0).name)
    assert len({known.name, *others}) == 1 + len(others) == 9


def test_what_is_kept_is_found_bit_for_bit_until_the_stage_has_written(
    wide_arrays: dict[str, NDArray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chunk, other = made(wide_arrays, 0.0, 3.0), made(wide_arrays, 1.0)
    fitted = fit(chunk.share.problem, chunk.share.batches, weight_decay=chunk.decays, **OPTIONS)
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
def test_every_run_of_a_study_can_travel(study: str, settings: Settings) -> None:
    """What it hands to the engine comes back the same in another process: functions by name, numbers to the last bit."""
    training, arrays = studies.part(study, Training), draw(study, at(settings, study))
    for run in {id(run): run for run in (*training.runs.values(), training.swept)}.values():
        schedule = run.schedule(arrays, at(settings, run.optimizer), CPU)
        share = Share(run.problem(arrays, CPU), schedule.batches)
        again = Share.unpacked(share.packed(), CPU)
        assert again.problem.model == share.problem.model
        assert packing.unpack(packing.pack(run.watch), CPU) is run.watch
        numbers = [*share.problem.start.values(), *share.problem.train, *share.problem.val, *share.batches]
        others = [*again.problem.start.values(), *again.problem.train, *again.problem.val, *again.batches]
        for one, other in zip(numbers, others, strict=True):
            assert one is other is None or (one is not None and other is not None and torch.equal(one, other))
