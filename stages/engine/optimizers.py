"""The optimisers of torch.optim that a study may name, and what the engine must know of each."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Optimizer:
    make: Callable[..., torch.optim.Optimizer]
    decoupled: bool  # λ shrinks the weights beside the step, w ← (1 − lr·λ)·w; coupled, λw joins the gradient
    rotation_equivariant: bool  # rotated inputs give rotated weights: no coordinate is treated for itself
    heavy_ball: bool  # gradient descent, maybe with momentum: `stability` knows its largest learning rate


OPTIMIZERS = {
    "sgd": Optimizer(torch.optim.SGD, decoupled=False, rotation_equivariant=True, heavy_ball=True),
    "adam": Optimizer(torch.optim.Adam, decoupled=False, rotation_equivariant=False, heavy_ball=False),
    "adamw": Optimizer(torch.optim.AdamW, decoupled=True, rotation_equivariant=False, heavy_ball=False),
}


def stepper(kind: str, groups: list[dict[str, Any]], settings: dict[str, Any]) -> Callable[[float], None]:
    """A function that does one step of an optimiser on these parameter groups, at a learning rate.

    Where torch has it, the step is fused: one pass over each parameter. torch wraps the step in code that imports its compiler,
    which takes a second and is not used here: it is left out.
    """
    plain: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    plain.__dynamo_disable = plain
    fused = all(each.device.type in ("cpu", "cuda") for group in groups for each in group["params"])
    optimizer = OPTIMIZERS[kind].make(groups, **settings, fused=fused)
    update = torch.no_grad()(inspect.unwrap(type(optimizer).step))

    def step(lr: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr
        update(optimizer)

    return step
