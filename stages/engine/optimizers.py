"""The optimisers of torch.optim that a study may use, with their settings, and what the engine must know of each."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from stages.base.params import Moments


@dataclass(frozen=True)
class Optimizer:
    make: Callable[..., torch.optim.Optimizer]
    arguments: Mapping[str, Any]  # of `make`, beside the learning rate and λ
    decoupled: bool  # λ shrinks the weights beside the step, w ← (1 − lr·λ)·w; coupled, λw joins the gradient
    rotation_equivariant: bool  # rotated inputs give rotated weights: no coordinate is treated for itself
    heavy_ball: bool  # gradient descent, maybe with momentum: `stability` knows its largest learning rate

    @property
    def momentum(self) -> float:
        return self.arguments.get("momentum", 0.0)


def sgd(momentum: float = 0.0) -> Optimizer:
    return Optimizer(torch.optim.SGD, {"momentum": momentum}, decoupled=False, rotation_equivariant=True, heavy_ball=True)


def adam(moments: Moments) -> Optimizer:
    return Optimizer(torch.optim.Adam, of_moments(moments), decoupled=False, rotation_equivariant=False, heavy_ball=False)


def adamw(moments: Moments) -> Optimizer:
    return Optimizer(torch.optim.AdamW, of_moments(moments), decoupled=True, rotation_equivariant=False, heavy_ball=False)


def of_moments(moments: Moments) -> dict[str, Any]:
    return {"betas": (moments.beta1, moments.beta2), "eps": moments.eps}


def stepper(optimizer: Optimizer, groups: list[dict[str, Any]], lr: float) -> Callable[[float], None]:
    """A function that does one step of an optimiser on these parameter groups, at a learning rate.

    Where torch has it, the step is fused: one pass over each parameter. torch wraps the step in code that imports its compiler,
    which takes a second and is not used here: it is left out.
    """
    plain: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    plain.__dynamo_disable = plain
    fused = all(each.device.type in ("cpu", "cuda") for group in groups for each in group["params"])
    made = optimizer.make(groups, lr=lr, **optimizer.arguments, fused=fused)
    update = torch.no_grad()(inspect.unwrap(type(made).step))

    def step(lr: float) -> None:
        for group in made.param_groups:
            group["lr"] = lr
        update(made)

    return step
