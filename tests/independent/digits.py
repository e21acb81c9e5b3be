"""digits, computed anew: logistic regression by descent with momentum, a ReLU network by AdamW, back-propagation by hand."""

import math
from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, all_means, curve, means, rounded, sweep
from numpy.typing import NDArray

from independent.shared import Results, adam, evaluated, sgd

CASES = {"logistic": "", "logistic_noisy": "_noisy", "network": "_network", "network_noisy": "_network_noisy"}
CLASSES, BINS = 10, 10
SPLITS = ("train", "val", "test")
JUDGED = ("test_loss", "test_accuracy", "test_calibration_error")
TOLD = (*JUDGED, "test_calibration_floor")
Row = dict[str, Array]  # (R,) each
Shapes = list[tuple[int, ...]]  # of each layer's weights


def digits(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """Both models on pixels from 0 to 1 less the mean training image, with right labels and with some wrong ones."""
    own, trials = params["digits"], len(data["train_labels"])
    pixels = {split: data[f"{split}_pixels"][:, None] / data["white"] for split in SPLITS}  # (R, 1, n, d)
    images = {split: each - pixels["train"].mean(axis=2, keepdims=True) for split, each in pixels.items()}
    rows: dict[str, Row] = {}
    of_arms: dict[str, float] = {}
    curves: Table = []
    table: Table = []
    summary: dict[str, Any] = {"wrong": rounded(np.mean(data["wrong_labels"] != data["train_labels"]))}
    chance = {"loss": math.log(CLASSES), "accuracy": 1 / CLASSES}
    null = {f"{split}_{name}": Values(np.full(trials, chance[name]), 1.0) for split in SPLITS for name in chance}
    null |= {name: Values(np.zeros(trials), 0.0) for name in ("weight_norm", "half_squared_norm")}
    for case, suffix in CASES.items():
        model, _, noisy = case.partition("_")
        key = "network_wd" if model == "network" else "wd"
        arms, grid = {"baseline": params["baseline"], "wd": own[key]}, own["sweep"][key]
        every = sorted({*grid, *arms.values()})
        of = data | ({"train_labels": data["wrong_labels"]} if noisy else {})
        path, at, shapes = trained(own, of, images, model, every)
        for arm, decay in arms.items():
            index, name = every.index(decay), f"{arm}{suffix}"
            course = [measured(path[step][:, index], images, of, shapes) for step in at]
            of_arms[name], rows[name] = decay, course[-1] | {"half_squared_norm": course[-1]["weight_norm"] ** 2 / 2}
            curves += curve(name, "step", at, [sized(each) for each in course])
            if arm == "baseline":
                lowest = np.argmin([each["val_loss"] for each in course], axis=0)  # (R,)
                rows[f"stopped{suffix}"] = at_places(course, lowest) | {"step": np.array(at, dtype=float)[lowest]}
        ended = [measured(path[-1][:, every.index(decay)], images, of, shapes) for decay in grid]
        table += [{"run": case} | row for row in sweep(grid, [sized(row) for row in ended], null["val_loss"])[0]]
        summary[case] = judged(grid, ended) | {"trials": Number(trials), "diverged": Number(0)}
        summary[case]["test_rows"] = Number(images["test"].shape[2])
    metrics = all_means({name: sized(row) for name, row in rows.items()} | {"null": null}, of_arms)
    for one, other in (("wd", "baseline"), ("stopped", "baseline"), ("wd", "stopped")):
        for suffix in CASES.values():
            a, b = rows[f"{one}{suffix}"], rows[f"{other}{suffix}"]
            gaps = sized({name: a[name] - b[name] for name in ("train_loss", "val_loss", *JUDGED)})
            metrics[f"{one}{suffix}_minus_{other}{suffix}"] = means(gaps) | {"trials": Number(trials)}
    return Results(table, summary, metrics, curves)


def trained(
    own: dict[str, Any], data: dict[str, NDArray], images: dict[str, Array], model: str, weight_decays: list[float]
) -> tuple[list[Array], list[int], Shapes]:
    """Every θ (R, L, D) on the way, the steps to evaluate, and the layers of θ. Biases, which start at 0, do not decay."""
    train = own["train"] | (own["train"]["network"] if model == "network" else {})
    weights = [data["start_hidden"], data["start_output"]]
    if model == "logistic":
        weights = [np.zeros((len(data["train_labels"]), images["train"].shape[3], CLASSES))]
    shapes, target = [each.shape[1:] for each in weights], np.eye(CLASSES)[data["train_labels"]][:, None]
    with_bias = [np.pad(each, ((0, 0), (0, 1), (0, 0))).reshape(len(each), 1, -1) for each in weights]
    start = np.repeat(np.concatenate(with_bias, axis=2), len(weight_decays), axis=1)
    of_decay = np.array(weight_decays)[:, None] * weights_alone(shapes)  # (L, D)

    def gradient(theta: Array, _: int) -> Array:
        """Of the mean cross-entropy, by back-propagation."""
        *inputs, chances = forward(theta, images["train"], shapes)
        signal, found = (chances - target) / target.shape[2], theta[:, :, :0]
        for layer, units in zip(reversed(layers(theta, shapes)), reversed(inputs), strict=True):
            of_layer = np.concatenate([units.mT @ signal, signal.sum(axis=2, keepdims=True)], axis=2)
            found = np.concatenate([of_layer.reshape(*theta.shape[:2], -1), found], axis=2)
            if units is not images["train"]:
                signal = (signal @ layer[:, :, :-1].mT) * (units > 0)
        return found

    if model == "network":
        settings = {name: train[name] for name in ("lr", "beta1", "beta2", "eps")}
        path = adam(gradient, start, train["steps"], **settings, decoupled=of_decay)
    else:
        settings = {name: train[name] for name in ("lr", "momentum")}
        path = sgd(lambda w, step: gradient(w, step) + of_decay * w, start, train["steps"], **settings)
    return path, evaluated(train["steps"], train["evaluate_every"]), shapes


def weights_alone(shapes: Shapes) -> Array:
    """1 for a weight of θ, 0 for a bias.  (D,)"""
    return np.concatenate([np.pad(np.ones(shape), ((0, 1), (0, 0))).ravel() for shape in shapes])


def layers(theta: Array, shapes: Shapes) -> list[Array]:
    """The weights of each layer, and its bias as a last row.  (R, L, inputs + 1, outputs) each"""
    parts = np.split(theta, np.cumsum([(inputs + 1) * outputs for inputs, outputs in shapes])[:-1], axis=2)
    return [part.reshape(*part.shape[:2], -1, outputs) for part, (_, outputs) in zip(parts, shapes, strict=True)]


def forward(theta: Array, inputs: Array, shapes: Shapes) -> list[Array]:
    """What each layer gets, after the first through ReLU, and at last the probabilities of the classes.  (R, L, n, …) each"""
    reached = [inputs]
    for layer in layers(theta, shapes):
        given = reached[-1] if len(reached) == 1 else np.maximum(reached[-1], 0)
        reached[-1:] = [given, given @ layer[:, :, :-1] + layer[:, :, -1:]]
    powers = np.exp(reached[-1] - reached[-1].max(axis=3, keepdims=True))
    return [*reached[:-1], powers / powers.sum(axis=3, keepdims=True)]


def measured(theta: Array, images: dict[str, Array], data: dict[str, NDArray], shapes: Shapes) -> Row:
    """Of θ (R, D). The calibration error is Σ over ten bins of the confidence of |right answers − confidence|/n."""
    found: Row = {"weight_norm": np.sqrt((weights_alone(shapes) * theta**2).sum(axis=1))}
    for split, inputs in images.items():
        chances, labels = forward(theta[:, None], inputs, shapes)[-1][:, 0], data[f"{split}_labels"].astype(int)
        right, sure = chances.argmax(axis=2) == labels, chances.max(axis=2)
        bins = [((np.ceil(BINS * sure) == each) * (right - sure)).sum(axis=1) for each in range(1, BINS + 1)]
        found[f"{split}_loss"] = -np.log(np.take_along_axis(chances, labels[:, :, None], axis=2)).mean(axis=(1, 2))
        found[f"{split}_accuracy"] = right.mean(axis=1)
        found[f"{split}_calibration_error"] = np.abs(bins).sum(axis=0) / right.shape[1]
        # The mean absolute deviation of a sum of independent draws, as of a normal one, if each is right as often as it is sure.
        spread = [((np.ceil(BINS * sure) == each) * sure * (1 - sure)).sum(axis=1) for each in range(1, BINS + 1)]
        found[f"{split}_calibration_floor"] = (2 / np.pi) ** 0.5 * np.sqrt(spread).sum(axis=0) / right.shape[1]
    return found


def judged(grid: list[float], ended: list[Row]) -> dict[str, Number]:
    """The λ with the best mean on validation rows; and those that trials choose by their own, on test rows, against λ = 0."""
    places = np.argmin([row["val_loss"] for row in ended], axis=0)  # (R,)
    loss, accuracy, error = ([row[f"val_{name}"].mean() for row in ended] for name in ("loss", "accuracy", "calibration_error"))
    best = {
        "best_lambda": np.argmin(loss),
        "best_lambda_accuracy": np.argmax(accuracy),
        "best_lambda_calibration": np.argmin(error),
        "least_chosen_lambda": places.min(),
        "largest_chosen_lambda": places.max(),
    }
    zero, chosen = ended[0], at_places(ended, places)
    found = {f"{name}_at_zero": zero[name] for name in TOLD} | {f"{name}_at_chosen": chosen[name] for name in TOLD}
    found |= {f"{name}_change": chosen[name] - zero[name] for name in JUDGED}
    return {name: rounded(grid[place]) for name, place in best.items()} | means(sized(found))


def at_places(course: list[Row], places: NDArray[np.int64]) -> Row:
    """Of each trial what stands at its own place."""
    return {value: np.array([course[place][value][trial] for trial, place in enumerate(places)]) for value in course[0]}


def sized(row: Row) -> dict[str, Values]:
    return {value: Values(each, 0.0 if "accuracy" in value else 1.0 + np.abs(each)) for value, each in row.items()}
