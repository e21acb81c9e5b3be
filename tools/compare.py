"""All experiments of this commit in one picture, build/compare.png: an axis for each number that differs. `make compare`."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.base.errors import UserError
from stages.base.storage import save_bytes
from stages.console.command import in_one_line
from stages.drawing import style
from tools.process import reason, run
from tools.report import refuse_unreadable
from tools.tables import real

ROOT = Path(__file__).resolve().parent.parent
SHOWN = {"val_accuracy": "validation accuracy", "val_loss": "validation loss", "weight_norm": "‖w‖₂"}  # of a study's row `wd`


def main() -> None:
    rows, others = experiments(shown(ROOT))
    left_out = ", ".join(f"{count} {state}" for state, count in sorted(others.items()))
    if not differing(rows):
        if others["unreadable"]:
            refuse_unreadable([("the working tree", ROOT)])
        got = f"{len(rows)} alike" + (f" (left out: {left_out})" if left_out else "")
        raise UserError(f"expected two experiments of this commit that differ, got {got}: dvc exp run -S wd=1")
    path = ROOT / "build" / "compare.png"
    save_bytes(path, style.png(parallel(rows)))
    print(f"{path.relative_to(ROOT)}: {len(rows)} experiments")
    if left_out:
        print(f"left out: {left_out}")
    gaps = {name: sum(name not in row for row in rows) for name in differing(rows)}
    if any(gaps.values()):
        print("gaps: " + ", ".join(f"{count} without {name}" for name, count in gaps.items() if count))


def shown(repo: Path) -> list[dict[str, Any]]:
    done = run(repo, "dvc", "exp", "show", "--json")
    if done.returncode:
        refuse_unreadable([("the working tree", repo)])
        raise UserError(f"expected `dvc exp show --json` to work, got {reason(done)}")
    return json.loads(done.stdout)


def experiments(listed: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, float]], Counter[str]]:
    """The numbers of the last commit and of each experiment on it that succeeded: params by their key, headlines by name.

    And how many other experiments there are, by their state: failed, queued, running, unreadable.
    """
    rows, others = [], Counter[str]()
    for commit in listed:
        if commit["rev"] == "workspace":
            continue
        found = [(commit, None)]
        for experiment in commit.get("experiments") or []:
            found += [(one, experiment.get("executor")) for one in experiment["revs"]]
        for one, executor in found:
            state = executor["state"] if executor else "success"  # what ran in the workspace, or came from elsewhere, has none
            data = one.get("data")  # also of one that failed: its own params, its commit's metrics
            if state == "success" and data and not one.get("error"):
                rows.append(drawn(data))
            else:
                others["unreadable" if state == "success" else state] += 1
    return rows, others


def drawn(data: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for file in data["metrics"].values():
        metrics |= numbers(file.get("data") or {})
    params = numbers(data["params"].get("params.yaml", {}).get("data") or {})
    return params | headlines(metrics)


def headlines(metrics: Mapping[str, float]) -> dict[str, float]:
    """Each study's numbers with decay, named for an axis; the accuracy stands for the loss where there is one."""
    found = {}
    for place, value in metrics.items():
        study, _, name = place.partition(".wd.")
        if name in SHOWN and not (name == "val_loss" and f"{study}.wd.val_accuracy" in metrics):
            found[f"{study}: {SHOWN[name]}"] = value
    return found


def numbers(tree: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{name}.")
        elif real(value) or isinstance(value, bool):
            found[f"{prefix}{name}"] = float(value)
    return found


def differing(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The numbers that are not the same in all that have them, params first."""
    names = dict.fromkeys(name for row in rows for name in row)
    several = [name for name in names if len({row[name] for row in rows if name in row}) > 1]
    return sorted(several, key=lambda name: ": " in name)


def parallel(rows: Sequence[Mapping[str, float]]) -> style.Figure:
    """Parallel coordinates: a line an experiment, an axis for each number that differs, params first; coloured by the first.
    A line has a gap, or no colour, where its experiment has no such number.
    """
    names = differing(rows)
    values = np.array([[row.get(name, np.nan) for name in names] for row in rows])
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    scale = np.maximum(abs(low), abs(high))  # or the difference of two of the largest floats is no float
    heights = (values / scale - low / scale) / (high / scale - low / scale)
    figure = style.Figure(figsize=(max(6.0, 2.2 * len(names)), 4.2))
    axes = figure.subplots()
    different = sorted({row[names[0]] for row in rows if names[0] in row})
    for line, row in zip(heights, rows, strict=True):
        rank = different.index(row[names[0]]) / (len(different) - 1) if names[0] in row else None
        colour = "0.7" if rank is None else style.matplotlib.colormaps["viridis"](0.9 * rank)
        axes.plot(range(len(names)), line, color=colour, linewidth=2, marker="o")
    for place in range(len(names)):
        axes.plot([place, place], [0, 1], color=style.BLACK, linewidth=1, zorder=1)
        for height, value in ((-0.06, low[place]), (1.06, high[place])):
            axes.text(place, height, f"{value:.3g}", ha="center", va="center")
    axes.set_xticks(range(len(names)), names, parse_math=False)
    axes.set(yticks=[], ylim=(-0.12, 1.12), xlim=(-0.3, len(names) - 0.7))
    axes.set_title(f"{len(rows)} experiments, by {names[0]}", parse_math=False)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    return figure


if __name__ == "__main__":
    with in_one_line("compare"):
        main()
