"""One folder a study, with four parts: `system.py`, `training.py`, `results.py`, `figures.py`; some have `explorer.py`.

This registry knows the folders' names and nothing else. A stage asks it for one part by the contract that the part fulfils:
`part("wide", System)` is `SYSTEM` of stages/studies/wide/system.py.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import TypeVar

from stages.base.errors import UserError
from stages.base.params import SHARED

Contract = TypeVar("Contract")
FOLDER = Path(__file__).parent
NAMES = tuple(sorted({path.parent.name for path in FOLDER.glob("*/*.py")}))


def part(study: str, contract: type[Contract]) -> Contract:
    """A part of a study. Raises UserError, naming the file, where it is missing or is not what the contract says."""
    if not study.isidentifier() or study in SHARED:
        raise UserError(f"stages/studies/{study}: expected a name of letters, digits and _, and none of {', '.join(SHARED)}")
    name = contract.__name__
    module = f"stages.studies.{study}.{name.lower()}"
    file = f"stages/studies/{study}/{name.lower()}.py"
    if importlib.util.find_spec(module) is None:
        raise UserError(f"{file}: expected this part of the study, got no file")
    found = getattr(importlib.import_module(module), name.upper(), None)
    if not isinstance(found, contract):
        raise UserError(f"{file}: expected {name.upper()}, of type {name}, got {type(found).__name__}")
    return found
