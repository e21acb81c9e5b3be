"""The page, as bytes."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from stages.drawing.explorer.contract import Shown


def page(shown: Mapping[str, Shown], *, seed: int, parameters: Mapping[str, Mapping[str, Any]]) -> bytes:
    tree = {name: asdict(each) for name, each in shown.items()} | {"seed": seed, "parameters": parameters}
    return json.dumps(tree, default=lambda value: np.asarray(value).tolist()).encode()
