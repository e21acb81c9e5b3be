"""digits, trained: multinomial logistic regression with momentum, and a network of one hidden layer with AdamW.

Each once with right labels, and once with some of the training labels wrong. Biases are spared.
Shapes: T trials, L decays, n rows, d pixels, h hidden units, C classes.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from stages.base.params import Settings
from stages.base.streams import Arrays
from stages.engine.chunks import Progress
from stages.engine.losses import CROSS_ENTROPY
from stages.engine.models import Model, Parameters, PullBack, one_hot
from stages.engine.problem import Problem, Schedule, full_batch, tensors
from stages.engine.sweep import over_decays
from stages.engine.training import Run, Training
from stages.studies.digits.system import CASES, CLASSES, PIXELS, OwnAdamW


def scores(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """XW + b for every λ, as one product with the W of all λ side by side.  (T, n, d), (T, L, d, C), (T, L, C) → (T, L, n, C)"""
    wide = torch.bmm(inputs, weight.transpose(1, 2).flatten(2))
    return wide.unflatten(2, (-1, weight.shape[3])).add_(bias[:, None]).transpose(1, 2)


def of_weight(inputs: Tensor, signal: Tensor) -> Tensor:
    """XᵀS, what an error signal says of W, alike.  (T, n, d), (T, L, n, C) → (T, L, d, C)"""
    wide = torch.bmm(inputs.mT, signal.transpose(1, 2).flatten(2))
    return wide.unflatten(2, (-1, signal.shape[3])).transpose(1, 2)


def logistic(parameters: Parameters, inputs: Tensor) -> Tensor:
    """Multinomial logistic regression: the scores of the classes, XW + b.  (T, n, d) → (T, L, n, C)"""
    return scores(inputs, parameters["weight"], parameters["bias"])


def logistic_by_hand(parameters: Parameters, inputs: Tensor) -> tuple[Tensor, PullBack]:
    def pull_back(signal: Tensor) -> Parameters:
        return {"weight": of_weight(inputs, signal), "bias": signal.sum(2)}

    return logistic(parameters, inputs), pull_back


def forward(parameters: Parameters, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The hidden units (T, L, n, h) and the scores of the classes (T, L, n, C)."""
    units = scores(inputs, parameters["hidden"], parameters["hidden_bias"]).relu().contiguous()
    return units, units @ parameters["output"] + parameters["output_bias"][:, :, None]


def network(parameters: Parameters, inputs: Tensor) -> Tensor:
    """max(XW₁ + b₁, 0)W₂ + b₂.  (T, n, d) → (T, L, n, C)"""
    return forward(parameters, inputs)[1]


def network_by_hand(parameters: Parameters, inputs: Tensor) -> tuple[Tensor, PullBack]:
    units, predictions = forward(parameters, inputs)

    def pull_back(signal: Tensor) -> Parameters:
        """∂W₂ = uᵀs; ∂u = (s W₂ᵀ)·[u > 0], which is the error signal of the hidden units."""
        of_units = (signal @ parameters["output"].mT).mul_(units > 0)
        return {
            "hidden": of_weight(inputs, of_units),
            "hidden_bias": of_units.sum(2),
            "output": units.mT @ signal,
            "output_bias": signal.sum(2),
        }

    return predictions, pull_back


LOGISTIC, NETWORK = Model(logistic, logistic_by_hand), Model(network, network_by_hand)


def problem(model: Model, arrays: Arrays, start: Parameters, weights: tuple[str, ...]) -> Problem:
    """Images from 0 to 1, less the mean training image: with centred inputs the bias learns as quickly as the weights."""
    device = start[weights[0]].device
    known = tensors(arrays, device, torch.float64)
    pixels = {split: known[f"{split}_pixels"].double() / int(arrays["white"]) for split in ("train", "val", "test")}
    mean = pixels["train"].mean(1, keepdim=True)
    train, val, test = ((each - mean, one_hot(known[f"{split}_labels"].long(), CLASSES)) for split, each in pixels.items())
    spared = tuple(name for name in start if name not in weights)
    return Problem(model, CROSS_ENTROPY, train, val, start, weights, spared, classes=True, test=test)


def logistic_problem(arrays: Arrays, device: torch.device) -> Problem:
    """From zero: the loss is convex."""
    trials = len(arrays["train_labels"])
    shapes = {"weight": (PIXELS, CLASSES), "bias": (CLASSES,)}
    start = {name: torch.zeros(trials, *shape, dtype=torch.float64, device=device) for name, shape in shapes.items()}
    return problem(LOGISTIC, arrays, start, ("weight",))


def network_problem(arrays: Arrays, device: torch.device) -> Problem:
    drawn = tensors({name: arrays[f"start_{name}"] for name in ("hidden", "output")}, device, torch.float64)
    biases = {f"{name}_bias": torch.zeros_like(weight[:, 0]) for name, weight in drawn.items()}
    return problem(NETWORK, arrays, drawn | biases, ("hidden", "output"))


def with_wrong_labels(problem: Callable[[Arrays, torch.device], Problem]) -> Callable[[Arrays, torch.device], Problem]:
    return lambda arrays, device: problem(arrays | {"train_labels": arrays["wrong_labels"]}, device)


def by_steps(arrays: Arrays, _: object, __: torch.device) -> Schedule:
    return full_batch(int(arrays["steps"]), int(arrays["evaluate_every"]))


def by_adamws_own(_: Arrays, adamw: OwnAdamW, __: torch.device) -> Schedule:
    return full_batch(adamw.steps, adamw.evaluate_every)


def once(run: Run) -> Run:
    """The run, evaluated at its ends alone: there are ten times as many other rows as training rows."""

    def schedule(arrays: Arrays, section: object, device: torch.device) -> Schedule:
        whole = run.schedule(arrays, section, device)
        return replace(whole, evaluate_every=len(whole.batches))

    return replace(run, schedule=schedule)


def sweep(settings: Settings, arrays: Arrays, device: torch.device, progress: Progress) -> Arrays:
    """Both models with both sets of labels, each over its λ; an array is named `<case>.<what>`."""
    grids = {"digits.optimizers.sgd": settings.digits.sweep, "digits.optimizers.adamw": settings.digits.network_sweep}
    found: Arrays = {}
    for case, run in RUNS.items():
        decays = grids[run.optimizer]
        swept = over_decays(f"digits {case}", once(run), decays, settings, arrays, device=device, progress=progress)
        found |= {f"{case}.{name}": each for name, each in swept.items()}
    return found


LOGISTIC_RUN = Run("baseline", "digits.lr", "digits.optimizers.sgd", logistic_problem, by_steps, runs_at_once=32)
NETWORK_RUN = Run(
    "baseline", "digits.optimizers.adamw.lr", "digits.optimizers.adamw", network_problem, by_adamws_own, runs_at_once=32
)
RUNS = {
    "logistic": LOGISTIC_RUN,
    "logistic_noisy": replace(LOGISTIC_RUN, problem=with_wrong_labels(logistic_problem)),
    "network": NETWORK_RUN,
    "network_noisy": replace(NETWORK_RUN, problem=with_wrong_labels(network_problem)),
}
DECAYS = {"logistic": "digits.wd", "network": "digits.optimizers.adamw.wd"}  # model → λ of its arm with decay
TRAINING = Training(
    runs={f"baseline{CASES[case]}": run for case, run in RUNS.items()}
    | {f"wd{CASES[case]}": replace(run, weight_decay=DECAYS[case.removesuffix("_noisy")]) for case, run in RUNS.items()},
    swept=LOGISTIC_RUN,
    sweep=sweep,
)
