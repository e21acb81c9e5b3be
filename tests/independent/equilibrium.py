"""equilibrium, computed anew: SGD on x·w/‖w‖ in batches, and what the second half of training shows of its last steps."""

import math
from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, all_means, curve, differences, means, of_trial, rounded
from numpy.typing import NDArray
from scipy import stats

from independent.shared import Gradient, Results, adam, batches_of, evaluated, orders, sgd

MEASURED = ("gradient", "late_norm", "swing", "angle", "late_norm_theory", "angle_theory")


def equilibrium(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Half the mean squared error; the validation loss is ½‖ŵ − w*‖², as on the rows ±√d·eᵢ without noise."""
    own, grid = params["equilibrium"]["train"], params["equilibrium"]["sweep"]
    trials, order = len(data["true_weight"]), orders(params["seed"], "equilibrium", data, own["epochs"])
    batches = batches_of(order, own["batch_size"])
    weight_decays = {"baseline": params["baseline"], "wd": params["equilibrium"]["wd"]}
    histories = {name: train(own, data, batches, own["lr"], decay) for name, decay in weight_decays.items()}
    rows = {name: ended(own, data, histories[name], own["lr"], decay) for name, decay in weight_decays.items()}
    settled = {name: row.pop("settled") for name, row in rows.items()}
    of_zero = {"train": (data["train_targets"] ** 2).mean(axis=1) / 2, "val": (data["true_weight"] ** 2).sum(axis=1) / 2}
    null = {f"{split}_loss": Values(loss, loss) for split, loss in of_zero.items()} | scores(data, of_zero)
    null |= {name: Values(np.zeros(trials), 0.0) for name in ("weight_norm", "half_squared_norm")}
    metrics = all_means(rows | {"null": null}, weight_decays) | differences(rows, "wd_minus_baseline")
    gap = rows["wd"]["late_val_loss"].each - rows["baseline"]["late_val_loss"].each
    metrics["wd_minus_baseline"] |= means({"late_val_loss": Values(gap, 1.0)})
    curves: Table = []
    for name, history in histories.items():
        metrics[name] |= {"settled": Number(int(settled[name].each.all())), "lr": rounded(own["lr"])}
        curves += curve(name, "step", history["steps"], history["measured"])

    table, found = [], {}
    for lr in sorted({own["lr"], *grid["lr"]}):
        for product in grid["product"]:
            decay = product / lr
            history = train(own, data, batches, lr, decay)
            row = ended(own, data, history, lr, decay)
            arrived, late = int(row["settled"].each.all()), half(history)
            risk = np.mean([history["measured"][k]["val_loss"].each for k in late], axis=0)
            row = {name: row[name] for name in MEASURED if name in row} | {"risk": Values(risk, 1.0), "val_loss": row["val_loss"]}
            found[lr, product] = row | {"settled": Values(np.array([arrived]), 0.0)}
            for trial in range(trials):
                known: dict[str, Any] = {"lr": rounded(lr), "product": rounded(product), "weight_decay": rounded(decay)}
                known |= {"trial": Number(trial), "diverged": Number(0), "settled": Number(arrived)}
                table.append({"late_norm_theory": None, "angle_theory": None} | known | of_trial(row, trial, 1e-7))
    told = summary(grid["product"], found, histories["wd"]["steps"][-1])
    return Results(table, told | adaptive(grid["adaptive"], data, batches, own["evaluate_every"]), metrics, curves)


def adaptive(
    own: dict[str, Any], data: dict[str, NDArray], batches: list[NDArray[np.int64]], every: int
) -> dict[str, dict[str, Number]]:
    """The root mean square of the last steps' angles in degrees, Adam's and AdamW's, where the loss is many times as large."""
    settings = {name: own[name] for name in ("lr", "beta1", "beta2", "eps")}
    expected = math.degrees(math.sqrt(2 * own["lr"] * own["wd"] * (1 - own["beta1"]) / (1 + own["beta1"])))
    steps = [step for step in evaluated(len(batches), every) if step >= len(batches) / 2]
    found: dict[str, dict[str, Number]] = {}
    for name, coupled in (("adam", own["wd"]), ("adamw", 0.0)):
        found[name] = {"angle_theory": rounded(expected)} if name == "adamw" else {}
        for place, scale in (("smallest", own["scale"][0]), ("largest", own["scale"][-1])):
            gradient = on_batches(data, batches, coupled, scale)
            path = adam(gradient, data["start_weight"], len(batches), **settings, decoupled=own["wd"] - coupled)
            angles = [np.degrees(turn(path[step - 1], path[step])) for step in steps]
            root = np.sqrt(np.mean(np.square(angles), axis=0))
            found[name] |= means({f"angle_at_{place}": Values(root, 10.0)})
    return found


def turn(old: Array, new: Array) -> Array:
    """The angle between two weights, from their cross product, which is exact where it is small.  (R, d) each → (R,)"""
    along = (old * new).sum(axis=1) / (old**2).sum(axis=1)
    across = np.linalg.norm(new - along[:, None] * old, axis=1)
    return np.arctan2(across, along * np.linalg.norm(old, axis=1))


def on_batches(data: dict[str, NDArray], batches: list[NDArray[np.int64]], decay: float, scale: float = 1.0) -> Gradient:
    """The gradient of `scale` times the loss on a step's batch, plus λw.  (R, d)"""
    x, y, trial = data["train_inputs"], data["train_targets"], np.arange(len(data["train_inputs"]))[:, None]

    def gradient(weight: Array, step: int) -> Array:
        own_x, own_y = x[trial, batches[step]], y[trial, batches[step]]  # (R, b, d), (R, b)
        norm = np.sqrt((weight**2).sum(axis=1))[:, None]
        unit = weight / norm
        error = (own_x @ unit[:, :, None])[:, :, 0] - own_y
        slope = (error[:, None] @ own_x)[:, 0] / own_x.shape[1]
        return scale * (slope - (slope * unit).sum(axis=1)[:, None] * unit) / norm + decay * weight

    return gradient


def train(
    own: dict[str, Any], data: dict[str, NDArray], batches: list[NDArray[np.int64]], lr: float, decay: float
) -> dict[str, Any]:
    """Every weight (R, d) on the way, the evaluated steps, and what is measured at each."""
    gradient = on_batches(data, batches, decay)
    path = sgd(gradient, data["start_weight"], len(batches), lr=lr, momentum=own["momentum"])
    steps = evaluated(len(batches), own["evaluate_every"])
    return {"path": path, "steps": steps, "measured": [measured(data, path[step], lr) for step in steps]}


def measured(data: dict[str, NDArray], weight: Array, lr: float) -> dict[str, Values]:
    norm = np.linalg.norm(weight, axis=1)
    direction = weight / norm[:, None]
    train = ((np.einsum("rnd,rd->rn", data["train_inputs"], direction) - data["train_targets"]) ** 2).mean(axis=1) / 2
    val = ((direction - data["true_weight"]) ** 2).sum(axis=1) / 2
    losses = {"train_loss": Values(train, 1.0), "val_loss": Values(val, 1.0)}
    return losses | {"weight_norm": Values(norm, norm), "effective_lr": Values(lr / norm**2, lr / norm**2)}


def scores(data: dict[str, NDArray], loss: dict[str, Array]) -> dict[str, Values]:
    """R²; the mean of the validation targets ±√d·w*ᵢ is zero."""
    of_mean = {"train": data["train_targets"].var(axis=1) / 2, "val": (data["true_weight"] ** 2).sum(axis=1) / 2}
    return {f"{split}_r2": Values(1 - loss[split] / each, 1 + loss[split] / each) for split, each in of_mean.items()}


def half(history: dict[str, Any]) -> list[int]:
    """The evaluations of the second half of training."""
    steps = history["steps"]
    return [k for k, step in enumerate(steps) if step >= steps[-1] / 2]


def ended(own: dict[str, Any], data: dict[str, NDArray], history: dict[str, Any], lr: float, decay: float) -> dict[str, Values]:
    """A row: the end, and what the evaluated steps of the second half show."""
    path, late, last = history["path"], half(history), history["measured"][-1]
    found = last | scores(data, {split: last[f"{split}_loss"].each for split in ("train", "val")})
    found["half_squared_norm"] = Values(last["weight_norm"].each ** 2 / 2, last["weight_norm"].each ** 2)
    gradients, logs = [], []
    for step in (history["steps"][k] for k in late):
        old, new = path[step - 1], path[step]
        norm, after = np.linalg.norm(old, axis=1), np.linalg.norm(new, axis=1)
        cosine = (old * new).sum(axis=1) / norm / after
        gradients.append((norm * after) ** 2 * (1 - cosine**2) / lr**2)
        logs.append(np.log(cosine))
    gradient, norms = np.mean(gradients, axis=0), np.array([each["weight_norm"].each for each in history["measured"]])
    norm, cosine, product = norms[late].mean(axis=0), np.exp(np.mean(logs, axis=0)), lr * decay
    found |= {"gradient": Values(gradient, 10 * gradient), "late_norm": Values(norm, norm)}
    found["swing"] = Values(norms[late].max(axis=0) / norms[late].min(axis=0), 10.0)
    found["late_val_loss"] = Values(np.mean([history["measured"][k]["val_loss"].each for k in late], axis=0), 1.0)
    found["angle"] = Values(np.degrees(np.arccos(cosine)), 100.0)
    found["settled"] = Values(np.zeros(len(norm)), 0.0)
    if product > 0:
        slowest = max(abs(2 * (1 - product) ** 2 - 1), (1 - product) ** 4)  # near the equilibrium, and far from it
        left = np.mean([slowest ** history["steps"][k] for k in late])
        in_time = np.maximum(1, (norms.max(axis=0) / norm) ** 4) * left <= 0.01
        found["settled"] = Values(in_time & rests(norms[late]), 0.0)
        if own["momentum"] == 0:
            expected = (lr * gradient / (2 * decay - lr * decay**2)) ** 0.25
            found["late_norm_theory"] = Values(expected, 10 * expected)
            found["angle_theory"] = Values(np.full(len(norm), math.degrees(math.acos(1 - product))), 1.0)
    return found


def rests(norms: Array) -> bool:
    """Whether the norm (K, R) has the same mean in both halves: to 1 %, or to what Student's t at 1 % does not tell from it."""
    middle = len(norms) // 2
    drift = np.log(norms[middle:].mean(axis=0) / norms[:middle].mean(axis=0))
    return bool(abs(drift.mean()) <= 0.01 or stats.ttest_1samp(drift, 0).pvalue >= 0.01)


def summary(grid: list[float], found: dict[tuple[float, float], dict[str, Values]], steps: int) -> dict[str, Any]:
    rates = sorted({lr for lr, _ in found})
    arrived = [place for place in found if found[place]["settled"].each.all()]
    known: dict[str, Any] = {
        "settled": Number(len(arrived)),
        "decaying": Number(sum(product > 0 for _, product in found)),
        "rates": Number(len(rates)),
        "steps": Number(steps),
    }
    shares = []
    for product in grid:
        risks = [found[lr, product]["risk"].each for lr in rates if (lr, product) in arrived]
        if len(risks) > 1:
            shares.append((1 - np.min(risks, axis=0) / np.max(risks, axis=0)).max())
    known |= {"risk_apart": Number(float(max(shares)), 1e-6)} if shares else {}
    for name, value in (("angle_off", "angle"), ("norm_off", "late_norm")):
        pairs = [
            (found[place][value].each, found[place][f"{value}_theory"].each)
            for place in arrived
            if f"{value}_theory" in found[place]
        ]
        known |= {name: Number(max(abs(one.mean() / other.mean() - 1) for one, other in pairs), 1e-6)} if pairs else {}
    products = sorted({product for _, product in arrived})
    for name, product in zip(("smallest", "largest"), products[:1] + products[-1:], strict=bool(products)):
        lr = min(lr for lr in rates if (lr, product) in arrived)
        row = found[lr, product]
        known[name] = {"product": rounded(product), "lr": rounded(lr)}
        known[name] |= means({value: row[value] for value in ("risk", "angle", "angle_theory") if value in row})
    for name, lr in (("slowest", rates[0]), ("fastest", rates[-1])):
        best = min(grid, key=lambda product: found[lr, product]["risk"].each.mean())
        known[name] = {"lr": rounded(lr), "best_product": rounded(best)}
        known[name] |= means({"risk_at_best": found[lr, best]["risk"], "risk_at_zero": found[lr, 0]["risk"]})
    return known
