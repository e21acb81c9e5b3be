"""layers, at every λ, with all entries seen and with some of them hidden.

Shapes: T trials, L values of λ, k singular values.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.streams import Arrays
from stages.drawing.explorer.contract import Explorer, Line, OverDecays, Shown, Slider, Weights
from stages.drawing.tables import Metrics, Table
from stages.measure.explored import beside, doubt, effects, lowest, notes, over_trials
from stages.studies.layers.spectrum import error, rank, spectrum
from stages.studies.layers.system import RUNS, Layers

NAMES = {"two": "two layers", "one": "one layer"}
WHERE = ("all", "some")


def show(section: Layers, arrays: Arrays, swept: Mapping[str, NDArray], table: Table, summary: Metrics) -> Shown:
    weight_decays, hidden = swept["weight_decay"], 1 - arrays["seen"].mean()
    errors = {run: error(arrays, swept[run], hidden=run.endswith("some")) for run in RUNS}
    values = {run: spectrum(swept[run]) for run in RUNS}
    means = {run: over_trials(each) for run, each in errors.items()}
    lost = {run: np.isnan(each) for run, each in errors.items()}

    def of(layers: str, found: Mapping[str, NDArray]) -> NDArray:
        return np.stack([found[f"{layers}_{where}"] for where in WHERE])

    lines = {
        layers: Line(name, *(np.stack(each) for each in zip(*(means[f"{layers}_{where}"] for where in WHERE), strict=True)))
        for layers, name in NAMES.items()
    }
    spectra = {run: over_trials(each)[0] for run, each in values.items()}
    ranks = {run: over_trials(rank(each, arrays["targets"]))[0] for run, each in values.items()}
    two = [(errors[f"two_{where}"], lost[f"two_{where}"]) for where in WHERE]
    best = [lowest(means[f"two_{where}"][0], lost[f"two_{where}"]) for where in WHERE]
    return Shown(
        title="Two layers",
        question="What does the same penalty do in a deeper model?",
        decay=Slider("λ", weight_decays.tolist()),
        second=Slider("share hidden", [0.0, float(hidden)]),
        charts=(
            OverDecays("Error", "λ", "‖W − M‖/‖M‖", lines=[*lines.values()], level=("zero everywhere", 1.0)),
            Weights(
                "Singular values",
                "number",
                "singular value",
                x=[float(place) for place in range(1, min(arrays["truth"].shape[1:]) + 1)],
                series=[(name, of(layers, spectra)) for layers, name in NAMES.items()],
                truth=np.linalg.svd(arrays["truth"], compute_uv=False).mean(axis=0)[None],
            ),
        ),
        said=[
            beside(
                weight_decays,
                *(
                    effects(
                        weight_decays,
                        errors[f"{layers}_{where}"],
                        lost[f"{layers}_{where}"],
                        value="error",
                        when=f" with {name}",
                        null=1.0,
                    )
                    for layers, name in NAMES.items()
                ),
            )
            for where in WHERE
        ],
        facts=(
            *((f"error, {name}", lines[layers]) for layers, name in NAMES.items()),
            ("singular values kept by two layers", Line("rank", of("two", ranks))),
        ),
        best=best,
        of_best="lowest error with two layers",
        finding=summary["findings"]["error"],
        doubt=[doubt(*each, place) for each, place in zip(two, best, strict=True)],
        trials=len(arrays["truth"]),
        notes=list(dict.fromkeys(note for run in RUNS for note in notes(weight_decays, lost[run]))),
        words=[
            "The data are a matrix M of low rank, with noise; a model learns its entries: one layer as W, two layers as UV",
            "Where entries are hidden, the error is that of the hidden ones",
            "A singular value of a matrix is how much it stretches one of its own directions; its rank is how many are not zero",
            "With two layers decay takes λ from each singular value, and none goes below zero; with one it divides each by 1 + λ",
        ],
    )


EXPLORER = Explorer(swept=dict.fromkeys(RUNS, 4) | {"weight_decay": 1}, columns=("weight_decay",), show=show)
