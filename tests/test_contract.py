"""What holds for every study, without its asking: a study's folder is enough to be tested here."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ARMED, SYSTEMS, draw, silent
from msgspec import structs
from numpy.typing import NDArray
from torch import Tensor

from stages import studies
from stages.base import storage
from stages.base.params import Settings, at
from stages.base.rounding import PATH
from stages.base.system import Treatment
from stages.drawing.figures import Figures
from stages.engine import arms, sweep
from stages.engine.fit import fit
from stages.engine.optimizers import OPTIMIZERS
from stages.engine.problem import Problem, Schedule
from stages.engine.training import Run, Training
from stages.measure.results import Results

CPU = torch.device("cpu")
TOLERANCE = 1e-12  # the same arithmetic in another order, in units of the weights
TRAINING = {study: studies.part(study, Training) for study in studies.NAMES}
RESULTS = {study: studies.part(study, Results) for study in studies.NAMES}
FIGURES = {study: studies.part(study, Figures) for study in studies.NAMES}
RUNS = [
    pytest.param(study, run, id=f"{study}: {name}")
    for study, training in TRAINING.items()
    for name, run in [*training.runs.items(), ("swept", training.swept)]
]
every_study = pytest.mark.parametrize("study", studies.NAMES)
every_run = pytest.mark.parametrize(("study", "run"), RUNS)


def small(settings: Settings, study: str, *, trials: int = 2) -> Settings:
    """The shipped settings with so few trials of one study, and λ = 0.5 wherever a run takes `wd`."""
    section = structs.replace(at(settings, study), trials=trials)
    return structs.replace(settings, **{study: section, "wd": 0.5})


def data(settings: Settings, study: str) -> dict[str, NDArray]:
    return draw(study, at(settings, study), settings.seed)


def shortened(run: Run, steps: int) -> Run:
    """The run with its first steps alone."""

    def schedule(*words: Any) -> Schedule:
        whole = run.schedule(*words)
        return replace(whole, batches=whole.batches[:steps], evaluate_every=min(whole.evaluate_every, steps))

    return replace(run, schedule=schedule, penalty_twin="")


def equal(one: dict[str, NDArray], other: dict[str, NDArray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@every_study
def test_its_parts_fit_together(study: str) -> None:
    rows = {row for arm in SYSTEMS[study].arms.values() for row in arm}
    assert set(TRAINING[study].runs) == rows
    assert {run.penalty_twin for run in TRAINING[study].runs.values()} <= rows | {""}
    for part in (RESULTS[study].evaluate, FIGURES[study].study):
        assert (part is None) == (not rows)


@every_study
def test_its_rows_are_trained_as_its_treatments_say(study: str, settings: Settings) -> None:
    """So that `evaluate`, which does not know how a row is trained, can tell what was trained with other params."""
    arrays, runs = data(small(settings, study), study), TRAINING[study].runs
    found = {}
    for row, run in runs.items():
        schedule = run.schedule(arrays, at(settings, run.optimizer), CPU)
        decay, lr = at(small(settings, study), run.weight_decay), at(settings, run.lr)
        found[row] = Treatment(decay, lr, len(schedule.batches) // schedule.steps_per_epoch)
    assert found == SYSTEMS[study].treatments(small(settings, study))
    assert len({treatment.weight_decay for treatment in found.values()}) != 1, "arms differ in λ"


@every_study
def test_its_data_are_what_it_says_and_fit_in_what_it_says(study: str, settings: Settings) -> None:
    arrays = data(settings, study)
    assert {name: array.ndim for name, array in arrays.items()} == dict(SYSTEMS[study].arrays)
    assert all(array.dtype != np.float64 or array.ndim == 0 for array in arrays.values())
    trials = at(settings, study).trials
    assert {len(array) for array in arrays.values() if array.ndim > 1} == {trials}
    assert SYSTEMS[study].footprint(at(settings, study)) >= sum(array.nbytes for array in arrays.values())


@every_study
def test_more_trials_leave_the_first_ones_alone(study: str, settings: Settings) -> None:
    few, more = (data(small(settings, study, trials=trials), study) for trials in (2, 3))
    for name, array in few.items():
        np.testing.assert_array_equal(array, more[name][: len(array)] if array.ndim else more[name])


@every_study
def test_no_decay_and_no_learning_rate_changes_a_draw(study: str, settings: Settings) -> None:
    now = small(settings, study)
    before, tried = data(now, study), 0
    keys = {key for run in [*TRAINING[study].runs.values(), TRAINING[study].swept] for key in (run.weight_decay, run.lr)}
    for key in sorted(keys):
        *path, last = key.split(".")
        if path:  # the shared λ are not handed to `draw` at all
            changed = structs.replace(at(now, ".".join(path)), **{last: 2 * at(now, key) + 1})
            while len(path) > 1:
                *path, last = path
                changed = structs.replace(at(now, ".".join(path)), **{last: changed})
            assert equal(before, draw(study, changed, now.seed)), key
            tried += 1
    assert tried
    assert equal(before, draw(study, structs.replace(at(now, study), sweep=(0.0, 7.0)), now.seed))
    assert not equal(before, draw(study, at(now, study), now.seed + 1))


@every_run
def test_validation_rows_are_no_training_rows(study: str, run: Run, settings: Settings) -> None:
    problem = run.problem(data(small(settings, study), study), CPU)
    for train, val in zip(problem.train[0].tolist(), problem.val[0].tolist(), strict=True):
        assert not {tuple(row) for row in train} & {tuple(row) for row in val}


def stepped(problem: Problem, batches: Any, kind: str, settings: dict[str, Any], weight_decay: float) -> dict[str, Tensor]:
    fitted = fit(problem, batches, optimizer=kind, settings=settings, weight_decay=weight_decay, evaluate_every=len(batches))
    return {name: value[:, 0] for name, value in fitted.parameters.items()}


@every_run
def test_a_step_with_decay_differs_by_the_decay_alone(study: str, run: Run, settings: Settings) -> None:
    """−ηλw on the parameters that decay, nothing on the others: gradient descent, and the run's optimiser if it decouples."""
    now, lr, weight_decay = small(settings, study), 0.01, 0.7
    arrays, section = data(now, study), at(now, run.optimizer)
    problem, batch = run.problem(arrays, CPU), run.schedule(arrays, section, CPU).batches[:1]
    kinds = [("sgd", {"lr": lr})]
    if OPTIMIZERS[section.kind].decoupled:
        kinds.append((section.kind, {"lr": lr} | section.arguments()))
    for kind, options in kinds:
        without, decayed = (stepped(problem, batch, kind, options, each) for each in (0.0, weight_decay))
        for name, start in problem.start.items():
            expected = torch.zeros_like(start) if name in problem.spared else -lr * weight_decay * start
            size = float(start.abs().max().clamp(min=1))
            torch.testing.assert_close(decayed[name] - without[name], expected, atol=TOLERANCE * size, rtol=0)


@every_run
@pytest.mark.parametrize("penalty", [False, True], ids=["weight_decay", "penalty"])
def test_three_steps_are_a_plain_loop_of_torch_optim(penalty: bool, study: str, run: Run, settings: Settings) -> None:
    """Each trial alone, with autograd's gradient of the loss's value."""
    now, weight_decay = small(settings, study), 0.3
    arrays, section = data(now, study), at(now, run.optimizer)
    problem, batches = run.problem(arrays, CPU), run.schedule(arrays, section, CPU).batches[:3]
    if penalty and OPTIMIZERS[section.kind].decoupled:
        pytest.skip("a penalty is not decoupled decay")
    options = {"lr": at(now, run.lr)} | section.arguments()
    together = fit(
        problem, batches, optimizer=section.kind, settings=options, weight_decay=weight_decay, penalty=penalty, evaluate_every=3
    )
    for trial in range(2):
        alone = problem.trials(slice(trial, trial + 1))
        parameters = {name: value[:, None].clone().requires_grad_() for name, value in alone.start.items()}
        decayed = [value for name, value in parameters.items() if name not in problem.spared]
        others = [value for name, value in parameters.items() if name in problem.spared]
        groups = [{"params": decayed, "weight_decay": 0.0 if penalty else weight_decay}]
        groups += [{"params": others, "weight_decay": 0.0}] if others else []
        optimizer = OPTIMIZERS[section.kind].make(groups, **options)
        for batch in batches:
            inputs, targets = (each if batch is None else each[:, batch[trial]] for each in alone.train)
            optimizer.zero_grad()
            loss = problem.loss.value(problem.model.predict(parameters, inputs), targets).sum()
            if penalty:
                loss = loss + weight_decay / 2 * sum(value.square().sum() for value in decayed)
            loss.backward()
            with warnings.catch_warnings(action="ignore"):  # of torch's own imports
                optimizer.step()
        for name, value in parameters.items():
            size = float(value.detach().abs().max().clamp(min=1))
            torch.testing.assert_close(together.parameters[name][trial], value.detach()[0], atol=TOLERANCE * size, rtol=0)


@every_run
def test_a_gradient_by_hand_is_autograds(study: str, run: Run, settings: Settings, rng: np.random.Generator) -> None:
    """For several λ at once, and any error signal; the same arithmetic in another order."""
    problem = run.problem(data(small(settings, study), study), CPU)
    if problem.model.by_hand is None:
        pytest.skip("this model has none")
    inputs = problem.train[0]
    parameters = {
        name: torch.from_numpy(rng.standard_normal((len(value), 3, *value.shape[1:]))) for name, value in problem.start.items()
    }
    (found, by_hand), (expected, by_autograd) = (
        each(parameters, inputs) for each in (problem.model.by_hand, problem.model.by_autograd)
    )
    torch.testing.assert_close(found, expected, atol=0, rtol=1e-13)
    signal = torch.from_numpy(rng.standard_normal(tuple(found.shape)))
    gradients, whole = by_hand(signal), by_autograd(signal)
    assert gradients.keys() == whole.keys() == problem.start.keys()
    for name, value in whole.items():
        torch.testing.assert_close(gradients[name], value, atol=1e-13 * float(value.abs().max()), rtol=0)


@every_run
@pytest.mark.parametrize("penalty", [False, True], ids=["weight_decay", "penalty"])
@pytest.mark.parametrize("decays", [1, 2])
def test_no_tensor_is_on_another_device_and_no_number_is_read(
    decays: int, penalty: bool, study: str, run: Run, settings: Settings
) -> None:
    """On torch's `meta` device, which computes shapes alone.

    It refuses tensors of the CPU, as a GPU would, and a number that is read, for which the CPU would wait.
    """
    now, meta = small(settings, study), torch.device("meta")
    arrays, section = data(now, study), at(now, run.optimizer)
    batches = [batch if batch is None else batch.to(meta) for batch in run.schedule(arrays, section, CPU).batches[:2]]
    found = fit(
        run.problem(arrays, meta),
        batches,
        optimizer=section.kind,
        settings={"lr": at(now, run.lr)} | section.arguments(),
        weight_decay=torch.ones(decays, dtype=torch.float64),
        penalty=penalty,
        evaluate_every=1,
    )
    assert {value.device for value in (found.parameters | found.history).values()} == {meta}
    assert found.history["val_loss"].shape == (2, decays, 3)


@every_study
def test_the_sweep_at_an_arms_decay_is_the_arm(study: str, settings: Settings) -> None:
    """Twenty steps; both are written on a grid, so they may be neighbours on it."""
    now = small(settings, study)
    arrays, run = data(now, study), replace(shortened(TRAINING[study].swept, 20), weight_decay="wd")
    arm = arms.train(study, {"arm": run}, now, arrays, device=CPU, progress=silent)
    swept = sweep.over_decays(study, run, [0.0, now.wd], now, arrays, device=CPU, progress=silent)
    for name in ("train_loss", "val_loss", "weight_norm"):
        found, expected = swept[name][:, 1], arm[f"arm.{name}"]
        np.testing.assert_allclose(found, expected, atol=4 * 2.0**-PATH * np.abs(expected).max(), rtol=0)
        assert np.abs(swept[name][:, 0, -1] - expected[:, -1]).max() > 0  # λ does something


@pytest.mark.parametrize("study", ARMED)
def test_a_nudge_of_the_start_changes_no_written_digit(study: str, settings: Settings) -> None:
    """By 1e-15, of one trial, in every run: what is written does not hang on a machine's last bit."""
    now = small(settings, study, trials=1)
    now = structs.replace(now, wd=settings.wd)
    arrays = data(now, study)
    starts = [name for name in arrays if name.startswith("start_")]
    written = []
    for nudge in (0.0, 1e-15):
        double = {name: arrays[name].astype(np.float64) * (1 + nudge) for name in starts}
        outcome: dict[str, NDArray] = {}
        for rows in SYSTEMS[study].arms.values():
            runs = {row: TRAINING[study].runs[row] for row in rows}
            outcome |= arms.train(study, runs, now, arrays | double, device=CPU, progress=silent)
        written.append({name: value for name, value in outcome.items() if not name.endswith("difference_below")})
    assert equal(*written)


@every_study
def test_a_reference_is_optimal(study: str, settings: Settings) -> None:
    """The gradient of the loss with its penalty is zero there: to rounding, in units of the gradient at zero."""
    optimum = RESULTS[study].optimum
    if optimum is None:
        pytest.skip("no optimum is known")
    arrays, weight_decay = data(small(settings, study), study), 0.3
    problem = TRAINING[study].swept.problem(arrays, CPU)

    def gradients(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        known = {name: value[:, None].clone().requires_grad_() for name, value in parameters.items()}
        inputs, targets = problem.train
        loss = problem.loss.value(problem.model.predict(known, inputs), targets).sum()
        penalty = sum(value.square().sum() for name, value in known.items() if name not in problem.spared)
        found = torch.autograd.grad(loss + weight_decay / 2 * penalty, list(known.values()))
        return dict(zip(known, found, strict=True))

    solved = optimum(storage.in_float64(arrays), weight_decay)
    assert solved.keys() == problem.start.keys()
    best = gradients({name: torch.from_numpy(value) for name, value in solved.items()})
    zero = gradients({name: torch.zeros_like(value) for name, value in problem.start.items()})
    size = max(float(value.abs().max()) for value in zero.values())
    for name, value in best.items():
        assert float(value.abs().max()) < TOLERANCE * size, name
