"""wide, measured: beside ridge, the best constant, and the exact parts of the error.

Shapes: T trials, L values of λ, K lengths of training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import PATH, resolution, to_resolution
from stages.base.storage import Integers
from stages.base.streams import Arrays, orders
from stages.measure import linear, sweeps
from stages.measure.findings import (
    HARDLY,
    SINGLE,
    as_good,
    counted,
    diverged,
    effect,
    lost_runs,
    of_pair,
    per_cent,
    ranged,
    sentence,
    sign,
)
from stages.measure.linear import PARTS
from stages.measure.results import OF_REGRESSION, OF_SWEEP, Metrics, Reference, Results, solved
from stages.measure.rows import Row, Runs, Table, curves, metrics
from stages.measure.statistics import alive, mean_and_error, over_pairs, z_score
from stages.studies.wide.system import CURVATURE, SYSTEM, Wide

IN_PARTS = ("baseline", "wd")  # runs whose error is split into start, shrinkage and noise
# What is compared trial by trial.
PAIRS = (("wd", "baseline"), ("wd_zero", "baseline_zero"), ("wd", "null"), ("ridge", "ridge_baseline"))
STARTS = {"random": PARTS, "zero": PARTS[1:]}  # of the map → the parts of the error from there
CAUSES = {  # part of the error → what a λ does that lowers it, and how that is named; the intercept has a part of its own
    "excess_start": ("by forgetting the random start", "The forgotten random start"),
    "excess_shrinkage": ("by learning more of the signal", "Learning more of the signal"),
    "excess_intercept": ("by learning more of the intercept", "Learning more of the intercept"),
    "excess_noise": ("by fitting less of the noise", "Fitting less of the noise"),
}


def optimum(arrays: Arrays, weight_decay: float) -> linear.Solution:
    return linear.ridges(arrays, weight_decay, curvature=CURVATURE, decays_bias=False)


REFERENCES = {"ridge": Reference("wd", optimum), "ridge_baseline": Reference("baseline", optimum)}


def evaluate(section: Wide, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    rows = linear.rows(arrays, runs, solved(REFERENCES, arrays, runs), CURVATURE, lambda *found: of_parameters(arrays, *found))
    order = orders(arrays, SYSTEM.key, section.train.epochs)
    for name in IN_PARTS:
        with np.errstate(over="ignore", invalid="ignore"):
            parts = linear.excess_parts(arrays, runs[name]["weight_decay"].reshape(1), order, **numbers(section, runs[name]))
        rows[name] |= {part: each[:, 0, 0] * alive(runs[name]) for part, each in parts.items()}
    found = metrics(rows, runs, PAIRS, linear.losses_of_zero(arrays, CURVATURE))
    further = rows["wd"]["mean_weight_missed"] - rows["baseline"]["mean_weight_missed"]
    found["wd_minus_baseline"] |= over_pairs("mean_weight_missed", further)
    return found | {"findings": findings(found, section)}, curves(runs, "epoch")


def numbers(section: Wide, run: Mapping[str, NDArray]) -> dict[str, Any]:
    """How a run was trained, for `linear.excess_parts`."""
    return {"batch_size": section.train.batch_size, "lr": float(run["lr"]), "momentum": float(run["momentum"])}


def of_parameters(arrays: Arrays, weight: NDArray, bias: NDArray) -> Row:
    """What a row says of parameters beside the usual: the loss on unseen rows, and how far the mean weight is from the truth.

    (T, d), (T,) → (T,) each
    """
    missed = np.abs(weight.mean(axis=1) - arrays["true_weight"].mean(axis=1))
    return {"population_loss": linear.population_loss(arrays, weight, bias), "mean_weight_missed": missed}


def findings(rows: Metrics, section: Wide) -> dict[str, str]:
    """Write a sentence for each figure."""
    when = f" after {counted(section.train.epochs, 'epoch')}"
    part, share = main_cause(rows)
    how, what = CAUSES.get(part, ("", ""))
    gains = {cause: gain_of(rows, cause) for cause in CAUSES}
    trades = changed(rows) and not diverged(rows, "baseline", "wd")
    trades = trades and gains["excess_shrinkage"] < 0 < gains["excess_start"]
    return {
        "panel": effect(rows, more=f", mostly {how}" if part else "", brief=True),
        "constant": beside_constant(rows),
        "curves": effect(rows, when=when),
        "parts": sentence(
            (part, f"{what} is {per_cent(share)} of the gain"),
            (trades, f"λ = {rows['wd']['weight_decay']:g} forgets more of the random start, but learns less of the signal"),
            (True, effect(rows, when=when)),
        ),
        "weights": of_weights(rows, section.data.weight),
    }


def beside_constant(rows: Metrics) -> str:
    """Say whether the model with decay predicts better than the best constant."""
    gap, at = rows["wd_minus_null"], f"λ = {rows['wd']['weight_decay']:g}"
    seen = sign(gap, of=rows["null"]["val_loss"])
    return sentence(
        (seen > 0, f"With {at} the best constant predicts better than the model"),
        (seen < 0, f"With {at} the model predicts better than the best constant"),
        (True, f"With {at} the model predicts neither visibly better nor worse than the best constant"),
    )


def main_cause(rows: Metrics) -> tuple[str, float]:
    """Find the part of the error that makes up more than half of a visible gain, and its share of the expected gain.

    There is none where nothing is visibly gained, where a trial diverged, and where the share would be beyond the whole.
    """
    if changed(rows) >= 0 or diverged(rows, "baseline", "wd"):
        return "", 0.0
    gains = {cause: gain_of(rows, cause) for cause in CAUSES}
    largest, whole = max(gains, key=gains.__getitem__), sum(gains.values())
    return (largest, gains[largest] / whole) if whole / 2 < gains[largest] <= whole else ("", 0.0)


def changed(rows: Metrics) -> int:
    """The sign of what decay visibly does to the validation loss, and not hardly."""
    return sign(rows["wd_minus_baseline"], of=rows["baseline"].get("val_loss", 0.0))


def gain_of(rows: Metrics, cause: str) -> float:
    """The gain in a part of the error; that of shrinkage without the intercept's."""
    gain, of_bias = (rows["baseline"][each] - rows["wd"][each] for each in (cause, "excess_intercept"))
    return gain - of_bias if cause == "excess_shrinkage" else gain


def of_weights(rows: Metrics, truth: float) -> str:
    """Say where decay moves the weights: whether their mean comes closer to the truth, and whether they shrink."""
    moved, at = sign(rows["wd_minus_baseline"], "mean_weight_missed", of=truth), f"λ = {rows['wd']['weight_decay']:g}"
    norms = [rows[row].get("weight_norm", 0.0) for row in ("wd", "baseline")]
    shrinks = norms[0] < (1 - HARDLY) * norms[1]
    return of_pair(
        rows,
        (moved < 0, f"{at} moves the mean weight closer to the truth {truth:g}"),
        (moved and shrinks, f"{at} pulls the weights to zero, away from the truth {truth:g}"),
        (moved, f"{at} moves the mean weight away from the truth {truth:g}"),
        (shrinks, f"{at} pulls the weights to zero; their mean comes no closer to the truth {truth:g}"),
        (True, f"{at} does not visibly move the mean weight"),
        value="mean_weight_missed",
    )


def evaluate_sweep(section: Wide, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    ended, null = sweeps.ends(swept), linear.rows(arrays, {}, {}, CURVATURE)["null"]["val_loss"]
    order = orders(arrays, SYSTEM.key, section.train.epochs)
    ended["theory"] = expected_val_losses(section, arrays, swept, order)["random"][..., 0]
    of_zero = linear.losses_of_zero(arrays, CURVATURE)["val"]
    table, found = sweeps.evaluated(swept, ended, of_zero, null)
    mapped = over_lengths(section, arrays, swept, null, of_zero)
    said = {"map": map_finding(swept["weight_decay"], *(swept[f"map_{each}"] for each in ("epochs", "val_loss", "diverged")))}
    return table, found | best_in_theory(arrays) | {"map": mapped, "findings": found["findings"] | said}


def expected_val_losses(
    section: Wide, arrays: Arrays, swept: Mapping[str, NDArray], order: NDArray, epochs: Sequence[int] | None = None
) -> dict[str, NDArray]:
    """The exact parts of the error plus the noise, from each start, NaN where training is expected to diverge.  (T, L, K) each

    The loss on unseen rows has products of start, signal and noise in it as well; their expectation is zero. `epochs` are
    those of `linear.excess_parts`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        parts = linear.excess_parts(arrays, swept["weight_decay"], order, epochs=epochs, **numbers(section, swept))
        expected = {start: sum(parts[part] for part in own) + float(arrays["noise"]) ** 2 / 2 for start, own in STARTS.items()}
    return {start: np.where(np.isfinite(each), each, np.nan) for start, each in expected.items()}


def over_lengths(section: Wide, arrays: Arrays, swept: Mapping[str, NDArray], null: NDArray, of_zero: NDArray) -> dict[str, Any]:
    """The map: what each λ ends with after each length of training, from both starts, beside exact theory.

    Losses are also compared with those of the best constant, `null` and `theory_of_null`: in such pairs most of what the
    validation rows happen to be cancels.  (T,) each
    """
    weight_decays, lengths = swept["weight_decay"], swept["map_epochs"].tolist()
    theory = expected_val_losses(section, arrays, swept, orders(arrays, SYSTEM.key, lengths[-1]), lengths)
    expected_null = linear.population_loss(arrays, np.zeros_like(arrays["true_weight"]), arrays["null"])
    found: dict[str, Any] = {"weight_decay": weight_decays.tolist(), "epochs": lengths}
    found |= mean_and_error("theory_of_null", expected_null)
    for start, losses, lost in zip(STARTS, swept["map_val_loss"], swept["map_diverged"], strict=True):
        found[start] = {}
        for k, length in enumerate(lengths):
            known_to = resolution(losses[..., k], of_zero[:, None], PATH)
            measured = losses[..., k] * np.where(lost[..., k].any(axis=0), np.nan, 1.0)  # only λ at which no trial diverged
            columns = zip(measured.T, theory[start][..., k].T, strict=True)
            rows = [compared(*column, null, expected_null, known_to) for column in columns]
            found[start][f"epochs_{length}"] = (
                sweeps.summary(weight_decays, {"val_loss": losses[..., k]}, lost[..., k], of_zero)
                | {name: [row.get(name) for row in rows] for name in ("val_loss", "val_loss_se", "theory", "z")}
                | at_best(weight_decays, measured, rows, null, known_to)
            )
    scores = [z for start in STARTS for each in found[start].values() for z in each["z"] if z is not None]
    return found | ({"max_abs_z": max(map(abs, scores))} if scores else {})


def compared(measured: NDArray, theory: NDArray, null: NDArray, expected_null: NDArray, known_to: float) -> dict[str, Any]:
    """One λ's mean loss, what theory expects, and how many standard errors they are apart, both as they stand to the constant's.

    (T,) each
    """
    found: dict[str, Any] = mean_and_error("val_loss", measured)
    if found and np.isfinite(theory).all():
        apart = mean_and_error("gap", (measured - null) - (theory - expected_null))
        error = apart.get("gap_se")
        score = z_score(apart["gap"], error, known_to)
        found |= mean_and_error("theory", theory) | {"z": to_resolution(score, known_to / error) if score and error else score}
    return found


def at_best(
    weight_decays: NDArray, measured: NDArray, rows: Sequence[Mapping[str, Any]], null: NDArray, known_to: float
) -> dict[str, float]:
    """What the λ of the lowest mean gains against λ = 0 and against the best constant, in pairs; and theory's best λ.

    (L,), (T, L)
    """
    means, expected = ([row.get(name, np.inf) for row in rows] for name in ("val_loss", "theory"))
    if not np.isfinite(means).any():
        return {}
    best = int(np.argmin(means))
    found: dict[str, float] = {}
    for name, other in ({"null": null} | ({"zero": measured[:, 0]} if best else {})).items():
        gap = mean_and_error(f"best_minus_{name}", measured[:, best] - other)
        found |= {key: to_resolution(value, known_to) for key, value in gap.items()}
    if np.isfinite(expected).any():
        found["best_lambda_in_theory"] = float(weight_decays[int(np.argmin(expected))])
    return found


def map_finding(weight_decays: NDArray, lengths: NDArray, val_loss: NDArray, lost: NDArray) -> str:
    """Say whether the best λ from the random start changes between the first and the last length of training.

    (L,), (K,), (2, T, L, K) each, the random start first
    """
    losses = np.where(lost[0].any(axis=0), np.nan, val_loss[0])  # (T, L, K)
    known = [k for k in range(len(lengths)) if not np.isnan(losses[..., k]).all()]
    everywhere = lost_runs(lost[..., -1].sum(), lost[..., -1].size)
    if not known:
        return sentence((True, "At every λ a trial diverged"), lost=[everywhere])
    ends = [losses[..., k] for k in (known[0], known[-1])]
    both = [weight_decays[place] for place in set.intersection(*(set(as_good(end, among=2)) for end in ends))]
    first, last = (weight_decays[np.nanargmin(end.mean(axis=0))] for end in ends)
    start, end = (counted(int(lengths[k]), "epoch") for k in (known[0], known[-1]))
    lowest, moves = f"λ = {first:g} has the lowest validation loss after {start}", f"{first:g} after {start}, {last:g} after"
    return sentence(
        (len(losses) == 1, SINGLE),
        (len(known) == 1, lowest),
        (first == last, f"{lowest} and after {end}"),
        (not both, f"From the random start the best λ depends on the time: {moves} {lengths[known[-1]]:,}"),
        (True, f"After {start} and after {end} no λ is visibly better than {ranged(both, weight_decays.tolist())}"),
        lost=[everywhere],
    )


def best_in_theory(arrays: Arrays) -> dict[str, float]:
    """The λ that is best for ridge on isotropic inputs, dσ²/(n‖w*‖²); nothing where there is no signal."""
    rows, inputs = arrays["train_inputs"].shape[1:]
    signal = float(np.sum(arrays["true_weight"][0] ** 2))
    return {"theory_lambda": inputs * float(arrays["noise"]) ** 2 / (rows * signal)} if signal else {}


READ = sweeps.READ | {"map_epochs": Integers(1), "map_val_loss": 4, "map_diverged": Integers(4)}
HEADLINES = OF_REGRESSION | OF_SWEEP
RESULTS = Results(swept=READ, sweep=evaluate_sweep, evaluate=evaluate, references=REFERENCES, headlines=HEADLINES)
