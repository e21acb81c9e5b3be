"""Who trains the benchmark's works: this project, JAX, a course's loop, scikit-learn's closed form.

A contender gets a work, a precision and a number of runs, prepares itself, and returns what is timed. Each imports its library
itself, as it runs in a process of its own.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

DECAYS = {5_000: 50, 100_000: 100, 8: 4}  # λ among so many runs
SAMPLE = {"loop": 10, "ridge": 500}  # runs that are timed where the cost of one does not depend on the others
MODULAR_STEPS = 100


def arrays_of(study: str, trials: int) -> dict[str, Any]:
    """A study's data as params.yaml has it, with so many trials; `modular` in a size of its own, 843 of 53² pairs."""
    import msgspec

    from stages import studies
    from stages.base import params
    from stages.base.streams import Streams
    from stages.base.system import System

    system = studies.part(study, System)
    section = msgspec.structs.replace(params.at(params.load({study: system.section}), study), trials=trials)
    if study == "modular":
        size = msgspec.structs.replace(section.system, hidden=256, train_fraction=0.3)
        section = msgspec.structs.replace(section, p=53, system=size)
    return system.draw(section, Streams(0, system.key))


def grid(count: int) -> np.ndarray:
    return np.concatenate([[0.0], np.logspace(-3, 1.5, count - 1)])


def silent(label: str, steps: int, **_: int) -> AbstractContextManager:
    """Progress that shows nothing."""
    return nullcontext(lambda *_: None)


def project(work: str, precision: str, runs: int, *, one_by_one: bool = False) -> Callable[[], object]:
    """This project's engine; `modular` also one run at a time."""
    import torch

    from stages.engine import chunks, fit, projection
    from stages.engine.machine import device as best_device
    from stages.studies.modular import training as modular_training
    from stages.studies.wide import training as wide_training

    device = best_device()
    trials, decays = runs // DECAYS[runs], torch.from_numpy(grid(DECAYS[runs])).to(device)
    dtype = getattr(torch, precision)
    if work == "wide":
        arrays = arrays_of("wide", trials)
        schedule = wide_training.by_epochs(arrays, None, device)

        def wide() -> object:
            fitted = chunks.fit_in_chunks(
                projection.project(wide_training.problem(arrays, device, dtype)),
                schedule.batches,
                runs_at_once=wide_training.BASELINE.runs_at_once,
                label="wide",
                progress=silent,
                optimizer="sgd",
                settings={"lr": 0.01},
                weight_decay=decays,
                evaluate_every=4,
            )
            return fitted.history["val_loss"].sum().item()

        return wide
    problem = modular_training.problem(arrays_of("modular", trials), device, dtype)
    options: dict[str, Any] = {
        "optimizer": "adamw",
        "settings": {"lr": 0.004, "betas": (0.9, 0.98), "eps": 6e-6},
        "evaluate_every": MODULAR_STEPS,
    }
    batches = [None] * MODULAR_STEPS

    def modular() -> object:
        if one_by_one:
            alone = [problem.trials(slice(trial, trial + 1)) for trial in range(trials)]
            fits = [fit.fit(part, batches, weight_decay=decay[None], **options) for part in alone for decay in decays]
        else:
            at_once = modular_training.BASELINE.runs_at_once
            options.update(label="modular", progress=silent, runs_at_once=at_once, weight_decay=decays)
            fits = [chunks.fit_in_chunks(problem, batches, **options)]
        return sum(fitted.history["val_loss"].sum().item() for fitted in fits)

    return modular


def project_on_cpu(work: str, precision: str, runs: int) -> Callable[[], object]:
    from stages.engine.machine import VARIABLE

    os.environ[VARIABLE] = "cpu"
    return project(work, precision, runs)


def loop(work: str, precision: str, runs: int) -> Callable[[], object]:
    """As a course writes it: a DataLoader and one `nn.Linear` a run. `modular`: the engine, one run at a time."""
    if work == "modular":
        return project(work, precision, runs, one_by_one=True)
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    arrays, dtype = arrays_of("wide", SAMPLE["loop"]), getattr(torch, precision)
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

    arrays = {name: array.astype(precision) for name, array in arrays_of("wide", 10).items() if array.dtype == np.float32}

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
        arrays = {name: jnp.asarray(array) for name, array in arrays_of("wide", trials).items() if array.ndim > 1}
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

    raw = {name: jnp.asarray(array) for name, array in arrays_of("modular", trials).items()}
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
