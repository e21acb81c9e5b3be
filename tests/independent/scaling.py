"""scaling, computed anew: SGD and AdamW on batches of ever more rows; which λ is best, and which theory names."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, Values, means, rounded
from numpy.typing import NDArray
from scipy.special import stdtrit

from independent.linear import ridge
from independent.optimizers import on_rows
from independent.shared import Results, adam, batches_of, orders, sgd


def scaling(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """The first n of the rows: the risk ‖w − w*‖² at the end of training from zero, for each batch size, optimiser and λ."""
    own, truth, noise = params["scaling"], data["true_weight"], float(data["noise"])
    train, weight_decays = own["train"], own["sweep"]["wd"]
    table: Table = []
    summary: dict[str, Any] = {}
    for n in own["data"]["rows"]:
        x, y = data["train_inputs"][:, :n], data["train_targets"][:, :n]
        order = orders(params["seed"], "scaling", {"train_targets": y}, train["epochs"])
        theory = float(f"{truth.shape[1] * noise**2 / (n * float((truth[0] ** 2).sum())):.6g}")
        for size in own["sweep"]["batch_size"]:
            batches = batches_of(order, size)
            for kind, named in (("sgd", theory), ("adamw", of_adamw(x, y, theory, size))):
                weight = trained(kind, train[kind], x, y, batches, weight_decays)
                each = ((weight - truth[:, None]) ** 2).sum(axis=2)
                risks = {decay: Values(each[:, index], each.max()) for index, decay in enumerate(weight_decays)}
                pace = train[kind]["lr"] * len(batches) / train["epochs"]  # the learning rates of an epoch, at their start
                epochs = {decay: rounded(1 / (pace * decay)) if decay else None for decay in weight_decays}
                table += [
                    {"run": f"{kind}_{size}", "rows": Number(n), "weight_decay": rounded(decay), "epochs": epochs[decay]}
                    | {"diverged": Number(0)}
                    | means({"risk": of_decay})
                    for decay, of_decay in risks.items()
                ]
                best = min(risks, key=lambda decay: risks[decay].each.mean())
                alike = [decay for decay in weight_decays if not visibly_worse(risks[decay].each - risks[best].each, len(risks))]
                found = {"best_lambda": best, "alike_from": min(alike), "alike_to": max(alike), "theory_lambda": named}
                within = min(weight_decays[1:]) / 1.01 <= named <= 1.01 * max(weight_decays)
                near = min(weight_decays[1:], key=lambda decay: abs(np.log(decay / named)))
                told = {"theory_alike": Number(near in alike), "zero_alike": Number(0 in alike)} if within else {}
                summary[f"{kind}_{size}_rows_{n}"] = told | (
                    {name: rounded(decay) for name, decay in found.items()}
                    | ({"epochs_at_best": epochs[best]} if best else {})
                    | means({"risk_at_best": risks[best], "risk_at_zero": risks[0]})
                )
    return Results(table, summary)


def trained(
    kind: str, settings: dict[str, float], x: Array, y: Array, batches: list[NDArray[np.int64]], weight_decays: list[float]
) -> Array:
    """The weights at the end, the learning rate falling along a line: decay in SGD's gradient, beside AdamW's.  (R, L, d)"""
    steps, decay, slope = len(batches), np.array(weight_decays)[:, None], on_rows(x, y, batches)
    start, lr = np.zeros((len(x), len(weight_decays), x.shape[2])), settings["lr"] * (1 - np.arange(steps) / steps)
    if kind == "sgd":
        return sgd(lambda theta, step: slope(theta, step) + decay * theta, start, steps, lr=lr, momentum=0)[-1]
    rest = {name: settings[name] for name in ("beta1", "beta2", "eps")}
    return adam(slope, start, steps, lr=lr, **rest, decoupled=decay)[-1]


def of_adamw(x: Array, y: Array, theory: float, size: int) -> float:
    """Theory's λ over the root mean square of a batch's gradient at its ridge solution, drawn without putting back."""
    rows, weight = x.shape[1], ridge(x, y, theory)
    each = ((x @ weight[:, :, None])[:, :, 0] - y)[:, :, None] * x  # a row's gradient, (R, n, d)
    square = each.mean(axis=1) ** 2 + each.var(axis=1) / size * (rows - size) / (rows - 1)
    return float((theory / np.sqrt(square.mean(axis=1))).mean())


def visibly_worse(gaps: Array, compared: int) -> bool:
    """Than the best, in a paired t-test at 1 % over all λ but one.  (R,)"""
    error = gaps.std(ddof=1) / np.sqrt(len(gaps))
    return bool(gaps.mean() > stdtrit(len(gaps) - 1, 1 - 0.01 / (compared - 1) / 2) * error)
