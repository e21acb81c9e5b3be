"""The two sides of a comparison: a base, which is a branch, tag, commit or experiment, and the working tree.

Of both are read metrics/details/, dvc.lock and the tables of the sweeps.
"""

import contextlib
import json
import math
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stages.base.errors import UserError
from stages.base.rounding import DIGITS
from stages.base.storage import load_table
from stages.measure.statistics import difference
from tools.process import output, run
from tools.tables import Change, Effect, differs, never, real

DETAILS = "metrics/details/*.json"
TEXTS = ("params.yaml", "dvc.yaml", "dvc.lock", "metrics/*.json")  # that DVC reads
DEEPEST = 100  # levels: from about 150 on DVC fails without saying at which file
PAIRED = ("val_loss", "val_accuracy", "weight_norm", "steps_to_generalise")  # columns of a sweep, named as in an arm's row
Sides = Sequence[tuple[str, Path]]  # what to call a side, the folder with its files


@dataclass(frozen=True)
class Compared:
    """What two folders' results say: metrics by place, paired differences, and files that cannot be read: side, name, why."""

    metrics: dict[str, Change]
    paired: dict[str, Effect]
    torn: list[tuple[int, str, str]]


def compare(base: Path, head: Path) -> Compared:
    trees: list[dict[str, Any]] = []  # of a side, by the file's name
    torn = []
    for side, folder in enumerate((base, head)):
        read = {path.relative_to(folder).as_posix(): parsed(path) for path in files(folder, DETAILS)}
        trees.append({name: tree for name, (tree, _) in read.items()})
        torn += [(side, name, why) for name, (_, why) in read.items() if why]
    lost = {name for _, name, _ in torn}
    values = [details({name: tree for name, tree in side.items() if name not in lost}) for side in trees]
    metrics = {place: (values[0].get(place), values[1].get(place)) for place in {**values[0], **values[1]}}
    return Compared(metrics, pairs(base, head, metrics), torn)


def details(trees: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of metrics/details/<file>.json by their place, `file.row.value`; no words, no lists."""
    return {place: value for name, tree in trees.items() for place, value in leaves(tree, Path(name).stem).items()}


def leaves(tree: Any, place: str) -> dict[str, Any]:
    if isinstance(tree, dict):
        return {name: value for key, item in tree.items() for name, value in leaves(item, f"{place}.{key}").items()}
    return {place: tree} if isinstance(tree, (int, float)) else {}


def pairs(base: Path, head: Path, metrics: Mapping[str, Change]) -> dict[str, Effect]:
    """The differences head − base of the same trials, of all trained rows that a sweep has on both sides."""
    found: dict[str, Effect] = {}
    data = [data_of(folder) for folder in (base, head)]
    for study in sorted({place.partition(".")[0] for place in metrics}):
        path = f"data/{study}.npz"
        if path not in data[0] or data[0][path] != data[1].get(path):
            continue
        known = [{place: change[side] for place, change in metrics.items()} for side in (0, 1)]
        runs = [swept(folder, study, values) for folder, values in zip((base, head), known, strict=True)]
        for place, (old, new) in metrics.items():
            row, _, name = place.rpartition(".")
            if row.startswith(f"{study}.") and name in PAIRED and real(old) and real(new) and differs(metrics, place):
                decays = metrics.get(f"{row}.weight_decay", (None, None))
                each = [trials(table, decay, name, mean) for table, decay, mean in zip(runs, decays, (old, new), strict=True)]
                moved = paired(*each)
                if moved:
                    found[place] = moved
    return found


def data_of(folder: Path) -> dict[str, str]:
    """The hash of every output in dvc.lock; none where that cannot be read."""
    tree, _ = parsed(folder / "dvc.lock")
    try:
        return {out["path"]: out["md5"] for stage in tree["stages"].values() for out in stage.get("outs", ())}
    except (KeyError, TypeError, AttributeError):
        return {}


def swept(folder: Path, study: str, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A sweep's table, a row a run; none where there is no such table.

    What stands before the trial are settings. Of those that differ within the sweep, besides λ, the sweep's summary says
    which is that of the arms.
    """
    try:
        table = load_table(folder / "metrics" / f"{study}_sweep.csv", ("weight_decay", "trial"), stage=f"evaluate@{study}")
    except UserError:
        return []
    columns = list(table[0])
    settings = {name: known.get(f"{study}_sweep.{name}") for name in columns[: columns.index("trial")] if name != "weight_decay"}
    return [run for run in table if all(run[name] == value for name, value in settings.items())]


def trials(table: Sequence[Mapping[str, Any]], decay: Any, name: str, mean: float) -> dict[Any, float]:
    """A value of each trial at one λ. None where their mean is not the row's: then it was trained in another way."""
    known = {run["trial"]: run[name] for run in table if run["weight_decay"] == decay and real(run.get(name))}
    if not known or any(never(name, value) for value in known.values()):
        return {}
    rounding = 10.0 ** (1 - DIGITS)  # of six digits, once in the table and once in the mean
    return known if math.isclose(math.fsum(value / len(known) for value in known.values()), mean, rel_tol=rounding) else {}


def paired(before: Mapping[Any, float], now: Mapping[Any, float]) -> Effect | None:
    """The mean difference of the trials that both have, with its standard error, as far as six digits know it."""
    both = [trial for trial in before if trial in now]
    if not both:
        return None
    old, new = (np.array([float(side[trial]) for trial in both]) for side in (before, now))
    largest = float(max(np.abs(old).max(), np.abs(new).max()))
    known_to = 10.0 ** (math.floor(math.log10(largest)) + 1 - DIGITS) if largest else 0.0
    try:
        found = difference({"value": new}, {"value": old}, {"value": known_to})
    except OverflowError:  # squares of what an edited table may hold
        return None
    return Effect(found["value"], found.get("value_se"), len(both))


def resolve(repo: Path, base: str) -> str:
    """The commit of a branch, tag, commit or experiment, or of a remote's branch. Raises UserError where there is none."""
    own = attempt(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    found = own or experiments(repo).get(base)
    remotes = output(repo, "git", "remote").splitlines()
    for remote in remotes:
        found = found or attempt(repo, "rev-parse", "--verify", "--quiet", f"refs/remotes/{remote}/{base}^{{commit}}")
    if found is None:
        hint = f"`{fetching(repo)}` brings every branch and tag" if remotes else "there is no remote to fetch it from"
        raise UserError(f"expected a branch, tag, commit or experiment, got {base!r}, which is not here; {hint}")
    return found


def experiments(repo: Path) -> dict[str, str]:
    lines = output(repo, "git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/").splitlines()
    return {line.rpartition("/")[2]: line.partition(" ")[0] for line in reversed(lines)}


def fetching(repo: Path) -> str:
    """The command that brings all of a remote, also into a clone that is shallow or has but one branch."""
    remotes = output(repo, "git", "remote").splitlines()
    remote = "origin" if "origin" in remotes else (remotes or ["origin"])[0]
    whole = ["--unshallow"] if shallow(repo) else []
    return shlex.join(["git", "fetch", *whole, "--tags", remote, f"+refs/heads/*:refs/remotes/{remote}/*"])


def shallow(repo: Path) -> bool:
    return output(repo, "git", "rev-parse", "--is-shallow-repository") == "true"


@contextlib.contextmanager
def checked_out(repo: Path, commit: str) -> Iterator[Path]:
    """A folder with another commit's files, for as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="base-") as folder:
        place = Path(folder, "base")
        output(repo, "git", "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", place, commit)
        try:
            yield place
        finally:
            run(repo, "git", "worktree", "remove", "--force", place)


def files(folder: Path, *patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def unreadable(folder: Path, *patterns: str) -> dict[str, str]:
    """The texts there that cannot be read, and why."""
    found = {path.relative_to(folder).as_posix(): parsed(path)[1] for path in files(folder, *patterns)}
    return {name: why for name, why in found.items() if why}


def parsed(path: Path) -> tuple[Any, str]:
    """What a JSON or YAML file holds; or None and why: torn, no UTF-8, nested or long beyond the parsers of Python and DVC."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        levels = depth(tree)
    except FileNotFoundError:
        return None, "no file"
    except RecursionError:
        return None, "too many levels"
    except (ValueError, yaml.YAMLError) as error:
        return None, " ".join(str(error).split())[:200]
    return (tree, "") if levels <= DEEPEST else (None, f"{levels} levels, more than {DEEPEST}")


def depth(tree: Any) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return 1 + max(map(depth, inner), default=0)


def refuse_unreadable(sides: Sides) -> None:
    """Raises UserError at the first text that DVC cannot read."""
    for side, folder in sides:
        for name, why in unreadable(folder, *TEXTS).items():
            raise UserError(f"{name} of {side}: expected a file that DVC can read, got {why}")


def attempt(repo: Path, *arguments: str) -> str | None:
    done = run(repo, "git", *arguments)
    return None if done.returncode else done.stdout.strip()
