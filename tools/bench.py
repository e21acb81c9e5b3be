"""Models trained per second: this project against JAX, a course's loop and scikit-learn. `make bench` runs it.

Work `wide`: trials × λ systems of 200 inputs on 20 rows, 40 steps of SGD in batches of 5, 11 evaluations on 20 + 100 rows.
Work `modular`: that many networks of the grokking study, 100 steps of AdamW on full batches, two evaluations.
Every contender runs in a process of its own, warmed up, and they take turns; the figure is the median of the rounds. Data
lies in memory; what a contender does to it, projection and transfer included, counts.
"""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"wide": (5_000, 100_000), "modular": (8,)}
DECAYS = {5_000: 50, 100_000: 100, 8: 4}
SAMPLE = {"loop": 10, "ridge": 500}  # runs that are timed where the cost of one does not depend on the others
MODULAR_STEPS = 100
ROUNDS, SECONDS = 5, 0.5  # a round of a contender is as many whole runs as fill so much time


def arrays_of(study: str, trials: int) -> dict[str, Any]:
    """A study's data as params.yaml has it, with so many trials."""
    import msgspec

    from stages import studies
    from stages.base import params
    from stages.base.streams import Streams
    from stages.base.system import System

    system = studies.part(study, System)
    section = params.at(params.load({study: system.section}), study)
    return system.draw(msgspec.structs.replace(section, trials=trials), Streams(0, system.key))


def wide_arrays(trials: int) -> dict[str, Any]:
    return arrays_of("wide", trials)


def modular_arrays(trials: int) -> dict[str, Any]:
    return arrays_of("modular", trials)


def grid(count: int) -> np.ndarray:
    return np.concatenate([[0.0], np.logspace(-3, 1.5, count - 1)])


def project(work: str, precision: str, runs: int, *, one_by_one: bool = False) -> Callable[[], object]:
    """This project's engine; `modular` also one run at a time."""
    import torch

    from stages.engine import chunks, fit, projection
    from stages.engine.device import device as best_device
    from stages.studies.modular import training as modular_training
    from stages.studies.wide import training as wide_training

    device = best_device()
    trials, decays = runs // DECAYS[runs], torch.from_numpy(grid(DECAYS[runs])).to(device)
    dtype = getattr(torch, precision)
    if work == "wide":
        arrays = wide_arrays(trials)
        schedule = wide_training.by_epochs(arrays, None, device)

        def wide() -> object:
            fitted = chunks.fit_in_chunks(
                projection.project(wide_training.problem(arrays, device, dtype)),
                schedule.batches,
                runs_at_once=wide_training.RUNS_AT_ONCE,
                label="wide",
                progress=lambda label, total: nullcontext(lambda step, measured: None),
                optimizer="sgd",
                settings={"lr": 0.01},
                weight_decay=decays,
                evaluate_every=4,
            )
            return fitted.history["val_loss"].sum().item()

        return wide
    problem = modular_training.problem(modular_arrays(trials), device, dtype)
    options: dict[str, Any] = {
        "optimizer": "adamw",
        "settings": {"lr": 0.004, "betas": (0.9, 0.98), "eps": 6e-6},
        "evaluate_every": MODULAR_STEPS,
    }
    parts = [(problem, decays)]
    if one_by_one:
        parts = [(problem.trials(trial, trial + 1), decay[None]) for trial in range(trials) for decay in decays]

    def modular() -> object:
        fits = [fit.fit(part, [None] * MODULAR_STEPS, weight_decay=each, **options) for part, each in parts]
        return sum(fitted.history["val_loss"].sum().item() for fitted in fits)

    return modular


def loop(work: str, precision: str, runs: int) -> Callable[[], object]:
    """As a course writes it: a DataLoader and one `nn.Linear` a run. `modular`: the engine, one run at a time."""
    if work == "modular":
        return project(work, precision, runs, one_by_one=True)
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    arrays, dtype = wide_arrays(SAMPLE["loop"]), getattr(torch, precision)
    tensors = {name: torch.from_numpy(array).to(dtype) for name, array in arrays.items() if array.dtype == np.float32}

    def run() -> None:
        for trial in range(SAMPLE["loop"]):
            x, y, x_val, y_val = (tensors[name][trial] for name in ("train_inputs", "train_targets", "val_inputs", "val_targets"))
            model = torch.nn.Linear(200, 1).to(dtype)
            groups: list[dict[str, Any]] = [{"params": [model.weight], "weight_decay": 3.0}, {"params": [model.bias]}]
            optimizer = torch.optim.SGD(groups, lr=0.01)
            batches = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True)
            for _ in range(10):
                for inputs, targets in batches:
                    optimizer.zero_grad()
                    (torch.nn.functional.mse_loss(model(inputs)[:, 0], targets) / 2).backward()
                    optimizer.step()
                with torch.no_grad():
                    for inputs, targets in ((x, y), (x_val, y_val)):
                        torch.nn.functional.mse_loss(model(inputs)[:, 0], targets).item()
                    model.weight.norm().item()

    return run


def ridge(work: str, precision: str, runs: int) -> Callable[[], object]:
    """scikit-learn's closed form, one λ and one data set at a time: not the same work, for scale."""
    from sklearn.linear_model import Ridge

    arrays = {name: array.astype(precision) for name, array in wide_arrays(10).items() if array.dtype == np.float32}

    def run() -> None:
        for trial in range(10):
            for decay in grid(50)[1:]:
                Ridge(20 * decay).fit(arrays["train_inputs"][trial], arrays["train_targets"][trial])

    return run


def jax(work: str, precision: str, runs: int, *, projected: bool = False) -> Callable[[], object]:
    """jit of vmap over λ and trials of a scan over steps."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", precision == "float64")
    trials, decays = runs // DECAYS[runs], jnp.asarray(grid(DECAYS[runs]), precision)
    if work == "wide":
        arrays = {name: jnp.asarray(array) for name, array in wide_arrays(trials).items() if array.ndim > 1}
        x, y, x_val, y_val, w0 = (
            arrays[name].astype(precision)
            for name in ("train_inputs", "train_targets", "val_inputs", "val_targets", "start_weight")
        )
        order = arrays["order"].reshape(trials, 10, 4, 5)

        def train(decay: Any, x: Any, y: Any, x_val: Any, y_val: Any, w0: Any, order: Any) -> Any:
            def half_error(weights: Any, x: Any, y: Any) -> Any:
                return jnp.mean((x @ weights[0] + weights[1] - y) ** 2) / 2

            def step(weights: Any, rows: Any) -> tuple[Any, None]:
                gradient = jax.grad(half_error)(weights, x[rows], y[rows])
                return (weights[0] - 0.01 * (gradient[0] + decay * weights[0]), weights[1] - 0.01 * gradient[1]), None

            def epoch(weights: Any, rows: Any) -> tuple[Any, Any]:
                weights, _ = jax.lax.scan(step, weights, rows)
                return weights, (half_error(weights, x, y), half_error(weights, x_val, y_val), jnp.linalg.norm(weights[0]))

            return jax.lax.scan(epoch, (w0, jnp.zeros((), x.dtype)), order)[1]

        def whole(decays: Any, x: Any, y: Any, x_val: Any, y_val: Any, w0: Any, order: Any) -> Any:
            if projected:
                basis = jnp.linalg.qr(jnp.concatenate([x, w0[:, None]], axis=1).mT)[0]
                x, x_val, w0 = x @ basis, x_val @ basis, (w0[:, None] @ basis)[:, 0]
            over_decays = jax.vmap(train, in_axes=(0, *[None] * 6))
            return jax.vmap(over_decays, in_axes=(None, *[0] * 6))(decays, x, y, x_val, y_val, w0, order)

        compiled = jax.jit(whole)
        return lambda: jax.block_until_ready(compiled(decays, x, y, x_val, y_val, w0, order))

    raw = {name: jnp.asarray(array) for name, array in modular_arrays(trials).items()}
    p = 53

    def network(weights: Any, pairs: Any) -> Any:
        hidden, output = weights
        return (hidden[pairs[:, 0]] + hidden[pairs[:, 1] + p]) ** 2 @ output

    def fit(decay: Any, pairs: Any, labels: Any, val_pairs: Any, val_labels: Any, hidden: Any, output: Any) -> Any:
        def error(weights: Any, pairs: Any, labels: Any) -> Any:
            return jnp.mean((network(weights, pairs) - jax.nn.one_hot(labels, p, dtype=hidden.dtype)) ** 2)

        def step(state: Any, count: Any) -> tuple[Any, None]:
            weights, first, second = state
            gradient = jax.grad(error)(weights, pairs, labels)
            first = tuple(0.9 * m + 0.1 * g for m, g in zip(first, gradient, strict=True))
            second = tuple(0.98 * v + 0.02 * g * g for v, g in zip(second, gradient, strict=True))
            one, two = 1 - 0.9**count, 1 - 0.98**count
            weights = tuple(
                (1 - 0.004 * decay) * w - 0.004 * (m / one) / (jnp.sqrt(v / two) + 6e-6)
                for w, m, v in zip(weights, first, second, strict=True)
            )
            return (weights, first, second), None

        zeros = (jnp.zeros_like(hidden), jnp.zeros_like(output))
        counts = jnp.arange(1, MODULAR_STEPS + 1).astype(hidden.dtype)
        (weights, _, _), _ = jax.lax.scan(step, ((hidden, output), zeros, zeros), counts)
        return error(weights, pairs, labels), error(weights, val_pairs, val_labels)

    names = ("train_pairs", "train_labels", "val_pairs", "val_labels")
    data = [raw[name] for name in names] + [raw[name].astype(precision) for name in ("start_hidden", "start_output")]
    together = jax.jit(jax.vmap(jax.vmap(fit, in_axes=(0, *[None] * 6)), in_axes=(None, *[0] * 6)))
    return lambda: jax.block_until_ready(together(decays, *data))


def jax_projected(work: str, precision: str, runs: int) -> Callable[[], object]:
    return jax(work, precision, runs, projected=True)


OPERATIONS = {  # of one run, in matrix products: of `wide`, projected, two a step and the evaluations; of `modular`, three a step
    "wide": 40 * 4 * 5 * 21 + 11 * 2 * (20 + 23) * 21,
    "modular": MODULAR_STEPS * 3 * 2 * 843 * 256 * 53,
}
TARGETS = {"float32": {"jax": 4, "jax_projected": 1, "loop": 5_000}, "float64": {"jax": 3, "jax_projected": 1, "loop": 5_000}}
CONTENDERS = {function.__name__: function for function in (project, jax, jax_projected, loop, ridge)}
WORK = {"wide": ("project", "jax", "jax_projected", "loop", "ridge"), "modular": ("project", "jax", "loop")}


def matmul_rate(precision: str) -> float:
    """Floating-point operations per second of a large matrix product."""
    import torch

    from stages.engine.device import device

    a = torch.randn(2048, 2048, dtype=getattr(torch, precision), device=device())
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        (a @ a).sum().item()
        seconds.append(time.perf_counter() - started)
    return 2 * 2048**3 / statistics.median(seconds)


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


def rounds(work: str, precision: str, runs: int) -> list[dict[str, Any]]:
    """All contenders in turn, each in its own process."""
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
        for name in WORK[work]
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
    measured: list[dict[str, Any]] = []
    for work, sizes in SIZES.items():
        for precision in ("float32", "float64"):
            for runs in sizes:
                measured += rounds(work, precision, runs)
                print(f"{work} {precision} {runs}: done", file=sys.stderr, flush=True)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bench.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(table(measured))


def table(measured: list[dict[str, Any]]) -> str:
    """Models a second as the README carries them, and in brackets how many times that the project is."""
    lines = ["| work | runs | " + " | ".join(CONTENDERS) + " | share of peak |", "|---" * (len(CONTENDERS) + 3) + "|"]
    for work, precision, runs in dict.fromkeys((row["work"], row["precision"], row["runs"]) for row in measured):
        rates = {
            row["contender"]: row["models_per_s"]
            for row in measured
            if (row["work"], row["precision"]) == (work, precision) and (row["runs"] == runs or row["contender"] in SAMPLE)
        }
        own, targets = rates["project"], TARGETS[precision] if work == "wide" else {}
        cells = [f"`{work}`, {precision}", f"{runs:,}", two_digits(own)]
        for name in list(CONTENDERS)[1:]:
            times = own / rates[name] if name in rates else math.nan
            missed = f", not {targets[name]:,}" if times < targets.get(name, 0) else ""
            cells.append(f"{two_digits(rates[name])} ({two_digits(times)} ×{missed})" if name in rates else "")
        lines.append("| " + " | ".join([*cells, f"{own * OPERATIONS[work] / matmul_rate(precision):.0%}"]) + " |")
    return "\n".join(lines)


def two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(*sys.argv[2:])
    else:
        main()
