"""scaling, measured: the best λ for each number of rows, with those that are not visibly worse, beside theory's.

Shapes: N numbers of rows, T trials, L values of λ, d inputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import first_rows, sizes
from stages.base.rounding import significant
from stages.base.storage import Integers
from stages.base.streams import Arrays
from stages.measure.findings import SINGLE, as_good, by, counted, lost_runs, sentence
from stages.measure.linear import optimum
from stages.measure.results import LOWER, NEITHER, Metrics, Results
from stages.measure.rows import Table
from stages.measure.statistics import curve, mean_and_error
from stages.studies.scaling.system import OPTIMIZERS, Scaling


def evaluate_sweep(_: Scaling, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    """A row for each optimiser, batch size, number of rows and λ; and for each of the first three the best λ."""
    weight_decays, counts, batch_sizes = swept["weight_decay"], arrays["rows"].tolist(), swept["batch_size"].tolist()
    table: Table = []
    found: dict[str, Any] = {}
    for n, rows in enumerate(counts):
        for b, batch_size in enumerate(batch_sizes):
            theory = best_in_theory(first_rows(arrays, rows), batch_size)
            for o, optimizer in enumerate(OPTIMIZERS):
                run, risks, epochs = f"{optimizer}_{batch_size}", swept["risk"][o, b, n], float(swept["epochs"][o, b, n])
                table += of_decays({"run": run, "rows": rows}, weight_decays, risks, epochs)
                found[f"{run}_rows_{rows}"] = best(weight_decays, risks, epochs, theory[optimizer])
    size = batch_sizes[0]
    said = {"best": within(found), "time": at_times(size, [found[f"adamw_{size}_rows_{rows}"] for rows in counts])}
    for name, optimizer, risks in zip(("sgd", "panel"), OPTIMIZERS.values(), swept["risk"], strict=True):
        said[name] = keeping(optimizer, size, counts, weight_decays, risks[0])
    lost = np.isnan(swept["risk"])
    single, diverged = len(arrays["true_weight"]) == 1, [lost_runs(lost.sum(), lost.size)]
    found["findings"] = {name: sentence((single, SINGLE), (True, each), lost=diverged) for name, each in said.items()}
    return table, found


def of_decays(known: Mapping[str, Any], weight_decays: NDArray, risks: NDArray, epochs: float) -> Table:
    """A row for each λ: its time scale 1/(lr·λ) in epochs, and the mean risk over trials.  (L,), (T, L)"""
    scales = [{"epochs": epochs / decay if decay else None} for decay in weight_decays.tolist()]
    lost = [{"diverged": count} for count in np.isnan(risks).sum(axis=0).tolist()]
    rows = curve(known, "weight_decay", weight_decays, {"risk": risks})
    return [row | scale | count for row, scale, count in zip(rows, scales, lost, strict=True)]


def best(weight_decays: NDArray, risks: NDArray, epochs: float, theory: float) -> dict[str, Any]:
    """The λ of the lowest mean risk, the smallest and the largest that are not visibly worse, the risk there and at λ = 0.

    `theory_alike` is whether the λ of the grid that is nearest to theory's is not visibly worse; absent where that is beyond
    the grid. `zero_alike` says the same of λ = 0.
    """
    alike, means = as_good(risks), risks.mean(axis=0)
    if not alike:
        return {"theory_lambda": theory}
    lowest = min(alike, key=means.__getitem__)
    decay = float(weight_decays[lowest])
    found = {"best_lambda": decay, "alike_from": float(weight_decays[alike[0]]), "alike_to": float(weight_decays[alike[-1]])}
    found |= {"theory_lambda": theory}
    above = weight_decays[1:]
    if not theory or (len(above) and above[0] / 1.01 <= theory <= above[-1] * 1.01):  # or it is beyond the grid
        found |= {"theory_alike": int(nearest(weight_decays, theory) in alike), "zero_alike": int(0 in alike)}
    found |= {"epochs_at_best": epochs / decay} if decay else {}
    return found | mean_and_error("risk_at_best", risks[:, lowest]) | mean_and_error("risk_at_zero", risks[:, 0])


def nearest(weight_decays: NDArray, decay: float) -> int:
    """The place of the λ that is nearest by its ratio, of two the smaller; that of 0 for 0."""
    with np.errstate(divide="ignore"):
        return int(np.abs(np.log(weight_decays / decay)).round(6).argmin()) if decay else 0


def best_in_theory(arrays: Arrays, batch_size: int) -> dict[str, float]:
    """The best λ of each optimiser: dσ²/(n‖w*‖²) with SGD, which goes to ridge; divided by RMS(g) with AdamW.

    On batches AdamW goes nearly to ridge with λ·RMS(g), where g is the gradient that a step sees at the end: its mean ḡ, and
    noise of variance Var/B·(n − B)/(n − 1) (`optimizers/box.py`). So RMS(g) is taken at the best ridge solution.
    """
    inputs, signal, noise = sizes(arrays)
    rows = arrays["train_targets"].shape[1]
    decay = float(significant(inputs * noise**2 / signal**2 / rows))  # ‖w*‖ is a float32's
    weight = optimum(arrays, decay)["weight"]
    errors = np.einsum("tnd,td->tn", arrays["train_inputs"], weight) - arrays["train_targets"]
    gradients = errors[:, :, None] * arrays["train_inputs"]  # of each row (T, n, d)
    seen = gradients.mean(axis=1) ** 2 + gradients.var(axis=1) / batch_size * (rows - batch_size) / (rows - 1)
    size = np.sqrt(seen.mean(axis=1))
    return {"sgd": decay, "adamw": float(np.mean(decay / np.where(size > 0, size, 1)))}


def keeping(name: str, batch_size: int, counts: Sequence[int], weight_decays: NDArray, risks: NDArray) -> str:
    """Say what the best λ with the fewest rows does to the risk with the most, kept as it is, and divided as the rows multiply.

    Of the grid the nearest to that is meant.  (N,), (L,), (N, T, L)
    """
    means, alike, times = risks.mean(axis=1), as_good(risks[-1]), counts[-1] / counts[0]
    few, many = (counted(rows, "row") for rows in (counts[0], counts[-1]))
    begun = f"On batches of {batch_size} {name}"
    if len(counts) == 1 or not (as_good(risks[0]) and alike):
        return f"{begun}'s best λ cannot be compared"
    first, lowest = (int(np.nanargmin(means[place])) for place in (0, -1))
    if first == 0:
        return f"{begun} has no λ better than 0 with {few}"
    divided = nearest(weight_decays, weight_decays[first] / times)

    def effect(place: int, what: str) -> str:
        decay, more = f"{weight_decays[place]:g}", means[-1, place] - means[-1, lowest]
        return sentence(
            (np.isnan(more), f"{decay}, diverges with {many}"),
            (place in alike, f"{decay}, does not visibly raise {what}"),
            (True, f"{decay}, raises {what} {by(more, means[-1, lowest])}"),
        )

    kept, less = effect(first, f"the lowest risk with {many}"), effect(divided, "it")
    return f"{begun}'s best λ with {few}, {kept}; the λ nearest to 1/{times:.3g} of it, {less}"


def within(found: Metrics) -> str:
    """Say in how many cases the λ nearest to theory's is not visibly worse than the best, and in how many λ = 0 is not."""
    known = [own for own in found.values() if "theory_alike" in own]
    if not known:
        return "No λ of theory lies within the grid"
    alike, zero = (sum(own[name] for own in known) for name in ("theory_alike", "zero_alike"))
    return f"The λ nearest to theory's is not visibly worse than the best in {alike} of {len(known)} cases, λ = 0 in {zero}"


def at_times(batch_size: int, each: Sequence[Metrics]) -> str:
    """Say between which λ, and between which time scales, AdamW's best λ above 0 lie."""
    known = [own for own in each if own.get("best_lambda")]
    if len(known) < 2:
        return f"On batches of {batch_size} AdamW has fewer than two best λ above 0"
    decays, epochs = (sorted(own[name] for own in known) for name in ("best_lambda", "epochs_at_best"))
    lie = f"lie between {decays[0]:g} and {decays[-1]:g}, their time scales 1/(lr·λ) between"
    return f"On batches of {batch_size} AdamW's best λ above 0 {lie} {epochs[0]:.2g} and {epochs[-1]:.2g} epochs"


READ = {"risk": 5, "weight_decay": 1, "epochs": 3, "batch_size": Integers(1)}
HEADLINES = {"risk_at_best": LOWER, "best_lambda": NEITHER}
RESULTS = Results(swept=READ, sweep=evaluate_sweep, headlines=HEADLINES)
