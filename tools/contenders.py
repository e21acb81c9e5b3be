"""Who trains the benchmark's works: this project, JAX, a course's loop, scikit-learn's closed form.

A contender gets a work, a precision and a number of runs, prepares itself, and returns what is timed. Each imports its library
itself, as it runs in a process of its own.
"""

import operator
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

DECAYS = {5_000: 50, 100_000: 100, 8: 4}  # λ among so many runs
SAMPLE = {"loop": 10, "ridge": 500}  # runs that are timed where the cost of one does not depend on the others
MODULAR_STEPS = 100
DATA: dict[str, dict[str, Any]] = {"wide": {}, "modular": {"p": 53, "hidden": 256}}  # beside the number of trials
TRAIN: dict[str, dict[str, Any]] = {  # as every contender does it, whatever params.yaml says; `modular` on 843 of 53² pairs
    "wide": {"epochs": 10, "batch_size": 5, "lr": 0.01, "momentum": 0.0},
    "modular": {"steps": MODULAR_STEPS, "evaluate_every": MODULAR_STEPS, "train_fraction": 0.3, "lr": 0.004}
    | {"beta1": 0.9, "beta2": 0.98, "eps": 6e-6},
}


def section_of(study: str, trials: int) -> Any:
    """A study's section of params.yaml, with a work's own numbers and so many trials."""
    from msgspec.structs import replace

    from stages import studies
    from stages.base import params
    from stages.base.system import System

    section: Any = params.read(study, studies.part(study, System).section, "data", "train").section
    data, train = replace(section.data, trials=trials, **DATA[study]), replace(section.train, **TRAIN[study])
    return replace(section, data=data, train=train)


def arrays_of(study: str, trials: int) -> dict[str, Any]:
    """A study's data with so many trials; the pairs of `modular` split, the rows of `wide` in the order of its batches."""
    from stages import studies
    from stages.base.addition import split_at
    from stages.base.streams import Streams, orders
    from stages.base.system import System

    system, section = studies.part(study, System), section_of(study, trials)
    arrays = system.draw(section, Streams(0, system.key))
    if study == "modular":
        return split_at(arrays, section.train.train_fraction)
    return arrays | {"order": orders(arrays, system.key, section.train.epochs)}


def grid(count: int) -> np.ndarray:
    return np.concatenate([[0.0], np.logspace(-3, 1.5, count - 1)])


def silent(label: str, steps: int, **_: int) -> AbstractContextManager:
    """Progress that shows nothing."""
    return nullcontext(lambda *_: None)


def project(work: str, precision: str, runs: int, *, one_by_one: bool = False) -> Callable[[], object]:
    """This project's engine; `modular` also one run at a time."""
    from dataclasses import replace

    import torch

    from stages.engine import addition, fit
    from stages.engine.job import nothing
    from stages.engine.machine import device as best_device
    from stages.engine.projection import project as projected
    from stages.engine.train import train
    from stages.studies.modular import training as modular_training
    from stages.studies.modular.system import CURVATURE
    from stages.studies.wide import training as wide_training

    device, dtype = best_device(), getattr(torch, precision)
    trials, weight_decays = runs // DECAYS[runs], grid(DECAYS[runs]).tolist()
    section, arrays = section_of(work, trials), arrays_of(work, trials)
    if work == "wide":
        plain = wide_training.job(section, arrays, device, weight_decays)

        def wide() -> object:
            problem = projected(wide_training.problem(arrays, device, dtype))
            return train("wide", replace(plain, problem=problem), progress=silent).history["val_loss"].sum().item()

        return wide
    problem = addition.problem(arrays, device, curvature=CURVATURE, dtype=dtype)
    whole = replace(modular_training.job(section, arrays, device, weight_decays), problem=problem, watch=nothing)

    def modular() -> object:
        if one_by_one:
            alone = [problem.each(operator.itemgetter(slice(trial, trial + 1))) for trial in range(trials)]
            fits = [fit.fit(replace(whole.at([decay]), problem=part)) for part in alone for decay in weight_decays]
        else:
            fits = [train("modular", whole, progress=silent)]
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
    trials, weight_decays = runs // DECAYS[runs], jnp.asarray(grid(DECAYS[runs]), precision)
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

        def whole(weight_decays: Any, x: Any, y: Any, x_val: Any, y_val: Any, w0: Any, order: Any) -> Any:
            if projected:
                basis = jnp.linalg.qr(jnp.concatenate([x, w0[:, None]], axis=1).mT)[0]
                x, x_val, w0 = x @ basis, x_val @ basis, (w0[:, None] @ basis)[:, 0]
            over_decays = jax.vmap(train, in_axes=(0, *[None] * 6))
            return jax.vmap(over_decays, in_axes=(None, *[0] * 6))(weight_decays, x, y, x_val, y_val, w0, order)

        compiled = jax.jit(whole)
        return lambda: jax.block_until_ready(compiled(weight_decays, x, y, x_val, y_val, w0, order))

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
    return lambda: jax.block_until_ready(together(weight_decays, *data))


def jax_projected(work: str, precision: str, runs: int) -> Callable[[], object]:
    return jax(work, precision, runs, projected=True)
