"""What holds for every study, without its asking: a study's folder is enough to be tested here."""

import operator
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ARMED, CPU, ROOT, SYSTEMS, TRAINING, at, changed, contents, decays_of, draw, fit, jobs_of, metrics, silent
from msgspec import structs
from numpy.typing import NDArray
from torch import Tensor

from stages import studies
from stages.base import params, storage
from stages.base.errors import UserError
from stages.base.params import PARTS, Section, Unread
from stages.base.rounding import PATH
from stages.base.storage import Common, Integers
from stages.base.streams import Arrays, orders
from stages.base.system import DRAWN_FROM, SWEPT_WITH, TRAINED, made_of_data, read_arms, read_data, read_sweep
from stages.drawing.figures import Figures
from stages.engine import fit as loop
from stages.engine.decay import Decay
from stages.engine.job import Job
from stages.engine.optimizers import sgd
from stages.engine.train import over_decays, train_arm
from stages.engine.work import as_arrays
from stages.measure.results import Results

TOLERANCE = 1e-12  # the same arithmetic in another order, in units of the weights
RESULTS = {study: studies.part(study, Results) for study in studies.NAMES}
FIGURES = {study: studies.part(study, Figures) for study in studies.NAMES}
SWEPT = "swept"  # the study's main job, which its sweep trains at every λ
NAMED = [
    pytest.param(study, name, id=f"{study}: {name}")
    for study, system in SYSTEMS.items()
    for name in [*(row for arm in system.arms.values() for row in arm.rows), SWEPT]
]
every_study = pytest.mark.parametrize("study", studies.NAMES)
every_armed = pytest.mark.parametrize("study", ARMED)
every_job = pytest.mark.parametrize(("study", "name"), NAMED)


def small(settings: Any, study: str, *, trials: int = 2) -> Any:
    """The shipped settings with so few trials of one study, and λ = 0.5 wherever a job takes the file's `wd`."""
    return changed(settings, {f"{study}.data.trials": trials, "wd": 0.5})


def data(settings: Any, study: str) -> Arrays:
    return draw(study, at(settings, study), settings.seed)


def ordered(arrays: Arrays, study: str) -> Arrays:
    """The data, and where the study has batches the orders of three epochs."""
    return arrays | ({"order": orders(arrays, SYSTEMS[study].key, 3)} if "seed" in arrays else {})


def job_of(study: str, name: str, settings: Any, arrays: Arrays, device: torch.device = CPU) -> Job:
    """The job of a row of the study's arms, or its main job at the file's `wd`."""
    if name == SWEPT:
        return TRAINING[study].job(at(settings, study), arrays, device, [settings.wd])
    return jobs_of(study, settings, arrays, device)[name]


def small_job(study: str, name: str, settings: Any, device: torch.device = CPU) -> Job:
    now = small(settings, study)
    return job_of(study, name, now, data(now, study), device)


def shortened(job: Job, steps: int) -> Job:
    """The job with its first steps alone."""
    whole = job.schedule
    every = min(whole.evaluate_every, steps)
    return replace(job, schedule=replace(whole, batches=whole.batches[:steps], pace=whole.pace[:steps], evaluate_every=every))


def leaves(value: Any, key: str) -> dict[str, Any]:
    """Every number of settings, or list of numbers, by its dotted key."""
    if not isinstance(value, Section):
        return {key: value}
    return {
        place: each for name in value.__struct_fields__ for place, each in leaves(getattr(value, name), f"{key}.{name}").items()
    }


def another(value: Any) -> Any:
    """Another number of the same kind, in the same range: more is no other batch where a batch is all rows."""
    if isinstance(value, list | str):
        return [*value, 7] if isinstance(value, list) else f"{value}7"
    return value * 0.81 + 0.0123 if isinstance(value, float) else value - 1 if value > 1 else value + 1


def equal(one: Mapping[str, NDArray], other: Mapping[str, NDArray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def prints(jobs: Mapping[str, Job]) -> dict[str, bytes]:
    """What tells a job from one that differs in any number, by the rows."""
    return {row: pickle.dumps(as_arrays(job)) for row, job in jobs.items()}


@every_study
def test_its_parts_fit_together(study: str, settings: Any) -> None:
    """Every row of an arm has a job and every job is a row; a twin is a row of the same arm, trained before."""
    now, arms, training = small(settings, study), SYSTEMS[study].arms, TRAINING[study]
    arrays, made = data(now, study), set[str]()
    for name, arm in arms.items():
        assert arm.rows[0] == name
        assert all(row.startswith(name) for row in arm.rows)
        suffixes = [row.removeprefix(name) for row in arm.rows]
        assert len(set(suffixes)) == len(suffixes)
        jobs = training.jobs(at(now, study), arrays, CPU, **decays_of(study, name, now))
        assert set(suffixes) <= set(jobs)
        made |= set(jobs)
        for twin, other in training.twins.items():
            assert twin not in suffixes or other in suffixes[: suffixes.index(twin)]
            assert prints({"": jobs[twin]}) != prints({"": jobs[other]}), "a twin is trained in another way"
    assert made == {row.removeprefix(name) for name, arm in arms.items() for row in arm.rows}
    assert {*training.twins, *training.twins.values()} <= made
    assert arms or not training.jobs(at(now, study), arrays, CPU)
    for part in (RESULTS[study].evaluate, FIGURES[study].study):
        assert (part is None) == (not arms)


@every_armed
def test_an_archive_says_every_number_that_its_rows_are_trained_with_and_no_other(study: str, settings: Any) -> None:
    """So that `evaluate`, which does not know how a row is trained, can tell what was trained with other params.

    A job cannot read what the archive will not say. Another value of what it says makes another job.
    """
    now = changed(settings, {f"{study}.data.trials": 2})
    arrays, training, found = data(now, study), TRAINING[study], set[float]()
    before = jobs_of(study, now, arrays)
    for name, arm in SYSTEMS[study].arms.items():
        own = params.read(study, SYSTEMS[study].section, *arm.trained_with, path=ROOT / "params.yaml")
        weight_decays = {argument: own.numbers[key] for argument, key in arm.weight_decays.items()}
        jobs = training.jobs(own.section, arrays, CPU, **weight_decays)
        rows = {row: jobs[row.removeprefix(name)] for row in arm.rows}
        assert prints(rows) == prints({row: before[row] for row in arm.rows})
        assert {decay for job in rows.values() for decay in job.decay.weight_decays} == set(weight_decays.values())
        found |= set(weight_decays.values())
        for key, value in own.flat.items():
            after = jobs_of(study, changed(now, {key: another(value)}), arrays)
            assert prints(rows) != prints({row: after[row] for row in arm.rows}), f"{name}: {key}"
    assert len(found) != 1, "arms differ in λ"


@every_study
def test_an_archive_of_other_numbers_or_of_other_data_is_refused(
    study: str, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each number that an archive says: where params.yaml has another one, `evaluate` names it, and the stage that mends it."""
    monkeypatch.chdir(tmp_path)
    system, place, folder = SYSTEMS[study], Path("data", f"{study}.npz"), Path("data", study)

    def said(*names: str) -> params.Settings:
        return params.read(study, system.section, *names, path=ROOT / "params.yaml")

    arrays, wanted = data(small(settings, study), study), said(*system.evaluated_with)
    storage.save_arrays(place, arrays, said(*DRAWN_FROM).flat)
    for name, arm in system.arms.items():
        rows = {f"{row}.{key}": number for row in arm.rows for key, number in TRAINED.items()}
        runs = {key: np.ones([1] * number, int if isinstance(number, Integers) else float) for key, number in rows.items()}
        storage.save_arrays(folder / f"{name}.npz", runs, made_of_data(study, said(*arm.trained_with)))
    storage.save_arrays(folder / "sweep.npz", {}, made_of_data(study, said(*SWEPT_WITH)))

    looks: dict[str, tuple[Callable[[params.Settings], Any], tuple[str, ...]]] = {
        f"generate@{study}": (lambda settings: read_data(study, system, settings), DRAWN_FROM),
        f"sweep@{study}": (lambda settings: read_sweep(study, system, {}, settings), SWEPT_WITH),
    }
    for name, arm in system.arms.items():
        alone = replace(system, arms={name: arm})
        looks[f"train-{name}@{study}"] = (partial(read_arms, study, alone), arm.trained_with)
    for stage, (look, names) in looks.items():
        look(wanted)
        for key, value in said(*names).flat.items():
            with pytest.raises(UserError, match=f"expected {re.escape(key)} = .*: dvc repro {stage}$"):
                look(replace(wanted, flat={**wanted.flat, key: another(value)}))
    storage.save_arrays(place, arrays | {"more": np.zeros(1)}, said(*DRAWN_FROM).flat)
    for stage, (look, _) in looks.items():
        if not stage.startswith("generate"):
            with pytest.raises(UserError, match=f"got runs of other data: dvc repro {stage}$"):
                look(wanted)


@every_study
def test_evaluate_is_handed_no_decay_of_the_section(study: str) -> None:
    """It is handed the parts; an arm's λ stands with its runs."""
    system = SYSTEMS[study]
    given = params.read(study, system.section, *system.evaluated_with, path=ROOT / "params.yaml")
    for name in system.section.__struct_fields__:
        assert isinstance(getattr(given.section, name), Section if name in PARTS else Unread), name
    weight_decays = {key for arm in system.arms.values() for key in arm.weight_decays.values()}
    assert given.numbers.keys() == {"seed"} | weight_decays
    assert {name for name in system.section.__struct_fields__ if name not in PARTS} <= weight_decays, "a λ that no arm has"


@every_study
def test_its_data_are_what_it_says_and_fit_in_what_it_says(study: str, settings: Any, tmp_path: Path) -> None:
    arrays, path, section = data(settings, study), tmp_path / "data.npz", at(settings, study)
    assert {name: array.ndim for name, array in arrays.items()} == dict(SYSTEMS[study].arrays)
    drawn = [array for name, array in arrays.items() if not isinstance(SYSTEMS[study].arrays[name], Common)]
    assert all(array.dtype != np.float64 or array.ndim == 0 for array in drawn)
    assert {len(array) for array in drawn if array.ndim > 1} == {section.data.trials}
    assert SYSTEMS[study].footprint(section, *contents(study, section)) >= sum(array.nbytes for array in arrays.values())
    storage.save_arrays(path, arrays)
    stored, _ = storage.load_arrays(path, SYSTEMS[study].arrays, stage=f"generate@{study}", exact=True)
    assert equal(stored, arrays)


@every_study
def test_more_trials_leave_the_first_ones_alone(study: str, settings: Any) -> None:
    few, more = (ordered(data(small(settings, study, trials=trials), study), study) for trials in (2, 3))
    common = {name for name, number in SYSTEMS[study].arrays.items() if isinstance(number, Common)}
    assert all(np.array_equal(few[name], more[name]) for name in common)
    for name, array in ((name, array) for name, array in few.items() if name not in common):
        np.testing.assert_array_equal(array, more[name][: len(array)] if array.ndim else more[name])


@every_study
def test_no_decay_and_no_learning_rate_changes_a_draw(study: str, settings: Any) -> None:
    """A draw reads the part `data` and the seed alone. Batches, which a job draws, are the same at any λ and learning rate."""
    now = small(settings, study)
    section, system = at(now, study), SYSTEMS[study]
    unread = {name: Unread(f"{study}.{name}") for name in section.__struct_fields__ if name != "data"}
    assert unread
    alone = structs.replace(section, **unread)
    before = ordered(data(now, study), study)
    assert equal(before, ordered(draw(study, alone, now.seed), study))
    read = contents(study, section)
    assert system.footprint(alone, *read) == system.footprint(section, *read)
    others = ordered(draw(study, alone, now.seed + 1), study)
    assert not equal(before, others)
    if "order" in before:
        assert not np.array_equal(before["order"], others["order"])
        assert not np.array_equal(*before["order"])  # of the two trials

    keys = leaves(section, study) | {name: getattr(now, name) for name in params.SHARED}
    known = ("lr", *(key for arm in system.arms.values() for key in arm.weight_decays.values()), "wd", "product", "penalty")
    tried = {key: value for key, value in keys.items() if key.rpartition(".")[2] in known}
    assert any(key.endswith(".lr") for key in tried)
    grids = {key: (0.0, 7.0) for key, value in tried.items() if isinstance(value, tuple)}
    assert grids
    numbers = {key: 2 * value + 1 for key, value in tried.items() if key not in grids}
    for name in [*jobs_of(study, now, before), SWEPT]:
        one, other = (job_of(study, name, each, data(each, study)) for each in (now, changed(now, grids | numbers)))
        assert (one.lr, one.decay) != (other.lr, other.decay)
        for batch, same in zip(one.schedule.batches, other.schedule.batches, strict=True):
            assert batch is same is None or torch.equal(batch, same)  # type: ignore[arg-type]


@every_job
def test_validation_rows_are_no_training_rows(study: str, name: str, settings: Any) -> None:
    problem = small_job(study, name, settings).problem
    for train, val in zip(problem.train[0].tolist(), problem.val[0].tolist(), strict=True):
        assert not {tuple(row) for row in train} & {tuple(row) for row in val}


def ended(job: Job) -> dict[str, Tensor]:
    return {name: value[:, 0] for name, value in loop.fit(job).parameters.items()}


@every_job
def test_a_step_with_decay_differs_by_the_decay_alone(study: str, name: str, settings: Any) -> None:
    """−ηλw on the parameters that decay, nothing on the others: gradient descent, and the job's optimiser if it decouples."""
    lr, weight_decay = 0.01, 0.7
    job = shortened(replace(small_job(study, name, settings), lr=lr), 1)
    problem = job.problem
    for optimizer in [sgd(), *([job.optimizer] if job.optimizer.decoupled else [])]:
        own = replace(job, optimizer=optimizer)
        without, decayed = (ended(own.at([each])) for each in (0.0, weight_decay))
        for parameter, start in problem.start.items():
            expected = torch.zeros_like(start) if parameter in problem.spared else -lr * weight_decay * start
            size = float(start.abs().max().clamp(min=1))
            torch.testing.assert_close(decayed[parameter] - without[parameter], expected, atol=TOLERANCE * size, rtol=0)


@every_job
@pytest.mark.parametrize("penalty", [False, True], ids=["weight_decay", "penalty"])
def test_three_steps_are_a_plain_loop_of_torch_optim(penalty: bool, study: str, name: str, settings: Any) -> None:
    """Each trial alone, with autograd's gradient of the loss's value, at the job's pace."""
    weight_decay = 0.3
    job = shortened(replace(small_job(study, name, settings), decay=Decay((weight_decay,), penalty=penalty)), 3)
    problem, batches = job.problem, job.schedule.batches
    if penalty and job.optimizer.decoupled:
        pytest.skip("a penalty is not decoupled decay")
    together = loop.fit(job)
    for trial in range(2):
        alone = problem.each(operator.itemgetter(slice(trial, trial + 1)))
        parameters = {name: value[:, None].clone().requires_grad_() for name, value in alone.start.items()}
        decayed = [value for name, value in parameters.items() if name not in problem.spared]
        others = [value for name, value in parameters.items() if name in problem.spared]
        groups = [{"params": decayed, "weight_decay": 0.0 if penalty else weight_decay}]
        groups += [{"params": others, "weight_decay": 0.0}] if others else []
        optimizer = job.optimizer.make(groups, lr=job.lr, **job.optimizer.arguments)
        for batch, pace in zip(batches, job.schedule.pace or [1.0] * 3, strict=True):
            inputs, targets = (each if batch is None else each[:, batch[trial]] for each in alone.train)
            for group in optimizer.param_groups:
                group["lr"] = job.lr * pace
            optimizer.zero_grad()
            loss = problem.loss.value(problem.model.predict(parameters, inputs), targets).sum()
            if penalty:
                loss = loss + weight_decay / 2 * sum(value.square().sum() for value in decayed)
            loss.backward()
            with warnings.catch_warnings(action="ignore"):  # of torch's own imports
                optimizer.step()
        for parameter, value in parameters.items():
            size = float(value.detach().abs().max().clamp(min=1))
            found = together.parameters[parameter][trial]
            torch.testing.assert_close(found, value.detach()[0], atol=TOLERANCE * size, rtol=0)


@every_job
def test_a_gradient_by_hand_is_autograds(study: str, name: str, settings: Any, rng: np.random.Generator) -> None:
    """For several λ at once, and any error signal; the same arithmetic in another order."""
    problem = small_job(study, name, settings).problem
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
    for parameter, value in whole.items():
        torch.testing.assert_close(gradients[parameter], value, atol=1e-13 * float(value.abs().max()), rtol=0)


@every_job
@pytest.mark.parametrize("penalty", [False, True], ids=["weight_decay", "penalty"])
@pytest.mark.parametrize("weight_decays", [1, 2])
def test_no_tensor_is_on_another_device_and_no_number_is_read(
    weight_decays: int, penalty: bool, study: str, name: str, settings: Any
) -> None:
    """On torch's `meta` device, which computes shapes alone.

    It refuses tensors of the CPU, as a GPU would, and a number that is read, for which the CPU would wait.
    """
    meta = torch.device("meta")
    job = shortened(small_job(study, name, settings, meta), 2)
    schedule = replace(job.schedule, evaluate_every=1)
    found = loop.fit(replace(job, schedule=schedule, decay=Decay((1.0,) * weight_decays, penalty=penalty)))
    assert {value.device for value in (found.parameters | found.history).values()} == {meta}
    assert found.history["val_loss"].shape == (2, weight_decays, 3)


@every_study
def test_the_sweep_at_an_arms_decay_is_the_arm(study: str, settings: Any) -> None:
    """Twenty steps; both are written on a grid, so they may be neighbours on it."""
    job = shortened(small_job(study, SWEPT, settings), 20)
    (weight_decay,) = job.decay.weight_decays
    assert weight_decay == 0.5
    arm = train_arm(study, {"arm": job}, {}, progress=silent)
    swept = over_decays(study, job.at([0.0, weight_decay]), fit)
    for name in ("train_loss", "val_loss", "weight_norm"):
        found, expected = swept[name][:, 1], arm[f"arm.{name}"]
        np.testing.assert_allclose(found, expected, atol=4 * 2.0**-PATH * np.abs(expected).max(), rtol=0)
        assert np.abs(swept[name][:, 0, -1] - expected[:, -1]).max() > 0  # λ does something


@every_armed
def test_a_nudge_of_the_start_changes_no_written_digit(study: str, settings: Any) -> None:
    """By 1e-15, of one trial, in every row: what is written does not hang on a machine's last bit."""
    now = changed(settings, {f"{study}.data.trials": 1})
    arrays = data(now, study)
    starts = [name for name in arrays if name.startswith("start_")]
    written = []
    for nudge in (0.0, 1e-15):
        double = {name: arrays[name].astype(np.float64) * (1 + nudge) for name in starts}
        written.append(train_arm(study, jobs_of(study, now, arrays | double), {}, progress=silent))
    assert equal(*written)


REFERENCES = [pytest.param(study, row, id=f"{study}: {row}") for study in studies.NAMES for row in RESULTS[study].references]


@pytest.mark.parametrize(("study", "row"), REFERENCES)
def test_a_reference_is_optimal(study: str, row: str, settings: Any) -> None:
    """The gradient of the loss with its penalty is zero: to rounding, in units of the gradient at zero.

    With a box the gradient of the loss alone is zero for each weight inside, and presses each other one against its wall.
    """
    reference = RESULTS[study].references[row]
    arrays = data(small(settings, study), study)
    problem = job_of(study, reference.of or SWEPT, small(settings, study), arrays).problem
    weight_decay = 0.3
    if reference.boxed:  # so that the walls hold half of the weights
        weight_decay = 1 / float(np.median(np.abs(reference.solve(storage.in_float64(arrays), 0)["weight"])))
    penalised = 0 if reference.boxed else weight_decay

    def gradients(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        known = {name: value[:, None].clone().requires_grad_() for name, value in parameters.items()}
        inputs, targets = problem.train
        loss = problem.loss.value(problem.model.predict(known, inputs), targets).sum()
        penalty = sum(value.square().sum() for name, value in known.items() if name not in problem.spared)
        found = torch.autograd.grad(loss + penalised / 2 * penalty, list(known.values()))
        return {name: each[:, 0] for name, each in zip(known, found, strict=True)}

    solved = {name: torch.from_numpy(each) for name, each in reference.solve(storage.in_float64(arrays), weight_decay).items()}
    assert solved.keys() == problem.start.keys()
    zero = gradients({name: torch.zeros_like(value) for name, value in problem.start.items()})
    size = max(float(value.abs().max()) for value in zero.values())
    for name, value in gradients(solved).items():
        held = reference.boxed & (solved[name].abs() > (1 - TOLERANCE) / weight_decay)
        assert float(value[~held].abs().max()) < TOLERANCE * size, name
        assert held.any() == reference.boxed
        assert (value * solved[name].sign())[held].le(0).all()
        assert not reference.boxed or float(solved[name].abs().max()) < (1 + TOLERANCE) / weight_decay


@pytest.mark.parametrize(("study", "row"), [each for each in REFERENCES if SYSTEMS[str(each.values[0])].arms])
def test_a_reference_row_is_solved_at_the_decay_that_it_names(study: str, row: str, settings: Any) -> None:
    """As committed: six digits are written."""
    reference, known = RESULTS[study].references[row], metrics(study)
    arrays = storage.in_float64(data(settings, study))
    weight = reference.solve(arrays, known[reference.of]["weight_decay"])["weight"]
    expected = {"weight_norm": np.linalg.norm(weight, axis=1).mean(), "weight": weight.mean()}
    assert expected.keys() & known[row].keys()
    for name in expected.keys() & known[row].keys():
        assert known[row][name] == pytest.approx(expected[name], rel=1e-5)
