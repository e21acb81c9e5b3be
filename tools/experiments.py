"""The experiments of this commit, as `dvc exp show --json` tells them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.base.errors import UserError
from tools.process import reason, run
from tools.sides import refuse_unreadable
from tools.tables import real

VALUES = ("val_accuracy", "val_loss", "weight_norm")  # of a study's row `wd`


@dataclass(frozen=True)
class Experiment:
    """`values` are the params by their key, and after them the results of the rows `wd` by `study.wd.value`."""

    name: str
    params: Mapping[str, Any]
    results: Mapping[str, float]

    @property
    def values(self) -> dict[str, Any]:
        return {**self.params, **self.results}


@dataclass(frozen=True)
class Shown:
    """The last commit and the experiments on it that succeeded, no two alike; the workspace; how many others there are.

    `others` counts by state: failed, queued, running, unreadable, and alike, which have params and results of one that is here.
    """

    rows: list[Experiment]
    workspace: Experiment | None
    others: Counter[str]

    @property
    def left_out(self) -> str:
        """`2 alike, 1 failed`"""
        return ", ".join(f"{count} {state}" for state, count in sorted(self.others.items()))


def shown(repo: Path) -> Shown:
    done = run(repo, "dvc", "exp", "show", "--json")
    if done.returncode:
        refuse_unreadable([("the working tree", repo)])
        raise UserError(f"expected `dvc exp show --json` to work, got {reason(done)}")
    found = experiments(json.loads(done.stdout))
    if found.others["unreadable"] and not found.rows:
        refuse_unreadable([("the working tree", repo)])
    return found


def experiments(listed: Sequence[Mapping[str, Any]]) -> Shown:
    found = Shown([], None, Counter())
    for commit in listed:
        if commit["rev"] == "workspace":
            found = Shown(found.rows, read(commit), found.others)
            continue
        each = [(commit, None)]
        for experiment in commit.get("experiments") or []:
            each += [(one, experiment.get("executor")) for one in experiment["revs"]]
        for one, executor in each:
            state = executor["state"] if executor else "success"  # what ran in the workspace, or came from elsewhere, has none
            row = read(one)
            if state != "success" or row is None:
                found.others["unreadable" if state == "success" else state] += 1
            elif any((row.params, row.results) == (other.params, other.results) for other in found.rows):
                found.others["alike"] += 1
            else:
                found.rows.append(row)
    return found


def read(revision: Mapping[str, Any]) -> Experiment | None:
    """None where there is nothing of its own: what failed has its params, and its commit's metrics."""
    data = revision.get("data")
    if not data or revision.get("error"):
        return None
    files = {Path(name).stem: file.get("data") or {} for name, file in data["metrics"].items()}
    params = leaves(data["params"].get("params.yaml", {}).get("data") or {})
    return Experiment(revision.get("name") or revision["rev"][:7], params, results(leaves(files)))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by their dotted place; a list is one."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def results(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Each study's numbers with decay; the accuracy stands for the loss where there is one."""
    found: dict[str, float] = {}
    for study in dict.fromkeys(place.partition(".")[0] for place in metrics):
        own = {value: f"{study}.wd.{value}" for value in VALUES if real(metrics.get(f"{study}.wd.{value}"))}
        if "val_accuracy" in own:
            own.pop("val_loss", None)
        found |= {place: float(metrics[place]) for place in own.values()}
    return found


def differing(rows: Sequence[Experiment]) -> list[str]:
    """The places whose values are not the same in all rows that have them, params first."""
    several = []
    for place in dict.fromkeys(place for row in rows for place in row.values):
        values = [row.values[place] for row in rows if place in row.values]
        if any(value != values[0] for value in values):
            several.append(place)
    return sorted(several, key=lambda place: not any(place in row.params for row in rows))


def telling(rows: Sequence[Experiment], places: Sequence[str]) -> list[str]:
    """The same places, from what tells experiments apart most: params, then validation, then norms; in both what varies most."""

    def rank(place: str) -> tuple[int, float]:
        if any(place in row.params for row in rows):
            return 0, 0.0
        values = [row.values[place] for row in rows if place in row.values]
        largest = max(map(abs, values))
        return 1 + place.endswith("weight_norm"), min(values) / largest - max(values) / largest

    return sorted(places, key=rank)


def short(key: str, keys: Sequence[str]) -> str:
    """The last parts of a param's key, as many as it takes to be no other's."""
    parts = key.split(".")
    tails = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
    return next((tail for tail in tails if not any(other != key and f".{other}".endswith(f".{tail}") for other in keys)), key)
