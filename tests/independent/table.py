"""table, computed anew: ridge regression by descent or from the normal equations, and logistic regression by descent."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, means, rounded
from numpy.typing import NDArray

from independent.descent import share_left
from independent.linear import descent_on
from independent.shared import Results, sgd

FEWEST, SHOWN = 3, 40  # training rows, and at most so many inputs whose weights are written
NOTHING = 1e-10  # what rounding leaves of a zero
KEPT, ENDED = 2.0**-30, 2.0**-36  # how far rounding moves trained weights, of the largest; and losses, of the targets' size
CHOICES = {"chosen": "val_loss", "loo": "loo_loss", "gcv": "gcv_loss"}
Sets = dict[str, tuple[Array, Array]]  # inputs (T, n, D) and targets (T, n) of "train", "val" and "test"
Known = tuple[Array, Array]  # what T trials have at L values of λ, and how far rounding may have moved it: (T, L) each


def table(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Take every number of training rows with every λ; say of an input what its weights are on all rows, on average."""
    own, target, names = params["table"], data["target"], [str(name) for name in data["names"]]
    names += [f"{names[one]}²" if one == other else f"{names[one]}·{names[other]}" for one, other in data["terms"]]
    grid, classes, (val, test) = own["sweep"]["wd"], len(data["classes"]), (int(data[f"{each}_rows"]) for each in ("val", "test"))
    whole, unit = len(target) - val - test, 1.0 if classes else float(target.std())
    written: Table = []
    summary: dict[str, Any] = {}
    for rows in sorted({max(round(share * whole), FEWEST) for share in own["sweep"]["rows"]} | {whole}):
        sets = divided(data, rows)
        found, (weights, kept), arrived = of_classes(own, sets, classes) if classes else of_numbers(own, sets, unit)
        for place, decay in enumerate(grid):
            row: dict[str, Any] = {"rows": Number(rows), "weight_decay": rounded(decay), "arrived": Number(arrived[place])}
            for name, (each, slack) in found.items():
                known = {name: Values(each[:, place], slack[:, place])} if np.isfinite(each[:, place]).all() else {}
                row |= {name: None, f"{name}_se": None} | means(known, 1.0)
            written.append(row)
        summary[f"rows_{rows}"] = gained(found, grid)
    path, last = weights.mean(axis=0), summary[f"rows_{whole}"]  # (L, D)
    shown = np.argsort(-np.abs(path[grid.index(last["best_lambda"].value)]), kind="stable")[:SHOWN]
    counts = {"file_rows": len(target), "inputs": len(names), "classes": classes, "val_rows": val, "test_rows": test}
    counts |= {"not_arrived": sum(not row["arrived"].value for row in written)}
    if classes:
        summary["most_frequent_class"] = rounded(max(np.mean(target == each) for each in range(classes)))
    summary |= last | {name: Number(count) for name, count in counts.items()} | {"unit": rounded(unit)}
    off = kept.mean(axis=0) + ENDED * np.abs(path).max(axis=1)  # (L,)
    summary["weights"] = {names[each]: [*map(Number, path[:, each].tolist(), off.tolist())] for each in shown}
    return Results(written, summary)


def divided(data: dict[str, NDArray], rows: int) -> Sets:
    """Split each trial's order of the file's rows: validation, test, then training rows, of which the first are taken.

    A number is centred by the training rows too, in units of its standard deviation in the file.
    """
    val, test, train = np.split(data["order"], np.cumsum([data["val_rows"], data["test_rows"]]), axis=1)
    places = {"train": train[:, :rows], "val": val, "test": test}
    inputs = standardised({split: data["inputs"][each] for split, each in places.items()})
    targets = {split: data["target"][each] for split, each in places.items()}
    if len(data["terms"]):
        one, other = data["terms"].T
        products = standardised({split: each[..., one] * each[..., other] for split, each in inputs.items()})
        inputs = {split: np.concatenate([each, products[split]], axis=2) for split, each in inputs.items()}
    if not len(data["classes"]):
        mean, unit = targets["train"].mean(axis=1, keepdims=True), data["target"].std()
        targets = {split: (each - mean) / unit for split, each in targets.items()}
    return {split: (inputs[split], targets[split]) for split in places}


def standardised(inputs: dict[str, Array]) -> dict[str, Array]:
    """Fill gaps with the mean of the training rows, then give these mean 0 and variance 1; what is constant there becomes 0."""
    known = ~np.isnan(inputs["train"])
    total, count = (each.sum(axis=1, keepdims=True) for each in (np.where(known, inputs["train"], 0), known))
    mean = total / np.maximum(count, 1)
    filled = {split: np.where(np.isnan(each), mean, each) for split, each in inputs.items()}
    spread = filled["train"].std(axis=1, keepdims=True)
    varies = spread > 1e-12 * np.abs(mean)
    return {split: np.where(varies, each - mean, 0) / np.where(varies, spread, 1) for split, each in filled.items()}


def rate(own: dict[str, Any], x: Array, share: float) -> float:
    """Take a part of the largest learning rate that is stable in every trial at every λ; `share` is the loss's of XᵀX/n."""
    steepest = np.linalg.eigvalsh(x.mT @ x / x.shape[1]).max()
    return own["train"]["lr"] * 2 * (1 + own["train"]["momentum"]) / (share * steepest + max(own["sweep"]["wd"]))


def solution(x: Array, y: Array, penalty: float) -> Array:
    """Minimise ½‖xw − y‖² + (Λ/2)‖w‖², at Λ = 0 with the shortest w.  (…, n, D), (…, n, k) → (…, D, k)"""
    if penalty == 0:
        return np.linalg.pinv(x, rcond=NOTHING) @ y
    return np.linalg.solve(x.mT @ x + penalty * np.eye(x.shape[-1]), x.mT @ y).astype(np.float64)


def of_numbers(own: dict[str, Any], sets: Sets, unit: float) -> tuple[dict[str, Known], Known, list[bool]]:
    """Train with every λ, and solve where training would not arrive in all trials. Weights (T, L, D); whether trained (L,)"""
    (x, y), grid, steps = sets["train"], own["sweep"]["wd"], own["train"]["steps"]
    rows, settings = x.shape[1], {"lr": rate(own, x, 1.0), "momentum": own["train"]["momentum"]}
    singular = np.linalg.svd(x, compute_uv=False)
    curvature = singular[singular > NOTHING * singular.max(axis=1, keepdims=True)] ** 2 / rows
    trained = [bool(np.abs(share_left(curvature + each, steps, **settings)).max(initial=0) < 1e-6) for each in grid]
    exact = np.stack([solution(x, y[..., None], rows * each)[..., 0] for each in grid], axis=1)
    ended = sgd(descent_on(x, y, grid), np.zeros_like(exact), steps, **settings)[-1]
    weights = np.where(np.array(trained)[:, None], ended, exact)
    hats = np.stack([1 / rows + x @ solution(x, np.eye(rows), rows * each) for each in grid], axis=1)  # (T, L, n, n)
    leverage, kept = hats.diagonal(axis1=2, axis2=3), KEPT * np.array(trained) * np.abs(weights).max(axis=2)
    freedom, rest = leverage.sum(axis=2), 1 - leverage.mean(axis=2)
    rest = np.where(rest > NOTHING, rest, np.nan)
    missed = {split: targets[:, None] - weights @ inputs.mT for split, (inputs, targets) in sets.items()}  # (T, L, n) each
    alone = np.stack([left_out(*each, [rows * decay for decay in grid]) for each in zip(x, y, strict=True)])
    missed["loo"] = np.where(leverage < 1 - NOTHING, alone, np.nan)
    missed["gcv"] = (y[:, None] - exact @ x.mT) / rest[..., None]
    found: dict[str, Known] = {"degrees_of_freedom": (freedom, np.full_like(freedom, ENDED * rows))}
    for split, each in missed.items():
        root = np.sqrt((each**2).mean(axis=2))
        off = ENDED * (1 + root) + kept * x.shape[2] ** 0.5
        found[f"{split}_loss"] = root**2 / 2, root * off + off**2
        if split == "test":
            found["test_error"] = unit * root, unit * off
    return found, (weights, kept), trained


def left_out(x: Array, y: Array, penalties: list[float]) -> Array:
    """Miss each row of a trial by what the others alone teach, their means too.  (n, D), (n,) → y − ŷ (L, n)"""
    others = np.nonzero(~np.eye(len(y), dtype=bool))[1].reshape(len(y), -1)
    centre, mean = x[others].mean(axis=1), y[others].mean(axis=1)
    apart, aims = x[others] - centre[:, None], (y[others] - mean[:, None])[..., None]
    weights = np.stack([solution(apart, aims, each)[..., 0] for each in penalties])
    return y - mean - ((x - centre) * weights).sum(axis=2)


def of_classes(own: dict[str, Any], sets: Sets, classes: int) -> tuple[dict[str, Known], Known, list[bool]]:
    """Train with every λ on the mean cross-entropy; the bias, the weight of an input 1, does not decay. Weights (T, L, D)"""
    design = {split: np.pad(x, ((0, 0), (0, 0), (0, 1)), constant_values=1.0)[:, None] for split, (x, _) in sets.items()}
    labels = {split: each.astype(int)[:, None] for split, (_, each) in sets.items()}  # (T, 1, n)
    (trials, _, rows, width), target = design["train"].shape, np.eye(classes)[labels["train"]]
    of_decay = np.array(own["sweep"]["wd"])[:, None, None] * (np.arange(width) < width - 1)[:, None]  # (L, D + 1, 1)

    def logs(theta: Array, split: str) -> Array:
        """Find the logarithms of the classes' probabilities.  (T, L, D + 1, C) → (T, L, n, C)"""
        scores = design[split] @ theta
        scores -= scores.max(axis=3, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=3, keepdims=True))

    def gradient(theta: Array, _: int) -> Array:
        return design["train"].mT @ (np.exp(logs(theta, "train")) - target) / rows + of_decay * theta

    settings = {"lr": rate(own, sets["train"][0], 0.5), "momentum": own["train"]["momentum"]}
    theta = sgd(gradient, np.zeros((trials, len(of_decay), width, classes)), own["train"]["steps"], **settings)[-1]
    found: dict[str, Known] = {}
    kept = KEPT * np.abs(theta).max(axis=(2, 3)) * classes**0.5
    for split, each in labels.items():
        known = logs(theta, split)
        loss = -np.take_along_axis(known, each[..., None], axis=3).mean(axis=(2, 3))
        found[f"{split}_loss"] = loss, ENDED * (loss + np.log(classes)) + kept * width**0.5
        found[f"{split}_accuracy"] = (known.argmax(axis=3) == each).mean(axis=2), 0 * kept
    left = np.abs(gradient(theta, 0)).max(axis=(2, 3)) / np.abs(gradient(0 * theta, 0)[:, :, :-1]).max(axis=(2, 3))  # (T, L)
    return found, (np.linalg.norm(theta[:, :, :-1], axis=3), kept), (left <= 1e-4).all(axis=0).tolist()


def gained(found: dict[str, Known], grid: list[float]) -> dict[str, Number]:
    """Choose each trial's λ by what is lowest, and judge it on test rows. Changes are of logarithms of what is not next to 0."""
    loss, trials = found["val_loss"][0], np.arange(len(found["val_loss"][0]))
    places = {name: np.nan_to_num(found[by][0], nan=np.inf).argmin(axis=1) for name, by in CHOICES.items() if by in found}
    best, chosen = int(loss.mean(axis=0).argmin()), [grid[place] for place in places["chosen"]]
    known = {"best_lambda": grid[best], "least_chosen": min(chosen), "largest_chosen": max(chosen)}
    summary = {name: rounded(decay) for name, decay in known.items()} | {"trials": Number(len(trials))}
    judged = "test_error" if "test_error" in found else "test_loss"
    logs = {}
    for choice, place in (places | {"zero": 0 * trials, "best": 0 * trials + best}).items():
        at = {name: Values(*(part[trials, place] for part in parts)) for name, parts in found.items() if name.startswith("test")}
        each, slack = at[judged].each, np.array(at[judged].size)
        above = np.maximum(each, 1e-6 * np.median(found[judged][0]))
        logs[choice] = Values(np.log(above), slack / above)
        summary |= means({f"{name}_at_{choice}": values for name, values in at.items()}, 1.0)
        summary[f"test_median_at_{choice}"] = Number(float(np.median(each)), float(slack.max()))
    for name, one, other in (("change", "zero", "chosen"), ("loo_change", "chosen", "loo")):
        if other in logs:
            summary |= means({name: Values(logs[other].each - logs[one].each, logs[one].size + logs[other].size)}, 1.0)
    return summary
