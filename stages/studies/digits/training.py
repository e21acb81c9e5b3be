"""digits, trained: multinomial logistic regression with momentum, and a network of one hidden layer with AdamW.

Each once with right labels, and once with some of the training labels wrong. Biases are spared.
Shapes: T trials, L decays, n rows, d pixels, h hidden units, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stages.base.streams import Arrays
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.losses import CROSS_ENTROPY
from stages.engine.models import LOGISTIC, Model, Parameters, PullBack, of_weight, one_hot, scores
from stages.engine.optimizers import adamw, sgd
from stages.engine.problem import Problem, full_batch, tensors
from stages.engine.train import over_decays
from stages.engine.training import Fitting, Training
from stages.studies.digits.system import CASES, CLASSES, PIXELS, Digits


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


NETWORK = Model(network, network_by_hand)


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


def job(section: Digits, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    """Logistic regression."""
    train = section.train
    schedule = full_batch(train.steps, train.evaluate_every)
    decay = Decay(tuple(weight_decays))
    return Job(logistic_problem(arrays, device), schedule, sgd(train.momentum), train.lr, decay, runs_at_once=32)


def network_job(section: Digits, arrays: Arrays, device: torch.device, weight_decays: Sequence[float]) -> Job:
    own = section.train.network
    schedule = full_batch(own.steps, own.evaluate_every)
    return Job(network_problem(arrays, device), schedule, adamw(own), own.lr, Decay(tuple(weight_decays)), runs_at_once=32)


def cases(
    section: Digits, arrays: Arrays, device: torch.device, weight_decays: Sequence[float], network_decays: Sequence[float]
) -> dict[str, Job]:
    """Both models, with right labels and with some that are wrong."""
    wrong = arrays | {"train_labels": arrays["wrong_labels"]}
    logistic = [job(section, each, device, weight_decays) for each in (arrays, wrong)]
    network = [network_job(section, each, device, network_decays) for each in (arrays, wrong)]
    return dict(zip(CASES, [*logistic, *network], strict=True))


def jobs(section: Digits, arrays: Arrays, device: torch.device, *, wd: float, network_wd: float) -> Mapping[str, Job]:
    return {CASES[case]: each for case, each in cases(section, arrays, device, [wd], [network_wd]).items()}


def once(job: Job) -> Job:
    """The job, evaluated at its ends alone: there are ten times as many other rows as training rows."""
    return replace(job, schedule=replace(job.schedule, evaluate_every=len(job.schedule.batches)))


def sweep(section: Digits, arrays: Arrays, device: torch.device, fit: Fitting) -> Arrays:
    """Both models with both sets of labels, each over its λ; an array is named `<case>.<what>`."""
    found: Arrays = {}
    for case, each in cases(section, arrays, device, section.sweep.wd, section.sweep.network_wd).items():
        swept = over_decays(f"digits {case}", once(each), fit)
        found |= {f"{case}.{name}": values for name, values in swept.items()}
    return found


TRAINING = Training(job=job, jobs=jobs, sweep=sweep)
