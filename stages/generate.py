"""params.yaml → data/<study>.npz: a study's inputs, targets, starts, batch orders and truth, all drawn from the seed."""

import os
from pathlib import Path

from stages import command
from stages.science import data, params, storage
from stages.science.errors import UserError


def main(study: str) -> None:
    settings = params.load()
    needed, memory = data.footprint(study, settings.at(study)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        sizes = f"at most {memory / 2**30:.3g} GiB, this machine's memory, got about {needed / 2**30:.3g} GiB"
        raise UserError(f"params.yaml: {study}: expected trials × rows × inputs of {sizes}")
    arrays = data.GENERATORS[study](settings.at(study), settings.seed)
    storage.save_arrays(Path("data", f"{study}.npz"), arrays)


if __name__ == "__main__":
    command.run(main, list(data.GENERATORS))
