"""The science once more, in plain NumPy: what metrics/ must hold, from data/<study>.npz and the values of params.yaml.

Written from the definitions in params.yaml and README.md, with nothing of stages/. R trials stand in the first axis of every
array, L values of λ maybe in the second; n rows, d inputs, D parameters of a run. λ is `decay`, the data loss, but for digits'
cross-entropy, (c/2)·mean (ŷ − y)².  A result is a tree of `exact.Number`s.
"""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from independent.shared import Results


def results(study: str, params: dict[str, Any], data: dict[str, NDArray]) -> Results:
    exact = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in data.items()}
    return getattr(import_module(f"independent.{study}"), study)(params, exact)
