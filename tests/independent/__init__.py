"""The science once more, in plain NumPy: what metrics/ must hold, from data/<study>.npz and the values of params.yaml.

Written from the definitions in params.yaml and README.md, with nothing of stages/. R trials stand side by side in the first
axis of every array; n rows, d inputs, D parameters of a trial. λ is `decay`, the data loss (c/2)·mean (ŷ − y)².

A result is a tree of `exact.Number`s.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from independent.descent import descent
from independent.equilibrium import equilibrium
from independent.line import line
from independent.modular import modular
from independent.phase import phase
from independent.shared import Results
from independent.wide import wide


def results(study: str, params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    exact = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in data.items()}
    known = {"line": line, "wide": wide, "modular": modular, "descent": descent, "equilibrium": equilibrium, "phase": phase}
    return known[study](params, exact)
