"""Data, sweeps and their metrics of some studies → plots/explorer.html, in the order in which they are named.

Other studies are linked. It shows every λ of the grids, and no λ of an arm: no experiment that changes one draws it anew.
"""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError
from stages.base.rounding import significant
from stages.base.system import System, read_data, read_sweep
from stages.console import command
from stages.drawing.explorer.contract import Explorer, Shown
from stages.drawing.explorer.page import page
from stages.drawing.tables import column


def main(*study: str) -> None:
    shown, sections, seed = {}, {}, 0
    for name in study:
        system = studies.part(name, System)
        settings = params.read(name, system.section, "seed", *params.parts_of(system.section))
        shown[name], seed = shown_of(name, system, settings), int(settings.numbers["seed"])
        parts = {part: getattr(settings.section, part) for part in params.parts_of(system.section)}
        sections[name] = msgspec.to_builtins(parts)
    others = [name for name in studies.NAMES if name not in study]
    storage.save_bytes(Path("plots", "explorer.html"), page(shown, seed=seed, parameters=sections, others=others))


def shown_of(study: str, system: System, settings: params.Settings) -> Shown:
    explorer, stage = studies.part(study, Explorer), f"evaluate@{study}"
    arrays = storage.in_float64(read_data(study, system, settings))
    swept = storage.in_float64(read_sweep(study, system, explorer.swept, settings))
    table = storage.load_table(Path("metrics", f"{study}_sweep.csv"), explorer.columns, stage=stage)
    summary = storage.load_metrics(Path("metrics", "details", f"{study}_sweep.json"), (), stage=stage)
    if explorer.grid:
        compare(study, swept[explorer.grid[0]], column(table, explorer.grid[1]))
    return explorer.show(settings.section, arrays, swept, table, summary)


def compare(study: str, swept: NDArray, tabled: NDArray) -> None:
    """Raise UserError where the table is of other λ than the sweep."""
    own, known = (set(significant(each).ravel().tolist()) for each in (swept, tabled))
    if not own <= known:
        expected = f"metrics/{study}_sweep.csv: expected the λ of data/{study}/sweep.npz, {np.sort([*own]).tolist()}"
        raise UserError(f"{expected}, got {np.sort([*known]).tolist()}: dvc repro {f'evaluate@{study}'}")


if __name__ == "__main__":
    command.run(main, studies.NAMES, several=True)
