"""Linear models: ŷ = Aθ with A = [inputs, 1] and θ = [weight, bias]."""

from dataclasses import dataclass, replace

import numpy as np
from exact import ROUNDING, Array, Values
from numpy.typing import NDArray

from independent.shared import adam, batches_of, sgd


@dataclass(frozen=True)
class Linear:
    design: dict[str, Array]  # A of "train" and "val", (R, n, D)
    targets: dict[str, Array]  # (R, n)
    start: Array  # (R, D)
    truth: Array  # (R, D)
    c: float
    decayed: Array  # (D,): 1 for what decays, 0 for what is spared
    batches: list[NDArray[np.int64]]  # row numbers of each step, (R, b)
    steps_per_epoch: int
    noise: float | None  # of the targets, where the inputs are isotropic too

    def residual(self, split: str, theta: Array) -> Array:
        return (self.design[split] @ theta[:, :, None])[:, :, 0] - self.targets[split]

    def loss(self, split: str, theta: Array) -> Array:
        return self.c / 2 * (self.residual(split, theta) ** 2).mean(axis=1)

    def gradient(self, theta: Array, decay: float, rows: NDArray[np.int64] | None = None) -> Array:
        """Of the data loss on these rows, or all, plus (λ/2)·‖·‖² of what decays."""
        design, targets = self.design["train"], self.targets["train"]
        if rows is not None:
            trial = np.arange(len(rows))[:, None]
            design, targets = design[trial, rows], targets[trial, rows]
        residual = design @ theta[:, :, None] - targets[:, :, None]  # (R, b, 1)
        return self.c / design.shape[1] * (design.transpose(0, 2, 1) @ residual)[:, :, 0] + decay * self.decayed * theta

    def by_sgd(self, decay: float, *, lr: float, momentum: float) -> list[Array]:
        def gradient(theta: Array, step: int) -> Array:
            return self.gradient(theta, decay, self.batches[step])

        return sgd(gradient, self.start, len(self.batches), lr=lr, momentum=momentum)

    def by_adam(self, decay: float, *, epochs: int, **settings: float) -> list[Array]:
        """On full batches, λ coupled."""
        return adam(lambda theta, _: self.gradient(theta, decay), self.start, epochs, **settings)

    def ridge(self, decay: float) -> Array:
        """The zero of the gradient, (c·AᵀA/n + λD)θ = c·Aᵀy/n; at λ = 0 the limit λ → 0, where what decays is shortest."""
        design, targets = self.design["train"], self.targets["train"]
        if decay > 0:
            share = self.c / design.shape[1] * design.transpose(0, 2, 1)
            return np.linalg.solve(share @ design + decay * np.diag(self.decayed), share @ targets[:, :, None])[:, :, 0]
        if self.decayed.all():
            return (np.linalg.pinv(design, rcond=1e-10) @ targets[:, :, None])[:, :, 0]
        inputs, mean = design[:, :, :-1], targets.mean(axis=1)
        centre = inputs.mean(axis=1)
        centred, aim = inputs - centre[:, None], targets - mean[:, None]
        weight = (np.linalg.pinv(centred, rcond=1e-10) @ aim[:, :, None])[:, :, 0]
        return np.column_stack([weight, mean - (centre * weight).sum(axis=1)])

    def parts(self, decay: float, **settings: float) -> dict[str, Array]:
        """½‖·‖² of what is left of the start, of the signal that is missing, of the noise that is fitted.

        The trained weights are linear in start, signal and noise, so each is trained alone.
        """
        nothing = np.zeros_like(self.start)
        signal = (self.design["train"] @ self.truth[:, :, None])[:, :, 0]

        def end(start: Array, targets: Array) -> Array:
            alone = replace(self, start=start, targets={"train": targets})
            return alone.by_sgd(decay, **settings)[-1]

        left = {
            "excess_start": end(self.start, np.zeros_like(signal)),
            "excess_shrinkage": end(nothing, signal) - self.truth,
            "excess_noise": end(nothing, self.targets["train"] - signal),
        }
        return {name: (vector**2).sum(axis=1) / 2 for name, vector in left.items()}

    def losses(self, theta: Array) -> dict[str, Values]:
        """Both losses and ‖w‖₂, of which the curves and the sweep are made.

        A loss is a square: it is as good as its root, which is known to a part of the targets' size.
        """
        found = {}
        for split in ("train", "val"):
            loss, of_zero = self.loss(split, theta), self.c / 2 * (self.targets[split] ** 2).mean(axis=1)
            found[f"{split}_loss"] = Values(loss, np.sqrt(loss * of_zero) + ROUNDING * of_zero)
        norm = np.linalg.norm(theta[:, :-1], axis=1)
        return found | {"weight_norm": Values(norm, norm)}

    def row(self, theta: Array) -> dict[str, Values]:
        """Everything that a row of the metrics says of the parameters θ."""
        found, weight, bias = self.losses(theta), theta[:, :-1], theta[:, -1]
        for split in ("train", "val"):
            of_mean = self.c / 2 * self.targets[split].var(axis=1)
            ratio = found[f"{split}_loss"].each / of_mean
            found[f"{split}_r2"] = Values(1 - ratio, 1 + ratio)
        found["half_squared_norm"] = Values((weight**2).sum(axis=1) / 2, (weight**2).sum(axis=1))
        found["bias"] = Values(bias, np.abs(theta).max(axis=1))
        if weight.shape[1] == 1:
            found["weight"] = Values(weight[:, 0], np.abs(theta).max(axis=1))
        if self.noise is not None:
            loss = (((theta - self.truth) ** 2).sum(axis=1) + self.noise**2) / 2
            found["population_loss"] = Values(loss, loss)
            found["mean_weight_missed"] = Values(self.mean_missed(theta), np.abs(theta).max(axis=1))
        return found

    def mean_missed(self, theta: Array) -> Array:
        """How far the mean of the weights is from the true one's."""
        return np.abs((theta - self.truth)[:, :-1].mean(axis=1))


def linear(data: dict[str, NDArray], order: NDArray[np.int64], size: int, *, c: float, bias_decays: bool) -> Linear:
    """Trained in batches of this size, in this order of the rows in each epoch (R, epochs, n)."""

    def with_one(inputs: Array) -> Array:
        return np.concatenate([inputs, np.ones_like(inputs[:, :, :1])], axis=2)

    batches = batches_of(order, size)
    decayed = np.ones(data["start_weight"].shape[1] + 1)
    decayed[-1] = bias_decays
    return Linear(
        design={split: with_one(data[f"{split}_inputs"]) for split in ("train", "val")},
        targets={split: data[f"{split}_targets"] for split in ("train", "val")},
        start=np.column_stack([data["start_weight"], data["start_bias"]]),
        truth=np.column_stack([data["true_weight"], data["true_bias"]]),
        c=c,
        decayed=decayed,
        batches=batches,
        steps_per_epoch=len(batches) // order.shape[1],
        noise=float(data["noise"]) if "noise" in data else None,
    )
