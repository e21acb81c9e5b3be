"""optimizers, measured: how far each optimiser ends from ridge, and from least squares in the box |w| ≤ 1/λ.

Shapes: T trials, L decays, R learning rates, d inputs.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import on_grid
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure import linear
from stages.measure.findings import at_most, counted, diverged, effect, per_cent, visible
from stages.measure.results import LOWER, OF_REGRESSION, Metrics, Results
from stages.measure.rows import Row, Runs, Table, curves, metrics
from stages.measure.statistics import alive, mean_and_error, summarise
from stages.studies.optimizers.box import box, rest
from stages.studies.optimizers.system import CURVATURE, KINDS, ROWS, Comparison, general
from stages.theory.ridge import without_bias
from stages.theory.risk import risk

Oracles = dict[str, NDArray]  # name → weights (T, d)
NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "adamw": "AdamW"}
COUPLED, ADAPTIVE = KINDS[:3], KINDS[2:]
ENDS_AT = dict.fromkeys(COUPLED, "ridge") | {"adamw": "box"}  # optimiser → its oracle
KNOWN = 16  # bits of a distance: what is nearer than 1e-5 is zero
ARRIVED = 0.05  # of the oracle's length: an optimiser that ends nearer is said to end there
SAME = "At λ = 0 ridge and the box are both least squares"
PAIRS = tuple((f"wd{suffix}", f"baseline{suffix}") for suffix in ROWS.values())  # compared trial by trial


def optimum(arrays: Arrays, weight_decay: float) -> Oracles:
    """Ridge, without a bias.  (T, d)"""
    return {"weight": without_bias(arrays["train_inputs"], arrays["train_targets"], weight_decay)}


def oracles(arrays: Arrays, weight_decay: float, eps: float) -> Oracles:
    """Ridge; least squares in the box; and where AdamW with this ε comes to rest.  (T, d) each"""
    pairs = list(zip(arrays["train_inputs"], arrays["train_targets"], strict=True))
    return {
        "ridge": optimum(arrays, weight_decay)["weight"],
        "box": np.array([box(x, y, weight_decay) for x, y in pairs]),
        "rest": np.array([rest(x, y, weight_decay, eps=eps) for x, y in pairs]),
    }


def distance(weight: NDArray, oracle: NDArray) -> NDArray[np.float64]:
    """‖w − oracle‖ in units of the oracle's length.  (…, d), (…, d) → (…)"""
    lengths = np.linalg.norm(oracle, axis=-1)
    apart = np.linalg.norm(weight - oracle, axis=-1) / np.where(lengths > 0, lengths, 1)
    return on_grid(apart, 1, KNOWN)


def evaluate(section: Comparison, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    eps = section.train.adamw.eps
    known = {decay: oracles(arrays, decay, eps) for decay in {float(run["weight_decay"]) for run in runs.values()}}
    rows = {}
    for name, run in runs.items():
        weight = run["weight"] * alive(run)[:, None]
        rows[name] = linear.losses_row(arrays, run, CURVATURE) | of_weights(arrays, weight, known[float(run["weight_decay"])])
    own = known[float(runs["wd"]["weight_decay"])]
    for name, weight in (own | {"null": np.zeros_like(own["box"]), "oracle": arrays["true_weight"]}).items():
        solution = {"weight": weight, "bias": np.zeros(len(weight))}
        row = linear.solution_row(arrays, solution, CURVATURE, lambda weight, _: of_weights(arrays, weight, own))
        rows[name] = {value: each for value, each in row.items() if value not in ("bias", "weight")}
    found = metrics(rows, runs, PAIRS, linear.losses_of_zero(arrays, CURVATURE))
    cut = share_outside(arrays, found["wd"]["weight_decay"])
    return found | {"findings": findings(found, section.train.steps, cut)}, curves(runs, "step")


def of_weights(arrays: Arrays, weight: NDArray, known: Oracles) -> Row:
    """What a row says of its weights.  (T, d) → (T,) each"""
    return {
        "risk": risk(weight, arrays["true_weight"]),
        "largest_weight": np.abs(weight).max(axis=1),
        **{f"from_{name}": distance(weight, oracle) for name, oracle in known.items()},
    }


def share_outside(arrays: Arrays, weight_decay: float) -> float:
    """The share of the least squares weights that are beyond 1/λ."""
    return float((weight_decay * np.abs(optimum(arrays, 0)["weight"]) > 1).mean())


def findings(rows: Metrics, steps: int, cut: float) -> dict[str, str]:
    """A sentence for each figure."""
    effects, ends = of_losses(rows), of_ends(rows, cut)
    return {
        "panel": ends or effects,
        "curves": effects,
        "weights": of_scatter(rows, steps, cut),
    }


def of_losses(rows: Metrics) -> str:
    """What λ does to the validation loss, with Adam and with AdamW."""
    one, other = (effect(rows, f"wd{ROWS[kind]}", f"baseline{ROWS[kind]}", when=f" with {NAMES[kind]}") for kind in ADAPTIVE)
    if one == other:
        return one
    no_effect = " has no visible effect on the validation loss"
    if all(said.endswith(f"{no_effect} with {NAMES[kind]}") for said, kind in zip((one, other), ADAPTIVE, strict=True)):
        return f"{one} or {NAMES['adamw']}"
    second = other.removeprefix(f"λ = {rows['wd_adamw']['weight_decay']:g} ").replace("the validation loss", "it")
    return f"{one}; {other}" if ";" in one + other or ":" in one + other else f"{one}, and {second}"


def of_ends(rows: Metrics, cut: float) -> str:
    """Where Adam and AdamW end; nothing where one of them does not arrive, and where both would be at the same place.

    `cut` is the share of the least squares weights that are outside the box.
    """
    decay, arrived = rows["wd"]["weight_decay"], all(is_near(rows, kind) for kind in ADAPTIVE)
    apart = rows["ridge"].get("from_box", 0.0) > ARRIVED
    if not (decay and arrived and apart) or diverged(rows, *(f"wd{ROWS[kind]}" for kind in ADAPTIVE)):
        return ""
    box = f"caps them at ±{1 / decay:g}" if cut else "leaves them"
    return f"With λ = {decay:g} Adam divides all weights by {1 + decay:g}, AdamW {box}"


def is_near(rows: Metrics, kind: str) -> bool:
    return rows[f"wd{ROWS[kind]}"].get(f"from_{ENDS_AT[kind]}", math.inf) < ARRIVED


def of_scatter(rows: Metrics, steps: int, cut: float) -> str:
    """What becomes of the least squares weights. `cut` is the share of them that are outside the box."""
    decay = rows["wd"]["weight_decay"]
    if not decay:
        return SAME
    adam, adamw = (rows[f"wd{ROWS[kind]}"].get(f"from_{ENDS_AT[kind]}") for kind in ADAPTIVE)
    after, wall = f"after {counted(steps, 'step')}", f"{1 / decay:g}"
    divides, them = is_near(rows, "adam"), "them"
    if divides:
        said = [f"Adam divides weights by {1 + decay:g}"]
    else:
        said, them = [f"Adam is {per_cent(adam)} away from ridge {after}"], "weights"
    if not is_near(rows, "adamw"):
        said.append(
            f"AdamW {'is ' if divides else ''}{per_cent(adamw)} away from the box |w| ≤ {wall}{f' {after}' if divides else ''}"
        )
    elif cut:
        said.append(f"AdamW caps {them} at {wall}")
    else:
        said.append(f"AdamW leaves {them}, as none is beyond {wall}")
    lost = diverged(rows, *(f"wd{ROWS[kind]}" for kind in ADAPTIVE))
    return "; ".join([f"λ = {decay:g}: {', '.join(said)}", *lost])


def evaluate_sweep(section: Comparison, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each optimiser, learning rate and λ, and for each oracle and λ."""
    rows, decays = general(arrays), swept["weight_decay"]
    each = [oracles(rows, decay, section.train.adamw.eps) for decay in decays.tolist()]
    known = {name: np.stack([one[name] for one in each], axis=1) for name in each[0]}  # (T, L, d)
    ends = {kind: measured(swept, kind, known, arrays["true_weight"]) for kind in KINDS}
    theory = {name: measured_ends(weight[None], known, arrays["true_weight"]) for name, weight in known.items()}
    table = [
        {"run": kind, "lr": lr, "weight_decay": decay, "diverged": int(swept[f"{kind}_diverged"][place, :, index].sum())}
        | at_one(ends[kind], place, index)
        for kind in KINDS
        for place, lr in enumerate(swept[f"{kind}_lr"].tolist())
        for index, decay in enumerate(decays.tolist())
    ]
    table += [
        {"run": name, "lr": None, "weight_decay": decay, "diverged": 0} | at_one(theory[name], 0, index)
        for name in known
        for index, decay in enumerate(decays.tolist())
    ]
    return table, summary(section, arrays, swept, ends, theory)


def measured(swept: Mapping[str, NDArray], kind: str, known: Oracles, truth: NDArray) -> Row:
    """What an optimiser ends with, NaN at λ and learning rates at which a trial diverged.  (R, T, L) each"""
    lost = np.any(swept[f"{kind}_diverged"], axis=1, keepdims=True)
    return measured_ends(np.where(lost[..., None], np.nan, swept[f"{kind}_weight"]), known, truth)


def measured_ends(weight: NDArray, known: Oracles, truth: NDArray) -> Row:
    """(R, T, L, d) → (R, T, L) each"""
    return {"risk": risk(weight, truth[:, None])} | {f"from_{name}": distance(weight, each) for name, each in known.items()}


def at_one(ends: Row, place: int, index: int) -> dict[str, float | None]:
    """Means over trials of what stands at one learning rate and one λ, None where a trial diverged."""
    empty: dict[str, float | None] = {key: None for name in ends for key in (name, f"{name}_se")}
    if any(np.isnan(each[place, :, index]).any() for each in ends.values()):
        return empty
    return empty | summarise({name: each[place, :, index] for name, each in ends.items()})


def summary(
    section: Comparison, arrays: Arrays, swept: Mapping[str, NDArray], ends: Mapping[str, Row], theory: Mapping[str, Row]
) -> dict[str, Any]:
    """What the grid says: how far each optimiser is from its oracle at most, the best λ at every learning rate, the oracles'."""
    decays = swept["weight_decay"]
    inputs, rows = arrays["true_weight"].shape[1], arrays["general_inputs"].shape[1]
    farthest = {kind: far(ends[kind][f"from_{ENDS_AT[kind]}"][own_rate(swept, kind)], decays) for kind in KINDS}
    risks = {kind: ends[kind]["risk"] for kind in ADAPTIVE}
    found: dict[str, Any] = {
        "theory_lambda": inputs * section.data.noise**2 / (rows * section.data.weight_norm**2),
        "diverged": int(swept["diverged"].sum()),
    }
    for name in ("ridge", "box"):
        found[f"best_lambda_of_{name}"] = in_lambda(best_at(theory[name]["risk"]), decays)[0]
        found |= mean_and_error(f"best_risk_of_{name}", theory[name]["risk"][0, :, best_at(theory[name]["risk"])[0]])
    for kind in KINDS:
        found[kind] = {"lr": float(swept[f"{kind}_own_lr"])}
        if (share := farthest[kind]) is not None:
            found[kind]["farthest"] = share
    for kind, each in risks.items():
        found[kind] |= {"lrs": swept[f"{kind}_lr"].tolist(), "best_lambdas": in_lambda(best_at(each), decays)}
    lost = [f"{swept['diverged'].sum()} of {swept['diverged'].size} runs diverged"] if swept["diverged"].any() else []
    rates = of_rates(risks, {kind: swept[f"{kind}_lr"] for kind in ADAPTIVE}, decays)
    said = {"distance": of_distances(farthest, decays, whole=not lost), "learning_rate": rates}
    return found | {"findings": {name: "; ".join([sentence, *lost]) for name, sentence in said.items()}}


def own_rate(swept: Mapping[str, NDArray], kind: str) -> int:
    """The place of an optimiser's own learning rate among those of the sweep."""
    return int(np.flatnonzero(swept[f"{kind}_lr"] == swept[f"{kind}_own_lr"])[0])


def far(distances: NDArray, decays: NDArray) -> float | None:
    """The largest mean distance at λ > 0, where no trial diverged.  (T, L) → a number, None if there is none"""
    means = distances.mean(axis=0)[decays > 0]
    return float(np.nanmax(means)) if np.isfinite(means).any() else None


def best_at(risks: NDArray) -> list[int | None]:
    """The place of the λ of the lowest mean risk at each learning rate.  (R, T, L) → R of them"""
    return [None if np.isnan(means).all() else int(np.nanargmin(means)) for means in risks.mean(axis=1)]


def in_lambda(places: Sequence[int | None], decays: NDArray) -> list[float | None]:
    return [None if place is None else float(decays[place]) for place in places]


def of_distances(farthest: Mapping[str, float | None], decays: NDArray, *, whole: bool = True) -> str:
    """How far each optimiser is from its oracle at most, over λ > 0. `whole` says that no run diverged."""
    if not (decays > 0).any():
        return SAME
    known = {kind: share for kind, share in farthest.items() if share is not None}
    if not known:
        return "At every λ > 0 a trial diverged"
    coupled, said = [kind for kind in COUPLED if kind in known], []
    if coupled:
        names, farther = listed([NAMES[kind] for kind in coupled]), max(known[kind] for kind in coupled)
        said.append(f"{names} {away(farther, several=len(coupled) > 1)} ridge")
    if "adamw" in known:
        said.append(f"AdamW {away(known['adamw'])} least squares in the box")
    where = "on" if whole else "on, where no trial diverged,"
    return f"From λ = {decays[decays > 0][0]:g} {where} {', '.join(said)}"


def listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def away(share: float, *, several: bool = False) -> str:
    """At most so far from an oracle: `ends within 3% of`, or `is up to 40% away from`."""
    if share < ARRIVED:
        return f"{'end' if several else 'ends'} within {at_most(max(share, 2.0**-KNOWN), 1)} of"
    return f"{'are' if several else 'is'} up to {at_most(max(share, 2.0**-KNOWN), 1)} away from"


def of_rates(risks: Mapping[str, NDArray], rates: Mapping[str, NDArray], decays: NDArray) -> str:
    """Whether the best λ depends on the learning rate, with Adam and with AdamW.  (R, T, L), (R,) each"""
    if next(iter(risks.values())).shape[1] == 1:
        return "A single trial has no error to tell an effect by"
    best = {kind: {rate: place for rate, place in enumerate(best_at(each)) if place is not None} for kind, each in risks.items()}
    moves = {kind: moved(each, best[kind]) for kind, each in risks.items()}
    if not all(best.values()):
        return "At every λ and learning rate a trial diverged"
    ranges = {kind: f"{spread([decays[place] for place in each.values()])} with {NAMES[kind]}" for kind, each in best.items()}
    if any(moves.values()):
        said = [
            f"from {decays[best[kind][pair[0]]]:g} at lr = {rates[kind][pair[0]]:g} to {decays[best[kind][pair[1]]]:g} "
            f"at lr = {rates[kind][pair[1]]:g} with {NAMES[kind]}"
            for kind, pair in moves.items()
            if pair
        ]
        others = [ranges[kind] for kind, pair in moves.items() if not pair]
        return "The best λ moves " + ", and ".join(said) + "".join(f"; it is {other}" for other in others)
    if all(len(set(each.values())) == 1 for each in best.values()):
        whole = all(len(best[kind]) == len(each) for kind, each in rates.items())
        return f"The best λ is {' and '.join(ranges.values())}, at every learning rate" + ("" if whole else " without divergence")
    return f"The learning rate does not visibly change the best λ: {', '.join(ranges.values())}"


def spread(values: Sequence[float]) -> str:
    """`5 to 10`, or the one value."""
    return " to ".join(f"{value:g}" for value in dict.fromkeys((min(values), max(values))))


def moved(risks: NDArray, best: Mapping[int, int]) -> tuple[int, int] | None:
    """Two learning rates between which the best λ visibly changes, as far apart as can be; None if there are none.

    At each of the two the λ that is best at the other is visibly worse, trial by trial.  (R, T, L), learning rate → λ
    """
    pairs = [
        (one, other)
        for one, other in itertools.combinations(best, 2)
        if worse(risks[one], best[one], best[other]) and worse(risks[other], best[other], best[one])
    ]
    return max(pairs, key=lambda pair: pair[1] - pair[0]) if pairs else None


def worse(risks: NDArray, best: int, other: int) -> bool:
    """Whether a λ is visibly worse than the best, trial by trial, or a trial diverged there.  (T, L)"""
    gap = risks[:, other] - risks[:, best]
    known = mean_and_error("gap", gap)
    return bool(np.isnan(gap).any()) or visible(known["gap"], known.get("gap_se"))


READ = {"weight_decay": 1, "diverged": Integers(3)}
for kind in KINDS:
    READ |= {f"{kind}_lr": 1, f"{kind}_own_lr": 0, f"{kind}_weight": 4, f"{kind}_diverged": Integers(3)}
HEADLINES = {"risk": LOWER} | OF_REGRESSION
TOLD = ("baseline", "wd", "wd_adam", "wd_adamw", "null")
RESULTS = Results(swept=READ, sweep=evaluate_sweep, evaluate=evaluate, optimum=optimum, headlines=HEADLINES, rows=TOLD)
