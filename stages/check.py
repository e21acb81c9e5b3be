"""params.yaml, checked whole.

Every stage checks it too; this one runs at every change, so that a key that no stage reads is refused as well.
"""

from stages import command
from stages.science import params


def main() -> None:
    params.load()


if __name__ == "__main__":
    command.run(main)
