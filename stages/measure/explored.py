"""What is said of every λ of a sweep, beside a slider: means over trials, the best λ, and a sentence for each.

Shapes: T trials, L values of λ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stages.measure.arrivals import arrival, fate
from stages.measure.findings import (
    NO_BETTER,
    SINGLE,
    VERBS,
    WORSE,
    continued,
    diverged,
    effect,
    sentence,
    sign,
    sign_over_trials,
    spoken,
)
from stages.measure.statistics import mean_and_error, over_pairs

POINTS = 50  # of a curve, about


def over_trials(values: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The means over trials that are known, and their standard errors; NaN where there is none.  (T, …) → (…) each"""
    columns = [mean_and_error("mean", column) for column in values.reshape(len(values), -1).T]
    found = [np.array([column.get(name, np.nan) for column in columns]) for name in ("mean", "mean_se")]
    return found[0].reshape(values.shape[1:]), found[1].reshape(values.shape[1:])


def of_one(values: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`over_trials`, for the only place of a second slider.  (T, …) → (1, …) each"""
    mean, error = over_trials(values)
    return mean[None], error[None]


def lowest(means: NDArray, lost: NDArray) -> int | None:
    """The place of the lowest mean among the λ at which no trial diverged, None where there is none.  (L,), (T, L)"""
    whole = np.where(lost.any(axis=0), np.nan, means)
    return None if np.isnan(whole).all() else int(np.nanargmin(whole))


def doubt(values: NDArray, lost: NDArray, best: int | None) -> str:
    """What to say where the best λ is not visibly better than no decay, trial by trial; else nothing.  (T, L), (T, L)"""
    gap = over_pairs("gap", np.where(lost[:, 0], np.nan, values[:, best] - values[:, 0])) if best else {}
    hidden = "gap" in gap and not sign(gap, "gap", among=values.shape[1] - 1)
    return "but not visibly below the one without decay" if hidden else ""


def thinned(steps: NDArray, always: Sequence[float] = ()) -> NDArray[np.intp]:
    """The places of about POINTS evaluations, dense at first, the first and the last among them, and those of `always`.  (K,)"""
    places = np.geomspace(1, len(steps), POINTS).round().astype(int) - 1
    return np.union1d(places, np.flatnonzero(np.isin(steps, always)))


def effects(
    weight_decays: NDArray, values: NDArray, lost: NDArray, *, value: str = "val_loss", when: str = "", null: ArrayLike = np.inf
) -> list[str]:
    """A sentence for each λ: what it does to a value against the smallest λ, trial by trial, and what the value is.

    `when` is added to it, such as ` after 10 epochs`; `null` is the value of the null model, of each trial or of all.
    (L,), (T, L), (T, L), (T,)
    """
    kept, among = np.where(lost, np.nan, values), max(len(weight_decays) - 1, 1)
    rows = [row | mean_and_error(value, column) for row, column in zip(runs(weight_decays, lost), kept.T, strict=True)]
    said, first = [], f"{rows[0].get(value, np.nan):.3g}"
    for index, row in enumerate(rows):
        at = f"{row[value]:.3g}{when}" if value in row else ""
        gap = over_pairs(value, kept[:, index] - kept[:, 0])
        before = "" if sign(gap, value, among=among) else f", {first} without decay"
        found = {"wd": row, "baseline": rows[0], "wd_minus_baseline": gap}
        begun = sentence(
            (index, effect(found, value=value, when=f": {at}{before}", among=among, brief=True)),
            (at, f"Without decay the {spoken(value)} is {at}"),
            (True, "Without decay every trial diverged"),
        )
        others = lost_in(row) if at and not index else []
        said.append("; ".join(filter(None, [begun, *others, beside_constant(kept[:, index], null)])))
    return said


def ratios(
    name: str, weight_decays: NDArray, values: NDArray, what: str, *, where: str, null: float = np.inf, floor: float = 0.0
) -> list[str]:
    """A sentence for each λ, called `name`: what it does to the median of a value over trials, and to its mean logarithm.

    For values of which a few trials have most of the mean. Below `floor` a value counts as that much. `null` is the value of the
    null model.  (L,), (T, L)
    """
    kept = np.maximum(values, floor)
    medians, logs, among = [f"{each:.3g}" for each in np.median(kept, axis=0).tolist()], np.log(kept), max(kept.shape[1] - 1, 1)
    said = []
    for place, decay in enumerate(weight_decays.tolist()):
        at, median = f"{where} {name} = {decay:g}", medians[place]
        gaps = logs[:, place] - logs[:, 0]
        seen, much = (sign_over_trials(gaps, among=among, of=of) for of in (0.0, 1.0))
        begun = sentence(
            (place == 0, f"{where}, without decay, the median {what} is {median}"),
            (len(kept) == 1, f"{at} has a {what} of {median}, {name} = 0 one of {medians[0]}; {continued(SINGLE)}"),
            (much, f"{at} {VERBS.get(seen)} the median {what} from {medians[0]} to {median}"),
            (seen, f"{at} hardly changes the median {what}: it is {median}"),
            (True, f"{at} has no visible effect on the {what}: its median is {median}, {medians[0]} without decay"),
        )
        said.append("; ".join(filter(None, [begun, beside_constant(logs[:, place], np.log(null))])))
    return said


def beside_constant(values: NDArray, null: ArrayLike) -> str:
    """Say that a constant predicts better, or that the model is not visibly better; nothing where it visibly is.  (T,), (T,)"""
    gaps = values - null
    known = gaps[np.isfinite(gaps)]
    seen = sign_over_trials(gaps) if len(known) > 1 else np.sign(known.sum())
    return sentence((seen > 0, WORSE), (seen < 0 or len(known) < 2, ""), (True, NO_BETTER))


def beside(weight_decays: NDArray, one: Sequence[str], other: Sequence[str]) -> list[str]:
    """The sentences of two methods, of each λ as one.  (L,)"""
    said = []
    for decay, *both in zip(weight_decays.tolist(), one, other, strict=True):
        first, second = (
            each.replace(f"; {WORSE}", f", where {WORSE}").replace(f"; {NO_BETTER}", f", {NO_BETTER}") for each in both
        )
        same, begun = f"λ = {decay:g} ", first.split(" is ")[0] + " is "
        parts = (
            (first.startswith(same) and second.startswith(same), f"it {second.removeprefix(same)}"),
            (second.startswith(begun), second.removeprefix(begun)),
            (True, continued(second)),
        )
        said.append(f"{first}; {sentence(*parts)}")
    return said


def both(weight_decays: NDArray, values: Mapping[str, NDArray], names: Mapping[str, str], **options: Any) -> list[list[str]]:
    """For each place of a second slider the `effects` of two methods, `beside` each other; NaN where a trial diverged.

    (L,), (T, M, L) each → (M, L)
    """
    one, other = (
        [effects(weight_decays, each, np.isnan(each), when=f" with {name}", **options) for each in np.moveaxis(values[key], 1, 0)]
        for key, name in names.items()
    )
    return [beside(weight_decays, *pair) for pair in zip(one, other, strict=True)]


def fates(weight_decays: NDArray, trained: Mapping[str, NDArray], threshold: float) -> list[str]:
    """What becomes of each λ, beside what becomes of the smallest: when it generalises, or that it does not.

    `trained` has accuracies (T, L, K), their `steps` (K,) and `diverged` (T, L).
    """
    said, lost = [], trained["diverged"].astype(bool)
    for place, row in enumerate(runs(weight_decays, lost)):
        if row["diverged"] == row["trials"]:
            said.append("diverges in every trial")
            continue
        one = {f"{split}_accuracy": trained[f"{split}_accuracy"][:, place] for split in ("train", "val")}
        at = row | arrival(one | {"steps": trained["steps"], "diverged": lost[:, place]}, threshold)
        said.append(fate(at, int(trained["steps"][-1])))
    first, *others = (f"λ = {decay:g}" for decay in weight_decays.tolist())
    return [f"{first} {said[0]}"] + [
        f"{one} {each}; {first} {said[0]}" if each != said[0] else f"{one} {each}, the same as {first}"
        for one, each in zip(others, said[1:], strict=True)
    ]


def arrived(steps: NDArray, known: NDArray) -> tuple[NDArray, NDArray]:
    """The mean step at which trials get there, and its error; NaN where one does not, though it does not diverge.

    Steps are −1 where a trial does not get there, `known` is NaN where it diverged.  (T, L) each → (L,) each
    """
    missing = np.where(((steps < 0) & ~np.isnan(known)).any(axis=0), np.nan, 1.0)
    return over_trials(steps * known * missing)


def lost_in(*rows: Mapping[str, Any]) -> list[str]:
    """A part of a sentence for each of the rows that lost trials."""
    return diverged({str(place): row for place, row in enumerate(rows)}, *map(str, range(len(rows))))


def notes(weight_decays: NDArray, lost: NDArray, *, when: str = "") -> list[str]:
    """What limits the means: trials that diverged, `when` added, and a single trial.  (L,), (T, L)"""
    single = ["A single trial has no standard error"] if len(lost) == 1 else []
    return [f"{said}{when}" for said in lost_in(*runs(weight_decays, lost))] + single


def runs(weight_decays: NDArray, lost: NDArray) -> list[dict[str, Any]]:
    """What `findings` asks of a row: its λ, how many trials it has, and how many of them diverged.  (L,), (T, L)"""
    counts = zip(weight_decays.tolist(), lost.sum(axis=0).tolist(), strict=True)
    return [{"weight_decay": each, "diverged": count, "trials": len(lost)} for each, count in counts]
