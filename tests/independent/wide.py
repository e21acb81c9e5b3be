"""wide, computed anew: SGD in batches and the parts of its error, ridge, and the map of λ over the length of training."""

from dataclasses import replace
from typing import Any

import numpy as np
from exact import Array, Number, Values, all_means, curve, differences, largest, means, rounded, sweep
from numpy.typing import NDArray

from independent.linear import Linear, linear
from independent.shared import Results, evaluated, in_errors, orders


def wide(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    train, grid, lengths = params["wide"]["train"], params["wide"]["sweep"]["wd"], params["wide"]["sweep"]["epochs"]

    def over(epochs: int) -> Linear:
        return linear(data, orders(params["seed"], "wide", data, epochs), train["batch_size"], c=1, bias_decays=False)

    problem = over(train["epochs"])
    from_zero = replace(problem, start=np.zeros_like(problem.start))
    settings = {name: train[name] for name in ("lr", "momentum")}
    noise = problem.noise or 0.0

    null = np.zeros_like(problem.truth)
    null[:, -1] = problem.truth[:, -1]
    thetas = {
        "null": null,
        "oracle": problem.truth,
        "ridge": problem.ridge(params["wd"]),
        "ridge_baseline": problem.ridge(params["baseline"]),
    }
    arms = [params[arm] for arm in ("baseline", "wd")]
    weight_decays, curves = {"wd_penalty": params["wd"]}, []
    for suffix, start in (("", problem), ("_zero", from_zero)):
        path = start.by_sgd(arms, **settings)
        at = evaluated(len(path) - 1, problem.steps_per_epoch)
        for index, arm in enumerate(("baseline", "wd")):
            name = f"{arm}{suffix}"
            weight_decays[name], thetas[name] = arms[index], path[-1][:, index]
            history = [problem.losses(path[step][:, index]) for step in at]
            for run in (name, "wd_penalty") if name == "wd" else (name,):  # the penalty in the loss has the same gradient
                curves += curve(run, "epoch", [step / problem.steps_per_epoch for step in at], history)
    thetas["wd_penalty"] = thetas["wd"]

    rows = {name: problem.row(theta) for name, theta in thetas.items()}
    parts = problem.parts([*arms, *grid], [-1], **settings)
    for index, name in enumerate(("baseline", "wd")):
        of_truth = (problem.truth**2).sum(axis=1) / 2
        for part, each in excess(problem, parts).items():
            one = each[0, :, index]
            rows[name][part] = Values(one, one + np.sqrt(one * of_truth))
        of_bias = (parts["signal"][0, :, index, -1] - problem.truth[:, -1]) ** 2 / 2
        rows[name]["excess_intercept"] = Values(of_bias, of_bias + np.sqrt(of_bias * of_truth))
    pairs = "wd_minus_baseline", "wd_zero_minus_baseline_zero", "wd_minus_null", "ridge_minus_ridge_baseline"
    metrics = all_means(rows, weight_decays) | differences(rows, *pairs)
    missed = [problem.mean_missed(thetas[name]) for name in ("wd", "baseline")]
    size = max(float(np.abs(thetas[name]).max()) for name in ("wd", "baseline"))
    metrics["wd_minus_baseline"] |= means({"mean_weight_missed": Values(missed[0] - missed[1], size)})

    # On unseen rows, without the products of start, signal and noise, whose expectation is zero.
    expected = np.sum([*excess(problem, parts).values()], axis=0)[0, :, len(arms) :] + noise**2 / 2  # (R, L)
    ends = problem.by_sgd(grid, **settings)[-1]
    found = [
        problem.losses(ends[:, index]) | {"theory": Values(expected[:, index], expected[:, index])} for index in range(len(grid))
    ]
    table, summary = sweep(grid, found, rows["null"]["val_loss"])
    signal = float((problem.truth[0, :-1] ** 2).sum())
    summary["theory_lambda"] = rounded((problem.start.shape[1] - 1) * noise**2 / (problem.targets["train"].shape[1] * signal))
    summary["map"] = over_lengths(over(lengths[-1]), grid, lengths, null, settings)
    return Results(table, summary, metrics, curves)


def excess(problem: Linear, parts: dict[str, Array]) -> dict[str, Array]:
    """½‖·‖² of what is left of the start, of the signal that is missing, of the noise that is fitted.  (K, R, L) each"""
    missed = {"excess_start": parts["start"], "excess_shrinkage": parts["signal"] - problem.truth[:, None]}
    return {name: (each**2).sum(axis=3) / 2 for name, each in (missed | {"excess_noise": parts["noise"]}).items()}


def over_lengths(problem: Linear, grid: list[float], lengths: list[int], null: Array, settings: dict[str, float]) -> Any:
    """λ × length of training, from the random start and from zero: losses, and their expectation from the parts of the error."""
    noise = problem.noise or 0.0
    parts = problem.parts(grid, [length * problem.steps_per_epoch for length in lengths], **settings)
    errors = excess(problem, parts)
    of_null, expected_null = problem.loss("val", null), (((null - problem.truth) ** 2).sum(axis=1) + noise**2) / 2
    found: dict[str, Any] = {
        "weight_decay": [rounded(decay) for decay in grid],
        "epochs": [Number(length) for length in lengths],
    } | means({"theory_of_null": Values(expected_null, expected_null)})
    zs: list[Number] = []
    for start in ("random", "zero"):
        theta, expected = parts["signal"] + parts["noise"], errors["excess_shrinkage"] + errors["excess_noise"] + noise**2 / 2
        if start == "random":
            theta, expected = theta + parts["start"], expected + errors["excess_start"]
        found[start] = {}
        for k, length in enumerate(lengths):
            losses = np.stack([problem.loss("val", theta[k, :, index]) for index in range(len(grid))], axis=1)
            here = at_length(grid, losses, expected[k], of_null, expected_null)
            found[start][f"epochs_{length}"] = here
            zs += here["z"]
    return found | {"max_abs_z": largest(zs)}


def at_length(grid: list[float], losses: Array, expected: Array, of_null: Array, expected_null: Array) -> dict[str, Any]:
    """Of losses (R, L): what `exact.sweep` sums up, lists over λ, and what the best λ gains."""
    size, best = float(losses.max()), losses.mean(axis=0).argmin()
    ended = [{"val_loss": Values(loss, size)} for loss in losses.T]
    found = {name: number for name, number in sweep(grid, ended, Values(of_null, size))[1].items() if "of_null" not in name}
    rows = [means(row | {"theory": Values(theory, size)}) for row, theory in zip(ended, expected.T, strict=True)]
    found |= {name: [row[name] for row in rows] for name in ("val_loss", "val_loss_se", "theory")}
    gaps = losses - expected - (of_null - expected_null)[:, None]
    found |= {"z": [in_errors(Values(gap, 2 * size)) for gap in gaps.T]}
    found["best_lambda_in_theory"] = rounded(grid[expected.mean(axis=0).argmin()])
    others = {"null": of_null} | ({"zero": losses[:, 0]} if best else {})
    for name, other in others.items():
        found |= means({f"best_minus_{name}": Values(losses[:, best] - other, size)})
    return found
