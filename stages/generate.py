"""params.yaml → data/<study>.npz: a study's inputs, targets, truth and starts, drawn from the seed or read from its files."""

from pathlib import Path

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError
from stages.base.memory import must_fit
from stages.base.streams import Streams
from stages.base.system import DRAWN_FROM, System
from stages.console import command


def main(study: str, root: Path = Path()) -> None:
    """Draw a study's data; the files that it reads are named from `root`."""
    system = studies.part(study, System)
    settings = params.read(study, system.section, *DRAWN_FROM)
    files = {key: settings.flat[f"{study}.data.{key}"] for key in system.files}
    contents = [storage.read_bytes(root / name, f"{study}.data.{key}") for key, name in files.items()]
    must_fit(system.footprint(settings.section, *contents), study, "trials × rows × inputs")
    arrays = system.draw(settings.section, Streams(int(settings.numbers["seed"]), system.key), *contents)
    drawn = {name: array.ndim for name, array in arrays.items()}
    if wrong := sorted({name for name, _ in drawn.items() ^ system.arrays.items()}):
        raise UserError(
            f"stages/studies/{study}/system.py: expected `draw` to return what `arrays` lists, got a difference in {wrong}"
        )
    storage.save_arrays(Path("data", f"{study}.npz"), arrays, settings.flat)


if __name__ == "__main__":
    command.run(main, studies.NAMES)
