"""optimizers, computed anew: SGD, momentum, Adam and AdamW at a falling learning rate, and where they might end."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, all_means, curve, differences, means, rounded
from numpy.typing import NDArray

from independent.linear import descent_on, linear, ridge, risk
from independent.shared import Gradient, Results, adam, batches_of, evaluated, orders, sgd

KINDS = {"sgd": "", "momentum": "_momentum", "adam": "_adam", "adamw": "_adamw"}  # → what its rows end with
NEAREST, LOOK = 2.0**-17, 2.0**-20  # what rounding may move a distance, and a risk of the sweep's coarse weights
Weights = dict[str, Array]  # of an oracle, (R, d) or (R, L, d)


def optimizers(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Half the mean squared error without a bias: the arms on orthogonal rows, the sweep on Gaussian ones."""
    own, train, problem = params["optimizers"], params["optimizers"]["train"], linear(data, c=1)
    arms = {"baseline": params["baseline"], "wd": own["wd"]}
    x, y, truth, weight_decays = data["train_inputs"], data["train_targets"], problem.truth, list(arms.values())
    at, known = evaluated(train["steps"], train["evaluate_every"]), oracles(x, y, weight_decays, train["adamw"]["eps"])
    of_wd = {name: each[:, 1] for name, each in known.items()}
    ends = {name: (weight, of_wd) for name, weight in (of_wd | {"null": 0 * truth, "oracle": truth}).items()}
    curves: Table = []
    for kind, suffix in KINDS.items():
        path = trained(train, kind, x, y, weight_decays, problem.begun(weight_decays))
        for index, arm in enumerate(arms):
            ends[f"{arm}{suffix}"] = path[-1][:, index], {name: each[:, index] for name, each in known.items()}
            curves += curve(f"{arm}{suffix}", "step", at, [problem.losses(path[step][:, index]) for step in at])
    rows = {name: problem.row(weight) | {"risk": risk(weight, truth)} for name, (weight, _) in ends.items()}
    metrics = all_means(rows, {f"{arm}{suffix}": decay for arm, decay in arms.items() for suffix in KINDS.values()})
    for name, (weight, of_decay) in ends.items():
        metrics[name] |= means({"largest_weight": Values(np.abs(weight).max(axis=1), 1.0)}) | distances(weight, of_decay)
    metrics |= differences(rows, *[f"wd{suffix}_minus_baseline{suffix}" for suffix in KINDS.values()])
    return Results(*over_grid(own, data, problem.start, params["seed"]), metrics, curves)


def over_grid(own: dict[str, Any], data: dict[str, NDArray], start: Array, seed: int) -> tuple[Table, dict[str, Any]]:
    """A row for each optimiser, learning rate and λ, then for each oracle and λ; and what is best."""
    x, y, train, weight_decays = data["general_inputs"], data["general_targets"], own["train"], own["sweep"]["wd"]
    known = oracles(x, y, weight_decays, train["adamw"]["eps"])
    own_rate = {kind: train[kind].get("lr", train["lr"]) for kind in KINDS}
    rates = {kind: sorted({lr, *own["sweep"]["lr"]}) if kind.startswith("adam") else [lr] for kind, lr in own_rate.items()}
    begun = np.repeat(start[:, None], len(weight_decays), axis=1)
    ends: list[tuple[str, float | None, Array]] = [
        (kind, lr, trained(train, kind, x, y, weight_decays, begun, lr)[-1]) for kind, each in rates.items() for lr in each
    ]
    found: dict[tuple[str, float | None], Table] = {}  # run and learning rate → its rows, by λ
    for run, lr, weight in [*ends, *((name, None, weight) for name, weight in known.items())]:
        found[run, lr] = [
            {"run": run, "lr": rounded(lr) if lr else None, "weight_decay": rounded(decay), "diverged": Number(0)}
            | dict.fromkeys(("batch_size", "largest_share", "largest_share_se", "from_batch_rest", "from_batch_rest_se"))
            | means({"risk": risk(weight[:, index], data["true_weight"])}, LOOK)
            | distances(weight[:, index], {name: each[:, index] for name, each in known.items()})
            for index, decay in enumerate(weight_decays)
        ]
    best = {of: min(rows, key=lambda row: row["risk"].value) for of, rows in found.items()}
    signal, noise = own["data"]["weight_norm"], own["data"]["noise"]
    summary: dict[str, Any] = {"theory_lambda": rounded(x.shape[2] * noise**2 / (x.shape[1] * signal**2)), "diverged": Number(0)}
    for name in ("ridge", "box"):
        row = best[name, None]
        summary |= {f"best_lambda_of_{name}": row["weight_decay"]}
        summary |= {f"best_risk_of_{name}": row["risk"], f"best_risk_of_{name}_se": row["risk_se"]}
    for kind, lr in own_rate.items():
        oracle = "from_box" if kind == "adamw" else "from_ridge"
        summary[kind] = {"lr": rounded(lr), "farthest": max(row[oracle] for row in found[kind, lr][1:])}
        if kind.startswith("adam"):
            summary[kind]["lrs"] = [rounded(each) for each in rates[kind]]
            summary[kind]["best_lambdas"] = [best[kind, each]["weight_decay"] for each in rates[kind]]
    table, summary["batches"] = on_batches(own, data, seed, begun, known, {name: best[name, None] for name in ("ridge", "box")})
    kinds = [row for (run, _), rows in found.items() if run in KINDS for row in rows]
    return [*kinds, *table, *(row for (run, _), rows in found.items() if run in known for row in rows)], summary


def on_batches(
    own: dict[str, Any], data: dict[str, NDArray], seed: int, start: Array, known: Weights, best: dict[str, Any]
) -> tuple[Table, dict[str, Any]]:
    """AdamW on batches, at a learning rate that falls along a line; and where it should rest, by damped steps of its equation."""
    batches, weight_decays, truth = own["sweep"]["batches"], own["sweep"]["wd"], data["true_weight"]
    x, y = data["general_inputs"], data["general_targets"]
    settings = {name: batches[name] for name in ("beta1", "beta2", "eps")}
    settings["lr"] = batches["lr"] * (1 - np.arange(batches["steps"]) / batches["steps"])
    rows: dict[str, Table] = {"adamw": [], "batch_rest": []}
    summary: dict[str, Any] = {}
    for size in batches["size"]:
        slope, rest = descent_on(x, y, [0] * len(weight_decays)), at_rest(x, y, np.array(weight_decays), batches["eps"])
        if size < len(x[0]):
            order = orders(seed, "optimizers", {"train_targets": y}, -(-batches["steps"] * size // len(x[0])))
            slope = on_rows(x, y, batches_of(order, size))
            rests = [resting(x, y, decay, size) if decay else known["rest"][:, 0] for decay in weight_decays]
            rest = np.stack(rests, axis=1)
        weight = adam(slope, start, batches["steps"], **settings, decoupled=np.array(weight_decays)[:, None])[-1]
        risks, shares = {}, {}
        for run, each in (("adamw", weight), ("batch_rest", rest)):
            for index, decay in enumerate(weight_decays):
                share = decay * np.abs(each[:, index]).max(axis=1)
                ends = {"risk": risk(each[:, index], truth), "largest_share": Values(share, 1.0)}
                near = {name: one[:, index] for name, one in known.items()} | {"batch_rest": rest[:, index]}
                row = means(ends, 8 * LOOK) | distances(each[:, index], near)
                rows[run].append(
                    {"run": run, "lr": None, "batch_size": Number(size), "weight_decay": rounded(decay), "diverged": Number(0)}
                    | row
                )
                if run == "adamw":
                    risks[decay], shares[decay] = ends["risk"].each, share
        chosen = min(risks, key=lambda decay: risks[decay].mean())
        exact = {name: risk(known[name][:, weight_decays.index(best[name]["weight_decay"].value)], truth).each for name in best}
        found = {"best_lambda": rounded(chosen), "trials": Number(len(truth)), "diverged": Number(0)}
        found |= means(
            {"risk_at_best": Values(risks[chosen], 2.0), "largest_share_at_best": Values(shares[chosen], 1.0)}, 8 * LOOK
        )
        for name, each in exact.items():
            found |= means({f"risk_minus_{name}": Values(risks[chosen] - each, 2.0)}, 8 * LOOK)
            found[f"risk_of_{name}"] = rounded(each.mean())
        off = [row["from_batch_rest"] for row in rows["adamw"][-len(weight_decays) + 1 :]]
        summary[f"batch_{size}"] = found | {"farthest": max(off)}
    return [*rows["adamw"], *rows["batch_rest"]], summary


def on_rows(x: Array, y: Array, batches: list[NDArray[np.int64]]) -> Gradient:
    """The gradient of half the mean squared error on the rows of each step's batch."""
    trial = np.arange(len(x))[:, None]

    def gradient(theta: Array, step: int) -> Array:
        own_x, own_y = x[trial, batches[step]], y[trial, batches[step]]
        return (theta @ own_x.mT - own_y[:, None]) @ own_x / own_x.shape[1]

    return gradient


def resting(x: Array, y: Array, decay: float, size: int) -> Array:
    """The root of λw = −ḡ/√(ḡ² + V), V the variance of a batch's mean drawn without putting back.  (R, d)

    Newton's method on all weights of a trial, the derivative by differences, its steps halved until the gap falls.
    """
    rows = x.shape[1]

    def gap(trial: int, weight: Array) -> Array:
        each = x[trial] * (x[trial] @ weight - y[trial])[:, None]
        mean, variance = each.mean(axis=0), each.var(axis=0) / size * (rows - size) / (rows - 1)
        return decay * weight + mean / np.sqrt(mean**2 + variance)

    found = []
    for trial in range(len(x)):
        weight = ridge(x[trial : trial + 1], y[trial : trial + 1], decay)[0]
        for _ in range(60):
            here = gap(trial, weight)
            if np.abs(here).max() < 1e-12:
                break
            step = 1e-6 * np.eye(len(weight))
            slope = np.column_stack([(gap(trial, weight + each) - gap(trial, weight - each)) / 2e-6 for each in step])
            move, length = np.linalg.solve(slope, here), 1.0
            while length > 1e-4 and np.linalg.norm(gap(trial, weight - length * move)) > np.linalg.norm(here):
                length /= 2
            weight = weight - length * move
        assert np.abs(gap(trial, weight)).max() < 1e-9, "Newton's method has not arrived"
        found.append(weight)
    return np.array(found)


def trained(
    train: dict[str, Any], kind: str, x: Array, y: Array, weight_decays: list[float], start: Array, lr: float | None = None
) -> list[Array]:
    """The weights (R, L, d) on the way, at a learning rate that falls as (1 − k/steps)²."""
    settings = {"lr": train["lr"]} | train[kind]
    settings["lr"] = (lr or settings["lr"]) * (1 - np.arange(train["steps"]) / train["steps"]) ** 2
    if kind == "adamw":
        free = descent_on(x, y, [0] * len(weight_decays))
        return adam(free, start, train["steps"], **settings, decoupled=np.array(weight_decays)[:, None])
    return (adam if kind == "adam" else sgd)(descent_on(x, y, weight_decays), start, train["steps"], **settings)


def oracles(x: Array, y: Array, weight_decays: list[float], eps: float) -> Weights:
    """Ridge; least squares with |w| ≤ 1/λ; and where AdamW rests, at g + ε·λw/(1 − λ|w|) = 0.  (R, L, d) each"""
    solved = np.stack([ridge(x, y, decay) for decay in weight_decays], axis=1)
    return {
        "ridge": solved,
        "box": at_rest(x, y, np.array(weight_decays), 0),
        "rest": at_rest(x, y, np.array(weight_decays), eps),
    }


def at_rest(x: Array, y: Array, weight_decays: Array, eps: float) -> Array:
    """Weight by weight, again and again: with curvature h and pull a, hλu² − (h + λ(a + ε))u + a = 0 for u = |w|.

    The smaller root is in the box. Without ε it is min(a/h, 1/λ).
    """
    square, aim = x.mT @ x / x.shape[1], (y[:, None] @ x)[:, 0] / x.shape[1]
    weight = np.zeros((len(x), len(weight_decays), x.shape[2]))
    for _ in range(200):
        before = weight.copy()
        for j in range(x.shape[2]):
            h = square[:, None, j, j]
            pull = aim[:, None, j] - (weight @ square[:, :, j, None])[..., 0] + h * weight[..., j]
            b = h + weight_decays * (np.abs(pull) + eps)
            weight[..., j] = 2 * pull / (b + np.sqrt(np.maximum(b**2 - 4 * h * weight_decays * np.abs(pull), 0)))
    assert np.abs(weight - before).max() < 1e-12, "coordinate descent has not arrived"
    return weight


def distances(weight: Array, known: Weights) -> dict[str, Number]:
    """From each oracle, in units of its length."""
    found = {}
    for name, oracle in known.items():
        length = np.linalg.norm(oracle, axis=1)
        apart = np.linalg.norm(weight - oracle, axis=1) / np.where(length > 0, length, 1)
        found[f"from_{name}"] = Values(apart, np.maximum(1, 2 * apart))
    return means(found, NEAREST)
