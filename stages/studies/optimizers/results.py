"""optimizers, measured: how far each optimiser ends from ridge, and from least squares in the box |w| ≤ 1/λ.

Shapes: T trials, L values of λ, R learning rates, B batch sizes, d inputs.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import risk
from stages.base.rounding import on_grid
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure import findings as words
from stages.measure import linear
from stages.measure.linear import optimum
from stages.measure.results import LOWER, OF_REGRESSION, Metrics, Reference, Results
from stages.measure.rows import Row, Runs, Table, curves, metrics
from stages.measure.statistics import alive, mean_and_error, summarise
from stages.studies.optimizers.batches import of_sizes
from stages.studies.optimizers.batches import said as batches_said
from stages.studies.optimizers.box import box, rest, rests_of
from stages.studies.optimizers.system import CURVATURE, KINDS, ROWS, Comparison, general

Oracles = dict[str, NDArray]  # name → weights (T, d)
NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "adamw": "AdamW"}
COUPLED, ADAPTIVE = KINDS[:3], KINDS[2:]
ENDS_AT = dict.fromkeys(COUPLED, "ridge") | {"adamw": "box"}  # optimiser → its oracle
KNOWN = 16  # bits of a distance: what is nearer than 1e-5 is zero
ARRIVED = 0.05  # of the oracle's length: an optimiser that ends nearer is said to end there
SAME = "At λ = 0 ridge and the box are both least squares"
ADAPTIVE_ROWS = [f"wd{ROWS[kind]}" for kind in ADAPTIVE]
OF_BATCHES = ("largest_share", "largest_share_se", "from_batch_rest", "from_batch_rest_se")  # columns of their rows alone
PAIRS = tuple((f"wd{suffix}", f"baseline{suffix}") for suffix in ROWS.values())  # compared trial by trial


def in_the_box(arrays: Arrays, weight_decay: float) -> dict[str, NDArray]:
    """Solve least squares in the box, in every trial.  (T, d)"""
    pairs = zip(arrays["train_inputs"], arrays["train_targets"], strict=True)
    return {"weight": np.array([box(*pair, weight_decay) for pair in pairs])}


REFERENCES = {"ridge": Reference("wd", optimum), "box": Reference("wd", in_the_box, boxed=True)}


def oracles(arrays: Arrays, weight_decay: float, eps: float) -> Oracles:
    """Ridge; least squares in the box; and where AdamW with this ε comes to rest.  (T, d) each"""
    pairs = zip(arrays["train_inputs"], arrays["train_targets"], strict=True)
    at_rest = np.array([rest(*pair, weight_decay, eps=eps) for pair in pairs])
    return {row: each.solve(arrays, weight_decay)["weight"] for row, each in REFERENCES.items()} | {"rest": at_rest}


def distance(weight: NDArray, oracle: NDArray) -> NDArray[np.float64]:
    """‖w − oracle‖ in units of the oracle's length.  (…, d), (…, d) → (…)"""
    lengths = np.linalg.norm(oracle, axis=-1)
    apart = np.linalg.norm(weight - oracle, axis=-1) / np.where(lengths > 0, lengths, 1)
    return on_grid(apart, 1, KNOWN)


def evaluate(section: Comparison, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    eps = section.train.adamw.eps
    known = {each: oracles(arrays, each, eps) for each in {float(run["weight_decay"]) for run in runs.values()}}
    rows = {}
    for name, run in runs.items():
        weight = run["weight"] * alive(run)[:, None]
        rows[name] = linear.losses_row(arrays, run, CURVATURE) | of_weights(arrays, weight, known[float(run["weight_decay"])])
    own = known[float(runs["wd"]["weight_decay"])]
    for name, weight in (own | {"null": np.zeros_like(own["box"]), "oracle": arrays["true_weight"]}).items():
        rows[name] = linear.weights_row(arrays, weight, CURVATURE, lambda rounded, _: of_weights(arrays, rounded, own))
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
    """Write the sentences of page and figures. `cut` is the share of the least squares weights that are outside the box."""
    effects = of_losses(rows)
    return {"panel": of_ends(rows, cut) or effects, "losses": effects, "weights": of_scatter(rows, steps, cut)}


def of_losses(rows: Metrics) -> str:
    """Say what λ does to the validation loss, with Adam and with AdamW."""
    one, other = (
        words.effect(rows, f"wd{ROWS[kind]}", f"baseline{ROWS[kind]}", when=f" with {NAMES[kind]}") for kind in ADAPTIVE
    )
    neither = all("no visible effect" in said and ";" not in said for said in (one, other))
    second = other.removeprefix(f"λ = {rows['wd_adamw']['weight_decay']:g} ").replace("the validation loss", "it")
    return words.sentence(
        (one == other, one),
        (neither, one.replace(f" with {NAMES['adam']}", f" with {NAMES['adam']} or {NAMES['adamw']}")),
        (";" in one + other or ":" in one + other, f"{one}; {other}"),
        (True, f"{one}, and {second}"),
    )


def of_ends(rows: Metrics, cut: float) -> str:
    """Say where Adam and AdamW end; nothing where one of them does not arrive, and where both would be at the same place."""
    weight_decay, arrived = rows["wd"]["weight_decay"], all(is_near(rows, kind) for kind in ADAPTIVE)
    apart = rows["ridge"].get("from_box", 0.0) > ARRIVED
    if not (weight_decay and arrived and apart) or words.diverged(rows, *ADAPTIVE_ROWS):
        return ""
    box = f"caps them at ±{1 / weight_decay:g}" if cut else "leaves them"
    return f"On all rows, with λ = {weight_decay:g}, Adam divides all weights by {divisor(weight_decay)}, AdamW {box}"


def divisor(weight_decay: float) -> str:
    """Write 1 + λ, by which ridge divides on orthogonal rows."""
    return f"{1 + weight_decay:g}" if 1 + weight_decay >= 1.00001 else f"1 + {weight_decay:g}"


def is_near(rows: Metrics, kind: str) -> bool:
    """Tell whether an optimiser ends at its oracle."""
    return rows[f"wd{ROWS[kind]}"].get(f"from_{ENDS_AT[kind]}", math.inf) < ARRIVED


def of_scatter(rows: Metrics, steps: int, cut: float) -> str:
    """Say what becomes of the least squares weights."""
    weight_decay, after = rows["wd"]["weight_decay"], f"after {words.counted(steps, 'step')}"
    if not weight_decay:
        return SAME
    adam, adamw = (words.per_cent(rows[f"wd{ROWS[kind]}"].get(f"from_{ENDS_AT[kind]}", math.inf)) for kind in ADAPTIVE)
    divides, wall = is_near(rows, "adam"), f"{1 / weight_decay:g}"
    first = f"Adam divides weights by {divisor(weight_decay)}" if divides else f"Adam is {adam} away from ridge {after}"
    second = words.sentence(
        (not is_near(rows, "adamw") and divides, f"AdamW is {adamw} away from least squares in the box |w| ≤ {wall} {after}"),
        (not is_near(rows, "adamw"), f"AdamW {adamw} away from least squares in the box |w| ≤ {wall}"),
        (cut, f"AdamW caps {'them' if divides else 'weights'} at {wall}"),
        (True, f"AdamW leaves {'them' if divides else 'weights'}, as none is beyond {wall}"),
    )
    said = f"λ = {weight_decay:g}, all rows: {first}, {second}"
    return words.sentence((True, said), lost=words.diverged(rows, *ADAPTIVE_ROWS))


def evaluate_sweep(section: Comparison, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """Tabulate each optimiser, learning rate and λ; AdamW at each batch size and λ; and each oracle and λ."""
    rows, weight_decays = general(arrays), swept["weight_decay"].tolist()
    each = [oracles(rows, weight_decay, section.train.adamw.eps) for weight_decay in weight_decays]
    known = {name: np.stack([one[name] for one in each], axis=1) for name in each[0]}  # (T, L, d)
    ends = {kind: measured(swept, kind, known, arrays["true_weight"]) for kind in KINDS}
    theory = {name: measured_ends(weight[None], known, arrays["true_weight"]) for name, weight in known.items()}
    none = np.zeros((1, 1, len(weight_decays)))
    of_kinds = [(kind, {"lr": swept[f"{kind}_lr"].tolist()}, swept[f"{kind}_diverged"], ends[kind]) for kind in KINDS]
    of_oracles = [(name, {"lr": [None]}, none, values) for name, values in theory.items()]
    sizes, eps = {"batch_size": swept["batch_size"].tolist()}, section.sweep.batches.eps
    batches = on_batches(rows, swept, known, eps)
    solved = {name: np.zeros((len(sizes["batch_size"]), 1, len(weight_decays))) for name in batches}
    of_batches = [(name, sizes, swept["batch_diverged"] if name == "adamw" else solved[name], batches[name]) for name in batches]
    table = [
        {"run": run, "lr": None, "batch_size": None}
        | {axis: each, "weight_decay": weight_decay, "diverged": int(lost[place, :, index].sum())}
        | dict.fromkeys(OF_BATCHES)
        | at_one(values, place, index)
        for run, settings, lost, values in [*of_kinds, *of_batches, *of_oracles]
        for axis, places in settings.items()
        for place, each in enumerate(places)
        for index, weight_decay in enumerate(weight_decays)
    ]
    found = summary(section, arrays, swept, ends, theory)
    risks = {name: theory[name]["risk"][0] for name in ("ridge", "box")}
    small = of_sizes(batches["adamw"], risks, sizes["batch_size"], weight_decays, swept["batch_diverged"])
    said = batches_said(small, sizes["batch_size"], rows=rows["train_targets"].shape[1], trials=section.data.trials)
    return table, found | {"batches": small, "findings": found["findings"] | said}


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


def on_batches(arrays: Arrays, swept: Mapping[str, NDArray], known: Oracles, eps: float) -> dict[str, Row]:
    """What AdamW ends with on batches, `adamw`, and where it should come to rest, `batch_rest`.  (B, T, L) each

    On all rows ε says where, as for `rest`. `largest_share` is the largest |w| in units of the wall 1/λ.
    """
    weight_decays, sizes, truth = swept["weight_decay"], swept["batch_size"].tolist(), arrays["true_weight"]
    pairs = list(zip(arrays["train_inputs"], arrays["train_targets"], strict=True))
    rests = np.stack([[rests_of(x, y, weight_decays, size, eps=eps) for x, y in pairs] for size in sizes])
    lost = np.any(swept["batch_diverged"], axis=1, keepdims=True)
    weights = {"adamw": np.where(lost[..., None], np.nan, swept["batch_weight"]), "batch_rest": rests}
    return {
        name: measured_ends(weight, known, truth)
        | {"largest_share": weight_decays * np.abs(weight).max(axis=-1), "from_batch_rest": distance(weight, rests)}
        for name, weight in weights.items()
    }


def summary(
    section: Comparison, arrays: Arrays, swept: Mapping[str, NDArray], ends: Mapping[str, Row], theory: Mapping[str, Row]
) -> dict[str, Any]:
    """Sum up how far each optimiser is from its oracle at most, the best λ at every learning rate, and the oracles'."""
    weight_decays, lost = swept["weight_decay"], swept["diverged"]
    inputs, rows = arrays["true_weight"].shape[1], arrays["general_inputs"].shape[1]
    farthest = {kind: far(ends[kind][f"from_{ENDS_AT[kind]}"][own_rate(swept, kind)], weight_decays) for kind in KINDS}
    risks = {kind: ends[kind]["risk"] for kind in ADAPTIVE}
    found: dict[str, Any] = {
        "theory_lambda": inputs * section.data.noise**2 / (rows * section.data.weight_norm**2),
        "diverged": int(lost.sum()),
    }
    for name in ("ridge", "box"):
        best = int(theory[name]["risk"][0].mean(axis=0).argmin())
        found[f"best_lambda_of_{name}"] = weight_decays[best]
        found |= mean_and_error(f"best_risk_of_{name}", theory[name]["risk"][0, :, best])
    for kind, share in farthest.items():
        found[kind] = {"lr": float(swept[f"{kind}_own_lr"])} | ({} if share is None else {"farthest": share})
    for kind, each in risks.items():
        found[kind] |= {"lrs": swept[f"{kind}_lr"].tolist(), "best_lambdas": best_at(each, weight_decays)}
    rates = of_rates(risks, {kind: swept[f"{kind}_lr"] for kind in ADAPTIVE}, weight_decays)
    said = {"distance": of_distances(farthest, weight_decays, whole=not lost.any()), "learning_rate": rates}
    diverged = words.lost_runs(lost.sum(), lost.size)
    return found | {"findings": {name: words.sentence((True, each), lost=[diverged]) for name, each in said.items()}}


def own_rate(swept: Mapping[str, NDArray], kind: str) -> int:
    """The place of an optimiser's own learning rate among those of the sweep."""
    return int(np.flatnonzero(swept[f"{kind}_lr"] == swept[f"{kind}_own_lr"])[0])


def far(distances: NDArray, weight_decays: NDArray) -> float | None:
    """Find the largest mean distance at λ > 0, where no trial diverged.  (T, L) → a number, None if there is none"""
    means = distances.mean(axis=0)[weight_decays > 0]
    return float(np.nanmax(means)) if np.isfinite(means).any() else None


def best_at(risks: NDArray, weight_decays: NDArray) -> list[float | None]:
    """Find the λ of the lowest mean risk at each learning rate, None where none is known.  (R, T, L) → R of them"""
    return [None if np.isnan(means).all() else float(weight_decays[np.nanargmin(means)]) for means in risks.mean(axis=1)]


def of_distances(farthest: Mapping[str, float | None], weight_decays: NDArray, *, whole: bool = True) -> str:
    """Say how far each optimiser is from its oracle at most, over λ > 0. `whole` says that no run diverged."""
    known = {kind: max(share, 2.0**-KNOWN) for kind, share in farthest.items() if share is not None}
    coupled = {NAMES[kind]: known[kind] for kind in COUPLED if kind in known}
    parts = [f"{words.listed(list(coupled))} {away(max(coupled.values()), len(coupled))} ridge"] if coupled else []
    parts += [f"AdamW {away(known['adamw'])} least squares in the box"] if "adamw" in known else []
    decayed, where = weight_decays[weight_decays > 0].tolist(), "on" if whole else "on, where no trial diverged,"
    return words.sentence(
        (not decayed, SAME),
        (not known, "At every λ > 0 a trial diverged"),
        (True, f"From λ = {min(decayed, default=0):g} {where} {', '.join(parts)}"),
    )


def away(share: float, optimisers: int = 1) -> str:
    """Say how far optimisers are from an oracle at most: `ends within 3% of`, or `is up to 40% away from`."""
    end, be = ("ends", "is") if optimisers == 1 else ("end", "are")
    return f"{end} within {words.at_most(share, 1)} of" if share < ARRIVED else f"{be} up to {words.at_most(share, 1)} away from"


def of_rates(risks: Mapping[str, NDArray], rates: Mapping[str, NDArray], weight_decays: NDArray) -> str:
    """Say whether the best λ depends on the learning rate, with Adam and with AdamW.  (R, T, L), (R,) each"""
    grid, single = weight_decays.tolist(), next(iter(risks.values())).shape[1] == 1
    good = {kind: as_good_at(each) for kind, each in risks.items()}
    common = {kind: set.intersection(*each.values()) if each else set() for kind, each in good.items()}
    fits = {
        kind: f"{words.ranged([grid[each] for each in places], grid)} with {NAMES[kind]}"
        for kind, places in common.items()
        if places
    }
    parts = [f"no λ is visibly better than {said} at any learning rate" for said in fits.values()]
    for kind in risks:
        if kind not in fits and good[kind]:
            best = {rate: grid[int(np.nanargmin(risks[kind][rate].mean(axis=0)))] for rate in good[kind]}
            ends = [f"{best[rate]:g} at lr = {rates[kind][rate]:g}" for rate in farthest_apart(good[kind])]
            parts.append(f"with {NAMES[kind]} the best λ moves from {' to '.join(ends)}")
    said = "; ".join(parts)
    return words.sentence(
        (single, words.SINGLE),
        (not all(good.values()), "At every λ and learning rate a trial diverged"),
        (len(fits) == len(risks), f"At every learning rate no λ is visibly better than {', '.join(fits.values())}"),
        (True, said[:1].upper() + said[1:]),
    )


def as_good_at(risks: NDArray) -> dict[int, set[int]]:
    """The places of the λ than which none is visibly better, at each learning rate where any is known.  (R, T, L)"""
    found = {rate: set(words.as_good(each, among=len(risks))) for rate, each in enumerate(risks)}
    return {rate: places for rate, places in found.items() if places}


def farthest_apart(good: Mapping[int, set[int]]) -> tuple[int, int]:
    """Find the two learning rates farthest apart that share no such λ; the first and the last where any two share one."""
    pairs = [(one, other) for one, other in itertools.combinations(good, 2) if not good[one] & good[other]]
    return max(pairs, key=lambda pair: pair[1] - pair[0], default=(min(good), max(good)))


READ = {"weight_decay": 1, "diverged": Integers(3), "batch_weight": 4, "batch_diverged": Integers(3), "batch_size": Integers(1)}
for kind in KINDS:
    READ |= {f"{kind}_lr": 1, f"{kind}_own_lr": 0, f"{kind}_weight": 4, f"{kind}_diverged": Integers(3)}
HEADLINES = {"risk": LOWER} | OF_REGRESSION
TOLD = ("baseline", "wd", "wd_adam", "wd_adamw", "null")
RESULTS = Results(swept=READ, sweep=evaluate_sweep, evaluate=evaluate, references=REFERENCES, headlines=HEADLINES, rows=TOLD)
