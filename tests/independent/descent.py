"""descent, computed anew: descent with momentum where it arrives, else its end; and the expected risk."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, largest, means, rounded
from numpy.typing import NDArray

from independent.shared import Results, sgd


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
    without, with_best = [], []  # the risks at Λ = 0 and at the best, (R,) for each n
    for n in known["rows"]:
        x, y = data["train_inputs"][:, :n], data["train_targets"][:, :n]
        risks = {}
        for penalty in sorted({*own["sweep"]["penalty"], best}):
            decay = penalty / n
            singular = np.linalg.svd(x, compute_uv=False)  # (R, min(n, d))
            arrives = bool(np.abs(share_left(singular**2 / n + decay, train["steps"], **settings)).max() < 1e-6)
            if arrives:
                weight = descend(x, y, decay, train["steps"], **settings)
            elif penalty > 0:
                square = x.transpose(0, 2, 1) @ x + penalty * np.eye(inputs)
                weight = np.linalg.solve(square, x.transpose(0, 2, 1) @ y[:, :, None])[:, :, 0]
            else:
                weight = (np.linalg.pinv(x, rcond=1e-10) @ y[:, :, None])[:, :, 0]
            risk = ((weight - truth) ** 2).sum(axis=1)
            expected = ridge_risk(singular, penalty, inputs=inputs, signal=signal, noise=noise)
            risks[penalty] = Values(risk, risk.max())
            gap = means({"gap": Values(risk - expected, risk.max())})
            z = Number(gap["gap"].value / gap["gap_se"].value, gap["gap"].slack / gap["gap_se"].value)
            zs.append(z)
            table.append(
                {"rows": Number(n), "penalty": rounded(penalty), "weight_decay": rounded(decay), "trained": Number(arrives)}
                | means({"risk": risks[penalty]})
                | {"theory": rounded(expected.mean())}
                | {"closed_form": closed_form(n, inputs=inputs, signal=signal, noise=noise) if penalty == 0 else None, "z": z}
            )
        without.append(risks[0].each)
        with_best.append(risks[best].each)
        lowest = min(risks, key=lambda penalty: risks[penalty].each.mean())
        summary[f"rows_{n}"] = {"best_penalty": rounded(lowest)} | {
            name: means({name: risks[at]})[name]
            for name, at in (("risk_at_zero", 0), ("risk_at_best", lowest), ("risk_at_theory", best))
        }
    arrived = sum(row["trained"].value for row in table)
    summary |= {"trained": Number(arrived), "solved": Number(len(table) - arrived), "max_abs_z": largest(zs)}
    clauses = [more_rows(np.stack(each), known["rows"], inputs, (1e-6 * signal) ** 2) for each in (without, with_best)]
    return Results(table, summary, finding="Without decay {}; with the best Λ {}".format(*clauses))


def more_rows(risks: Array, rows: list[int], inputs: int, nothing: float) -> str:
    """In words: is a risk visibly, by two standard errors of the mean log ratio, above another with fewer rows?  (N, R)"""
    risks = np.maximum(risks, nothing)
    ratios = np.log(risks[:, None] / risks[None])  # (N, N, R): row over column
    error = ratios.std(axis=2, ddof=1) / np.sqrt(ratios.shape[2])
    factors = risks.mean(axis=1)[:, None] / risks.mean(axis=1)[None]
    above = (ratios.mean(axis=2) > 2 * error) & (factors > 1)
    rises = np.tril(above)  # with more rows than the other
    if not rises.any():
        every_step, some_step = np.diagonal(above, 1).all(), above.any()
        never = "more rows never visibly hurt" if some_step else "the number of rows makes no visible difference"
        return "more rows always help" if every_step else never
    after, before = np.unravel_index(np.where(rises, factors, 0).argmax(), factors.shape)
    if not above[after, after + 1 :].any():
        return f"the risk rises from {rows[before]} to {rows[after]} rows"
    return "the risk peaks where rows = inputs" if rows[after] == inputs else f"the risk peaks at {rows[after]} rows"


def descend(x: Array, y: Array, decay: float, steps: int, *, lr: float, momentum: float) -> Array:
    def gradient(weight: Array, _: int) -> Array:
        residual = x @ weight[:, :, None] - y[:, :, None]
        return (x.transpose(0, 2, 1) @ residual)[:, :, 0] / x.shape[1] + decay * weight

    return sgd(gradient, np.zeros((len(x), x.shape[2])), steps, lr=lr, momentum=momentum)[-1]


def share_left(curvature: Array, steps: int, *, lr: float, momentum: float) -> Array:
    """Of the distance to the end, along directions of these curvatures: the step on curvature/2·e² from e = 1."""
    error, velocity = np.ones_like(curvature), np.zeros_like(curvature)
    for _ in range(steps):
        velocity = momentum * velocity + curvature * error
        error = error - lr * velocity
    return error


def ridge_risk(singular: Array, penalty: float, *, inputs: int, signal: float, noise: float) -> Array:
    """Expected over the direction of w* and the noise: Σᵢ (‖w*‖²Λ²/d + σ²sᵢ²)/(sᵢ² + Λ)², i over all d, sᵢ = 0 beyond n."""
    squares = np.zeros((len(singular), inputs))
    squares[:, : singular.shape[1]] = singular**2
    if penalty == 0:  # the limit: what no row has seen is lost, the rest is noise
        seen = squares > 1e-20
        return np.where(seen, noise**2 / np.where(seen, squares, 1), signal**2 / inputs).sum(axis=1)
    return ((signal**2 * penalty**2 / inputs + noise**2 * squares) / (squares + penalty) ** 2).sum(axis=1)


def closed_form(n: int, *, inputs: int, signal: float, noise: float) -> Number | None:
    """The risk at λ = 0 expected over the rows too; with noise infinite, and so not written, where |n − d| < 2."""
    if noise == 0:
        return rounded(signal**2 * max(1 - n / inputs, 0))
    if n > inputs + 1:
        return rounded(noise**2 * inputs / (n - inputs - 1))
    if n < inputs - 1:
        return rounded(signal**2 * (1 - n / inputs) + noise**2 * n / (inputs - n - 1))
    return None
