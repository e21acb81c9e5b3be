"""How many runs a GPU's memory holds, found without using any of it: a step of one run on torch's `meta` device."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stages.engine import fit as loop
from stages.engine.job import Job, never
from stages.engine.machine import free_memory

SHARE = 0.8  # of the free memory; the rest is for what libraries take, and for what lies between two tensors
META = torch.device("meta")


class Made(TorchDispatchMode):
    """Adds up the bytes of all storage that operations make, beside what was there. It keeps each, which on `meta` is free."""

    def __init__(self, there: Iterable[Tensor]) -> None:
        super().__init__()
        self.there = {each.untyped_storage()._cdata for each in there}
        self.storages: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = made if isinstance(made, (tuple, list)) else [made]
        storages = [each.untyped_storage() for each in tensors if isinstance(each, Tensor)]
        self.storages |= {each._cdata: each for each in storages}
        return made

    @property
    def bytes(self) -> int:
        return sum(each.nbytes() for place, each in self.storages.items() if place not in self.there)


def runs_that_fit(job: Job) -> int:
    """How many runs may share a chunk on the problem's device, at least 1."""
    return max(1, int(SHARE * free_memory(job.problem.train[1].device)) // bytes_of_a_run(job))


def bytes_of_a_run(job: Job) -> int:
    """More than a run needs: all that a step and two evaluations make, as if nothing were freed, and the whole history twice.

    Batches are gathered for all steps up to an evaluation, while the last ones are still there: so with batches it is all steps
    of two evaluations.
    """
    one, batches, every = job.problem.trials(slice(0, 1)), job.schedule.batches, job.schedule.evaluate_every
    splits = {name: (inputs.to(META), targets.to(META)) for name, (inputs, targets) in one.splits.items()}
    one = replace(one.on(splits), start={name: value.to(META) for name, value in one.start.items()})
    counted = batches[: 2 * every] if isinstance(batches[0], Tensor) else batches[:1]
    first = [rows if rows is None else rows[:1].to(META) for rows in counted]
    schedule = replace(job.schedule, batches=first, pace=job.schedule.pace[: len(first)])
    decay = replace(job.decay, weight_decays=(0.0,))
    alone = replace(job, problem=one, schedule=schedule, decay=decay, enough=never)
    with Made([*one.start.values(), *(each for split in splits.values() for each in split)]) as made:
        fitted = loop.fit(alone)
    evaluated = sum(each.nbytes for each in fitted.history.values()) // len(fitted.steps)
    return made.bytes + 2 * evaluated * (len(batches) // every + 2)
