"""The risk of every trial of descent, trained or solved.

Shapes: T trials, N numbers of rows, L penalties Λ = nλ.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.base.isotropic import first_rows, risk
from stages.base.streams import Arrays
from stages.theory.ridge import solve


def risks_of_trials(arrays: Arrays, swept: Mapping[str, NDArray]) -> NDArray[np.float64]:
    """Compute the risk of each trial for each n and Λ, solved where it is not trained.  (T, N, L)"""
    measured: NDArray[np.float64] = swept["risk"].copy()
    for index, rows in enumerate(arrays["rows"].tolist()):
        first, solved = first_rows(arrays, rows), np.flatnonzero(~swept["trained"][index])
        if len(solved):
            parts = np.linalg.svd(first["train_inputs"], full_matrices=False)
            weights = [solve(*parts, first["train_targets"], penalty) for penalty in swept["penalty"][solved]]
            measured[:, index, solved] = risk(np.stack(weights, axis=1), first["true_weight"][:, None])
    return measured
