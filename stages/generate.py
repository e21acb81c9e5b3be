"""params.yaml → data/<study>.npz: a study's inputs, targets, starts, batch orders and truth, all drawn from the seed."""

import os
import resource
from pathlib import Path

from stages import command
from stages.science import data, params, storage
from stages.science.errors import UserError


def main(study: str) -> None:
    settings = params.load()
    needed, there = data.footprint(study, settings.at(study)), memory()
    if needed > there:
        sizes = f"at most {there / 2**30:.3g} GiB, this machine's memory, got about {needed / 2**30:.3g} GiB"
        raise UserError(f"params.yaml: {study}: expected trials × rows × inputs of {sizes}")
    arrays = data.GENERATORS[study](settings.at(study), settings.seed)
    storage.save_arrays(Path("data", f"{study}.npz"), arrays)


def memory() -> int:
    """This machine's memory in bytes, or what `ulimit -v` leaves of it."""
    physical, allowed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), resource.getrlimit(resource.RLIMIT_AS)[0]
    return physical if allowed == resource.RLIM_INFINITY else min(physical, allowed)


if __name__ == "__main__":
    command.run(main, list(data.GENERATORS))
