"""Data, sweeps and their metrics of some studies → plots/explorer.html, in the order in which they are named."""

from pathlib import Path

import msgspec

from stages import studies
from stages.base import params, storage
from stages.base.params import Settings
from stages.base.system import System, read_data, read_sweep
from stages.console import command
from stages.drawing.explorer.contract import Explorer, Shown
from stages.drawing.explorer.page import page


def main(*study: str) -> None:
    settings = params.load({name: studies.part(name, System).section for name in study})
    shown = {name: shown_of(name, settings) for name in study}
    sections = {name: msgspec.to_builtins(params.at(settings, name)) for name in study}
    storage.save_bytes(Path("plots", "explorer.html"), page(shown, seed=settings.seed, parameters=sections))


def shown_of(study: str, settings: Settings) -> Shown:
    explorer, stage = studies.part(study, Explorer), f"evaluate-sweep@{study}"
    arrays = storage.in_float64(read_data(study, studies.part(study, System)))
    swept = storage.in_float64(read_sweep(study, explorer.swept))
    table = storage.load_table(Path("metrics", f"{study}_sweep.csv"), explorer.columns, stage=stage)
    summary = storage.load_metrics(Path("metrics", "details", f"{study}_sweep.json"), (), stage=stage)
    return explorer.show(settings, arrays, swept, table, summary)


if __name__ == "__main__":
    command.run(main, studies.NAMES, several=True)
