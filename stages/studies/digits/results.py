"""digits, measured: on validation rows, on which λ and the step to stop at are chosen, and on test rows, which judge the choice.

Cases are a model with its labels. The trials divide the same images anew, so a standard error is that of the division and of
the start; a new set of images would add to it.
Shapes: T trials, L values of λ, K evaluations.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.base.rounding import PATH
from stages.base.streams import Arrays
from stages.measure import findings as words
from stages.measure import sweeps
from stages.measure.results import HIGHER, LOWER, NEITHER, OF_ARMS, Metrics, Results
from stages.measure.rows import HISTORIES, SPLITS, Row, Runs, Table, curves, metrics
from stages.measure.rows import ended as ends_of_run
from stages.measure.statistics import alive, difference, summarise
from stages.studies.digits.system import CASES, CLASSES, Digits

PAIRS = (("wd", "baseline"), ("stopped", "baseline"), ("wd", "stopped"))  # compared trial by trial
MODELS = ("logistic", "network")
MEASURES = {"loss": "loss", "accuracy": "accuracy", "calibration_error": "calibration"}  # → spoken
DRAWN = ("accuracy", "calibration_error")
NOTHING = "no visible effect"
COMPARISONS = len(MEASURES) * len(MODELS)  # of a λ that is chosen with λ = 0
KNOWN_TO = {f"test_{measure}": 4 * 2.0**-PATH for measure in MEASURES} | {"test_accuracy": 0.0}  # accuracies are not rounded
JUDGED = (*KNOWN_TO, "test_calibration_floor")


def chance(trials: int) -> Row:
    """Every class equally likely, whatever the weights.  (T,) each"""
    row = {"loss": math.log(CLASSES), "accuracy": 1 / CLASSES}
    values = {f"{split}_{name}": value for name, value in row.items() for split in SPLITS}
    return {name: np.full(trials, value) for name, value in (values | {"weight_norm": 0.0, "half_squared_norm": 0.0}).items()}


def stopped(run: Mapping[str, NDArray]) -> Row:
    """A run at the evaluation at which each trial's validation loss is lowest, and the step of it.  (T,) each"""
    place = np.nan_to_num(run["val_loss"], nan=np.inf).argmin(axis=1)
    values = {name: run[name][np.arange(len(place)), place] for name in HISTORIES if name in run}
    return {name: each * alive(run) for name, each in (values | {"step": run["steps"][place]}).items()}


def evaluate(section: Digits, arrays: Arrays, runs: Runs) -> tuple[Metrics, Table]:
    rows = {name: ends_of_run(run) for name, run in runs.items()}
    rows |= {f"stopped{suffix}": stopped(runs[f"baseline{suffix}"]) for suffix in CASES.values()}
    null = chance(section.data.trials)
    pairs = [(f"{one}{suffix}", f"{other}{suffix}") for one, other in PAIRS for suffix in CASES.values()]
    found = metrics(rows | {"null": null}, runs, pairs, {split: null[f"{split}_loss"] for split in SPLITS})
    for one, other in pairs:
        found[f"{one}_minus_{other}"] |= difference(rows[one], rows[other], KNOWN_TO)
    return found | {"findings": findings(found, share_wrong(arrays))}, curves(runs, "step")


def share_wrong(arrays: Arrays) -> float:
    """Of the training labels."""
    return float(np.mean(arrays["wrong_labels"] != arrays["train_labels"]))


def findings(rows: Metrics, wrong: float) -> dict[str, str]:
    """Write a sentence for the overview, and one for each figure."""
    share = f"{words.per_cent(wrong)} wrong labels"
    return {
        "panel": words.effect(rows),
        "stopping": of_stopping(rows, share),
        "reliability": twice(rows, "test_calibration_error", share),
    }


def of_stopping(rows: Metrics, share: str) -> str:
    """Say which λ is visibly worse than stopping λ = 0 early, on test rows and with wrong labels."""
    arms = {"_noisy": "logistic regression", "_network_noisy": "the network"}
    decays = {each: f"λ = {rows[f'wd{each}']['weight_decay']:g} in {where}" for each, where in arms.items()}
    beaten = [said for each, said in decays.items() if words.sign(rows[f"wd{each}_minus_stopped{each}"], "test_loss") > 0]
    return words.sentence(
        (rows["wd"]["trials"] == 1, words.SINGLE),
        (beaten, f"With {share} stopping early beats {words.listed(beaten)}"),
        (True, f"With {share} stopping early visibly beats neither {' nor '.join(decays.values())}"),
        lost=words.diverged(rows, *(f"{arm}{each}" for each in arms for arm in ("baseline", "wd"))),
    )


def twice(rows: Metrics, value: str, share: str) -> str:
    """Say what λ does to a value, with right labels and with wrong ones: the second half says only what is different."""
    one, two = (words.effect(rows, f"wd{suffix}", f"baseline{suffix}", value=value) for suffix in ("", "_noisy"))
    same, named = f"λ = {rows['wd']['weight_decay']:g} ", f"the {words.spoken(value)}"
    verbs = [each.removeprefix(same).partition(f"{named} ")[0] for each in (one, two)]
    return words.sentence(
        (not (one.startswith(same) and two.startswith(same)), one),
        (share.startswith("0%"), one),
        (one == two, f"{one}; with {share} the same"),
        (all(NOTHING in each for each in (one, two)), f"{one}; with {share} none either"),
        (verbs[0] == verbs[1], f"{one}; with {share} {two.partition(f'{named} ')[2]}"),
        (True, f"{one}; with {share} it {two.removeprefix(same).replace(named, 'it')}"),
    )


def evaluate_sweep(_: Digits, arrays: Arrays, swept: Mapping[str, NDArray]) -> tuple[Table, dict[str, Any]]:
    table: Table = []
    found: dict[str, Any] = {"wrong": share_wrong(arrays)}
    places: dict[str, NDArray] = {}
    for case in CASES:
        own = {name.removeprefix(f"{case}."): each for name, each in swept.items() if name.startswith(f"{case}.")}
        ended = {name: each[..., -1] for name, each in own.items() if name in HISTORIES}
        table += [{"run": case} | row for row in sweeps.table(own["weight_decay"], ended, own["diverged"])]
        whole = np.flatnonzero(~own["diverged"].any(axis=0))
        places[case] = whole[ended["val_loss"][:, whole].argmin(axis=1)] if len(whole) else whole
        found[case] = judged(own["weight_decay"], ended, whole, places[case], arrays["test_labels"].shape[1])
        found[case] |= {"diverged": int(own["diverged"].sum())}
    said = {"panel": panel_said(found), "gain": gain_said(found), "decays": decays_said(found, places)}
    return table, found | {"findings": said}


def judged(
    weight_decays: NDArray, ended: Mapping[str, NDArray], whole: NDArray, places: NDArray, test_rows: int
) -> dict[str, float]:
    """λ chosen on each trial's validation rows, judged on its test rows, and the change against λ = 0, trial by trial.

    A test row of a trial has no part in its choice. `best_lambda` has the lowest mean validation loss, `best_lambda_accuracy`
    and `best_lambda_calibration` the best of these on validation rows.
    `whole` are the λ at which no trial diverged, `places` the choice of each trial among them.  (L,), (T, L) each, (W,), (T,)
    """
    found: dict[str, float] = {"trials": len(ended["val_loss"]), "test_rows": test_rows}
    if not len(whole):
        return found
    means = {measure: ended[f"val_{measure}"][:, whole].mean(axis=0) for measure in MEASURES}
    found |= {
        "best_lambda": weight_decays[whole[means["loss"].argmin()]],
        "best_lambda_accuracy": weight_decays[whole[means["accuracy"].argmax()]],
        "best_lambda_calibration": weight_decays[whole[means["calibration_error"].argmin()]],
        "least_chosen_lambda": weight_decays[places.min()],
        "largest_chosen_lambda": weight_decays[places.max()],
    }
    at_chosen = {name: ended[name][np.arange(len(places)), places] for name in JUDGED}
    found |= summarise({f"{name}_at_chosen": each for name, each in at_chosen.items()})
    if whole[0] == 0:  # no trial diverged at λ = 0
        at_zero = {name: ended[name][:, 0] for name in JUDGED}
        found |= summarise({f"{name}_at_zero": each for name, each in at_zero.items()})
        for name, each in difference(at_chosen, at_zero, KNOWN_TO).items():
            if name != "trials":
                found[f"{name.removesuffix('_se')}_change" + ("_se" if name.endswith("_se") else "")] = each
    return found


def moved(case: Metrics, measure: str) -> int:
    """Return 1 where the chosen λ visibly raises a measure on test rows, −1 where it lowers it, else 0."""
    name, unit = f"test_{measure}", 1 / case["test_rows"] if measure == "accuracy" else 0.0
    return words.sign(case, f"{name}_change", among=COMPARISONS, of=case.get(f"{name}_at_zero", 0.0), unit=unit)


def better(case: Metrics, measure: str) -> int:
    """Return 1 where the chosen λ is visibly better than λ = 0, −1 where it is visibly worse, else 0."""
    return moved(case, measure) * (1 if measure == "accuracy" else -1)


def of_chosen(found: Metrics, said: str) -> str:
    """Say what the chosen λ change, or why nothing can be said of it."""
    lost = sum(found[case]["diverged"] for case in CASES)
    return words.sentence(
        (any("test_loss_change" not in found[case] for case in CASES), f"{words.WITHOUT_ZERO}; {lost} runs diverged"),
        (any("test_loss_change_se" not in found[case] for case in CASES), words.SINGLE),
        (True, said),
    )


def gain_said(found: Metrics) -> str:
    """Say what the chosen λ visibly change on test rows, in both models alike."""
    right, wrong = (in_both([found[f"{model}{suffix}"] for model in MODELS]) for suffix in ("", "_noisy"))
    more = "the same" if right == wrong else f"it {wrong}"
    noisy = f"; with {words.per_cent(found['wrong'])} wrong labels {more}" if found["wrong"] else ""
    with_right = ", with right labels," if noisy else ""
    return of_chosen(found, f"In both models{with_right} tuned λ {right}{noisy}")


def in_both(cases: Sequence[Metrics]) -> str:
    """Say which of the measures drawn are visibly better in all cases, and which are worse: `improves calibration`."""
    alike = {way: [MEASURES[each] for each in DRAWN if {better(case, each) for case in cases} == {way}] for way in (1, -1)}
    parts = [f"{verb} {words.listed(alike[way])}" for verb, way in (("improves", 1), ("worsens", -1)) if alike[way]]
    return " and ".join(parts) or f"improves neither {' nor '.join(MEASURES[each] for each in DRAWN)}"


def panel_said(found: Metrics) -> str:
    """Say what the chosen λ visibly change in logistic regression."""
    right, wrong = (changes(found[case]) for case in ("logistic", "logistic_noisy"))
    noisy = f"; with {words.per_cent(found['wrong'])} wrong labels it {wrong}" if found["wrong"] else ""
    return of_chosen(found, f"In logistic regression tuned λ {right}{noisy}")


def changes(case: Metrics) -> str:
    """List the visible changes: `raises the test accuracy from 66% to 80% and lowers the test loss by 20%`."""
    parts = []
    for measure in ("accuracy", "calibration_error", "loss"):
        if seen := moved(case, measure):
            gap, before, after = (case[f"test_{measure}_{what}"] for what in ("change", "at_zero", "at_chosen"))
            size = f"from {100 * before:.3g}% to {100 * after:.3g}%" if measure == "accuracy" else words.by(gap, before)
            parts.append(f"{words.VERBS[seen]} the test {words.spoken(measure)} {size}")
    return words.listed(parts) or "changes nothing visibly"


def decays_said(found: Metrics, places: Mapping[str, NDArray]) -> str:
    """Say whether wrong labels ask for a larger λ; else the best λ of each model, with right labels and with wrong ones."""
    if any("best_lambda" not in found[case] for case in CASES):
        return "A case has no λ at which no trial diverged"
    share = f"{words.per_cent(found['wrong'])} wrong labels"
    best = [[found[f"{model}{suffix}"]["best_lambda"] for suffix in ("", "_noisy")] for model in MODELS]
    more = all(
        words.sign_over_trials(places[f"{model}_noisy"] - places[model], among=len(MODELS), unit=1) > 0 for model in MODELS
    )
    larger = more and all(right < wrong for right, wrong in best)
    each = [f"{right:g} and {wrong:g}" for right, wrong in best]
    return words.sentence(
        (larger, f"With {share} a larger λ is best in both models"),
        (True, f"The best λ with right labels and with {share}: {', in the network '.join(each)}"),
    )


READ = {f"{case}.{name}": number for case in CASES for name, number in (sweeps.READ | dict.fromkeys(JUDGED, 3)).items()}
HEADLINES = {"val_loss": LOWER, "val_accuracy": HIGHER, "test_calibration_error": LOWER, "best_lambda": NEITHER} | OF_ARMS
TOLD = ("baseline", "wd", "wd_noisy", "wd_network", "wd_network_noisy", "null")
RESULTS = Results(swept=READ, sweep=evaluate_sweep, evaluate=evaluate, headlines=HEADLINES, rows=TOLD)
