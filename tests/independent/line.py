"""line, computed anew: the paths of gradient descent and Adam, and the penalised optimum."""

from typing import Any

import numpy as np
from exact import Table, Values, all_means, curve, differences, sweep
from numpy.typing import NDArray

from independent.linear import descent_on, linear
from independent.shared import Results, adam, evaluated, orders


def line(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    own, train = params["line"], params["line"]["train"]
    order = orders(params["seed"], "line", data, train["epochs"])
    problem = linear(data, order, train["batch_size"], c=2, bias_decays=True)
    settings, of_adam = {name: train[name] for name in ("lr", "momentum")}, dict(train["adam"])
    weight_decays = {"baseline": params["baseline"], "wd": own["wd"]}
    weight_decays |= {"baseline_adam": params["baseline"], "wd_adam": own["adam_wd"]}
    closed_form = problem.steps_per_epoch == 1 and train["momentum"] == 0

    mean_target = problem.targets["train"].mean(axis=1)
    thetas = {
        "null": np.column_stack([np.zeros_like(mean_target), mean_target]),
        "oracle": problem.truth,
        "ridge": problem.ridge(weight_decays["wd"]),
        "ridge_adam": problem.ridge(weight_decays["wd_adam"]),
    }
    curves: Table = []
    every_adam, arms, adams = of_adam.pop("evaluate_every"), list(weight_decays.values())[:2], list(weight_decays.values())[2:]
    half = descent_on(problem.design["train"], problem.targets["train"], [decay / 2 for decay in adams])
    by_adam = adam(lambda theta, step: 2 * half(theta, step), problem.begun(adams), of_adam.pop("epochs"), **of_adam)
    by_sgd = "", problem.by_sgd(arms, **settings), problem.steps_per_epoch, problem.steps_per_epoch
    for suffix, path, every, per_epoch in (by_sgd, ("_adam", by_adam, every_adam, 1)):
        at = evaluated(len(path) - 1, every)
        for index, name in enumerate((f"baseline{suffix}", f"wd{suffix}")):
            thetas[name] = path[-1][:, index]
            history = [problem.losses(path[step][:, index]) for step in at]
            for run in (name, f"{name}_theory") if closed_form and not suffix else (name,):  # as descent on all rows has
                curves += curve(run, "epoch", [step / per_epoch for step in at], history)

    rows = {name: problem.row(theta) for name, theta in thetas.items()}
    for name, theta in thetas.items():
        missed = [
            np.abs(problem.design[split] @ (theta - problem.truth)[:, :, None]).max(axis=(1, 2)) for split in problem.design
        ]
        rows[name]["largest_miss"] = Values(np.max(missed, axis=0), 10.0)
    metrics = all_means(rows, weight_decays) | differences(rows, "wd_minus_baseline", "wd_adam_minus_baseline_adam")

    grid = own["sweep"]["wd"]
    ends = problem.by_sgd(grid, **settings)[-1]
    found = [problem.losses(ends[:, index]) for index in range(len(grid))]
    if closed_form:
        found = [losses | {"theory": losses["val_loss"]} for losses in found]
    return Results(*sweep(grid, found, rows["null"]["val_loss"]), metrics, curves)
