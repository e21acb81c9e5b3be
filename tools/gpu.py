"""Does a device give the committed numbers, the same each time, and how fast? `make gpu` runs it, on a GPU or with DEVICE=cpu.

Numbers: every study's stages but its figures, in a temporary folder; each value of metrics/ that differs is named. Tests: those
marked `gpu`. Speed: the benchmark's works on the device, on the CPU, and in JAX if it is there for the device. What was found
goes into the tables of docs/scale.md, in the rows of this device. It needs neither DVC nor this project's environment.
"""

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import metadata
from pathlib import Path

import torch

from stages import evaluate, generate, studies, sweep, train
from stages.base.errors import UserError
from stages.base.system import System
from stages.console.command import in_one_line
from stages.engine import machine
from stages.measure.findings import counted
from tools import bench
from tools.bench import two_digits
from tools.verify import compare, printable, values

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scale.md"
TESTS = ("tests/test_gpu.py", "tests/test_fit.py")


def main(wanted: str, *parts: str) -> None:
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"expected a CUDA device for torch {torch.__version__}, got none; on the CPU: `make gpu DEVICE=cpu`")
    os.environ[machine.VARIABLE] = wanted
    device = machine.device()
    os.environ |= {"JAX_PLATFORMS": device.type, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # JAX would take most of the memory
    known = {"numbers": numbers, "tests": tests, "speed": speed}
    if unknown := [part for part in parts if part not in known]:
        raise UserError(f"expected a device and some of {', '.join(known)}, got {', '.join(unknown)}")
    wrong = [said for part in parts or known if (said := known[part](device))]
    if wrong:
        raise UserError("; ".join(wrong))


def numbers(device: torch.device) -> str:
    """Every committed number anew; what is wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        shutil.copy(ROOT / "params.yaml", folder)
        with contextlib.chdir(folder):
            seconds = reproduce()
        committed, produced = results(ROOT), results(Path(folder))
    differences = [printable(line) for line in compare(committed, produced)]
    print(*differences, sep="\n", end="\n" if differences else "")
    count = sum(len(values(name, blob)) for name, blob in committed.items())
    print(
        f"gpu: {count:,} values compared, {len(differences):,} difference(s); training took {seconds:.0f} s on {name_of(device)}"
    )
    versions = [driver(device), platform.python_version(), torch.__version__, metadata.version("numpy")]
    write("numbers", device, [[*versions, f"{count:,}", f"{len(differences):,}", f"{two_digits(seconds)} s"]])
    return f"expected the committed numbers, got {len(differences)} difference(s)" if differences else ""


def reproduce() -> float:
    """Run the stages of every study here, in this process, without figures; the seconds that training took.

    Where a study fails its trace is shown and the others go on: nobody has a GPU for long.
    """
    seconds = 0.0
    for study in studies.NAMES:
        try:
            generate.main(study, ROOT)
            started = time.monotonic()
            for arm in studies.part(study, System).arms:
                train.main(study, arm)
            sweep.main(study)
            seconds += time.monotonic() - started
            evaluate.main(study)
        except Exception:
            traceback.print_exc()
    return seconds


def results(root: Path) -> dict[str, bytes]:
    """The files of metrics/ by their names."""
    paths = [path for path in (root / "metrics").rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def tests(device: torch.device) -> str:
    if device.type == "cpu" or importlib.util.find_spec("pytest") is None:
        print("gpu: no tests, as they need a GPU and pytest")
        return ""
    done = subprocess.run([sys.executable, "-m", "pytest", "-m", "gpu", *TESTS], cwd=ROOT, check=False)
    return "expected the tests to pass, got what pytest says above" if done.returncode else ""


def speed(device: torch.device) -> str:
    """Models trained a second, and which share of the device's arithmetic and of its memory's bandwidth that takes."""
    contenders = ["project"] + ["project_on_cpu"] * (device.type != "cpu") + ["jax"] * has_jax()
    bandwidth, rows = bench.copy_rate(), []
    for work, sizes in bench.SIZES.items():
        for precision in ("float64", "float32"):
            limit = bench.matmul_rate(precision) / bench.OPERATIONS[work]
            for runs in sizes:
                measured = bench.rounds(work, precision, runs, contenders)
                rates = {row["contender"]: row["models_per_s"] for row in measured}
                own, size = rates["project"], getattr(torch, precision).itemsize
                others = [f"{two_digits(own / rates[name])} ×" if name in rates else "" for name in ("project_on_cpu", "jax")]
                shares = [f"{two_digits(100 * share)} %" for share in (own / limit, own * bench.TRAFFIC[work] * size / bandwidth)]
                rows.append([f"`{work}`, {precision}", f"{runs:,}", two_digits(own), *others, *shares])
                print("gpu:", *rows[-1], flush=True)
    write("speed", device, rows)
    return ""


def has_jax() -> bool:
    """Whether JAX is installed for the device that JAX_PLATFORMS names."""
    return subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], capture_output=True, check=False).returncode == 0


def write(table: str, device: torch.device, rows: list[list[str]]) -> None:
    PAGE.write_text(with_rows(PAGE.read_text(encoding="utf-8"), table, name_of(device), rows), encoding="utf-8")


def with_rows(page: str, table: str, name: str, rows: list[list[str]]) -> str:
    """The page with a device's rows in a table, in the place of its old ones: after those of others."""

    def renewed(found: re.Match[str]) -> str:
        kept = [line for line in found[0].splitlines() if not line.startswith(f"| {name} |")]
        return "\n".join([*kept, *(f"| {' | '.join([name, *cells])} |" for cells in rows)]) + "\n"

    return re.sub(rf"(?<=<!-- {table} -->\n).*?(?=<!-- /{table} -->)", renewed, page, flags=re.DOTALL)


def name_of(device: torch.device) -> str:
    """What its maker calls it; of a processor, with the cores that are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", known.read_text(encoding="utf-8"), re.MULTILINE) if known.is_file() else []
    return f"{models[0] if models else platform.machine()}, {counted(machine.cores(), 'core')}"


def driver(device: torch.device) -> str:
    """The version of a GPU's driver, and of CUDA that torch was built with."""
    if device.type == "cpu":
        return ""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", f"--id={device.index or 0}"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return f"{done.stdout.strip()}, CUDA {torch.version.cuda}"


if __name__ == "__main__":
    with in_one_line("gpu"):
        main(*sys.argv[1:])
