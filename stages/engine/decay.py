"""Weight decay as one object: what it does before a step of the optimiser, within it, and after it.

Shapes: L decays.

With the same λ it has two forms, and tests compare them:
  penalty      the loss gains (λ/2)·Σ‖w‖², and the optimiser knows nothing of it;
  otherwise    the optimiser's `weight_decay`: coupled in SGD and Adam (λw joins the gradient, before momentum and moments,
               so it equals the penalty), decoupled in AdamW (w ← (1 − lr·λ)·w, then the Adam step). A single λ is given to
               torch.optim itself. It takes but one, so several λ, one a run, are applied before its step.
With an `l1_ratio` r the penalty is the elastic net's, λ·(r·‖w‖₁ + (1 − r)/2·‖w‖²). The ℓ1 part is a proximal step after each
step, w ← sign(w)·max(|w| − lr·λ·r, 0), which gives exact zeros (Daubechies, Defrise, De Mol 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Decay:
    weight_decays: tuple[float, ...]  # (L,), a run of every trial for each
    penalty: bool = False
    l1_ratio: float = 0.0

    @property
    def of_optimizer(self) -> float:
        """The λ that torch.optim itself is given."""
        return 0.0 if self.penalty or len(self.weight_decays) > 1 else (1 - self.l1_ratio) * self.weight_decays[0]

    def on(self, weights: Sequence[tuple[Tensor, Sequence[int]]], decoupled: bool) -> "Bound":
        """The decay of these weights, each with the shape that λ must have to be multiplied with it."""
        weight_decays = torch.tensor(self.weight_decays, dtype=torch.float64)
        parts = ((1 - self.l1_ratio) * weight_decays, self.l1_ratio * weight_decays)
        ridge, soft = ([(value, each.to(value).view(*shape)) for value, shape in weights] for each in parts)
        return Bound(self, ridge, soft, decoupled)


@dataclass(frozen=True)
class Bound:
    """A decay with the weights that it acts on, beside the λ of each run."""

    decay: Decay
    ridge: list[tuple[Tensor, Tensor]]
    soft: list[tuple[Tensor, Tensor]]
    decoupled: bool

    def before(self, lr: float) -> None:
        """What comes before the optimiser's step: the gradient of a penalty, or what torch.optim does with a single λ."""
        if self.decay.penalty:
            self._penalise()
        elif len(self.decay.weight_decays) > 1:
            for weights, of_run in self.ridge:
                if self.decoupled:
                    weights.mul_(1 - lr * of_run)
                else:
                    weights.grad.addcmul_(of_run, weights)  # type: ignore[union-attr]

    def after(self, lr: float) -> None:
        """The proximal step of λ·r·‖w‖₁."""
        if self.decay.l1_ratio:
            for weights, of_run in self.soft:
                weights.copy_(weights.sign() * (weights.abs() - lr * of_run).clamp_(min=0))

    def _penalise(self) -> None:
        """Add the gradient of the penalty in the loss, by autograd."""
        for weights, of_run in self.ridge:
            free = weights.detach().requires_grad_()
            with torch.enable_grad():
                penalty = (of_run / 2 * free.square()).sum()
            weights.grad += torch.autograd.grad(penalty, free)[0]  # type: ignore[operator]
