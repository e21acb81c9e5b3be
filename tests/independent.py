"""The science once more, in plain NumPy: what metrics/ must hold, from data/<study>.npz and the values of params.yaml.

Written from the definitions in params.yaml and README.md, with nothing of stages/. R trials stand side by side in the first
axis of every array; n rows, d inputs, D parameters of a trial. λ is `decay`, the data loss (c/2)·mean (ŷ − y)².

A result is a tree of `exact.Number`s.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from exact import ROUNDING, Array, Number, Table, Values, all_means, curve, differences, largest, means, rounded, sweep
from numpy.typing import NDArray

Gradient = Callable[[Array, int], Array]  # θ (R, D) and the step's number → (R, D)


@dataclass(frozen=True)
class Results:
    """What a study's files hold. `descent` is a sweep alone."""

    sweep: Table
    summary: dict[str, Any]
    metrics: dict[str, dict[str, Number]] = field(default_factory=dict)
    curves: Table = field(default_factory=list)
    finding: str = ""  # of `descent`: what heads the figure of its sweep


def results(study: str, params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    exact = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in data.items()}
    return {"line": line, "wide": wide, "modular": modular, "descent": descent}[study](params, exact)


# Optimisers: from a start (R, D), every θ on the way, the start first.


def sgd(gradient: Gradient, start: Array, steps: int, *, lr: float, momentum: float) -> list[Array]:
    path, velocity = [start], np.zeros_like(start)
    for step in range(steps):
        velocity = momentum * velocity + gradient(path[-1], step)
        path.append(path[-1] - lr * velocity)
    return path


def adam(
    gradient: Gradient, start: Array, steps: int, *, lr: float, beta1: float, beta2: float, eps: float, decoupled: float = 0.0
) -> list[Array]:
    """With `decoupled` λ AdamW. Coupled decay is part of the gradient, here as in `sgd`."""
    path, first, second = [start], np.zeros_like(start), np.zeros_like(start)
    for step in range(1, steps + 1):
        slope = gradient(path[-1], step - 1)
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope**2
        direction = first / (1 - beta1**step) / (np.sqrt(second / (1 - beta2**step)) + eps)
        path.append((1 - lr * decoupled) * path[-1] - lr * direction)
    return path


def evaluated(steps: int, every: int) -> list[int]:
    """The steps at which a run is evaluated: the start, every so many, the end."""
    return sorted({*range(0, steps, every), steps})


# Linear models: ŷ = Aθ with A = [inputs, 1] and θ = [weight, bias].


@dataclass(frozen=True)
class Linear:
    design: dict[str, Array]  # A of "train" and "val", (R, n, D)
    targets: dict[str, Array]  # (R, n)
    start: Array  # (R, D)
    truth: Array  # (R, D)
    c: float
    decayed: Array  # (D,): 1 for what decays, 0 for what is spared
    batches: list[NDArray[np.int64]]  # row numbers of each step, (R, b)
    steps_per_epoch: int
    noise: float | None  # of the targets, where the inputs are isotropic too

    def residual(self, split: str, theta: Array) -> Array:
        return (self.design[split] @ theta[:, :, None])[:, :, 0] - self.targets[split]

    def loss(self, split: str, theta: Array) -> Array:
        return self.c / 2 * (self.residual(split, theta) ** 2).mean(axis=1)

    def gradient(self, theta: Array, decay: float, rows: NDArray[np.int64] | None = None) -> Array:
        """Of the data loss on these rows, or all, plus (λ/2)·‖·‖² of what decays."""
        design, targets = self.design["train"], self.targets["train"]
        if rows is not None:
            trial = np.arange(len(rows))[:, None]
            design, targets = design[trial, rows], targets[trial, rows]
        residual = design @ theta[:, :, None] - targets[:, :, None]  # (R, b, 1)
        return self.c / design.shape[1] * (design.transpose(0, 2, 1) @ residual)[:, :, 0] + decay * self.decayed * theta

    def by_sgd(self, decay: float, *, lr: float, momentum: float) -> list[Array]:
        def gradient(theta: Array, step: int) -> Array:
            return self.gradient(theta, decay, self.batches[step])

        return sgd(gradient, self.start, len(self.batches), lr=lr, momentum=momentum)

    def by_adam(self, decay: float, *, epochs: int, **settings: float) -> list[Array]:
        """On full batches, λ coupled."""
        return adam(lambda theta, _: self.gradient(theta, decay), self.start, epochs, **settings)

    def ridge(self, decay: float) -> Array:
        """The zero of the gradient, (c·AᵀA/n + λD)θ = c·Aᵀy/n; at λ = 0 the limit λ → 0, where what decays is shortest."""
        design, targets = self.design["train"], self.targets["train"]
        if decay > 0:
            share = self.c / design.shape[1] * design.transpose(0, 2, 1)
            return np.linalg.solve(share @ design + decay * np.diag(self.decayed), share @ targets[:, :, None])[:, :, 0]
        if self.decayed.all():
            return (np.linalg.pinv(design, rcond=1e-10) @ targets[:, :, None])[:, :, 0]
        inputs, mean = design[:, :, :-1], targets.mean(axis=1)
        centre = inputs.mean(axis=1)
        centred, aim = inputs - centre[:, None], targets - mean[:, None]
        weight = (np.linalg.pinv(centred, rcond=1e-10) @ aim[:, :, None])[:, :, 0]
        return np.column_stack([weight, mean - (centre * weight).sum(axis=1)])

    def parts(self, decay: float, **settings: float) -> dict[str, Array]:
        """½‖·‖² of what is left of the start, of the signal that is missing, of the noise that is fitted.

        The trained weights are linear in start, signal and noise, so each is trained alone.
        """
        nothing = np.zeros_like(self.start)
        signal = (self.design["train"] @ self.truth[:, :, None])[:, :, 0]

        def end(start: Array, targets: Array) -> Array:
            alone = replace(self, start=start, targets={"train": targets})
            return alone.by_sgd(decay, **settings)[-1]

        left = {
            "excess_start": end(self.start, np.zeros_like(signal)),
            "excess_shrinkage": end(nothing, signal) - self.truth,
            "excess_noise": end(nothing, self.targets["train"] - signal),
        }
        return {name: (vector**2).sum(axis=1) / 2 for name, vector in left.items()}

    def losses(self, theta: Array) -> dict[str, Values]:
        """Both losses and ‖w‖₂, of which the curves and the sweep are made.

        A loss is a square: it is as good as its root, which is known to a part of the targets' size.
        """
        found = {}
        for split in ("train", "val"):
            loss, of_zero = self.loss(split, theta), self.c / 2 * (self.targets[split] ** 2).mean(axis=1)
            found[f"{split}_loss"] = Values(loss, np.sqrt(loss * of_zero) + ROUNDING * of_zero)
        norm = np.linalg.norm(theta[:, :-1], axis=1)
        return found | {"weight_norm": Values(norm, norm)}

    def row(self, theta: Array) -> dict[str, Values]:
        """Everything that a row of the metrics says of the parameters θ."""
        found, weight, bias = self.losses(theta), theta[:, :-1], theta[:, -1]
        for split in ("train", "val"):
            of_mean = self.c / 2 * self.targets[split].var(axis=1)
            ratio = found[f"{split}_loss"].each / of_mean
            found[f"{split}_r2"] = Values(1 - ratio, 1 + ratio)
        found["half_squared_norm"] = Values((weight**2).sum(axis=1) / 2, (weight**2).sum(axis=1))
        found["bias"] = Values(bias, np.abs(theta).max(axis=1))
        if weight.shape[1] == 1:
            found["weight"] = Values(weight[:, 0], np.abs(theta).max(axis=1))
        if self.noise is not None:
            loss = (((theta - self.truth) ** 2).sum(axis=1) + self.noise**2) / 2
            found["population_loss"] = Values(loss, loss)
            found["mean_weight_missed"] = Values(self.mean_missed(theta), np.abs(theta).max(axis=1))
        return found

    def mean_missed(self, theta: Array) -> Array:
        """How far the mean of the weights is from the true one's."""
        return np.abs((theta - self.truth)[:, :-1].mean(axis=1))


def linear(data: dict[str, NDArray], *, c: float, bias_decays: bool) -> Linear:
    def with_one(inputs: Array) -> Array:
        return np.concatenate([inputs, np.ones_like(inputs[:, :, :1])], axis=2)

    order, size = data["order"], int(data["batch_size"])  # (R, epochs, n)
    in_epoch = range(0, order.shape[2], size)
    decayed = np.ones(data["start_weight"].shape[1] + 1)
    decayed[-1] = bias_decays
    return Linear(
        design={split: with_one(data[f"{split}_inputs"]) for split in ("train", "val")},
        targets={split: data[f"{split}_targets"] for split in ("train", "val")},
        start=np.column_stack([data["start_weight"], data["start_bias"]]),
        truth=np.column_stack([data["true_weight"], data["true_bias"]]),
        c=c,
        decayed=decayed,
        batches=[order[:, epoch, first : first + size] for epoch in range(order.shape[1]) for first in in_epoch],
        steps_per_epoch=len(in_epoch),
        noise=float(data["noise"]) if "noise" in data else None,
    )


# The studies.


def line(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    own, problem = params["line"], linear(data, c=2, bias_decays=True)
    momentum, of_adam = own["optimizers"]["sgd"]["momentum"], dict(own["optimizers"]["adam"])
    decays = {"baseline": params["baseline"], "wd": own["wd"]}
    decays |= {"baseline_adam": params["baseline"], "wd_adam": of_adam.pop("wd")}
    every = of_adam.pop("evaluate_every")

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
            path, per_epoch = problem.by_sgd(decay, lr=own["lr"], momentum=momentum), problem.steps_per_epoch
        thetas[name] = path[-1]
        at = evaluated(len(path) - 1, every if with_adam else per_epoch)
        history = [problem.losses(path[step]) for step in at]
        curves += curve(name, "epoch", [step / per_epoch for step in at], history)
        if not with_adam and per_epoch == 1 and momentum == 0:  # where gradient descent has a closed form
            curves += curve(f"{name}_theory", "epoch", at, history)

    rows = {name: problem.row(theta) for name, theta in thetas.items()}
    metrics = all_means(rows, decays) | differences(rows, "wd_minus_baseline", "wd_adam_minus_baseline_adam")

    ends = [problem.by_sgd(decay, lr=own["lr"], momentum=momentum)[-1] for decay in own["sweep"]]
    found = [problem.losses(theta) for theta in ends]
    if problem.steps_per_epoch == 1 and momentum == 0:
        found = [losses | {"theory": losses["val_loss"]} for losses in found]
    return Results(*sweep(own["sweep"], found, rows["null"]["val_loss"]), metrics, curves)


def wide(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    own, problem = params["wide"], linear(data, c=1, bias_decays=False)
    from_zero = replace(problem, start=np.zeros_like(problem.start))
    settings = {"lr": own["lr"], "momentum": own["optimizers"]["sgd"]["momentum"]}
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
    for decay in own["sweep"]:
        # On unseen rows, without the products of start, signal and noise, whose expectation is zero.
        expected = np.sum(list(problem.parts(decay, **settings).values()), axis=0) + noise**2 / 2
        found.append(problem.losses(problem.by_sgd(decay, **settings)[-1]) | {"theory": Values(expected, expected)})
    table, summary = sweep(own["sweep"], found, rows["null"]["val_loss"])
    signal = float((problem.truth[0, :-1] ** 2).sum())
    summary["theory_lambda"] = rounded((problem.start.shape[1] - 1) * noise**2 / (problem.targets["train"].shape[1] * signal))
    summary["map"] = over_lengths(problem, data["map_order"], own, null, settings)
    return Results(table, summary, metrics, curves)


def over_lengths(problem: Linear, order: NDArray[np.int64], own: dict[str, Any], null: Array, settings: dict[str, float]) -> Any:
    """λ × length of training, from the random start and from zero: losses, and their expectation from the parts of the error.

    In dual form: every gradient is made of rows and of decayed weights, so w = s·w₀ + Xᵀa all the way, and one number s and a
    number a row move instead of d weights. Each part of the error is trained alone; the runs are sums of parts.
    """
    grid, lengths, noise = np.array(own["sweep"], dtype=float), own["map"]["epochs"], problem.noise or 0.0
    parts = in_dual_form(problem, order, grid, own, **settings)  # part → K times (R, L, D)
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


def in_dual_form(
    problem: Linear, order: NDArray[np.int64], grid: Array, own: dict[str, Any], *, lr: float, momentum: float
) -> dict[str, list[Array]]:
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
        for epoch in range(order.shape[1]):
            for begin in range(0, order.shape[2], own["batch_size"]):
                batch = order[:, epoch, begin : begin + own["batch_size"]]  # (R, b)
                predicted = rows @ gram[trial, batch].transpose(0, 2, 1) + scale[:, :, None] * on_rows[trial, batch][:, None]
                error = predicted + bias[:, :, None] - targets[trial, batch][:, None]  # (R, L, b)
                of_rows = grid[:, None] * rows
                for column in range(batch.shape[1]):
                    of_rows[trial[:, 0], :, batch[:, column]] += error[:, :, column] / batch.shape[1]
                slopes = [grid * scale, of_rows, error.mean(axis=2)]
                moving = [momentum * old + slope for old, slope in zip(moving, slopes, strict=True)]
                scale, rows, bias = (each - lr * step for each, step in zip((scale, rows, bias), moving, strict=True))
            if epoch + 1 in own["map"]["epochs"]:
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


def modular(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Outputs W₂ᵀ(W₁[a] + W₁[p + b])², mean squared error on one-hot labels; θ is W₁ and W₂ in one row a trial."""
    own, p, steps = params["modular"], int(data["p"]), int(data["steps"])
    trials = len(data["start_hidden"])
    train, arrivals, at = grokking(own, data)

    def end(history: list[dict[str, Values]]) -> dict[str, Values]:
        norm, pure = history[-1]["weight_norm"].each, history[-1].pop("purity").each
        return history[-1] | {"half_squared_norm": Values(norm**2 / 2, norm**2), "purity": Values(pure, 1.0)}

    same = {"loss": (1 / p) * (1 - 1 / p), "accuracy": 1 / p}  # of every class equally likely
    null = {f"{split}_{name}": Values(np.full(trials, value), 1.0) for split in ("train", "val") for name, value in same.items()}
    null |= {name: Values(np.zeros(trials), 0.0) for name in ("weight_norm", "half_squared_norm")}

    decays = {"baseline": params["baseline"], "wd": params["wd"]}
    histories = {name: train(decay) for name, decay in decays.items()}
    rows = {name: end(history) for name, history in histories.items()} | {"null": null}
    metrics = all_means(rows, decays) | differences(rows, "wd_minus_baseline")
    curves: Table = []
    for name, history in histories.items():
        curves += curve(name, "step", at, history)
        for verb, share in (("memorise", "memorised"), ("generalise", "generalised")):
            steps_to = arrivals(history)[f"steps_to_{verb}"]
            everyone = Values(steps_to.astype(float), 0.0)
            metrics[name] |= means({f"steps_to_{verb}": everyone}) if (steps_to >= 0).all() else {f"steps_to_{verb}": Number(-1)}
            metrics[name][share] = rounded((steps_to >= 0).mean())

    found = []
    for decay in own["sweep"]:
        history = train(decay)
        del history[-1]["purity"]
        found.append(history[-1] | {name: Values(each.astype(float), 0.0) for name, each in arrivals(history).items()})
    table, summary = sweep(own["sweep"], found, null["val_loss"])
    share = own["system"]["train_fraction"]
    summary |= {"threshold": rounded(own["threshold"]), "steps": Number(steps), "train_fraction": rounded(share)}
    summary |= pace(own, {decay: each["steps_to_generalise"].each for decay, each in zip(own["sweep"], found, strict=True)})
    table = [row | {"train_fraction": rounded(share)} for row in table]
    return Results(table + other_shares(own, data, list(table[0])), summary, metrics, curves)


def pace(own: dict[str, Any], steps: dict[float, Array]) -> dict[str, Number]:
    """The λ at which all trials generalise soonest, and the steps in units of 1/(lr·λ) where they do, at it and below it."""
    everyone = {decay: float(np.sum(each) / len(each)) for decay, each in steps.items() if (each >= 0).all()}
    if not everyone:
        return {}
    soonest = sorted(everyone, key=lambda decay: (everyone[decay], decay))[0]
    found = {"quickest_lambda": rounded(soonest), "steps_at_quickest": rounded(everyone[soonest]), "lr": rounded(own["lr"])}
    times = [(decay, each / (1 / (own["lr"] * decay))) for decay, each in everyone.items() if 0 < decay <= soonest and each > 0]
    if times:
        found["law"] = rounded(float(np.prod([each for _, each in times])) ** (1 / len(times)))
    return found | {f"pace_at_{decay:g}": rounded(each) for decay, each in times}


def other_shares(own: dict[str, Any], data: dict[str, NDArray], columns: list[str]) -> Table:
    """The first trials trained on more or fewer of their pairs, in the order in which these were drawn."""
    pairs = int(data["p"]) ** 2
    first = {name: each[: own["shares"]["trials"]] if each.ndim > 1 else each for name, each in data.items()}
    table: Table = []
    for share in own["shares"]["train_fraction"]:
        if share == own["system"]["train_fraction"]:
            continue
        rows = min(max(round(share * pairs), 1), pairs - 1)
        cut = dict(first)
        for name in ("pairs", "labels"):
            whole = np.concatenate([first[f"train_{name}"], first[f"val_{name}"]], axis=1)
            cut |= {f"train_{name}": whole[:, :rows], f"val_{name}": whole[:, rows:]}
        train, arrivals, _ = grokking(own, cut)
        for decay in own["shares"]["weight_decay"]:
            when = arrivals(train(decay))
            for trial in range(len(cut["start_hidden"])):
                known = {"weight_decay": rounded(decay), "train_fraction": rounded(share), "trial": Number(trial)}
                known["diverged"] = Number(0)
                known |= {name: Number(int(each[trial])) for name, each in when.items()}
                table.append(dict.fromkeys(columns) | known)
    return table


def grokking(own: dict[str, Any], data: dict[str, NDArray]) -> tuple[Any, Any, list[int]]:
    """Of one data set: λ → what is measured on the way; that → when each trial arrives, −1 for never; the evaluated steps."""
    p, steps, every = int(data["p"]), int(data["steps"]), int(data["evaluate_every"])
    trials, _, hidden = data["start_hidden"].shape
    start = np.column_stack([data["start_hidden"].reshape(trials, -1), data["start_output"].reshape(trials, -1)])

    def encoded(pairs: NDArray[np.int64]) -> Array:
        return np.concatenate([np.eye(p)[pairs[:, :, 0]], np.eye(p)[pairs[:, :, 1]]], axis=2)  # (R, n, 2p)

    inputs = {split: encoded(data[f"{split}_pairs"]) for split in ("train", "val")}
    targets = {split: np.eye(p)[data[f"{split}_labels"]] for split in ("train", "val")}  # (R, n, p)

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
        path = adam(gradient, start, steps, lr=own["lr"], decoupled=decay, **own["optimizers"]["adamw"])
        history = [measured(path[step]) for step in at]
        return [*history[:-1], history[-1] | {"purity": purity(path[-1])}]

    def arrivals(history: list[dict[str, Values]]) -> dict[str, NDArray[np.int64]]:
        """The first evaluated step of each trial with so much accuracy, −1 for never."""
        found = {}
        for split, verb in (("train", "memorise"), ("val", "generalise")):
            reached = np.array([each[f"{split}_accuracy"].each >= own["threshold"] for each in history])  # (K, R)
            found[f"steps_to_{verb}"] = np.where(reached.any(axis=0), np.array(at)[reached.argmax(axis=0)], -1)
        return found

    return train, arrivals, at


def descent(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """n of the rows, Λ = nλ: the risk ‖w − w*‖² of full-batch descent with momentum from zero, or of what it ends at."""
    own, truth, noise = params["descent"], data["true_weight"], float(data["noise"])
    inputs = truth.shape[1]
    signal = float(np.linalg.norm(truth[0]))
    best = float(f"{inputs * noise**2 / signal**2:.6g}")
    settings = {"lr": own["lr"], "momentum": own["optimizers"]["sgd"]["momentum"]}
    table: Table = []
    summary: dict[str, Any] = {
        "inputs": Number(inputs),
        "signal": rounded(own["system"]["weight_norm"]),
        "noise": rounded(own["system"]["noise"]),
        "theory_penalty": rounded(best),
    }
    zs: list[Number] = []
    without, with_best = [], []  # the risks at Λ = 0 and at the best, (R,) for each n
    for n in own["rows"]:
        x, y = data["train_inputs"][:, :n], data["train_targets"][:, :n]
        risks = {}
        for penalty in sorted({*own["sweep"], best}):
            decay = penalty / n
            singular = np.linalg.svd(x, compute_uv=False)  # (R, min(n, d))
            arrives = bool(np.abs(share_left(singular**2 / n + decay, own["steps"], **settings)).max() < 1e-6)
            if arrives:
                weight = descend(x, y, decay, own["steps"], **settings)
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
    clauses = [more_rows(np.stack(each), own["rows"], inputs, (1e-6 * signal) ** 2) for each in (without, with_best)]
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
