"""Each study's random draws: everything that its arms share, as arrays for one `.npz` file.

Shapes: R trials, n training rows, m validation rows, d inputs, E epochs, p the modulus, h hidden units.
A draw depends on the seed, the study, the trial and its purpose alone, so more trials, more epochs or another
study never change an existing draw, and λ changes none. Values are float32, so that no machine's last bit of
`exp` or of a matrix product ends in the file; training promotes them to float64.
"""

import functools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.science.errors import UserError
from stages.science.params import Descent, Line, Modular, Wide

Arrays = dict[str, NDArray]


def stream(seed: int, study: str, trial: int, purpose: str) -> np.random.Generator:
    """The generator of one purpose in one trial, independent of every other (NumPy's SeedSequence spawn keys)."""
    key = (zlib.crc32(study.encode()), trial, zlib.crc32(purpose.encode()))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def line(params: Line, seed: int) -> Arrays:
    """y = slope·x + intercept without noise; starts as `nn.Linear(1, 1)` draws them, U(−1, 1)."""
    system = params.system

    def trial(rng: Callable[[str], np.random.Generator]) -> Arrays:
        start = rng("start").uniform(-1, 1, size=2)
        return {"start_weight": start[:1], "start_bias": start[1], "order": _orders(rng("order"), params.epochs, rows)}

    rows = len(system.train_x)
    shared: Arrays = {}
    for split, xs in (("train", system.train_x), ("val", system.val_x)):
        x = np.tile(np.array(xs)[:, None], (params.trials, 1, 1))  # (R, rows, 1)
        shared |= {f"{split}_inputs": x, f"{split}_targets": system.slope * x[..., 0] + system.intercept}
    truth = {"true_weight": np.full((params.trials, 1), system.slope), "true_bias": np.full(params.trials, system.intercept)}
    null = {"null": np.full(params.trials, shared["train_targets"].mean())}
    drawn = _trials(trial, seed, "line", params.trials)
    return _single(shared | truth | null | drawn) | {"batch_size": np.array(params.batch_size)}


def wide(params: Wide, seed: int) -> Arrays:
    """X ~ N(0, 1), y = intercept + Σ weight·xᵢ + N(0, noise²); start w₀ ~ N(0, start_std²), b₀ = 0.

    Source: the weight-decay section of "Dive into Deep Learning" (Zhang, Lipton, Li, Smola).
    """
    system = params.system

    def trial(rng: Callable[[str], np.random.Generator]) -> Arrays:
        arrays: Arrays = {}
        weight = np.full(system.inputs, system.weight)  # (d,)
        for split, rows in (("train", system.train_rows), ("val", system.val_rows)):
            x = rng(f"{split} inputs").standard_normal((rows, system.inputs)).astype(np.float32).astype(np.float64)
            noise = system.noise * rng(f"{split} noise").standard_normal(rows)
            arrays |= {f"{split}_inputs": x, f"{split}_targets": x @ weight + system.intercept + noise}
        start = system.start_std * rng("start").standard_normal(system.inputs)
        return arrays | {
            "start_weight": start,
            "start_bias": np.zeros(()),
            "true_weight": weight,
            "true_bias": np.array(system.intercept),
            "null": np.array(system.intercept),
            "order": _orders(rng("order"), params.epochs, system.train_rows),
        }

    shared = {"batch_size": np.array(params.batch_size), "noise": np.array(system.noise)}
    return _single(_trials(trial, seed, "wide", params.trials)) | shared


def modular(params: Modular, seed: int) -> Arrays:
    """All pairs (a, b) with label (a + b) mod p, split at random; starts N(0, (start_scale/(2·hidden)^⅓)²).

    The system of Gromov, "Grokking modular arithmetic" (2023).
    """
    system, p = params.system, params.p
    pairs = np.stack(np.divmod(np.arange(p * p), p), axis=1)  # (p², 2)
    train_rows = min(max(round(system.train_fraction * p * p), 1), p * p - 1)
    std = system.start_scale / (2 * system.hidden) ** (1 / 3)

    def trial(rng: Callable[[str], np.random.Generator]) -> Arrays:
        shuffled = pairs[rng("split").permutation(p * p)]
        arrays: Arrays = {}
        for split, chosen in (("train", shuffled[:train_rows]), ("val", shuffled[train_rows:])):
            arrays |= {f"{split}_pairs": chosen, f"{split}_labels": chosen.sum(axis=1) % p}
        return arrays | {
            "start_hidden": std * rng("start hidden").standard_normal((2 * p, system.hidden)),
            "start_output": std * rng("start output").standard_normal((system.hidden, p)),
        }

    schedule = {"p": p, "steps": params.steps, "evaluate_every": system.evaluate_every}
    shared = {name: np.array(value) for name, value in schedule.items()}
    return _single(_trials(trial, seed, "modular", params.trials)) | shared


def descent(params: Descent, seed: int) -> Arrays:
    """y = Xw* + N(0, noise²), X ~ N(0, 1), w* of fixed length in a uniform direction; the first n rows are the data set of n.

    The isotropic setting of Nakkiran, Venkat, Kakade, Ma, "Optimal Regularization Can Mitigate Double Descent" (2021).
    """
    system = params.system

    def trial(rng: Callable[[str], np.random.Generator]) -> Arrays:
        inputs = rng("inputs").standard_normal((params.rows[-1], system.inputs)).astype(np.float32).astype(np.float64)
        direction = rng("truth").standard_normal(system.inputs)
        weight = system.weight_norm * direction / np.linalg.norm(direction)
        noise = system.noise * rng("noise").standard_normal(len(inputs))
        return {"train_inputs": inputs, "train_targets": inputs @ weight + noise, "true_weight": weight}

    shared = {"rows": np.array(params.rows), "steps": np.array(params.steps), "noise": np.array(system.noise)}
    return _single(_trials(trial, seed, "descent", params.trials)) | shared


GENERATORS: dict[str, Callable[..., Arrays]] = {"line": line, "wide": wide, "modular": modular, "descent": descent}


def footprint(study: str, params: Any) -> int:
    """About how many bytes a study needs: its arrays six times over (drawn, stacked, in double precision, with gradients),
    for `modular` the hidden units of all trials instead, which are more.
    """
    if study == "modular":
        return 8 * 6 * params.trials * params.p**2 * params.system.hidden
    if study == "line":
        return 8 * 6 * params.trials * (params.epochs + 4) * (len(params.system.train_x) + len(params.system.val_x))
    if study == "descent":
        return 8 * 6 * params.trials * params.rows[-1] * params.system.inputs
    rows = params.system.train_rows + params.system.val_rows
    return 8 * 6 * params.trials * rows * (params.system.inputs + params.epochs)


def _trials(draw: Callable[[Callable[[str], np.random.Generator]], Arrays], seed: int, study: str, trials: int) -> Arrays:
    """Draw every trial from its own streams and stack them along a leading trial axis."""
    drawn = [draw(functools.partial(stream, seed, study, trial)) for trial in range(trials)]
    return {name: np.stack([arrays[name] for arrays in drawn]) for name in drawn[0]}


def _orders(rng: np.random.Generator, epochs: int, rows: int) -> NDArray:
    """One permutation of the rows an epoch.  (E, n)"""
    return np.stack([rng.permutation(rows) for _ in range(epochs)])


def _single(arrays: Arrays) -> Arrays:
    """Floating-point arrays as float32, integers as they are. Raises UserError where a number is beyond float32's range."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    for name, array in single.items():
        if not np.isfinite(array).all():
            raise UserError(f"params.yaml: expected data within the range of float32, got {name} beyond it")
    return single
