"""phase, computed anew: the network of `modular`, trained with every λ on every share of the pairs."""

from typing import Any

import numpy as np
from exact import Array, Number, Table, rounded
from numpy.typing import NDArray

from independent.modular import grokking
from independent.shared import Results

VERBS = ("memorise", "generalise")


def phase(params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    """A share is the first pairs in the order that was drawn. A cell is a λ on a share; all its trials must arrive."""
    own, grid, report = params["phase"], params["phase"]["sweep"], params["phase"]["report"]
    counts = dict.fromkeys(("soon", "late", "by_heart", "neither", "diverged"), 0)
    table: Table = []
    tenfold = 0
    enough: dict[float, tuple[float, Array]] = {}  # λ → the smallest share from which on it generalises, and when on that
    for share in grid["train_fraction"]:
        train, arrivals, _ = grokking(own, data, share)
        for decay in grid["wd"]:
            when = np.array([arrivals(train(decay))[f"steps_to_{verb}"] for verb in VERBS])  # (2, R)
            memorised, generalised = ((steps >= 0).all() for steps in when)
            soon = generalised and not (memorised and when[1].mean() >= report["late"] * when[0].mean())
            name = "soon" if soon else "late" if generalised else "by_heart" if memorised else "neither"
            counts[name] += 1
            tenfold += bool(generalised and memorised and when[0].mean() > 0 and when[1].mean() >= 10 * when[0].mean())
            if not generalised:
                enough.pop(decay, None)
            else:
                enough.setdefault(decay, (share, when))
            for trial, steps in enumerate(when.T):
                known = {"weight_decay": rounded(decay), "train_fraction": rounded(share), "trial": Number(trial)}
                reached = {f"steps_to_{verb}": Number(int(step)) for verb, step in zip(VERBS, steps, strict=True)}
                table.append(known | {"diverged": Number(0)} | reached | {"phase": name})
    summary: dict[str, Any] = {
        "cells": {name: Number(count) for name, count in counts.items()},
        "steps": Number(own["train"]["steps"]),
        "tenfold": Number(tenfold),
    }
    summary |= {"p": Number(own["data"]["p"])} | {name: rounded(report[name]) for name in ("threshold", "late")}
    if enough:
        decay = min(enough, key=lambda each: (enough[each][0], enough[each][1][1].mean()))
        share, when = enough[decay]
        means = {f"steps_to_{verb}": rounded(steps.mean()) for verb, steps in zip(VERBS, when, strict=True)}
        summary["fewest"] = {"weight_decay": rounded(decay), "train_fraction": rounded(share)} | means
    return Results(table, summary)
