"""equilibrium, measured: beside the norm and the angle of a step that theory expects once the norm has settled.

What is measured of the equilibrium is a mean over the second half of training.
Shapes: H learning rates, T trials, L products lr·λ, K evaluations.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure import linear
from stages.measure.findings import at_most, effect, per_cent, sentence, sign_over_trials
from stages.measure.results import LOWER, NEITHER, OF_REGRESSION, Metrics, Results
from stages.measure.rows import HISTORIES, Row, Runs, Table, metrics
from stages.measure.statistics import alive, curve, mean_and_error, over_pairs
from stages.studies.equilibrium import theory
from stages.studies.equilibrium.adaptive import turns, turns_said
from stages.studies.equilibrium.system import CURVATURE, Equilibrium, unseen

SETTLED = 0.01  # the share of ‖w‖⁴ by which a run that counts as settled may still be off; and of ‖w‖ by which it may drift
SWINGS = 1.5  # from so many times its smallest value on, a norm is said to swing
WATCHED = ("weight_norm", "angle", "push")  # of a run's histories


def evaluate(section: Equilibrium, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    known = arrays | unseen(arrays)
    of_zero = linear.losses_of_zero(known, CURVATURE)
    rows, settled = {"null": linear.losses_row(known, of_nothing(of_zero), CURVATURE)}, {}
    for name, run in runs.items():
        lr, late = float(run["lr"]), run["steps"] >= run["steps"][-1] / 2
        of_run = {key: run[key][:, late] for key in WATCHED} | {"peak": run["weight_norm"].max(axis=1)}
        measured = late_training(of_run, run["steps"][late], lr, run["weight_decay"], float(run["momentum"]))
        settled[name] = bool(measured.pop("settled").all() and is_still(of_run["weight_norm"]))
        measured["late_val_loss"] = run["val_loss"][:, late].mean(axis=1)
        rows[name] = linear.losses_row(known, run, CURVATURE) | {key: value * alive(run) for key, value in measured.items()}
        rows[name]["effective_lr"] = effective(lr, rows[name]["weight_norm"])
    found = metrics(rows, runs, [("wd", "baseline")], of_zero)
    found["wd_minus_baseline"] |= over_pairs("late_val_loss", rows["wd"]["late_val_loss"] - rows["baseline"]["late_val_loss"])
    for name, run in runs.items():
        found[name] |= {"settled": int(settled[name]), "lr": float(run["lr"])}
    return found | {"findings": findings(found, int(runs["wd"]["steps"][-1]))}, curves(runs)


def of_nothing(of_zero: Mapping[str, NDArray]) -> Arrays:
    """A run that predicts zero."""
    trials = len(of_zero["train"])
    histories = {f"{split}_loss": loss[:, None] for split, loss in of_zero.items()}
    return histories | {"weight_norm": np.zeros((trials, 1)), "diverged": np.zeros(trials, dtype=bool)}


def curves(runs: Runs) -> Table:
    """Every run's histories, and its effective learning rate lr/‖w‖²."""
    table: Table = []
    for name, run in runs.items():
        histories = {key: run[key] for key in HISTORIES if key in run}
        histories["effective_lr"] = effective(float(run["lr"]), run["weight_norm"])
        table += curve({"run": name}, "step", run["steps"], {key: each * alive(run)[:, None] for key, each in histories.items()})
    return table


def effective(lr: float, norms: NDArray) -> NDArray:
    """lr/‖w‖², NaN where no weights are left."""
    return lr / np.where(norms > 0, norms, np.nan) ** 2


def late_training(late: Mapping[str, NDArray], steps: NDArray, lr: float, weight_decay: NDArray, momentum: float) -> Row:
    """What the second half of training shows, and what theory expects of it; NaN where it expects nothing. Angles in degrees.

    `gradient` is the mean square of the gradient at the unit vector, which a step shows as push/lr. The norm that theory expects
    hangs on it, the angle does not. Theory is for SGD without momentum. `settled` is whether the norm had the time to get to its
    equilibrium, wherever that is; `is_still` says whether it got there. `swing` is its largest value over its smallest.
    Histories (…, K), `peak` (…), steps (K,), λ a number or (…) → (…) each
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # where the norm grows beyond all bounds, or ends at 0
        gradient = (late["push"] ** 2).mean(axis=-1) / lr**2
        swing = late["weight_norm"].max(axis=-1) / late["weight_norm"].min(axis=-1)
    norm, product = late["weight_norm"].mean(axis=-1), lr * weight_decay + np.zeros_like(gradient)
    expected = np.where(momentum > 0, np.nan, product)
    return {
        "gradient": gradient,
        "late_norm": norm,
        "swing": swing,
        "late_norm_theory": theory.norm(lr, expected / lr, gradient),
        "angle": np.degrees(theory.mean_angle(late["angle"])),
        "angle_theory": np.degrees(theory.angle(expected)),
        "settled": theory.unsettled(product, steps, late["peak"], norm) <= SETTLED,
    }


def is_still(norms: NDArray) -> bool:
    """Tell whether the norm keeps its mean from one half of these steps to the other, within SETTLED or chance.  (T, K)"""
    half = norms.shape[1] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        drift = np.log(norms[:, half:].mean(axis=1) / norms[:, : max(half, 1)].mean(axis=1))
    known = mean_and_error("drift", drift)
    return not sign_over_trials(drift) or abs(known["drift"]) <= SETTLED


def findings(rows: Metrics, steps: int) -> dict[str, str]:
    """Write a sentence for the overview, and one for the figure."""
    rates = [f"at {row['effective_lr']:.2g} with λ = {row['weight_decay']:g}" for row in arms(rows) if "effective_lr" in row]
    return {
        "panel": effect(rows, value="late_val_loss")
        + (f"; the effective learning rate ends {' and '.join(rates)}" if rates else ""),
        "norm": norms_said(rows, steps),
    }


def arms(rows: Metrics) -> list[Mapping[str, float]]:
    """List the arms, one for each λ."""
    return list({rows[row]["weight_decay"]: rows[row] for row in ("baseline", "wd")}.values())[::-1]


def norms_said(rows: Metrics, steps: int) -> str:
    """Say what becomes of the norm in each arm."""
    said = [f"λ = {row['weight_decay']:g} {fate(row, steps)}" for row in arms(rows)]
    return "; ".join([said[0].replace(" it", " the weight norm", 1), *said[1:]])


def fate(row: Mapping[str, float], steps: int) -> str:
    """Say what becomes of the norm in one arm."""
    if "weight_norm" not in row:
        return "makes it grow beyond all bounds"
    norm, held = row["weight_norm"], row["late_norm"]
    off = abs(held / row["late_norm_theory"] - 1) if row["settled"] and "late_norm_theory" in row else 0.0
    near = f", within {at_most(off, 2)} of theory" if off <= theory.ALIKE else f", {per_cent(off)} off theory"
    held_at = f"holds it at {held:.3g}" + (f" on average, swinging {row['swing']:.2g}-fold" if row["swing"] >= SWINGS else "")
    return sentence(
        (row["weight_decay"] == 0, f"lets it grow to {norm:.3g}"),
        (not row["settled"], f"takes it to {norm:.3g} in {steps:,} steps, where it has not settled"),
        (off, held_at + near),
        (True, held_at),
    )


def evaluate_sweep(section: Equilibrium, __: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each learning rate, lr·λ and trial. `risk` is the validation loss, on average over the second half."""
    rates, products, momentum = swept["lr"], swept["product"], float(swept["momentum"])
    lost = np.where(swept["diverged"], np.nan, 1.0)
    each = []
    for index, rate in enumerate(rates.tolist()):
        late = {name: swept[name][index] for name in (*WATCHED, "peak")}
        each.append(late_training(late, swept["steps"], rate, products / rate, momentum))
    runs = {name: np.stack([of_rate[name] for of_rate in each]) * lost for name in each[0] if name != "settled"}
    runs |= {"risk": swept["val_loss"].mean(axis=-1) * lost, "val_loss": swept["val_loss"][..., -1] * lost}
    in_time = np.stack([of_rate["settled"] for of_rate in each])
    settled = np.all(in_time & ~swept["diverged"], axis=1)  # (H, L)
    for h, i in np.argwhere(settled):
        settled[h, i] = is_still(swept["weight_norm"][h, :, i])
    table = [
        {"lr": rate, "product": product, "weight_decay": swept["weight_decay"][h, i], "trial": trial}
        | {"diverged": int(swept["diverged"][h, trial, i]), "settled": int(settled[h, i])}
        | {name: none_if_unknown(value[h, trial, i]) for name, value in runs.items()}
        for h, rate in enumerate(rates.tolist())
        for i, product in enumerate(products.tolist())
        for trial in range(lost.shape[1])
    ]
    found, own = summary(rates, products, runs, settled, steps=int(swept["steps"][-1])), section.sweep.adaptive
    turned = turns(swept, float(np.degrees(theory.adaptive_angle(own.lr * own.wd, own.beta1))))
    found["findings"] |= {"adaptive": turns_said(turned, own.scale)}
    return table, found | turned


def none_if_unknown(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def summary(rates: NDArray, products: NDArray, runs: Row, settled: NDArray, *, steps: int) -> dict[str, Any]:
    """What the grid says of all runs that have settled, and of the smallest and the largest of their lr·λ.

    `risk_apart` is how far two risks at the same lr·λ are apart at most, in any trial, `angle_off` and `norm_off` how far a mean
    is from theory at most, as shares. `slowest` and `fastest` are the learning rates at the ends, settled or not.
    """
    found: dict[str, Any] = {"settled": int(settled.sum()), "decaying": int((products > 0).sum() * len(rates))}
    found |= {"rates": len(rates), "steps": steps}
    shared = [index for index in range(len(products)) if settled[:, index].sum() > 1]
    if shared:
        found["risk_apart"] = max(theory.apart(runs["risk"][settled[:, index], :, index]) for index in shared)
    for name, value in (("angle_off", "angle"), ("norm_off", "late_norm")):
        means, expected = (runs[each].mean(axis=1)[settled] for each in (value, f"{value}_theory"))
        gaps = np.abs(means / expected - 1)[np.isfinite(expected)]
        found |= {name: float(gaps.max())} if gaps.size else {}
    arrived = np.flatnonzero(settled.any(axis=0)).tolist()
    for place, index in zip(("smallest", "largest"), arrived[:1] + arrived[-1:], strict=bool(arrived)):
        rate = int(np.flatnonzero(settled[:, index])[0])
        found[place] = {"product": products[index], "lr": rates[rate]}
        for value in ("risk", "angle", "angle_theory"):
            found[place] |= mean_and_error(value, runs[value][rate, :, index])
    for place, rate in (("slowest", 0), ("fastest", len(rates) - 1)):
        found[place] = {"lr": rates[rate]} | without_and_best(products, runs["risk"][rate])
    return found | {"findings": sentences(found)}


def without_and_best(products: NDArray, risks: NDArray) -> dict[str, float]:
    """The risk at λ = 0, and the lr·λ with the lowest risk.  (L,), (T, L)"""
    whole = [index for index in range(len(products)) if not np.isnan(risks[:, index]).any()]
    if not whole:
        return {}
    best = min(whole, key=risks.mean(axis=0).__getitem__)
    found = {"best_product": products[best]} | mean_and_error("risk_at_best", risks[:, best])
    return found | (mean_and_error("risk_at_zero", risks[:, 0]) if 0 in whole else {})


def sentences(found: Metrics) -> dict[str, str]:
    """Say whether only the product lr·λ counts, and whether the angle of a step is theory's."""
    within, apart, off = f"within {found['steps']:,} steps", found.get("risk_apart", 0.0), found.get("angle_off", 0.0)
    rates = f"{found['rates']} learning rates from {found['slowest']['lr']:g} to {found['fastest']['lr']:g}"
    same = "have the same risk at the same lr·λ"
    differ = [
        (found["rates"] == 1, "A single learning rate has nothing to compare with"),
        ("risk_apart" not in found, f"No two learning rates settle at the same lr·λ {within}"),
        (apart > theory.ALIKE, f"Once settled, runs with the same lr·λ differ in risk by up to {at_most(apart, 2)}"),
    ]
    risk = f"Once settled, runs with the same lr·λ have the same risk within {at_most(apart, 2)}, whatever lr"
    turns = f"Once settled, a step turns the weights by arccos(1 − lr·λ) within {at_most(off, 2)}"
    return {
        "panel": sentence(*differ, (True, f"Only lr·λ counts: {rates} {same}, within {at_most(apart, 2)}, once settled")),
        "risk": sentence(*differ, (True, risk)),
        "angle": sentence(
            (not found["settled"], f"No run settles {within}"),
            ("angle_off" not in found, "With momentum, theory has no angle to compare with"),
            (off > theory.ALIKE, f"Once settled, the angle of a step is up to {at_most(off, 2)} from arccos(1 − lr·λ)"),
            (found["rates"] > 1, f"{turns}, whatever lr"),
            (True, turns),
        ),
    }


READ = {"lr": 1, "product": 1, "weight_decay": 2, "steps": Integers(1), "momentum": 0, "diverged": Integers(3)}
READ |= {"peak": 3, "val_loss": 4, "adam_angle": 3, "adamw_angle": 3} | dict.fromkeys(WATCHED, 4)
HEADLINES = OF_REGRESSION | {"angle": NEITHER, "risk_at_best": LOWER}
RESULTS = Results(swept=READ, sweep=evaluate_sweep, evaluate=evaluate, headlines=HEADLINES)
