"""modular, computed anew: a quadratic network and AdamW, written out."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, all_means, curve, differences, means, rounded, sweep
from numpy.typing import NDArray

from independent.shared import Results, adam, evaluated

PURITIES = ("purity", "purity_at_start")


def modular(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Outputs W₂ᵀ(W₁[a] + W₁[p + b])², mean squared error on one-hot labels; θ is W₁ and W₂ in one row a trial."""
    own, p, steps = params["modular"], params["modular"]["data"]["p"], params["modular"]["train"]["steps"]
    trials, share, grid = len(data["start_hidden"]), own["train"]["train_fraction"], own["sweep"]["wd"]
    train, arrivals, at = grokking(own, data, share)

    def end(history: list[dict[str, Values]]) -> dict[str, Values]:
        norm = history[-1]["weight_norm"].each
        pure = {name: history[-1].pop(name) for name in PURITIES}
        return history[-1] | {"half_squared_norm": Values(norm**2 / 2, norm**2)} | pure

    same = {"loss": (1 / p) * (1 - 1 / p), "accuracy": 1 / p}  # of every class equally likely
    null = {f"{split}_{name}": Values(np.full(trials, value), 1.0) for split in ("train", "val") for name, value in same.items()}
    null |= {name: Values(np.zeros(trials), 0.0) for name in ("weight_norm", "half_squared_norm")}

    weight_decays = {"baseline": params["baseline"], "wd": params["wd"]}
    histories = {name: train(decay) for name, decay in weight_decays.items()}
    rows = {name: end(history) for name, history in histories.items()} | {"null": null}
    metrics = all_means(rows, weight_decays) | differences(rows, "wd_minus_baseline")
    curves: Table = []
    for name, history in histories.items():
        curves += curve(name, "step", at, history)
        for verb in ("memorise", "generalise"):
            steps_to = arrivals(history)[f"steps_to_{verb}"]
            everyone = Values(steps_to.astype(float), 0.0)
            metrics[name] |= means({f"steps_to_{verb}": everyone}) if (steps_to >= 0).all() else {f"steps_to_{verb}": Number(-1)}
            metrics[name][f"{verb}d"] = rounded((steps_to >= 0).mean())

    found = []
    for decay in grid:
        history = train(decay)
        for name in PURITIES:
            del history[-1][name]
        found.append(history[-1] | {name: Values(each.astype(float), 0.0) for name, each in arrivals(history).items()})
    table, summary = sweep(grid, found, null["val_loss"])
    summary |= {"threshold": rounded(own["report"]["threshold"]), "steps": Number(steps), "train_fraction": rounded(share)}
    summary |= pace(
        own["train"]["lr"], {decay: each["steps_to_generalise"].each for decay, each in zip(grid, found, strict=True)}
    )
    table = [row | {"train_fraction": rounded(share)} for row in table]
    return Results(table + other_shares(own, data, list(table[0])), summary, metrics, curves)


def pace(lr: float, steps: dict[float, Array]) -> dict[str, Number]:
    """The λ at which all trials generalise soonest, and the steps in units of 1/(lr·λ) where they do, at it and below it."""
    everyone = {decay: float(np.sum(each) / len(each)) for decay, each in steps.items() if (each >= 0).all()}
    if not everyone:
        return {}
    soonest = sorted(everyone, key=lambda decay: (everyone[decay], decay))[0]
    found = {"quickest_lambda": rounded(soonest), "steps_at_quickest": rounded(everyone[soonest]), "lr": rounded(lr)}
    times = [(decay, each / (1 / (lr * decay))) for decay, each in everyone.items() if 0 < decay <= soonest and each > 0]
    if times:
        found["law"] = rounded(float(np.prod([each for _, each in times])) ** (1 / len(times)))
    return found | {f"pace_at_{decay:g}": rounded(each) for decay, each in times}


def other_shares(own: dict[str, Any], data: dict[str, NDArray], columns: list[str]) -> Table:
    """The first trials trained on more or fewer of their pairs, in the order in which these were drawn."""
    shares = own["sweep"]["shares"]
    first = {name: each[: shares["trials"]] if each.ndim > 1 else each for name, each in data.items()}
    table: Table = []
    for share in shares["train_fraction"]:
        if share == own["train"]["train_fraction"]:
            continue
        train, arrivals, _ = grokking(own, first, share)
        for decay in shares["wd"]:
            when = arrivals(train(decay))
            for trial in range(len(first["start_hidden"])):
                known = {"weight_decay": rounded(decay), "train_fraction": rounded(share), "trial": Number(trial)}
                known["diverged"] = Number(0)
                known |= {name: Number(int(each[trial])) for name, each in when.items()}
                table.append(dict.fromkeys(columns) | known)
    return table


def grokking(own: dict[str, Any], data: dict[str, NDArray], share: float) -> tuple[Any, Any, list[int]]:
    """Trained on the first of the pairs, a share of them, in the order that was drawn; validated on the others.

    λ → what is measured on the way; that → when each trial arrives, −1 for never; the evaluated steps.
    """
    p, steps, every, lr = own["data"]["p"], own["train"]["steps"], own["train"]["evaluate_every"], own["train"]["lr"]
    moments = {name: own["train"][name] for name in ("beta1", "beta2", "eps")}
    trials, _, hidden = data["start_hidden"].shape
    rows = min(max(round(share * p**2), 1), p**2 - 1)
    pairs = {"train": data["pairs"][:, :rows], "val": data["pairs"][:, rows:]}
    start = np.column_stack([data["start_hidden"].reshape(trials, -1), data["start_output"].reshape(trials, -1)])

    def encoded(pairs: NDArray[np.int64]) -> Array:
        return np.concatenate([np.eye(p)[pairs[:, :, 0]], np.eye(p)[pairs[:, :, 1]]], axis=2)  # (R, n, 2p)

    inputs = {split: encoded(each) for split, each in pairs.items()}
    targets = {split: np.eye(p)[(each[:, :, 0] + each[:, :, 1]) % p] for split, each in pairs.items()}  # (R, n, p)

    def weights(theta: Array) -> tuple[Array, Array]:
        return theta[:, : 2 * p * hidden].reshape(trials, 2 * p, hidden), theta[:, 2 * p * hidden :].reshape(trials, hidden, p)

    def gradient(theta: Array, _: int) -> Array:
        first, second = weights(theta)
        units = inputs["train"] @ first  # (R, n, h)
        error = 2 / targets["train"][0].size * (units**2 @ second - targets["train"])  # (R, n, p)
        of_units = error @ second.transpose(0, 2, 1) * 2 * units
        of_first = inputs["train"].transpose(0, 2, 1) @ of_units
        of_second = (units**2).transpose(0, 2, 1) @ error
        return np.column_stack([of_first.reshape(trials, -1), of_second.reshape(trials, -1)])

    def measured(theta: Array) -> dict[str, Values]:
        (first, second), found = weights(theta), {}
        for split in ("train", "val"):
            outputs = (inputs[split] @ first) ** 2 @ second
            loss = ((outputs - targets[split]) ** 2).mean(axis=(1, 2))
            found[f"{split}_loss"] = Values(loss, np.sqrt(loss))
            right = outputs.argmax(axis=2) == targets[split].argmax(axis=2)
            found[f"{split}_accuracy"] = Values(right.sum(axis=1) / right.shape[1], 1.0)
        norm = np.linalg.norm(theta, axis=1)
        return found | {"weight_norm": Values(norm, norm)}

    def purity(theta: Array) -> Values:
        """How much of a unit's power, but for its mean, one wave of whole periods holds; in 255ths, a unit's on average."""
        of_a, turns = weights(theta)[0][:, :p], 2 * np.pi * np.outer(np.arange(1, p // 2 + 1), np.arange(p)) / p
        power = np.einsum("kp,rph->rhk", np.cos(turns), of_a) ** 2 + np.einsum("kp,rph->rhk", np.sin(turns), of_a) ** 2
        return Values(np.rint(255 * power / power.sum(axis=2, keepdims=True)).max(axis=2).mean(axis=1) / 255, 1.0)

    at = evaluated(steps, every)

    def train(decay: float) -> list[dict[str, Values]]:
        path = adam(gradient, start, steps, lr=lr, decoupled=decay, **moments)
        history = [measured(path[step]) for step in at]
        return [*history[:-1], history[-1] | {"purity": purity(path[-1]), "purity_at_start": purity(path[0])}]

    def arrivals(history: list[dict[str, Values]]) -> dict[str, NDArray[np.int64]]:
        """The first evaluated step of each trial with so much accuracy, −1 for never."""
        found = {}
        for split, verb in (("train", "memorise"), ("val", "generalise")):
            reached = np.array([each[f"{split}_accuracy"].each >= own["report"]["threshold"] for each in history])  # (K, R)
            found[f"steps_to_{verb}"] = np.where(reached.any(axis=0), np.array(at)[reached.argmax(axis=0)], -1)
        return found

    return train, arrivals, at
