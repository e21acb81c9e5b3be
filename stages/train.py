"""data/<study>.npz → data/<study>/<arm>.npz: one arm of a study, all its trials in one batch.

Coupled decay, SGD's and Adam's, minimises data loss + (λ/2)·‖w‖²; AdamW's shrinks the weights beside the step and minimises
no such sum. `science.training` says what decays, and how.
Nothing is drawn here: data, start and batch order are the file's, the same for every arm.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages import command
from stages.science import params, problems, rounding, storage, theory, training
from stages.science.errors import UserError
from stages.science.problems import Problem
from stages.science.progress import Progress
from stages.science.studies import ARMED, STUDIES, Study


def main(study: str, arm: str) -> None:
    settings, facts = params.load(), STUDIES[study]
    if arm not in facts.arms:
        raise UserError(f"python -m stages.train {study}: expected one of {', '.join(facts.arms)}, got {arm!r}")
    arrays = storage.load_arrays(Path("data", f"{study}.npz"), facts.arrays, stage=f"generate@{study}", exact=True)
    device = training.device()
    problem = problems.build(study, arrays, device)
    fits: dict[str, training.Fit] = {}
    outcome: dict[str, NDArray] = {}
    for row, run in facts.arms[arm].items():
        section = settings.at(f"{study}.optimizers.{run.optimizer}")
        schedule = problems.schedule(arrays, section, device)
        weight_decay, lr = settings.at(run.decay), getattr(section, "lr", settings.at(f"{study}.lr"))
        momentum = getattr(section, "momentum", 0.0)
        described = f"{study}, {row}: lr = {lr:g} with λ = {run.decay} = {weight_decay:g}"
        spared = sorted(set(problem.start) - set(problem.decays)) or ["nothing"]
        print(f"{described} on {', '.join(problem.decays)}, sparing {', '.join(spared)}")
        limit = None
        if run.optimizer == "sgd":
            limit = stability_limit(facts, arrays, weight_decay=weight_decay, momentum=momentum)
        if limit is not None and schedule.full_batch and lr >= limit:
            raise UserError(f"{described}: expected a learning rate below the stability limit {limit:.6g}, got {lr:g}")
        with Progress(f"{study} {row}", len(schedule.batches)) as progress:
            fits[row] = training.fit(
                problem.from_zero() if run.zero_start else problem,
                schedule.batches,
                optimizer=run.optimizer,
                settings={"lr": lr} | section.arguments(),
                weight_decay=weight_decay,
                penalty=bool(run.penalty_twin),
                evaluate_every=schedule.evaluate_every,
                report=progress,
            )
        if fits[row].diverged.all():
            bound = f"decay alone needs lr·λ < 2, here {lr * weight_decay:g}"
            if limit is not None:
                bound = f"full-batch gradient descent is stable below lr = {limit:.6g}, smaller batches need less"
            raise UserError(f"{described}: expected a stable run, got divergence in every trial; {bound}")
        numbers = {"weight_decay": weight_decay, "lr": lr, "momentum": momentum, "steps_per_epoch": schedule.steps_per_epoch}
        if run.penalty_twin and not (fits[row].diverged | fits[run.penalty_twin].diverged).all():
            difference = largest_difference(fits[row], fits[run.penalty_twin])
            print(f"{study}: {row} and {run.penalty_twin} differ by {difference:.1g} at most, before rounding")
            numbers["difference_below"] = rounding.decade_above(difference)
        found = results(problem, fits[row]) | numbers
        outcome |= {f"{row}.{key}": np.asarray(value) for key, value in found.items()}
    storage.save_arrays(Path("data", study, f"{arm}.npz"), outcome)


def stability_limit(facts: Study, arrays: Mapping[str, NDArray], *, weight_decay: float, momentum: float) -> float:
    """The largest learning rate that is stable in every trial of a linear study, trained on full batches."""
    limits = [
        theory.stability_limit(x, weight_decay=weight_decay, curvature=facts.curvature, decays_bias=facts.decays_bias)
        for x in arrays["train_inputs"].astype(np.float64)
    ]
    return (1 + momentum) * min(limits)


def results(problem: Problem, fitted: training.Fit) -> dict[str, NDArray]:
    """A fit of one λ as rounded arrays: final parameters (T, …), histories (T, K), the evaluated steps (K,).

    Metrics are computed from the parameters of a linear model; a network's are only looked at.
    """
    bits, kind = (rounding.LOOK, np.float32) if problem.classification else (rounding.PATH, np.float64)
    ended = {name: value[:, 0].cpu().numpy() for name, value in fitted.parameters.items()}
    largest = np.max([np.abs(value).reshape(len(value), -1).max(axis=1) for value in ended.values()], axis=0)  # (T,)
    parameters = {
        name: rounding.on_grid(value, largest.reshape(-1, *[1] * (value.ndim - 1)), bits).astype(kind)
        for name, value in ended.items()
    }
    history = {name: values[:, 0] for name, values in training.records(problem, fitted).items()}
    return parameters | history | {"steps": np.array(fitted.steps), "diverged": fitted.diverged[:, 0].cpu().numpy()}


def largest_difference(one: training.Fit, other: training.Fit) -> float:
    """Over the final parameters and the whole history of the trials that neither run lost, before any rounding."""
    kept = ~(one.diverged | other.diverged)
    pairs = [(one.parameters[name], other.parameters[name]) for name in one.parameters]
    pairs += [(one.history[name], other.history[name]) for name in one.history]
    return max(float((left[kept] - right[kept]).abs().max()) for left, right in pairs)


if __name__ == "__main__":
    command.run(main, ARMED, sorted({arm for study in STUDIES.values() for arm in study.arms}))
