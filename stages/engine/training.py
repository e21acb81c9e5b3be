"""A study's part `training.py`: what it trains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from stages.base.streams import Arrays
from stages.engine.fit import Fit
from stages.engine.job import Job

Fitting = Callable[[str, Job], Fit]  # what is told of it, the job → trained, wherever that is


@dataclass(frozen=True)
class Training:
    """What is trained of a study, from the part `train` of its section.

    job     (section, data, device, λ of a grid) → the job that the sweep trains at every λ
    sweep   (section, data, device, fit) → the arrays of the sweep, from the part `sweep` too
    jobs    (section, data, device, the λ of an arm by name) → the jobs of the arm; a row of the metrics is called by the arm's
            name and the job's: "wd" and "_zero"
    twins   job → the job that it must match to rounding
    """

    job: Callable[..., Job]
    sweep: Callable[[Any, Arrays, torch.device, Fitting], Arrays]
    jobs: Callable[..., Mapping[str, Job]] = lambda *_, **__: {}
    twins: Mapping[str, str] = field(default_factory=dict)
