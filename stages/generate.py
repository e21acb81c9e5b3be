"""params.yaml → data/<study>.npz: a study's inputs, targets, starts, batch orders and truth, all drawn from the seed."""

from pathlib import Path

from stages import command
from stages.science import data, params, storage


def main(study: str) -> None:
    settings = params.load()
    arrays = data.GENERATORS[study](settings.at(study), settings.seed)
    storage.save_arrays(Path("data", f"{study}.npz"), arrays)


if __name__ == "__main__":
    command.run(main, list(data.GENERATORS))
