"""wide, computed anew: SGD in batches and the parts of its error, ridge, and the map of λ over the length of training."""

from dataclasses import replace
from typing import Any

import numpy as np
from exact import ROUNDING, Array, Number, Values, all_means, curve, differences, largest, means, rounded, sweep
from numpy.typing import NDArray

from independent.linear import Linear, linear
from independent.shared import Results, evaluated, orders


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
    decays, curves = {}, []
    for arm in ("baseline", "wd"):
        for name, start in ((arm, problem), (f"{arm}_zero", from_zero)):
            decays[name] = params[arm]
            path = start.by_sgd(params[arm], **settings)
            thetas[name] = path[-1]
            at = evaluated(len(path) - 1, problem.steps_per_epoch)
            history = [problem.losses(path[step]) for step in at]
            for run in (name, "wd_penalty") if name == "wd" else (name,):  # the penalty in the loss has the same gradient
                curves += curve(run, "epoch", [step / problem.steps_per_epoch for step in at], history)
    decays["wd_penalty"], thetas["wd_penalty"] = params["wd"], thetas["wd"]

    rows = {name: problem.row(theta) for name, theta in thetas.items()}
    for name in ("baseline", "wd"):
        of_truth = (problem.truth**2).sum(axis=1) / 2
        parts = problem.parts(decays[name], **settings)
        rows[name] |= {part: Values(each, each + np.sqrt(each * of_truth)) for part, each in parts.items()}
    pairs = "wd_minus_baseline", "wd_zero_minus_baseline_zero", "wd_minus_null", "ridge_minus_ridge_baseline"
    metrics = all_means(rows, decays) | differences(rows, *pairs)
    missed = [problem.mean_missed(thetas[name]) for name in ("wd", "baseline")]
    size = max(float(np.abs(thetas[name]).max()) for name in ("wd", "baseline"))
    metrics["wd_minus_baseline"] |= means({"mean_weight_missed": Values(missed[0] - missed[1], size)})

    found = []
    for decay in grid:
        # On unseen rows, without the products of start, signal and noise, whose expectation is zero.
        expected = np.sum(list(problem.parts(decay, **settings).values()), axis=0) + noise**2 / 2
        found.append(problem.losses(problem.by_sgd(decay, **settings)[-1]) | {"theory": Values(expected, expected)})
    table, summary = sweep(grid, found, rows["null"]["val_loss"])
    signal = float((problem.truth[0, :-1] ** 2).sum())
    summary["theory_lambda"] = rounded((problem.start.shape[1] - 1) * noise**2 / (problem.targets["train"].shape[1] * signal))
    summary["map"] = over_lengths(over(lengths[-1]), grid, lengths, null, settings)
    return Results(table, summary, metrics, curves)


def over_lengths(problem: Linear, decays: list[float], lengths: list[int], null: Array, settings: dict[str, float]) -> Any:
    """λ × length of training, from the random start and from zero: losses, and their expectation from the parts of the error.

    In dual form: every gradient is made of rows and of decayed weights, so w = s·w₀ + Xᵀa all the way, and one number s and a
    number a row move instead of d weights. Each part of the error is trained alone; the runs are sums of parts.
    """
    grid, noise = np.array(decays, dtype=float), problem.noise or 0.0
    parts = in_dual_form(problem, grid, lengths, **settings)  # part → K times (R, L, D)
    of_null, expected_null = problem.loss("val", null), (((null - problem.truth) ** 2).sum(axis=1) + noise**2) / 2
    found: dict[str, Any] = {
        "weight_decay": [rounded(decay) for decay in grid],
        "epochs": [Number(length) for length in lengths],
    } | means({"theory_of_null": Values(expected_null, expected_null)})
    zs: list[Number] = []
    for start, used in (("random", ("start", "signal", "noise")), ("zero", ("signal", "noise"))):
        found[start] = {}
        for k, length in enumerate(lengths):
            theta = np.sum([parts[part][k] for part in used], axis=0)  # (R, L, D)
            missed = [parts[part][k] - (problem.truth[:, None] if part == "signal" else 0) for part in used]
            expected = np.sum([(vector**2).sum(axis=2) / 2 for vector in missed], axis=0) + noise**2 / 2  # (R, L)
            losses = np.stack([problem.loss("val", theta[:, index]) for index in range(len(grid))], axis=1)
            here = at_length(grid, losses, expected, of_null, expected_null)
            found[start][f"epochs_{length}"] = here
            zs += here["z"]
    return found | {"max_abs_z": largest(zs)}


def in_dual_form(problem: Linear, grid: Array, lengths: list[int], *, lr: float, momentum: float) -> dict[str, list[Array]]:
    """The parameters (R, L, D) that each part of the data gives alone, after each length of the map."""
    inputs, first = problem.design["train"][:, :, :-1], problem.start
    gram, trial = inputs @ inputs.transpose(0, 2, 1), np.arange(len(inputs))[:, None]  # (R, n, n)
    on_rows = (inputs @ first[:, :-1, None])[:, :, 0]  # of the start (R, n)
    signal = (problem.design["train"] @ problem.truth[:, :, None])[:, :, 0]
    sources = {"start": 0 * signal, "signal": signal, "noise": problem.targets["train"] - signal}
    found: dict[str, list[Array]] = {}
    for part, targets in sources.items():
        begun = float(part == "start")
        shape = (len(inputs), len(grid))
        scale, rows, bias = np.full(shape, begun), np.zeros((*shape, inputs.shape[1])), begun * first[:, -1:] * np.ones(shape)
        moving = [np.zeros_like(each) for each in (scale, rows, bias)]
        found[part] = []
        for step, batch in enumerate(problem.batches, start=1):  # (R, b)
            predicted = rows @ gram[trial, batch].transpose(0, 2, 1) + scale[:, :, None] * on_rows[trial, batch][:, None]
            error = predicted + bias[:, :, None] - targets[trial, batch][:, None]  # (R, L, b)
            of_rows = grid[:, None] * rows
            for column in range(batch.shape[1]):
                of_rows[trial[:, 0], :, batch[:, column]] += error[:, :, column] / batch.shape[1]
            slopes = [grid * scale, of_rows, error.mean(axis=2)]
            moving = [momentum * old + slope for old, slope in zip(moving, slopes, strict=True)]
            scale, rows, bias = (each - lr * moved for each, moved in zip((scale, rows, bias), moving, strict=True))
            epoch, within = divmod(step, problem.steps_per_epoch)
            if not within and epoch in lengths:
                weight = scale[:, :, None] * first[:, None, :-1] + rows @ inputs
                found[part].append(np.concatenate([weight, bias[:, :, None]], axis=2))
    return found


def at_length(grid: Array, losses: Array, expected: Array, of_null: Array, expected_null: Array) -> dict[str, Any]:
    """Of losses (R, L): what `exact.sweep` sums up, lists over λ, and what the best λ gains."""
    size = float(losses.max())
    found: dict[str, Any] = {name: [] for name in ("val_loss", "val_loss_se", "theory", "z")}
    for index in range(len(grid)):
        row = means({"val_loss": Values(losses[:, index], size), "theory": Values(expected[:, index], size)})
        gap = means({"gap": Values(losses[:, index] - of_null - expected[:, index] + expected_null, size)})
        score, error = gap["gap"].value / gap["gap_se"].value, gap["gap_se"].value
        row["z"] = Number(score, ROUNDING * size * (2 + abs(score)) / error)
        for name in ("val_loss", "val_loss_se", "theory", "z"):
            found[name].append(row[name])
    mean = [number.value for number in found["val_loss"]]
    best, theory = int(np.argmin(mean)), int(np.argmin([number.value for number in found["theory"]]))
    bound = mean[best] + found["val_loss_se"][best].value
    found |= {
        "diverged": Number(0),
        "best_lambda": rounded(grid[best]),
        "best_lambda_1se": rounded(max(grid[index] for index in range(len(grid)) if mean[index] <= bound)),
        "best_lambda_in_theory": rounded(grid[theory]),
    }
    for place, index in (("zero", 0), ("best", best), ("end", len(grid) - 1)):
        found |= {f"val_loss_at_{place}": found["val_loss"][index], f"val_loss_at_{place}_se": found["val_loss_se"][index]}
    others = {"null": of_null} | ({"zero": losses[:, 0]} if best else {})
    for name, other in others.items():
        found |= means({f"best_minus_{name}": Values(losses[:, best] - other, size)})
    return found
