"""params.yaml → data/<study>.npz: a study's inputs, targets, starts, batch orders and truth, all drawn from the seed."""

import os
import resource
from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError
from stages.base.streams import Streams
from stages.base.system import System
from stages.console import command


def main(study: str) -> None:
    system = studies.part(study, System)
    settings = params.load({study: system.section})
    section = params.at(settings, study)
    needed, there = system.footprint(section), memory()
    if needed > there:
        sizes = f"at most {there / 2**30:.3g} GiB, this machine's memory, got about {needed / 2**30:.3g} GiB"
        raise UserError(f"params.yaml: {study}: expected trials × rows × inputs of {sizes}")
    arrays = system.draw(section, Streams(settings.seed, system.key))
    drawn = {name: array.ndim for name, array in arrays.items()}
    if wrong := sorted({name for name, _ in drawn.items() ^ system.arrays.items()}):
        raise UserError(
            f"stages/studies/{study}/system.py: expected `draw` to return what `arrays` lists, got a difference in {wrong}"
        )
    storage.save_arrays(Path("data", f"{study}.npz"), arrays)


def memory() -> int:
    """This machine's memory in bytes, or what `ulimit -v` leaves of it."""
    physical, allowed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), resource.getrlimit(resource.RLIMIT_AS)[0]
    return physical if allowed == resource.RLIM_INFINITY else min(physical, allowed)


if __name__ == "__main__":
    command.run(main, studies.NAMES)
