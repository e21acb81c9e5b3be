"""layers, at every λ, with all entries seen and with some of them hidden.

Shapes: T trials, M shares of hidden entries, L values of λ, k singular values.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import both, doubt, lowest, notes, over_trials
from stages.studies.layers.spectrum import errors, spectrum
from stages.studies.layers.system import LAYERS, RUNS, SEEN, Layers


def show(section: Layers, arrays: Arrays, swept: Mapping[str, NDArray], _: Table, summary: Metrics) -> Shown:
    weight_decays, of_runs, places = swept["weight_decay"], errors(arrays, {run: swept[run] for run in RUNS}), range(len(SEEN))
    each = {layers: np.stack([of_runs[f"{layers}_{seen}"] for seen in SEEN], axis=1) for layers in LAYERS}  # (T, M, L)
    values = {layers: np.stack([spectrum(swept[f"{layers}_{seen}"]) for seen in SEEN], axis=1) for layers in LAYERS}
    lost = {layers: np.isnan(own) for layers, own in each.items()}
    lines = {layers: Line(name, *over_trials(each[layers])) for layers, name in LAYERS.items()}
    best = [lowest(lines["two"].values[m], lost["two"][:, m]) for m in places]
    return Shown(
        title="Two layers",
        question="What does the same penalty do in a deeper model?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("share hidden", [0.0, float(1 - arrays["seen"].mean())]),
        charts=(
            OverDecays("Error", "λ", "‖W − M‖/‖M‖", lines=[*lines.values()], level=("zero everywhere", 1.0)),
            Weights(
                "Singular values",
                "number",
                "singular value",
                x=[float(place) for place in range(1, min(arrays["truth"].shape[1:]) + 1)],
                series=[(name, over_trials(values[layers])[0]) for layers, name in LAYERS.items()],
                truth=np.linalg.svd(arrays["truth"], compute_uv=False).mean(axis=0)[None],
            ),
        ),
        said=both(weight_decays, each, LAYERS, value="error", null=1.0),
        facts=tuple((f"error, {line.name}", line) for line in lines.values()),
        best=best,
        of_best="lowest error with two layers",
        finding=summary["findings"]["error"],
        doubt=[doubt(each["two"][:, m], lost["two"][:, m], best[m]) for m in places],
        trials=len(arrays["truth"]),
        notes=notes(weight_decays, np.any([own.any(axis=1) for own in lost.values()], axis=0)),
        words=[
            "The data are a matrix M of low rank, with noise; a model learns its entries: one layer as W, two layers as UV",
            "Where entries are hidden, the error is that of the hidden ones",
            "Singular values say how much a matrix stretches along each of its own directions; its rank is how many are not zero",
            "With two layers decay takes λ from each singular value, and none goes below zero; with one it divides each by 1 + λ",
        ],
    )


EXPLORER = Explorer(swept=dict.fromkeys(RUNS, 4) | {"weight_decay": 1}, columns=("weight_decay",), show=show)
