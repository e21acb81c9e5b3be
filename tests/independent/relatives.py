"""relatives, computed anew: descent with L2, ℓ1, dropout or a stop, and where each would end."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, all_means, curve, differences, largest, means, rounded
from numpy.typing import NDArray

from independent.linear import descent_on, expected_risk, linear, ridge, risk
from independent.shared import Results, evaluated, in_errors, sgd

TRUTHS = {"": "dense", "sparse_": "sparse"}  # what the names of its arrays begin with → a truth
TABLED = ("risk", "exact_risk", "val_loss", "weight_norm", "nonzeros")
WRITTEN = 2.0**-30  # of the largest weight: what writing may move one
SHOWN = 30  # evaluations in a table of curves, at equal factors between their steps


def relatives(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Half the mean squared error without a bias, from zero; each trial takes the strength with its lowest validation loss."""
    own, train = params["relatives"], params["relatives"]["train"]
    arms, known = {"baseline": params["baseline"], "wd": own["wd"]}, {}
    steps = np.array(evaluated(train["steps"], train["evaluate_every"]))
    at = steps[sorted({0, *(np.abs(steps - each).argmin() for each in np.geomspace(steps[1], steps[-1], SHOWN - 1))})]
    expected, summary = in_theory(own, data["train_inputs"])
    rows: dict[str, dict[str, Values]] = {}
    curves: Table = []
    table: Table = []
    for prefix, truth in TRUTHS.items():
        of = data | {name: data[f"{prefix}{name}"] for name in ("train_targets", "val_targets", "true_weight")}
        problem, suffix = linear(of, c=1), "_sparse" if prefix else ""
        gradient = descent_on(of["train_inputs"], of["train_targets"], [*arms.values()])
        path = sgd(gradient, problem.begun([*arms.values()]), train["steps"], lr=train["lr"], momentum=0)
        ends = {f"ridge{suffix}": problem.ridge(own["wd"])} | ({} if prefix else {"null": problem.start})
        for index, (arm, decay) in enumerate(arms.items()):
            name = f"{arm}{suffix}"
            ends[name], known[name] = path[-1][:, index], decay
            history = [problem.losses(path[step][:, index]) for step in at]
            curves += curve(name, "step", at, history) + curve(f"{name}_theory", "step", at, history)  # its closed form
        rows |= {name: problem.row(weight) | {"risk": risk(weight, problem.truth)} for name, weight in ends.items()}
        part, summary[truth] = tuned(truth, methods(own, of), of, expected)
        table += part
    metrics = all_means(rows, known)
    for one, other in (("wd", "baseline"), ("wd_sparse", "baseline_sparse")):
        gap = means({"risk": Values(rows[one]["risk"].each - rows[other]["risk"].each, 1.0)})
        metrics |= {name: each | gap for name, each in differences(rows, f"{one}_minus_{other}").items()}
    summary |= {"lr": rounded(train["lr"]), "signal": rounded(own["data"]["weight_norm"]), "diverged": Number(0)}
    return Results(table, summary | {"max_abs_z": largest([row["z"] for row in table if row["z"]])}, metrics, curves)


Methods = dict[str, tuple[Sequence[float], Array, Array]]  # strengths (S,); the weights at the end, and at the optimum (R, S, d)


def methods(own: dict[str, Any], data: dict[str, NDArray]) -> Methods:
    x, y, grid, train = data["train_inputs"], data["train_targets"], own["sweep"], own["train"]
    plain = sgd(descent_on(x, y, [0]), data["start_weight"][:, None], train["steps"], lr=train["lr"], momentum=0)
    stopped = np.concatenate([plain[step] for step in stops(own)], axis=1)
    found: Methods = {"none": ([0], plain[-1], plain[-1]), "early_stopping": (stops(own), stopped, stopped)}
    for method, ratio in (("l2", 0.0), ("elastic_net", grid["l1_ratio"]), ("l1", 1.0)):
        found[method] = grid["wd"], *penalised(x, y, grid["wd"], ratio, lr=train["lr"], steps=train["steps"])
    pairs = [dropout(x, y, data["masks"], rate, lr=train["lr"], steps=grid["dropout_steps"]) for rate in grid["dropout"]]
    found["dropout"] = grid["dropout"], *(np.concatenate(each, axis=1) for each in zip(*pairs, strict=True))
    return {name: found[name] for name in ("none", "l2", "early_stopping", "dropout", "elastic_net", "l1")}


def stops(own: dict[str, Any]) -> list[int]:
    """The steps after which lr·step = 1/λ, and the end for λ = 0."""
    end, lr = own["train"]["steps"], own["train"]["lr"]
    return [end, *(min(max(round(1 / (lr * decay)), 1), end) for decay in own["sweep"]["wd"][1:])]


def tuned(
    truth: str, trained: Methods, data: dict[str, NDArray], expected: dict[str, Array]
) -> tuple[Table, dict[str, dict[str, Number]]]:
    """Every method at every strength, and what each gives at the strengths that trials choose."""
    true, table, found, risks = data["true_weight"][:, None], [], {}, {}
    for method, (strengths, weight, optimum) in trained.items():
        errors = weight @ data["val_inputs"].mT - data["val_targets"][:, None]
        kept, norm = weight != 0, np.linalg.norm(weight, axis=2)
        values = {"risk": risk(weight, true), "exact_risk": risk(optimum, true), "weight_norm": Values(norm, 1.0)}
        values |= {"val_loss": Values((errors**2).mean(axis=2) / 2, 1.0), "nonzeros": Values(kept.sum(axis=2) * 1.0, 0.0)}
        choice, trial = values["val_loss"].each.argmin(axis=1), np.arange(len(weight))
        for place, strength in enumerate(strengths):
            row: dict[str, Any] = means({name: Values(values[name].each[:, place], np.max(values[name].size)) for name in TABLED})
            row |= {"run": f"{truth}_{method}", "strength": rounded(strength), "chosen": rounded((choice == place).mean())}
            row |= {"diverged": Number(0), "theory": None, "z": None}
            if method in expected:
                theory = expected[method][:, place]
                row |= {"theory": rounded(theory.mean()), "z": in_errors(Values(values["risk"].each[:, place] - theory, 1.0))}
            table.append(row)
        for name, which, so in (("truly_nonzero_kept", true != 0, kept), ("truly_zero_dropped", true == 0, ~kept)):
            if which.any():
                values[name] = Values((so & which).sum(axis=2) / which.sum(axis=2), 1.0)
        values["strength"] = Values(np.tile(np.array(strengths, dtype=float), (len(weight), 1)), 0.0)
        found[method] = means({name: Values(each[trial, choice], np.max(size)) for name, (each, size) in values.items()})
        gap, coarse = np.abs(weight - optimum)[trial, choice].max(), WRITTEN * np.abs(weight).max()
        low, high = (10.0 ** math.ceil(math.log10(max(each, 1e-15))) for each in (gap - coarse, gap + coarse))
        found[method]["gap_below"] = Number(high, high - low)
        risks[method] = values["risk"].each[trial, choice]
    for method, other in ((method, other) for method in trained for other in ("none", "l2") if method != other):
        found[method] |= means({f"risk_minus_{other}": Values(risks[method] - risks[other], 1.0)})
        found[method]["trials"] = Number(len(risks[method]))
    return table, found


def penalised(x: Array, y: Array, weight_decays: list[float], ratio: float, *, lr: float, steps: int) -> tuple[Array, Array]:
    """Steps on the loss and on ridge's share of the penalty, each followed by the soft threshold of ℓ1's share; and the optimum.

    The latter by a semismooth Newton method from there: a unit step and its threshold say who is zero, and the signs of others.
    Without decay it is the former.  (R, L, d) each
    """
    soft, of_ridge, one = ratio * np.array(weight_decays)[:, None], (1 - ratio) * np.array(weight_decays), np.eye(x.shape[2])
    weight, gradient = np.zeros((len(x), len(weight_decays), x.shape[2])), descent_on(x, y, of_ridge)
    for step in range(steps):
        weight = weight - lr * gradient(weight, step)
        weight = np.sign(weight) * np.maximum(np.abs(weight) - lr * soft, 0)
    optimum, slope = weight[:, 1:], descent_on(x, y, of_ridge[1:])
    hessian, pull = (x.mT @ x / x.shape[1])[:, None] + of_ridge[1:, None, None] * one, -slope(0 * optimum, 0)
    for _ in range(50):
        before, towards = optimum, optimum - slope(optimum, 0)
        active = np.abs(towards) > soft[1:]
        aim = np.where(active, pull - soft[1:] * np.sign(towards), 0)
        optimum = np.linalg.solve(np.where(active[..., None] & active[..., None, :], hessian, one), aim[..., None])[..., 0]
    assert np.abs(optimum - before).max(initial=0) < 1e-9, "Newton's method has not arrived"
    return weight, np.concatenate([weight[:, :1], optimum], axis=1)


def dropout(x: Array, y: Array, masks: NDArray, rate: float, *, lr: float, steps: int) -> tuple[Array, Array]:
    """One mask a step, the learning rate falling to zero along a line; and the optimum of the loss expected over all masks."""
    kept = max(round(256 * (1 - rate)), 1) / 256
    gradients = [descent_on(x * (mask < 256 * kept) / kept, y, [0]) for mask in np.moveaxis(masks, 1, 0)]
    pace, start = lr * (1 - np.arange(steps) / steps), np.zeros((len(x), 1, x.shape[2]))
    path = sgd(lambda w, step: gradients[step % len(gradients)](w, step), start, steps, lr=pace, momentum=0)
    variance = (1 - kept) / kept * (x**2).mean(axis=1)  # of what a mask leaves of an input
    return path[-1], ridge(x, y, variance[:, None])[:, None]


def in_theory(own: dict[str, Any], x: Array) -> tuple[dict[str, Array], dict[str, Any]]:
    """The expected risks (R, S) of descent; and those of stopping, over ridge's at λ = 1/(lr·step).

    Along a singular vector k steps go the share 1 − (1 − lr(s²/n + λ))^k of the way to ridge.
    """
    singular, lr = np.linalg.svd(x, compute_uv=False).astype(np.float64), own["train"]["lr"]
    known = {"inputs": x.shape[2], "signal": own["data"]["weight_norm"], "noise": own["data"]["noise"]}

    def after(steps: float, decay: float) -> Array:
        total = singular**2 / x.shape[1] + decay
        return expected_risk(singular, (1 - (1 - lr * total) ** steps) * (1 - decay / total), **known)

    stopped = np.stack([after(step, 0) for step in stops(own)], axis=1)
    decayed = np.stack([after(own["train"]["steps"], decay) for decay in own["sweep"]["wd"]], axis=1)
    ratios = [after(step, 0).mean() / after(np.inf, 1 / (lr * step)).mean() for step in stops(own)[1:]]
    found = {"none": stopped[:, :1], "early_stopping": stopped, "l2": decayed}
    return found, {"smallest_ratio": rounded(min(ratios)), "largest_ratio": rounded(max(ratios))}
