"""scaling, measured: the best λ for each number of rows, with those that are not visibly worse, beside theory's.

Shapes: O optimisers, B batch sizes, N numbers of rows, T trials, L values of λ, d inputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import first_rows, sizes
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure.findings import SINGLE, as_good, by, counted, listed, lost_runs, sentence, sign_over_trials
from stages.measure.linear import optimum
from stages.measure.results import LOWER, NEITHER, Metrics, Results
from stages.measure.rows import Table
from stages.measure.statistics import mean_and_error
from stages.studies.scaling.system import OPTIMIZERS, Scaling


def evaluate_sweep(_: Scaling, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each optimiser, batch size, number of rows and λ; and for each of the first three the best λ."""
    weight_decays, counts, table = swept["weight_decay"], arrays["rows"].tolist(), []
    batch_sizes, found = swept["batch_size"].tolist(), {}
    for n, rows in enumerate(counts):
        own = first_rows(arrays, rows)
        for b, batch_size in enumerate(batch_sizes):
            theory = best_in_theory(own, batch_size)
            for o, optimizer in enumerate(OPTIMIZERS):
                risks, epochs = swept["risk"][o, b, n], float(swept["epochs"][o, b, n])
                known = {"run": f"{optimizer}_{batch_size}", "rows": rows}
                table += of_decays(known, weight_decays, risks, epochs)
                found[f"{known['run']}_rows_{rows}"] = best(weight_decays, risks, epochs) | {"theory_lambda": theory[optimizer]}
    lost, single = [lost_runs(swept["diverged"].sum(), swept["diverged"].size)], len(arrays["true_weight"]) == 1
    sgd, adamw = (
        keeping(name, counts, weight_decays, risks[0]) for name, risks in zip(OPTIMIZERS.values(), swept["risk"], strict=True)
    )
    said = {"panel": adamw, "sgd": sgd, "best": within(found, weight_decays)}
    findings = {name: sentence((single, SINGLE), (True, each), lost=lost) for name, each in said.items()}
    findings["time"] = at_times([found[f"adamw_{batch_sizes[0]}_rows_{rows}"] for rows in counts])
    return table, found | {"findings": findings}


def of_decays(known: Mapping[str, Any], weight_decays: NDArray, risks: NDArray, epochs: float) -> Table:
    """A row for each λ: its time scale 1/(lr·λ) in epochs, and the mean risk over trials.  (L,), (T, L)"""
    return [
        {**known, "weight_decay": decay, "epochs": epochs / decay if decay else None}
        | {"diverged": int(np.isnan(risks[:, place]).sum()), "risk": None, "risk_se": None}
        | mean_and_error("risk", risks[:, place])
        for place, decay in enumerate(weight_decays.tolist())
    ]


def best(weight_decays: NDArray, risks: NDArray, epochs: float) -> dict[str, Any]:
    """The λ of the lowest mean risk, the smallest and the largest that are not visibly worse, the risk there and at λ = 0."""
    alike, means = as_good(risks), risks.mean(axis=0)
    if not alike:
        return {}
    lowest = min(alike, key=means.__getitem__)
    decay = float(weight_decays[lowest])
    found = {"best_lambda": decay, "alike_from": float(weight_decays[alike[0]]), "alike_to": float(weight_decays[alike[-1]])}
    found |= {"epochs_at_best": epochs / decay} if decay else {}
    return found | mean_and_error("risk_at_best", risks[:, lowest]) | mean_and_error("risk_at_zero", risks[:, 0])


def best_in_theory(arrays: Arrays, batch_size: int) -> dict[str, float]:
    """The best λ of each optimiser: dσ²/(n‖w*‖²) with SGD, which goes to ridge; divided by RMS(g) with AdamW.

    On batches AdamW goes nearly to ridge with λ·RMS(g), where g is the gradient that a step sees at the end: its mean ḡ, and
    noise of variance Var/B·(n − B)/(n − 1) (`optimizers/box.py`). So RMS(g) is taken at the best ridge solution.
    """
    inputs, signal, noise = sizes(arrays)
    rows = arrays["train_targets"].shape[1]
    decay = inputs * noise**2 / signal**2 / rows
    weight = optimum(arrays, decay)["weight"]
    errors = np.einsum("tnd,td->tn", arrays["train_inputs"], weight) - arrays["train_targets"]
    gradients = errors[:, :, None] * arrays["train_inputs"]  # of each row (T, n, d)
    seen = gradients.mean(axis=1) ** 2 + gradients.var(axis=1) / batch_size * (rows - batch_size) / (rows - 1)
    size = np.sqrt(seen.mean(axis=1))
    return {"sgd": decay, "adamw": float(np.mean(decay / np.where(size > 0, size, 1)))}


def keeping(name: str, counts: Sequence[int], weight_decays: NDArray, risks: NDArray) -> str:
    """Say what the best λ with the fewest rows does to the risk with the most, kept as it is, and divided as the rows multiply.

    The latter is the λ of the grid that is nearest to that.  (N,), (L,), (N, T, L)
    """
    grid, means, (few, many) = weight_decays.tolist(), risks.mean(axis=1), (counted(counts[place], "row") for place in (0, -1))
    if len(counts) == 1 or np.isnan(means[[0, -1]]).all(axis=1).any():
        return f"{name}'s best λ cannot be compared"
    first, lowest = (int(np.nanargmin(means[place])) for place in (0, -1))
    if first == 0:
        return f"{name} has no λ better than 0 with {few}"
    decay, times = grid[first], counts[-1] / counts[0]
    divided = nearest(weight_decays, decay / times)
    (kept, less), best = (risks[-1, :, place] - risks[-1, :, lowest] for place in (first, divided)), means[-1, lowest]
    seen, also = (sign_over_trials(gap, among=2) > 0 for gap in (kept, less))
    share = f"{'' if np.isclose(grid[divided] * times, decay, rtol=0.01) else 'about '}1/{times:g} of it, {grid[divided]:g},"
    so = f"raises it {by(less.mean(), best)}" if also else "does not visibly"
    begun = f"{name}'s best λ with {few}, {decay:g},"
    return sentence(
        (np.isnan(kept).any(), f"{begun} diverges with {many}"),
        (not seen, f"{begun} does not visibly raise the lowest risk with {many}"),
        (True, f"{begun} raises the lowest risk with {many} {by(kept.mean(), best)}; {share} {so}"),
    )


def within(found: Metrics, weight_decays: NDArray) -> str:
    """Say in how many cases the λ nearest to theory's is not visibly worse than the best, and in which it is."""
    known = {key: own for key, own in found.items() if "best_lambda" in own}
    worse: dict[str, list[str]] = {}
    for key, own in known.items():
        name, size, _, rows = key.split("_")
        if not own["alike_from"] <= weight_decays[nearest(weight_decays, own["theory_lambda"])] <= own["alike_to"]:
            worse.setdefault(f"with {OPTIMIZERS[name]} in batches of {size}", []).append(f"{int(rows):,}")
    count = len(known) - sum(map(len, worse.values()))
    where = [f"{who} from {listed(rows)} rows" for who, rows in worse.items()]
    said = f"Theory's λ is not visibly worse than the best in {count} of {len(known)} cases"
    return said + (f"; it is {listed(where)}" if where else "")


def nearest(weight_decays: NDArray, decay: float) -> int:
    """The place of the λ of the grid that is nearest by its ratio; that of 0 for 0."""
    with np.errstate(divide="ignore"):
        return int(np.abs(np.log(weight_decays) - np.log(decay)).argmin()) if decay else 0


def at_times(each: Sequence[Metrics]) -> str:
    """Say between which λ, and between which time scales, AdamW's best λ lie for all numbers of rows."""
    known = [own for own in each if own.get("best_lambda")]
    if not known:
        return "AdamW has no λ better than 0"
    decays, epochs = (sorted(own[name] for own in known) for name in ("best_lambda", "epochs_at_best"))
    lie = (f"{decays[0]:g} and {decays[-1]:g}", f"{epochs[0]:.3g} and {epochs[-1]:.3g} epochs")
    return sentence(
        (len(known) == 1, f"AdamW's best λ above 0 is {decays[0]:g}, its time scale 1/(lr·λ) {epochs[0]:.3g} epochs"),
        (True, f"AdamW's best λ lie between {lie[0]}, their time scales 1/(lr·λ) between {lie[1]}"),
    )


READ = {"risk": 5, "diverged": Integers(5), "weight_decay": 1, "epochs": 3, "batch_size": Integers(1)}
HEADLINES = {"risk_at_best": LOWER, "best_lambda": NEITHER}
RESULTS = Results(swept=READ, sweep=evaluate_sweep, headlines=HEADLINES)
