"""What AdamW's best risk is on batches of each size, beside ridge's and the box's, in numbers and in words.

Shapes: B batch sizes, T trials, L values of λ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measure import findings as words
from stages.measure.results import Metrics
from stages.measure.rows import Row
from stages.measure.statistics import mean_and_error, over_pairs


def of_sizes(
    ends: Row, theory: Mapping[str, NDArray], sizes: Sequence[int], weight_decays: Sequence[float], lost: NDArray
) -> dict[str, Any]:
    """For each batch size AdamW's best λ and its risk there, beside that of each oracle at its own, trial by trial.

    `ends` are what AdamW ends with, (B, T, L) each, `theory` the oracles' risks, (T, L) each, `lost` what diverged, (B, T, L).
    """
    best = {name: risks[:, int(risks.mean(axis=0).argmin())] for name, risks in theory.items()}  # (T,) each
    found: dict[str, Any] = {}
    for place, size in enumerate(sizes):
        risks, off = ends["risk"][place], ends["from_batch_rest"][place].mean(axis=0)[1:]
        own = found[f"batch_{size}"] = {"diverged": int(lost[place].sum())}
        if np.isnan(risks.mean(axis=0)).all():
            continue
        chosen = int(np.nanargmin(risks.mean(axis=0)))
        own |= {"best_lambda": weight_decays[chosen]} | mean_and_error("risk_at_best", risks[:, chosen])
        for name, other in best.items():
            own |= over_pairs(f"risk_minus_{name}", risks[:, chosen] - other) | {f"risk_of_{name}": float(other.mean())}
        own |= mean_and_error("largest_share_at_best", ends["largest_share"][place, :, chosen])
        own |= {"farthest": float(np.nanmax(off))} if np.isfinite(off).any() else {}
    return found


def said(found: Metrics, sizes: Sequence[int], *, rows: int, trials: int) -> dict[str, str]:
    """Say what AdamW's best risk is beside ridge's, on the largest and the smallest batches; and how near weights get to 1/λ."""
    names = {size: f"all {rows} rows" if size >= rows else f"batches of {size}" for size in sizes}
    each = {names[size]: found[f"batch_{size}"] for size in (sizes[-1], sizes[0])}
    known = {name: own for name, own in each.items() if "best_lambda" in own}
    lost = words.lost_runs(sum(found[f"batch_{size}"]["diverged"] for size in sizes))
    risks = {name: f"on {name} {beside_ridge(own)}" for name, own in known.items()}
    walls = [
        f"{risks[name]}, its largest weight {words.per_cent(own['largest_share_at_best'])} of 1/λ" for name, own in known.items()
    ]
    return {
        figure: words.sentence(
            (not known, "On batches a trial diverged at every λ"),
            (trials == 1, words.SINGLE),
            (True, f"AdamW's best risk beside ridge's: {'; '.join(parts)}"),
            lost=[lost],
        )
        for figure, parts in (("batches", risks.values()), ("panel", walls))
    }


def beside_ridge(own: Mapping[str, float]) -> str:
    """Word a risk beside ridge's: `20% more`."""
    seen, gap, ridge = words.sign(own, "risk_minus_ridge", among=2), own["risk_minus_ridge"], own["risk_of_ridge"]
    size = words.per_cent(abs(gap) / ridge) if ridge > 0 else f"{abs(gap):.2g}"
    return f"{size} {'more' if seen > 0 else 'less'}" if seen else "no visible difference"
