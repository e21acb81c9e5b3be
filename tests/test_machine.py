"""What the engine takes of a machine: cores, a device, memory that it keeps."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from stages.base.errors import UserError
from stages.engine import machine

OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."
CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


@pytest.mark.parametrize(("asked", "given"), [("3", 3), ("16", 16), ("4,2", 4), (" 2 ", 2)])
def test_omp_num_threads_is_taken_at_its_word(asked: str, given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert machine.cores() == given


@pytest.mark.parametrize("asked", ["", "0", "-1", "many"])
@pytest.mark.parametrize(
    ("quota", "given"),
    [(None, CORES), ("max 100000", CORES), ("100000 100000", 1), ("5000 100000", 1), ("9900000 100000", CORES)],
)
def test_else_cores_are_those_of_the_process_within_its_quota(
    asked: str, quota: str | None, given: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(machine, "QUOTA", tmp_path / "cpu.max")
    if quota:
        machine.QUOTA.write_text(f"{quota}\n", encoding="ascii")
    assert machine.cores() == given


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_a_process_tied_to_one_core_uses_one() -> None:
    tied = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    words = [sys.executable, "-c", f"import os; {tied}; from stages.engine.machine import cores; print(cores())"]
    free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    assert subprocess.run(words, cwd=ROOT, env=free, capture_output=True, text=True, check=True).stdout == "1\n"


def test_an_operation_stays_on_its_core() -> None:
    words = [sys.executable, "-c", "import stages.engine.problem, torch; print(torch.get_num_threads())"]
    many = os.environ | {"OMP_NUM_THREADS": "4"}
    assert subprocess.run(words, cwd=ROOT, env=many, capture_output=True, text=True, check=True).stdout == "1\n"


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: object())
    machine.keep_freed_memory()


def test_a_gpu_is_made_repeatable_before_it_is_used() -> None:
    """In a process of its own, on a machine that says it has one: the switches of torch's notes on reproducibility."""
    code = """
import os, torch
from stages.base.errors import UserError
from stages.engine import machine
cpu = machine.device()
assert (cpu.type, torch.are_deterministic_algorithms_enabled()) == ("cpu", False)
class Found:
    def __init__(self, device): self.device = torch.device(device)
    def neg(self): return self
torch.ones = lambda _, device: Found(device)
os.environ["WEIGHT_DECAY_DEVICE"] = "cuda"
assert machine.device() == torch.device("cuda")
print(torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
print(torch.get_float32_matmul_precision(), os.environ["CUBLAS_WORKSPACE_CONFIG"])
"""
    known = os.environ | {"WEIGHT_DECAY_DEVICE": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=known, capture_output=True, text=True, check=True)
    assert done.stdout == "True False\nhighest :4096:8\n"


def test_a_card_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As torch 2.13 says it: of a driver that is too old, where the CPU stands in; of a card for which it has no program."""
    monkeypatch.delenv(machine.VARIABLE, raising=False)

    def old() -> bool:
        warnings.warn(f"{OLD}\nPlease update your GPU driver", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", old)
    assert machine.device() == torch.device("cpu")
    assert capsys.readouterr() == ("", f"training on the CPU, as torch says: {OLD}\n")

    def ones(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be …")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(
        UserError, match=r"'cuda' \(CUDA error: no kernel .* device\); to train on the CPU: export WEIGHT_DECAY_DEVICE=cpu$"
    ):
        machine.device()
