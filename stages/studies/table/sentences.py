"""table in words: is decay worth it, which λ, and with how many training rows."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.measure import findings as words
from stages.measure.results import Metrics
from stages.measure.rows import Table


def judged_by(found: Metrics) -> str:
    """Name what a gain is a gain of."""
    return "test loss" if found["classes"] else "test error"


def moved(own: Metrics, name: str = "change", among: int = 1) -> int:
    """Return 1 where a mean of logarithms of ratios is visibly above 0, −1 where it is visibly below, else 0."""
    return words.sign(own, name, among=among, of=1.0)


def by(own: Metrics, name: str = "change") -> str:
    """Word such a mean: `by 18%`."""
    return words.by(np.expm1(own[name]), 1.0)


def answer(found: Metrics, counts: Sequence[int]) -> str:
    """Say whether the chosen λ visibly changes what test rows say, and how much, on all training rows: the last of `counts`."""
    seen, name = moved(found, among=len(counts)), judged_by(found)
    said = f"With {words.counted(counts[-1], 'training row')} tuned λ"
    medians = f"in the median from {found['test_median_at_zero']:.3g} to {found['test_median_at_chosen']:.3g}"
    right = ""
    if found["classes"]:
        right = f"; {100 * found['test_accuracy_at_chosen']:.3g}% of the answers are right"
        right += f", {100 * found['most_frequent_class']:.3g}% of the rows are of the most frequent class"
    return words.sentence(
        (found["trials"] == 1, words.SINGLE),
        (seen, f"{said} {words.VERBS.get(seen)} the {name} {by(found)}, {medians}{right}"),
        (True, f"{said} has no visible effect on the {name}{words.power(found, 'change', 1.0, len(counts))}{right}"),
    )


def as_good(val_loss: NDArray, weight_decays: NDArray, rows: int) -> str:
    """Say which λ has the lowest validation loss, and which are not visibly worse.  (T, L), (L,)"""
    grid = weight_decays.tolist()
    best, alike = grid[val_loss.mean(axis=0).argmin()], [grid[place] for place in words.as_good(val_loss)]
    beside = words.others(best, alike, grid) if len(alike) > 1 else ""
    most = f"With {words.counted(rows, 'training row')} λ = {best:g} is best on validation rows"
    most += ", the largest of the grid" if best == grid[-1] > 0 else ""
    return words.sentence(
        (len(val_loss) == 1, words.SINGLE),
        (beside, f"{most}; {beside} {'are' if ' ' in beside else 'is'} not visibly worse"),
        (True, most),
    )


def by_leaving_out(found: Metrics) -> str:
    """Say whether leave-one-out, which needs no validation rows, chooses λ as well."""
    seen = moved(found, "loo_change")
    return words.sentence(
        (seen < 0, f"leave-one-out, without validation rows, chooses better, {by(found, 'loo_change')}"),
        (seen > 0, f"leave-one-out, without validation rows, chooses worse, {by(found, 'loo_change')}"),
        (True, "what leave-one-out chooses, without validation rows, is not visibly worse"),
    )


def over_rows(found: Metrics, counts: Sequence[int]) -> str:
    """Say with how many training rows the chosen λ is visibly better than none, and where most."""
    each = {rows: found[f"rows_{rows}"] for rows in counts}
    better, worse = ([rows for rows in counts if moved(each[rows], among=len(counts)) == way] for way in (-1, 1))
    most = min(better, key=lambda rows: each[rows]["change"], default=counts[0])
    said, size = f"Tuned λ lowers the {judged_by(found)}", by(each[most])
    again = f"; with {words.ranged(worse, counts)} it raises it" if worse else ""
    end = again or (
        "" if counts[-1] in better else "; with more rows not visibly" if better == list(counts[: len(better)]) else ""
    )
    return words.sentence(
        (found["trials"] == 1, words.SINGLE),
        (not better, f"Tuned λ does not visibly lower the {judged_by(found)}, with few training rows or many{again}"),
        (len(better) == 1, f"{said} {size} with {most} training rows{end}"),
        (len(better) == len(counts), f"{said} with every number of training rows, most with {most}, {size}"),
        (True, f"{said} with {words.ranged(better, counts)} training rows, most with {most}, {size}{end}"),
    )


def left(found: Metrics, table: Table) -> str:
    """Say what the best λ leaves of the degrees of freedom; in a classification, of the largest weight."""
    at = {row["weight_decay"]: row for row in table[-len({row["weight_decay"] for row in table}) :]}
    best = found["best_lambda"]
    said = f"λ = {best:g} leaves"
    if best == 0:
        return "No λ is better than 0 on validation rows"
    if "degrees_of_freedom" in at[best]:
        return f"{said} {at[best]['degrees_of_freedom']:.3g} of {at[0.0]['degrees_of_freedom']:.3g} degrees of freedom"
    grid = sorted(at)
    largest = {decay: max(abs(path[grid.index(decay)]) for path in found["weights"].values()) for decay in (0.0, best)}
    return f"{said} a largest weight of {largest[best]:.3g} instead of {largest[0.0]:.3g}"


def grouped(said: str) -> str:
    """Write large numbers of a sentence with commas: `1,618`."""
    return re.sub(r"(?<![\d.])\d{4,}(?![\d.])", lambda number: f"{int(number[0]):,}", said)
