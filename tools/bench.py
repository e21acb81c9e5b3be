"""Models trained per second: this project against JAX, a course's loop and scikit-learn. `make bench` runs it.

Work `wide`: trials × λ systems of 200 inputs on 20 rows, 40 steps of SGD in batches of 5, 11 evaluations on 20 + 100 rows.
Work `modular`: that many networks of the grokking study, 100 steps of AdamW on full batches, two evaluations.
Every contender runs in a process of its own, warmed up, and they take turns; the figure is the median of the rounds. Data
lies in memory; what a contender does to it, projection and transfer included, counts. With LOAD=1 in the environment a busy
neighbour runs on each core meanwhile.
"""

import contextlib
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.contenders import MODULAR_STEPS, SAMPLE, jax, jax_projected, loop, project, project_on_cpu, ridge

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"wide": (5_000, 100_000), "modular": (8,)}
ROUNDS, SECONDS = 5, 0.5  # a round of a contender is as many whole runs as fill so much time


OPERATIONS = {  # of one run, in matrix products: of `wide`, projected, two a step and the evaluations; of `modular`, three a step
    "wide": 40 * 4 * 5 * 21 + 11 * 2 * (20 + 23) * 21,
    "modular": MODULAR_STEPS * 3 * 2 * 843 * 256 * 53,
}
PARAMETERS, ACTIVATIONS, ERRORS = 53 * 3 * 256, 843 * 256, 843 * 53  # of `modular`
TRAFFIC = {  # numbers of one run that are read or written, each tensor of a step as often as an operation must take or give it
    "wide": 40 * (5 * 22 + 2 * 5) + 11 * (22 + 2 * (20 + 23)),  # weights, twice read and written; gradient, errors
    "modular": MODULAR_STEPS * (9 * PARAMETERS + 2 * 3 * ACTIVATIONS + 2 * 2 * ERRORS),  # and moments; units, squares, ∂units
}
TARGETS: dict[str, dict[str, dict[str, tuple[float, float]]]] = {  # times a contender's rate: quiet, beside neighbours
    "wide": {"float32": {"jax": (2, 1.5)}, "float64": {"jax": (2, 1.5), "jax_projected": (1, 0)}},
    "modular": {"float32": {"jax": (1.5, 0)}, "float64": {"jax": (1.5, 0)}},
}
LOAD = os.environ.get("LOAD", "0") not in ("", "0")
CONTENDERS = {function.__name__: function for function in (project, project_on_cpu, jax, jax_projected, loop, ridge)}
WORK = {"wide": ("project", "jax", "jax_projected", "loop", "ridge"), "modular": ("project", "jax", "loop")}


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many other processes that never rest."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def matmul_rate(precision: str) -> float:
    """Floating-point operations per second of a large matrix product on all cores."""
    import torch

    from stages.engine.machine import cores, device

    torch.set_num_threads(cores())
    size = 2048 if device().type == "cpu" else 8192
    a = torch.randn(size, size, dtype=getattr(torch, precision), device=device())
    return 2 * size**3 / seconds_of(lambda: (a @ a).sum().item())


def copy_rate() -> float:
    """Bytes per second, read and written, of copying 256 MiB with all cores."""
    import torch

    from stages.engine.machine import cores, device

    torch.set_num_threads(cores())
    a = torch.zeros(2**28, dtype=torch.uint8, device=device())
    b = torch.empty_like(a)
    return 2 * len(a) / seconds_of(lambda: b.copy_(a)[-1].item())


def seconds_of(work: Callable[[], object]) -> float:
    """The median of five."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def worker(contender: str, work: str, precision: str, runs: str) -> None:
    """Warm up, then time one round for each line on standard input."""
    run = CONTENDERS[contender](work, precision, int(runs))
    timed = SAMPLE.get(contender, int(runs)) if work == "wide" else int(runs)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        started, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - started < SECONDS:
            run()
            count += 1
        print(count * timed / (time.perf_counter() - started), flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def rounds(work: str, precision: str, runs: int, contenders: Sequence[str]) -> list[dict[str, Any]]:
    """Contenders in turn, each in its own process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tools.bench", "worker"]
    processes = {
        name: subprocess.Popen(
            [*command, name, work, precision, str(runs)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in contenders
        if runs <= 5_000 or name not in SAMPLE  # a cost that does not depend on the number of runs is measured once
    }
    rates: dict[str, list[float]] = {name: [] for name in processes}
    for process in processes.values():
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for _ in range(ROUNDS):
        for name, process in processes.items():
            assert process.stdin
            assert process.stdout
            process.stdin.write("go\n")
            process.stdin.flush()
            rates[name].append(float(process.stdout.readline()))
    for name, process in processes.items():
        peak = float(process.communicate()[0])
        if name == "project":
            print(f"{work} {precision} {runs}: at most {peak:,.0f} MiB in the project's process", file=sys.stderr)
    common = {"work": work, "precision": precision, "runs": runs}
    return [common | {"contender": name, "models_per_s": statistics.median(each)} for name, each in rates.items()]


def main() -> None:
    from stages.engine.machine import cores

    measured: list[dict[str, Any]] = []
    with neighbours(cores() if LOAD else 0):
        for work, sizes in SIZES.items():
            for precision in ("float32", "float64"):
                limit = matmul_rate(precision) / OPERATIONS[work]
                for runs in sizes:
                    found = rounds(work, precision, runs, WORK[work])
                    measured += [row | {"limit": limit, "load": LOAD} for row in found]
                    print(f"{work} {precision} {runs}: done", file=sys.stderr, flush=True)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / f"bench{'-load' * LOAD}.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(table(measured))


def table(measured: list[dict[str, Any]]) -> str:
    """Lay out models a second as a table, and in brackets how many times that the project is."""
    columns = WORK["wide"]
    lines = ["| work | runs | " + " | ".join(columns) + " | products alone |", "|---" * (len(columns) + 3) + "|"]
    for work, precision, runs in dict.fromkeys((row["work"], row["precision"], row["runs"]) for row in measured):
        same = [row for row in measured if (row["work"], row["precision"]) == (work, precision)]
        rates = {row["contender"]: row["models_per_s"] for row in same if row["runs"] == runs or row["contender"] in SAMPLE}
        own, targets = rates["project"], TARGETS[work][precision]
        cells = [f"`{work}`, {precision}", f"{runs:,}", two_digits(own)]
        for name in columns[1:]:
            times = own / rates[name] if name in rates else math.nan
            aim = targets.get(name, (0, 0))[LOAD]
            missed = f"; aim {aim:g} missed" if times < aim else ""
            cells.append(f"{two_digits(rates[name])} ({two_digits(times)} ×{missed})" if name in rates else "")
        lines.append("| " + " | ".join([*cells, two_digits(same[0]["limit"])]) + " |")
    return "\n".join(lines)


def two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(*sys.argv[2:])
    else:
        main()
