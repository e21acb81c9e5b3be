"""params.yaml, checked whole.

A stage checks the section that it reads. This one runs at every change of the file, and refuses keys that no stage reads.
"""

from stages import studies
from stages.base import params
from stages.base.system import System
from stages.console import command


def main() -> None:
    params.read_all({study: studies.part(study, System).section for study in studies.NAMES})


if __name__ == "__main__":
    command.run(main)
