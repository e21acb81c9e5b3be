"""The engine on a GPU, and `make gpu`. What needs no GPU is tested on the CPU and on torch's `meta` device."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ARMED, CPU, SYSTEMS, TRAINING, Clone, at, changed, draw, fit, jobs_of

from stages import studies
from stages.base import storage
from stages.engine import fit as loop
from stages.engine import machine
from stages.engine import train as training
from stages.engine.decay import Decay
from stages.engine.fit import Fit
from stages.engine.job import Job
from stages.studies.modular import training as modular
from stages.studies.modular.results import RESULTS as MODULAR
from tools import gpu

SWEPT = "swept"  # for a row, of a study that has no arms
JOBS = [  # with λ = 0; with another they differ in nothing else
    pytest.param(study, row, id=f"{study}: {row}")
    for study in studies.NAMES
    for row in (SYSTEMS[study].arms["baseline"].rows if study in ARMED else (SWEPT,))
]
every_job = pytest.mark.parametrize(("study", "row"), JOBS)
STEPS = 40  # in which rounding noise does not grow
DECAYS = (0.0, 0.5)


def needs_a_gpu(test: Callable[..., None]) -> Any:
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")(test))


def prepared(
    study: str, row: str, settings: Any, device: torch.device, *weight_decays: float, trials: int = 2, penalty: bool = False
) -> Job:
    """A job of a study with so many trials, its first steps, and these λ."""
    now = changed(settings, {f"{study}.data.trials": trials})
    section = at(now, study)
    arrays = draw(study, section)
    job = TRAINING[study].job(section, arrays, device, [0.0]) if row == SWEPT else jobs_of(study, now, arrays, device)[row]
    every, pace = min(job.schedule.evaluate_every, STEPS), job.schedule.pace[:STEPS]
    schedule = replace(job.schedule, batches=job.schedule.batches[:STEPS], evaluate_every=every, pace=pace)
    return replace(job, schedule=schedule, decay=Decay(weight_decays, penalty))


def cuda() -> torch.device:
    machine.repeatable()
    return torch.device("cuda")


@needs_a_gpu
@every_job
def test_a_gpu_trains_the_same_weights_as_the_cpu(study: str, row: str, settings: Any) -> None:
    """To 1e-12 of the largest: the same arithmetic in another order, over forty steps."""
    here, there = (loop.fit(prepared(study, row, settings, device, *DECAYS)) for device in (CPU, cuda()))
    for name, value in here.parameters.items():
        torch.testing.assert_close(there.parameters[name].cpu(), value, atol=1e-12 * float(value.abs().max()), rtol=0)


@needs_a_gpu
@every_job
def test_a_gpu_gives_the_same_bits_each_time(study: str, row: str, settings: Any) -> None:
    job = prepared(study, row, settings, cuda(), *DECAYS)
    one, other = (loop.fit(job) for _ in range(2))
    for name, value in (one.parameters | one.history).items():
        assert torch.equal((other.parameters | other.history)[name], value), name


@needs_a_gpu
@every_job
@pytest.mark.parametrize("penalty", [False, True])
def test_no_step_waits_for_the_gpu(penalty: bool, study: str, row: str, settings: Any) -> None:
    """From the first evaluation on torch raises where the CPU waits."""
    job = prepared(study, row, settings, cuda(), *DECAYS, penalty=penalty)

    def report(step: int, _: object) -> None:
        torch.cuda.set_sync_debug_mode("default" if step == len(job.schedule.batches) else "error")

    try:
        loop.fit(job, report=report)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [2, 2, 2, 2]), ("meta", [8])])
def test_all_runs_share_a_batch_but_on_the_cpu(
    device: str, sizes: list[int], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared("wide", "baseline", settings, torch.device(device), *np.linspace(0, 1, 4).tolist())
    monkeypatch.setattr(training, "tell_diverged", lambda *_: None)  # it looks at numbers, and `meta` has none
    found, whole = [], loop.fit

    def counted(job: Job, **options: Any) -> Fit:
        found.append(job.runs)
        return whole(job, **options)

    monkeypatch.setattr(loop, "fit", counted)
    assert fit("wide", replace(job, runs_at_once=2)).diverged.shape == (2, 4)
    assert found == sizes


def test_what_is_written_of_modular_does_not_depend_on_who_shares_a_chunk(settings: Any, tmp_path: Path) -> None:
    """On a GPU all runs of its sweep share one, and end together, when the last of them is right; on the CPU each ends alone."""
    small = {"data.trials": 2, "data.p": 11, "data.hidden": 48, "train.steps": 300}
    section = changed(settings.modular, small | {"sweep.wd": (0, 3), "sweep.shares.train_fraction": (0.7,)})
    arrays = draw("modular", section)
    written, ended = [], []
    for runs in (1, 100):

        def together(label: str, job: Job, runs: int = runs) -> Fit:
            return fit(label, replace(job, runs_at_once=runs))

        swept = modular.sweep(section, arrays, CPU, together)
        table, summary = MODULAR.sweep(section, storage.in_float64(arrays), swept)
        storage.save_table(tmp_path / "table.csv", table)
        storage.save_metrics(tmp_path / "summary.json", summary)
        written.append([(tmp_path / name).read_text(encoding="utf-8") for name in ("table.csv", "summary.json")])
        ended.append(int(np.isnan(swept["shares_val_accuracy"]).sum()))
    assert ended[0] > ended[1]
    assert written[0] == written[1]


def test_the_tables_keep_the_rows_of_other_devices() -> None:
    page = "before\n<!-- speed -->\n| device | work |\n|---|---|\n| old | 1 |\n| mine | 2 |\n<!-- /speed -->\nafter\n"
    once = gpu.with_rows(page, "speed", "mine", [["3"], ["4"]])
    assert once == page.replace("| mine | 2 |", "| mine | 3 |\n| mine | 4 |")
    assert gpu.with_rows(once, "speed", "mine", [["3"], ["4"]]) == once
    assert gpu.with_rows(page, "numbers", "mine", [["3"]]) == page


@pytest.mark.slow
def test_make_gpu_names_each_number_that_differs_and_no_other(reproduced: Clone) -> None:
    """Without DVC: its numbers were made by DVC, a process a stage; here all in one."""
    try:
        table = reproduced.path / "metrics" / "wide_sweep.csv"
        rows = table.read_text(encoding="utf-8").splitlines()
        cells = dict(zip(rows[0].split(","), rows[2].split(","), strict=True))
        planted = rows[2].replace(cells["val_loss"], "0.5")
        table.write_text("\n".join([*rows[:2], planted, *rows[3:]]) + "\n", encoding="utf-8")
        (reproduced.path / "metrics" / "line.json").unlink()
        other = reproduced.run("python", "-m", "tools.gpu", "cpu", "numbers", check=False)
        named = [line for line in other.stdout.splitlines() if line.startswith("metrics/")]
        assert named == [
            "metrics/line.json: not committed, but produced",
            f"metrics/wide_sweep.csv: row 2, val_loss: committed 0.5, produced {cells['val_loss']}",
        ]
        assert (other.returncode, other.stderr.splitlines()[-1]) == (
            1,
            "error: gpu: expected the committed numbers, got 2 difference(s)",
        )
    finally:
        reproduced.restore()
