"""Linear models: ŷ = Aθ with A = [inputs, 1] and θ = [weight, bias], or without the bias where a study has none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from exact import ROUNDING, Array, Values
from numpy.typing import NDArray

from independent.shared import Gradient, batches_of, sgd


@dataclass(frozen=True)
class Linear:
    design: dict[str, Array]  # A of "train" and "val", (R, n, D)
    targets: dict[str, Array]  # (R, n)
    start: Array  # (R, D)
    truth: Array  # (R, D)
    width: int  # of the weight
    c: float
    decayed: Array  # (D,): 1 for what decays, 0 for what is spared
    batches: list[NDArray[np.int64]]  # row numbers of each step, (R, b)
    steps_per_epoch: int
    noise: float | None  # of the targets, where the inputs are isotropic too

    def loss(self, split: str, theta: Array) -> Array:
        residual = (self.design[split] @ theta[:, :, None])[:, :, 0] - self.targets[split]
        return self.c / 2 * (residual**2).mean(axis=1)

    def by_sgd(self, weight_decays: Sequence[float], *, lr: float, momentum: float) -> list[Array]:
        """θ (R, L, D) on the way, for each λ: along the data loss on a batch plus (λ/2)·‖·‖² of what decays."""
        trial, of_decay = np.arange(len(self.start))[:, None], np.array(weight_decays)[:, None] * self.decayed

        def gradient(theta: Array, step: int) -> Array:
            rows = self.batches[step]
            design, targets = self.design["train"][trial, rows], self.targets["train"][trial, rows]
            residual = theta @ design.mT - targets[:, None]  # (R, L, b)
            return self.c / design.shape[1] * residual @ design + of_decay * theta

        return sgd(gradient, self.begun(weight_decays), len(self.batches), lr=lr, momentum=momentum)

    def begun(self, weight_decays: Sequence[float]) -> Array:
        return np.repeat(self.start[:, None], len(weight_decays), axis=1)

    def ridge(self, decay: float) -> Array:
        """The zero of the gradient; at λ = 0 the limit λ → 0, where what decays is shortest."""
        design, targets = self.design["train"], self.targets["train"]
        if decay > 0 or self.decayed.all():
            return ridge(design, targets, decay / self.c * self.decayed)
        inputs, mean = design[:, :, :-1], targets.mean(axis=1)
        centre = inputs.mean(axis=1)
        centred, aim = inputs - centre[:, None], targets - mean[:, None]
        weight = ridge(centred, aim, 0)
        return np.column_stack([weight, mean - (centre * weight).sum(axis=1)])

    def parts(self, weight_decays: Sequence[float], steps: Sequence[int], **settings: float) -> dict[str, Array]:
        """What start, signal and noise alone become in so many steps: θ of a linear model is their sum.  (K, R, L, D) each"""
        signal = (self.design["train"] @ self.truth[:, :, None])[:, :, 0]
        alone = {
            "start": replace(self, targets={"train": 0 * signal}),
            "signal": replace(self, start=0 * self.start, targets={"train": signal}),
            "noise": replace(self, start=0 * self.start, targets={"train": self.targets["train"] - signal}),
        }
        paths = ((name, each.by_sgd(weight_decays, **settings)) for name, each in alone.items())
        return {name: np.stack([path[step] for step in steps]) for name, path in paths}

    def losses(self, theta: Array) -> dict[str, Values]:
        """Both losses and ‖w‖₂, of which the curves and the sweep are made.

        A loss is a square: it is as good as its root, which is known to a part of the targets' size.
        """
        found = {}
        for split in ("train", "val"):
            loss, of_zero = self.loss(split, theta), self.c / 2 * (self.targets[split] ** 2).mean(axis=1)
            found[f"{split}_loss"] = Values(loss, np.sqrt(loss * of_zero) + ROUNDING * of_zero)
        norm = np.linalg.norm(theta[:, : self.width], axis=1)
        return found | {"weight_norm": Values(norm, norm)}

    def row(self, theta: Array) -> dict[str, Values]:
        """Everything that a row of the metrics says of the parameters θ."""
        found, weight, bias = self.losses(theta), theta[:, : self.width], theta[:, self.width :]
        for split in ("train", "val"):
            of_mean = self.c / 2 * self.targets[split].var(axis=1)
            ratio = found[f"{split}_loss"].each / of_mean
            found[f"{split}_r2"] = Values(1 - ratio, 1 + ratio)
        found["half_squared_norm"] = Values((weight**2).sum(axis=1) / 2, (weight**2).sum(axis=1))
        for name, values in (("weight", weight), ("bias", bias)):
            if values.shape[1] == 1:
                found[name] = Values(values[:, 0], np.abs(theta).max(axis=1))
        if self.noise is not None and bias.size:
            loss = (((theta - self.truth) ** 2).sum(axis=1) + self.noise**2) / 2
            found["population_loss"] = Values(loss, loss)
            found["mean_weight_missed"] = Values(self.mean_missed(theta), np.abs(theta).max(axis=1))
        return found

    def mean_missed(self, theta: Array) -> Array:
        """How far the mean of the weights is from the true one's."""
        return np.abs((theta - self.truth)[:, :-1].mean(axis=1))


def linear(
    data: dict[str, NDArray], order: NDArray[np.int64] | None = None, size: int = 0, *, c: float, bias_decays: bool = False
) -> Linear:
    """Trained in batches of this size, in this order of the rows in each epoch (R, epochs, n), if it is to be trained."""
    names = [name for name in ("weight", "bias") if f"start_{name}" in data]

    def design(inputs: Array) -> Array:
        return np.concatenate([inputs, *[np.ones_like(inputs[:, :, :1]) for _ in names[1:]]], axis=2)

    batches, width = batches_of(order, size) if order is not None else [], data["start_weight"].shape[1]
    return Linear(
        design={split: design(data[f"{split}_inputs"]) for split in ("train", "val")},
        targets={split: data[f"{split}_targets"] for split in ("train", "val")},
        start=np.column_stack([data[f"start_{name}"] for name in names]),
        truth=np.column_stack([data[f"true_{name}"] for name in names]),
        width=width,
        c=c,
        decayed=np.array([1.0] * width + [float(bias_decays)] * len(names[1:])),
        batches=batches,
        steps_per_epoch=len(batches) // order.shape[1] if order is not None else 1,
        noise=float(data["noise"]) if "noise" in data else None,
    )


def descent_on(x: Array, y: Array, weight_decays: Sequence[float] | Array) -> Gradient:
    """The gradient of half the mean squared error of θ (R, L, d) without a bias, plus (λ/2)‖θ‖² for each λ (L,)."""
    square, aim = x.mT @ x / x.shape[1], y[:, None] @ x / x.shape[1]  # (R, d, d), (R, 1, d)
    return lambda theta, _: theta @ square - aim + np.array(weight_decays)[:, None] * theta


def ridge(x: Array, y: Array, decay: Array | float) -> Array:
    """The zero of (XᵀX/n + λ)w = Xᵀy/n, with a λ for all or for each; without any the shortest.  (R, n, d), (R, n) → (R, d)"""
    if not np.any(decay):
        return (np.linalg.pinv(x, rcond=1e-10) @ y[:, :, None])[:, :, 0]
    share = x.mT / x.shape[1]
    return np.linalg.solve(share @ x + decay * np.eye(x.shape[2]), share @ y[:, :, None])[:, :, 0]


def risk(weight: Array, truth: Array) -> Values:
    """‖w − w*‖².  (R, …, d) → (R, …)"""
    each = ((weight - truth) ** 2).sum(axis=-1)
    return Values(each, 1 + each)


def expected_risk(singular: Array, fitted: Array, *, inputs: int, signal: float, noise: float) -> Array:
    """‖w − w*‖² over the direction of w* and the noise, where the share `fitted` of what rows say is learnt along each direction.

    Σᵢ (1 − fᵢ)²‖w*‖²/d + (fᵢσ/sᵢ)², i over all d; beyond the n rows nothing is learnt.  (R, min(n, d)) each → (R,)
    """
    seen = ((1 - fitted) * signal) ** 2 / inputs + (fitted * noise / singular) ** 2
    return seen.sum(axis=1) + (1 - singular.shape[1] / inputs) * signal**2
