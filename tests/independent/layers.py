"""layers, computed anew: descent on one matrix W and on W = UV, and the closed forms of where both end."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, means, rounded
from numpy.typing import NDArray

from independent.shared import Gradient, Results, sgd

RUNS = ("one_all", "two_all", "one_some", "two_some", "one_theory", "two_theory")  # layers, and the entries that are fitted
TIE = 2.0**-36  # errors that are nearer than this are the same one
GRID = 2.0**-16  # on which the distance from theory is written


def layers(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Errors are in units of ‖M‖, over the hidden entries where some are hidden; at the best λ of each run the paired gap."""
    grid, train = params["layers"]["sweep"]["wd"], params["layers"]["train"]
    truth, targets, every = data["truth"], data["targets"], np.ones_like(data["seen"])
    table: Table = []
    summary: dict[str, Any] = {}
    at_best, matrices = {}, {}
    for run in RUNS:
        depth, entries = run.split("_")
        seen = data["seen"] if entries == "some" else every
        judged = ~data["seen"] if entries == "some" else every
        descended = descent_on_product if depth == "two" else descent_on_matrix
        if entries == "theory":
            ends = [closed_form(targets, depth, decay) for decay in grid]
        else:
            ends = [descended(data, seen, decay, train) for decay in grid]
        errors, matrices[run] = [error(end, truth, judged) for end in ends], ends
        for decay, end, own in zip(grid, ends, errors, strict=True):
            known = {"run": run, "weight_decay": rounded(decay), "diverged": Number(0)}
            table.append(known | means({"error": own, "rank": Values(ranks(end, targets), 0.0)}))
        best = int(np.argmin([(np.round(each / TIE) * TIE).mean() for each, _ in errors]))
        at_best[run] = errors[best]
        summary[run] = {"best_lambda": rounded(grid[best])}
        summary[run] |= means({"error_at_best": errors[best], "error_at_zero": errors[grid.index(0)]})
        summary[run] |= {} if entries == "some" else {"values": [mean_values(end) for end in ends]}
    for depth in ("one", "two"):
        pairs = zip(matrices[f"{depth}_all"], matrices[f"{depth}_theory"], strict=True)
        far = max(float((norm(end - form) / norm(targets)).max()) for end, form in pairs)
        summary[f"{depth}_all"]["from_theory"] = rounded(round(far / GRID) * GRID)
    for entries in ("all", "some"):
        (two, size_two), (one, size_one) = at_best[f"two_{entries}"], at_best[f"one_{entries}"]
        gap = Values(two - one, np.maximum(size_two, size_one))
        summary[f"two_minus_one_{entries}"] = means({"error": gap}) | {"trials": Number(len(two))}
    return Results(table, summary)


def descent_on_matrix(data: dict[str, NDArray], seen: NDArray[np.bool_], decay: float, train: dict[str, Any]) -> Array:
    """W at the end, from the product of the two starts.  (R, m, n)"""

    def gradient(matrix: Array, _: int) -> Array:
        return seen * (matrix - data["targets"]) + decay * matrix

    return last(gradient, data["start_left"] @ data["start_right"], train)


def descent_on_product(data: dict[str, NDArray], seen: NDArray[np.bool_], decay: float, train: dict[str, Any]) -> Array:
    """UV at the end; one parameter holds U above the transpose of V.  (R, m, n)"""
    rows = seen.shape[1]

    def gradient(both: Array, _: int) -> Array:
        left, right = both[:, :rows], both[:, rows:]
        slope = seen * (left @ turned(right) - data["targets"])
        return np.concatenate([slope @ right, turned(slope) @ left], axis=1) + decay * both

    start = np.concatenate([data["start_left"], turned(data["start_right"])], axis=1)
    both = last(gradient, start, train)
    return both[:, :rows] @ turned(both[:, rows:])


def last(gradient: Gradient, start: Array, train: dict[str, Any]) -> Array:
    return sgd(gradient, start, train["steps"], lr=train["lr"], momentum=train["momentum"])[-1]


def closed_form(targets: Array, depth: str, decay: float) -> Array:
    """One layer shrinks every singular value by the same factor, two take λ off each, down to zero."""
    left, singular, right = np.linalg.svd(targets, full_matrices=False)
    kept = np.maximum(singular - decay, 0) if depth == "two" else singular / (1 + decay)
    return (left * kept[:, None]) @ right


def error(matrix: Array, truth: Array, judged: NDArray[np.bool_]) -> Values:
    missed = norm((matrix - truth) * judged) / norm(truth * judged)
    return Values(missed, missed + 1)


def ranks(matrix: Array, targets: Array) -> Array:
    """How many singular values are above a thousandth of the largest of Y.  (R,)"""
    singular, largest = (np.linalg.svd(each, compute_uv=False) for each in (matrix, targets))
    return (singular > 0.001 * largest[:, :1]).sum(axis=1).astype(np.float64)


def mean_values(matrix: Array) -> list[Number]:
    singular = np.linalg.svd(matrix, compute_uv=False)
    return [means({"value": Values(each, singular.max())})["value"] for each in singular.T]


def norm(matrix: Array) -> Array:
    return np.linalg.norm(matrix, axis=(1, 2))


def turned(matrix: Array) -> Array:
    return np.swapaxes(matrix, 1, 2)
