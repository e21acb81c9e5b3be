"""line, computed anew: the paths of gradient descent and Adam, and the penalised optimum."""

from typing import Any

import numpy as np
from exact import Table, all_means, curve, differences, sweep
from numpy.typing import NDArray

from independent.linear import linear
from independent.shared import Results, evaluated, orders


def line(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    own, train = params["line"], params["line"]["train"]
    order = orders(params["seed"], "line", data, train["epochs"])
    problem = linear(data, order, train["batch_size"], c=2, bias_decays=True)
    settings, of_adam = {name: train[name] for name in ("lr", "momentum")}, dict(train["adam"])
    decays = {"baseline": params["baseline"], "wd": own["wd"]}
    decays |= {"baseline_adam": params["baseline"], "wd_adam": own["adam_wd"]}
    every, closed_form = of_adam.pop("evaluate_every"), problem.steps_per_epoch == 1 and train["momentum"] == 0

    mean_target = problem.targets["train"].mean(axis=1)
    thetas = {
        "null": np.column_stack([np.zeros_like(mean_target), mean_target]),
        "oracle": problem.truth,
        "ridge": problem.ridge(decays["wd"]),
        "ridge_adam": problem.ridge(decays["wd_adam"]),
    }
    curves: Table = []
    for name, decay in decays.items():
        with_adam = name.endswith("_adam")
        if with_adam:
            path, per_epoch = problem.by_adam(decay, **of_adam), 1
        else:
            path, per_epoch = problem.by_sgd(decay, **settings), problem.steps_per_epoch
        thetas[name] = path[-1]
        at = evaluated(len(path) - 1, every if with_adam else per_epoch)
        history = [problem.losses(path[step]) for step in at]
        curves += curve(name, "epoch", [step / per_epoch for step in at], history)
        if not with_adam and closed_form:  # as gradient descent on all rows has
            curves += curve(f"{name}_theory", "epoch", at, history)

    rows = {name: problem.row(theta) for name, theta in thetas.items()}
    metrics = all_means(rows, decays) | differences(rows, "wd_minus_baseline", "wd_adam_minus_baseline_adam")

    grid = own["sweep"]["wd"]
    ends = [problem.by_sgd(decay, **settings)[-1] for decay in grid]
    found = [problem.losses(theta) for theta in ends]
    if closed_form:
        found = [losses | {"theory": losses["val_loss"]} for losses in found]
    return Results(*sweep(grid, found, rows["null"]["val_loss"]), metrics, curves)
