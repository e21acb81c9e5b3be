"""relatives, measured: each method tuned on the validation rows, then judged by its risk, beside its exact optimum.

Shapes: T trials, S strengths of a method, d inputs, L values of λ, K steps.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import risk
from stages.base.rounding import decade_above, losses_on_grid
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure import linear
from stages.measure.findings import (
    SINGLE,
    continued,
    counted,
    effect,
    lost_runs,
    per_cent,
    sentence,
    sign,
    sign_over_trials,
    unpaired,
)
from stages.measure.linear import optimum
from stages.measure.results import LOWER, OF_REGRESSION, Metrics, Reference, Results, solved
from stages.measure.rows import HISTORIES, Row, Runs, Table, curves, metrics
from stages.measure.statistics import alive, mean_and_error, over_pairs, summarise, z_score
from stages.studies.relatives import penalties
from stages.studies.relatives.stopping import stopped_risk
from stages.studies.relatives.system import CURVATURE, TRUTHS, Relatives, kept, of_truth, sparse_truth
from stages.theory.ridge import solve
from stages.theory.risk import ridge_risk
from stages.theory.trajectory import gradient_descent

ARMS = {"dense": ("baseline", "wd"), "sparse": ("baseline_sparse", "wd_sparse")}  # truth → rows without and with decay
SHOWN = 30  # evaluations in a table of curves, at most
READ = ("l2", "elastic_net", "l1", "early_stopping", "dropout")  # methods in data/relatives/sweep.npz
TUNED = ("none", "l2", "early_stopping", "dropout", "elastic_net", "l1")
NEAR = 1.5  # a ratio of two risks up to which they are close


def optimum_of(arrays: Arrays, weight_decay: float, *, truth: str) -> dict[str, NDArray]:
    return optimum(of_truth(arrays, truth), weight_decay)


REFERENCES = {
    "ridge": Reference("wd", partial(optimum_of, truth="dense")),
    "ridge_sparse": Reference("wd_sparse", partial(optimum_of, truth="sparse")),
}


def evaluate(section: Relatives, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    found: dict[str, Any] = {}
    theory: dict[str, Row] = {}
    shown = {name: thinned(run) for name, run in runs.items()}
    for truth, pair in ARMS.items():
        data, own = of_truth(arrays, truth), {name: runs[name] for name in pair}
        rows = {name: linear.losses_row(data, run, CURVATURE) for name, run in own.items()}
        for name, run in own.items():
            rows[name]["risk"] = risk(run["weight"], data["true_weight"]) * alive(run)
            theory[name] = closed_form(data, shown[name])
        known = {row: each for row, each in REFERENCES.items() if each.of in own}
        solutions = {row: each["weight"] for row, each in solved(known, arrays, own).items()}
        if truth == "dense":
            solutions["null"] = np.zeros_like(data["true_weight"])
        for name, weight in solutions.items():
            rows[name] = linear.weights_row(data, weight, CURVATURE) | {"risk": risk(weight, data["true_weight"])}
        found |= metrics(rows, own, [(pair[1], pair[0])], linear.losses_of_zero(data, CURVATURE))
        found[f"{pair[1]}_minus_{pair[0]}"] |= mean_and_error("risk", rows[pair[1]]["risk"] - rows[pair[0]]["risk"])
    overfits, ended = overfitting(runs["baseline"]), effect(found, when=f" after {counted(section.train.steps, 'step')}")
    said = {
        "panel": on_both(found, sparse_truth(section.data.nonzeros, section.data.inputs)),
        "curves": f"{overfits}; {continued(ended)}" if overfits else ended,
    }
    return found | {"findings": said}, curves(shown, "step", theory)


def thinned(run: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """A run with some of its evaluations: the first, the last, and between them those whose steps grow by a constant factor."""
    steps = run["steps"]
    wanted = np.geomspace(steps[min(1, len(steps) - 1)] or 1, steps[-1] or 1, SHOWN - 1)
    places = sorted({0, *(int(np.abs(steps - step).argmin()) for step in wanted)})
    return {key: value[..., places] if key in HISTORIES or key == "steps" else value for key, value in run.items()}


def closed_form(data: Arrays, run: Mapping[str, NDArray]) -> Row:
    """The histories of gradient descent in closed form, at the steps of a run.  (T, K) each"""
    numbers: dict[str, Any] = {"lr": float(run["lr"]), "weight_decay": float(run["weight_decay"]), "curvature": CURVATURE}
    trials = zip(data["train_inputs"], data["train_targets"], data["start_weight"], strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        path = np.stack([gradient_descent(*each, run["steps"], **numbers) for each in trials])  # (T, K, d)
        losses = {f"{split}_loss": loss(data, path, split) for split in ("train", "val")}
    return losses | {"weight_norm": np.linalg.norm(path, axis=-1)}


def loss(data: Arrays, weights: NDArray, split: str) -> NDArray:
    """Half the mean squared error.  weights (T, S, d) → (T, S)"""
    inputs, targets = data[f"{split}_inputs"], data[f"{split}_targets"]
    errors = weights @ inputs.mT - targets[:, None]
    return losses_on_grid(CURVATURE / 2 * np.mean(errors**2, axis=-1), linear.losses_of_zero(data, CURVATURE)[split][:, None])


def overfitting(run: Mapping[str, NDArray]) -> str:
    """Say where a run's validation loss visibly rises after the step of its lowest mean; nothing where it does not."""
    losses = run["val_loss"] * alive(run)[:, None]
    if np.isnan(losses).any():
        return ""
    lowest = int(losses.mean(axis=0).argmin())
    overfits = f"λ = {float(run['weight_decay']):g} overfits after step {run['steps'][lowest]:,}"
    return sentence((sign_over_trials(losses[:, -1] - losses[:, lowest]), overfits), (True, ""))


def on_both(found: Metrics, sparse_truth: str) -> str:
    """Say what decay does to the validation loss, where the truth is dense and where it is sparse."""
    dense, sparse = (effect(found, wd, baseline) for baseline, wd in ARMS.values())
    what, by_dense, _ = dense.partition(" by ")
    only_size = by_dense and sparse.startswith(what + by_dense)
    on_dense = f"{dense} where the truth is dense"
    return sentence(
        (unpaired(found), dense),  # which says why
        (dense == sparse, f"{dense}, be the truth dense or {sparse_truth}"),
        (only_size, f"{on_dense}, by {sparse.removeprefix(what + by_dense)} where it is {sparse_truth}"),
        (True, f"{on_dense}; {sparse} where it is {sparse_truth}"),
    )


def evaluate_sweep(section: Relatives, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each truth, method and strength; and for each truth and method what its tuned strength gives."""
    expected = expected_risks(section, arrays, swept)
    table: Table = []
    found: dict[str, Any] = {}
    for index, truth in enumerate(TRUTHS):
        trained = {method: swept[method][index] for method in READ}
        trained["none"] = trained["l2"][:, :1]
        rows, found[truth] = tuned(truth, of_truth(arrays, truth), trained, swept, expected)
        table += rows
    diverged = sum(row["diverged"] for row in table if not row["run"].endswith("none"))
    ratios = against_ridge(section, arrays, swept)
    fits = of_risk(found, sparse_truth(section.data.nonzeros, section.data.inputs), diverged)
    said = {"panel": fits, "risk": fits, "paths": of_paths(ratios)}
    scores = [abs(row["z"]) for row in table if row["z"] is not None]
    numbers = {"lr": section.train.lr, "signal": section.data.weight_norm, "diverged": diverged, "titles": titles(section)}
    return table, found | numbers | ratios | {"max_abs_z": max(scores, default=0.0), "findings": said}


def titles(section: Relatives) -> dict[str, str]:
    """Of a figure's panels: what the truths are."""
    nonzeros, inputs = section.data.nonzeros, section.data.inputs
    some = f"{nonzeros} of {inputs} weights"
    sparse = f"sparse truth: {some}" if sparse_truth(nonzeros, inputs) == "sparse" else f"truth of {some}, all equal"
    return {"dense": f"dense truth: all {inputs} weights count", "sparse": sparse}


def tuned(
    truth: str, data: Arrays, trained: Mapping[str, NDArray], swept: Mapping[str, NDArray], expected: Mapping[str, NDArray]
) -> tuple[Table, dict[str, dict[str, float]]]:
    """Each method on one truth: its rows of the table; what it gives at the strength that each trial chooses on its validation
    rows, and how that differs from `none` and from L2, trial by trial.
    """
    strengths = dict.fromkeys(("l2", "elastic_net", "l1"), swept["weight_decay"])
    strengths |= {"none": swept["weight_decay"][:1], "early_stopping": swept["stop"], "dropout": swept["dropout_rate"]}
    optima, table, found = exact(data, trained, swept), [], {}
    risks: dict[str, NDArray] = {}
    for method in TUNED:
        values = measured(data, trained[method], optima[method])
        chosen = best(values["val_loss"])  # (T,)
        table += strengths_of(f"{truth}_{method}", strengths[method], values, chosen, expected.get(method))
        own = {name: taken(value, chosen) for name, value in values.items()}
        own["strength"] = np.where(np.isnan(own["risk"]), np.nan, strengths[method][chosen])
        gaps = np.abs(taken(trained[method] - optima[method], chosen))  # (T, d)
        risks[method], found[method] = own["risk"], summarise(own) | bound(gaps)
    for method in TUNED:
        for other in ("none", "l2"):
            if method != other:
                found[method] |= over_pairs(f"risk_minus_{other}", risks[method] - risks[other])
    return table, found


def exact(data: Arrays, trained: Mapping[str, NDArray], swept: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """What each method would end with if it were solved: the optimum, of dropout the one expected over its masks; where λ = 0
    and where training is stopped, gradient descent in closed form. NaN where it is not known.  (T, S, d) each
    """
    inputs, targets, weight_decays = data["train_inputs"], data["train_targets"], swept["weight_decay"]
    numbers: dict[str, Any] = {"lr": float(swept["lr"]), "weight_decay": 0.0, "curvature": CURVATURE}
    trials = zip(inputs, targets, data["start_weight"], strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        stopped = np.stack([gradient_descent(*each, swept["stop"], **numbers) for each in trials])
    found, none = {"early_stopping": stopped, "none": stopped[:, :1]}, stopped[:, :1]
    parts = np.linalg.svd(inputs, full_matrices=False)
    ridges = [solve(*parts, targets, inputs.shape[1] * each) for each in weight_decays[1:]]
    found["l2"] = np.stack([none[:, 0], *ridges], axis=1)
    for method, ratio in (("elastic_net", float(swept["l1_ratio"])), ("l1", 1.0)):
        solved = penalties.elastic_net(inputs, targets, trained[method][:, 1:], weight_decays[1:], ratio)
        found[method] = np.concatenate([none, solved], axis=1)
    found["dropout"] = np.stack(
        [penalties.dropout(inputs, targets, kept(rate)) for rate in swept["dropout_rate"].tolist()], axis=1
    )
    return found


def measured(data: Arrays, weights: NDArray, optima: NDArray) -> dict[str, NDArray]:
    """Weights (T, S, d), and those they should be, in numbers; NaN where training diverged.  (T, S) each"""
    truth = data["true_weight"]
    lost = np.where(np.isnan(weights).any(axis=-1), np.nan, 1.0)
    whole, left = (truth != 0)[:, None], weights != 0
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = {
            "truly_nonzero_kept": np.sum(left & whole, axis=-1) / whole.sum(axis=-1),
            "truly_zero_dropped": np.sum(~left & ~whole, axis=-1) / (~whole).sum(axis=-1),
        }
    values = {
        "risk": risk(weights, truth[:, None]),
        "exact_risk": risk(optima, truth[:, None]),
        "val_loss": loss(data, weights, "val"),
        "weight_norm": np.linalg.norm(weights, axis=-1),
        "nonzeros": left.sum(axis=-1).astype(float),
    }
    return {name: value * lost for name, value in (values | shares).items()}


def best(val_loss: NDArray) -> NDArray[np.int64]:
    """The place of each trial's lowest validation loss, the first of several.  (T, S) → (T,)"""
    return np.where(np.isnan(val_loss), np.inf, val_loss).argmin(axis=1)


def taken(values: NDArray, chosen: NDArray) -> NDArray:
    """(T, S, …), (T,) → (T, …)"""
    return values[np.arange(len(chosen)), chosen]


def strengths_of(
    name: str, strengths: NDArray, values: Mapping[str, NDArray], chosen: NDArray, expected: NDArray | None
) -> Table:
    """One row a strength: means over trials; the share of the trials that chose it; where known, the expected risk.

    `z` is the mean of the trials' own gaps to the expected risk, in standard errors.  (S,), (T, S) each
    """
    table: Table = []
    for place, strength in enumerate(strengths.tolist()):
        row: dict[str, Any] = {"run": name, "strength": strength}
        for value in ("risk", "exact_risk", "val_loss", "weight_norm", "nonzeros"):
            row |= {value: None, f"{value}_se": None} | mean_and_error(value, values[value][:, place])
        row |= {"chosen": float(np.mean(chosen == place)), "diverged": int(np.isnan(values["risk"][:, place]).sum())}
        row |= {"theory": None, "z": None}
        if expected is not None and not row["diverged"]:
            row |= mean_and_error("theory", expected[:, place]) | {"z": score(values["risk"][:, place] - expected[:, place])}
            row.pop("theory_se", None)
        table.append(row)
    return table


def score(gaps: NDArray) -> float | None:
    gap = mean_and_error("gap", gaps)
    return z_score(gap["gap"], gap.get("gap_se"), 0.0)


def bound(gaps: NDArray) -> dict[str, float]:
    """On how far any weight is from the exact one, over the trials where that is known."""
    known = gaps[np.isfinite(gaps)]
    return {"gap_below": decade_above(float(known.max()))} if known.size else {}


def singular_values(arrays: Arrays) -> NDArray[np.float64]:
    return np.linalg.svd(arrays["train_inputs"], compute_uv=False).astype(np.float64)


def expected_risks(section: Relatives, arrays: Arrays, swept: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Of gradient descent, over the noise and the truth. Signs and places of a sparse truth are as random as the direction of a
    dense one, so that both have the same expectation.  (T, L) each
    """
    options = {"lr": float(swept["lr"])} | sizes(section)
    values, steps, weight_decays = singular_values(arrays), swept["stop"].tolist(), swept["weight_decay"].tolist()
    with np.errstate(over="ignore", invalid="ignore"):
        stopped = [stopped_risk(values, step, **options) for step in steps]
        decayed = [stopped_risk(values, section.train.steps, weight_decay=each, **options) for each in weight_decays]
    return {"early_stopping": np.stack(stopped, axis=1), "l2": np.stack(decayed, axis=1), "none": stopped[0][:, None]}


def against_ridge(section: Relatives, arrays: Arrays, swept: Mapping[str, NDArray]) -> dict[str, float]:
    """The smallest and the largest ratio of expected risks, stopped at t and ridge at λ = 1/t, over the stops of the sweep."""
    values, lr, known = singular_values(arrays), float(swept["lr"]), sizes(section)
    rows, ratios = known.pop("rows"), []
    with np.errstate(over="ignore", invalid="ignore"):
        for step in swept["stop"][1:].tolist():
            stopped = stopped_risk(values, step, lr=lr, rows=rows, **known).mean()
            ratios.append(float(stopped / ridge_risk(values, rows / (lr * step), **known).mean()))
    usable = [ratio for ratio in ratios if np.isfinite(ratio)]
    return {"smallest_ratio": min(usable), "largest_ratio": max(usable)} if usable else {}


def sizes(section: Relatives) -> dict[str, Any]:
    data = section.data
    return {"rows": data.train_rows, "inputs": data.inputs, "signal": data.weight_norm, "noise": data.noise}


def of_risk(found: Metrics, sparse_truth: str, diverged: int) -> str:
    """Say which prior fits which truth: ℓ1 against L2, where the truth is sparse and where it is dense."""
    single = any("risk_minus_l2_se" not in found[truth]["l1"] for truth in ARMS)
    sparse, dense = (amount(found[truth]["l1"], found[truth]["l2"]) for truth in ("sparse", "dense"))
    same, where = "no visibly other", f"where the truth is {sparse_truth}"
    return sentence(
        (single, SINGLE),
        (sparse == dense == "", f"ℓ1 has {same} risk than L2 {where} and where it is dense"),
        (True, f"ℓ1 has {sparse or same} risk than L2 {where}, {dense or same} where it is dense"),
        lost=[lost_runs(diverged)],
    )


def amount(one: Mapping[str, float], other: Mapping[str, float]) -> str:
    """Say how much less or more risk a method has than L2, `68% less`; nothing where no difference is visible."""
    seen, gap = sign(one, "risk_minus_l2"), abs(one.get("risk_minus_l2", 0.0))
    size = per_cent(gap / other["risk"]) if other["risk"] > 0 else f"{gap:.2g}"
    return f"{size} {'less' if seen < 0 else 'more'}" if seen else ""


def of_paths(ratios: Mapping[str, float]) -> str:
    """Say whether early stopping is close to L2."""
    low, high = (ratios.get(f"{which}_ratio", 0.0) for which in ("smallest", "largest"))
    said = " to ".join(dict.fromkeys(f"{ratio:.2g}" for ratio in (low, high)))
    near = low >= 1 / NEAR and high <= NEAR
    return sentence(
        (not ratios, "No λ above 0 to compare early stopping with"),
        (near, f"Early stopping is close to L2: at t = 1/λ its expected risk is {said} times ridge's"),
        (True, f"At t = 1/λ the expected risk of early stopping is {said} times ridge's"),
    )


NUMBERS = {"weight_decay": 1, "stop": Integers(1), "dropout_rate": 1, "l1_ratio": 0, "lr": 0}
SWEPT = dict.fromkeys(READ, 4) | NUMBERS
HEADLINES = {"risk": LOWER} | OF_REGRESSION
TOLD = ("baseline", "wd", "wd_sparse", "null")
RESULTS = Results(swept=SWEPT, sweep=evaluate_sweep, evaluate=evaluate, references=REFERENCES, headlines=HEADLINES, rows=TOLD)
