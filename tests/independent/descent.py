"""descent, computed anew: descent with momentum where it arrives, else its end; and the expected risk."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, largest, means, rounded
from numpy.typing import NDArray

from independent.linear import descent_on, expected_risk, ridge
from independent.shared import Results, in_errors, sgd


def descent(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """n of the rows, Λ = nλ: the risk ‖w − w*‖² of full-batch descent with momentum from zero, or of what it ends at."""
    own, truth, noise = params["descent"], data["true_weight"], float(data["noise"])
    known, train = own["data"], own["train"]
    inputs = truth.shape[1]
    signal = float(np.linalg.norm(truth[0]))
    best = float(f"{inputs * noise**2 / signal**2:.6g}")
    settings = {name: train[name] for name in ("lr", "momentum")}
    table: Table = []
    summary: dict[str, Any] = {
        "inputs": Number(inputs),
        "signal": rounded(known["weight_norm"]),
        "noise": rounded(known["noise"]),
        "theory_penalty": rounded(best),
    }
    zs: list[Number] = []
    for n in known["rows"]:
        x, y = data["train_inputs"][:, :n], data["train_targets"][:, :n]
        risks = {}
        for penalty in sorted({*own["sweep"]["penalty"], best}):
            decay = penalty / n
            singular = np.linalg.svd(x, compute_uv=False)  # (R, min(n, d))
            arrives = bool(np.abs(share_left(singular**2 / n + decay, train["steps"], **settings)).max() < 1e-6)
            if arrives:
                gradient, start = descent_on(x, y, [decay]), np.zeros((len(x), 1, inputs))
                weight = sgd(gradient, start, train["steps"], **settings)[-1][:, 0]
            else:
                weight = ridge(x, y, decay)
            risk = ((weight - truth) ** 2).sum(axis=1)
            fitted = singular**2 / (singular**2 + penalty)
            expected = expected_risk(singular, fitted, inputs=inputs, signal=signal, noise=noise)
            risks[penalty] = Values(risk, risk.max())
            without_decay = closed_form(n, inputs=inputs, signal=signal, noise=noise)
            no_error = penalty == 0 and without_decay is None  # nor an expectation
            z = None if no_error else in_errors(Values(risk - expected, risk.max()))
            zs += [z] if z else []
            table.append(
                {"rows": Number(n), "penalty": rounded(penalty), "weight_decay": rounded(decay), "trained": Number(arrives)}
                | means({"risk": risks[penalty]})
                | {"theory": rounded(expected.mean()), "closed_form": None if penalty else without_decay, "z": z}
            )
        lowest = min(risks, key=lambda penalty: risks[penalty].each.mean())
        summary[f"rows_{n}"] = {"best_penalty": rounded(lowest)} | {
            name: means({name: risks[at]})[name]
            for name, at in (("risk_at_zero", 0), ("risk_at_best", lowest), ("risk_at_theory", best))
        }
    arrived = sum(row["trained"].value for row in table)
    summary |= {"trained": Number(arrived), "solved": Number(len(table) - arrived), "max_abs_z": largest(zs)}
    return Results(table, summary)


def share_left(curvature: Array, steps: int, *, lr: float, momentum: float) -> Array:
    """Of the distance to the end, along directions of these curvatures: the step on curvature/2·e² from e = 1."""
    error, velocity = np.ones_like(curvature), np.zeros_like(curvature)
    for _ in range(steps):
        velocity = momentum * velocity + curvature * error
        error = error - lr * velocity
    return error


def closed_form(n: int, *, inputs: int, signal: float, noise: float) -> Number | None:
    """The risk at λ = 0 expected over the rows too; with noise infinite, and so not written, where |n − d| < 2."""
    if noise == 0:
        return rounded(signal**2 * max(1 - n / inputs, 0))
    if n > inputs + 1:
        return rounded(noise**2 * inputs / (n - inputs - 1))
    if n < inputs - 1:
        return rounded(signal**2 * (1 - n / inputs) + noise**2 * n / (inputs - n - 1))
    return None
