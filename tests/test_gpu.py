"""The engine on a GPU, and `make gpu`. What needs no GPU is tested on the CPU and on torch's `meta` device."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Clone, draw, silent
from msgspec import structs

from stages import studies
from stages.base import storage
from stages.base.params import Settings, at
from stages.engine import chunks, machine, memory
from stages.engine.fit import Fit, fit
from stages.engine.problem import Problem
from stages.engine.training import Run, Training
from stages.studies.modular import training as modular
from stages.studies.modular.results import RESULTS as MODULAR
from tools import gpu

CPU, META = torch.device("cpu"), torch.device("meta")
TRAINING = {study: studies.part(study, Training) for study in studies.NAMES}
RUNS = [  # with λ = 0; with another they differ in nothing else
    pytest.param(study, run, id=f"{study}: {name}")
    for study, training in TRAINING.items()
    for name, run in (training.runs or {"swept": training.swept}).items()
    if "baseline" in run.weight_decay
]
every_run = pytest.mark.parametrize(("study", "run"), RUNS)
STEPS = 40  # in which rounding noise does not grow


def needs_a_gpu(test: Callable[..., None]) -> Any:
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")(test))


def prepared(
    study: str, run: Run, settings: Settings, device: torch.device, *, trials: int = 2
) -> tuple[Problem, Any, dict[str, Any]]:
    """A run of a study: its problem with so many trials, its first batches, and the options of `fit`."""
    section = structs.replace(at(settings, study), trials=trials)
    now = structs.replace(settings, **{study: section})
    arrays, optimizer = draw(study, section), at(now, run.optimizer)
    schedule = run.schedule(arrays, optimizer, device)
    options = {
        "optimizer": optimizer.kind,
        "settings": {"lr": at(now, run.lr)} | optimizer.arguments(),
        "evaluate_every": min(schedule.evaluate_every, STEPS),
        "pace": schedule.pace[:STEPS],
        "watch": run.watch,
    }
    return run.problem(arrays, device), schedule.batches[:STEPS], options


def cuda() -> torch.device:
    machine.repeatable()
    return torch.device("cuda")


DECAYS = torch.tensor([0.0, 0.5], dtype=torch.float64)


@needs_a_gpu
@every_run
def test_a_gpu_trains_the_same_weights_as_the_cpu(study: str, run: Run, settings: Settings) -> None:
    """To 1e-12 of the largest: the same arithmetic in another order, over forty steps."""
    here, there = (
        fit(*split, weight_decay=DECAYS, **options)
        for *split, options in (prepared(study, run, settings, device) for device in (CPU, cuda()))
    )
    for name, value in here.parameters.items():
        torch.testing.assert_close(there.parameters[name].cpu(), value, atol=1e-12 * float(value.abs().max()), rtol=0)


@needs_a_gpu
@every_run
def test_a_gpu_gives_the_same_bits_each_time(study: str, run: Run, settings: Settings) -> None:
    problem, batches, options = prepared(study, run, settings, cuda())
    one, other = (fit(problem, batches, weight_decay=DECAYS, **options) for _ in range(2))
    for name, value in (one.parameters | one.history).items():
        assert torch.equal((other.parameters | other.history)[name], value), name


@needs_a_gpu
@every_run
@pytest.mark.parametrize("penalty", [False, True])
def test_no_step_waits_for_the_gpu(penalty: bool, study: str, run: Run, settings: Settings) -> None:
    """From the first evaluation on torch raises where the CPU waits."""
    problem, batches, options = prepared(study, run, settings, cuda())

    def report(step: int, _: object) -> None:
        torch.cuda.set_sync_debug_mode("default" if step == len(batches) else "error")

    try:
        fit(problem, batches, weight_decay=DECAYS, penalty=penalty, report=report, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_a_gpu
@every_run
def test_a_gpus_memory_suffices_for_what_was_foreseen(study: str, run: Run, settings: Settings) -> None:
    """With so many runs that the blocks in which torch takes memory do not matter."""
    trials, decays = 16, torch.linspace(0, 1, 16, dtype=torch.float64)
    problem, batches, options = prepared(study, run, settings, cuda(), trials=trials)
    foreseen = memory.bytes_of_a_run(problem, batches, options) * trials * len(decays)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    fit(problem, batches, weight_decay=decays, **options)
    assert torch.cuda.max_memory_allocated() - before <= foreseen


@every_run
def test_more_memory_is_foreseen_than_a_run_takes_on_the_cpu(study: str, run: Run, settings: Settings) -> None:
    """What torch's profiler sees taken at once, and not twenty times as much: a chunk should fill a GPU."""
    problem, batches, options = prepared(study, run, settings, CPU, trials=1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        fit(problem, batches, weight_decay=0.0, **options)
    found = [(event.start_ns(), event.nbytes()) for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    peak = np.cumsum([size for _, size in sorted(found)]).max()
    assert peak <= memory.bytes_of_a_run(problem, batches, options) <= 20 * peak


@pytest.mark.parametrize("runs", [1, 3, 100])
def test_a_chunk_is_as_large_as_the_free_memory_holds(runs: int, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2 × 4 runs, on the `meta` device, which is no CPU either."""
    problem, batches, options = prepared("wide", TRAINING["wide"].swept, settings, META)
    batches = [rows.to(META) for rows in batches]
    free = int(runs * memory.bytes_of_a_run(problem, batches, options) / memory.SHARE) + 1
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    sizes, whole = [], chunks.loop.fit

    def counted(problem: Problem, *words: Any, **options: Any) -> Fit:
        if "stop" in options:
            sizes.append(len(problem.train[1]) * len(options["weight_decay"]))
        return whole(problem, *words, **options)

    monkeypatch.setattr(chunks.loop, "fit", counted)
    decays = torch.linspace(0, 1, 4, dtype=torch.float64)
    found = chunks.fit_in_chunks(problem, batches, runs_at_once=1, weight_decay=decays, label="wide", progress=silent, **options)
    assert found.diverged.shape == (2, 4)
    assert sum(sizes) == 8
    assert max(sizes) == {1: 1, 3: 2, 100: 8}[runs]


def test_what_is_written_of_modular_does_not_depend_on_who_shares_a_chunk(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU all runs of its sweep share one, and end together, when the last of them is right; on the CPU each ends alone."""
    section = settings.modular
    shares = structs.replace(section.shares, train_fraction=(0.7,))
    system = structs.replace(section.system, hidden=48)
    section = structs.replace(section, trials=2, p=11, steps=300, sweep=(0, 3), shares=shares, system=system)
    now, arrays = structs.replace(settings, modular=section), draw("modular", section)
    written, ended = [], []
    for runs in (1, 100):
        monkeypatch.setattr(modular, "BASELINE", replace(modular.BASELINE, runs_at_once=runs))
        swept = modular.sweep(now, arrays, CPU, silent)
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


@pytest.mark.pipeline
def test_make_gpu_finds_the_committed_numbers_and_names_each_that_differs(reproduced: Clone) -> None:
    """Without DVC: its numbers were made by DVC, a process a stage; here all in one."""
    try:
        same = reproduced.run("python", "-m", "tools.gpu", "cpu", "numbers")
        assert " 0 difference(s)" in same.stdout.splitlines()[-1]
        assert reproduced.run("git", "status", "--porcelain").stdout.split() == ["M", "docs/gpu.md"]
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
