"""All experiments of this commit in one picture, build/compare.png: an axis for each number that differs. `make compare`."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
from stages.science import figures

SHOWN = {  # metrics worth an axis where they differ
    "line.wd.val_loss": "line: validation loss",
    "line.wd.weight_norm": "line: ‖w‖₂",
    "wide.wd.val_loss": "wide: validation loss",
    "wide.wd.weight_norm": "wide: ‖w‖₂",
    "modular.wd.val_accuracy": "modular: validation accuracy",
    "modular.wd.weight_norm": "modular: ‖w‖₂",
}


def main() -> None:
    shown = subprocess.run(["dvc", "exp", "show", "--json"], capture_output=True, text=True, check=True).stdout
    rows = experiments(json.loads(shown))
    if not differing(rows):
        sys.exit(
            f"error: compare: expected two experiments of this commit that differ, got {len(rows)} alike: dvc exp run -S wd=1"
        )
    path = ROOT / "build" / "compare.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(figures.png(parallel(rows)))
    print(f"{path.relative_to(ROOT)}: {len(rows)} experiments")


def experiments(shown: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The numbers of the last commit and of each experiment on it that succeeded: params by their key, `SHOWN` by its name."""
    rows = []
    for commit in shown:
        if commit["rev"] == "workspace":
            continue
        for found in [commit, *(one for experiment in commit.get("experiments") or [] for one in experiment["revs"])]:
            data = found.get("data")
            if data:
                flat: dict[str, float] = {}
                for file in data["metrics"].values():
                    flat |= numbers(file.get("data") or {})
                row = numbers(data["params"]["params.yaml"]["data"])
                rows.append(row | {label: flat[place] for place, label in SHOWN.items() if place in flat})
    return rows


def numbers(tree: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, (int, float)):
            found[f"{prefix}{name}"] = float(value)
    return found


def differing(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The numbers that all have and that are not the same in all, params first."""
    names = [
        name for name in (rows[0] if rows else ()) if all(name in row for row in rows) and len({row[name] for row in rows}) > 1
    ]
    return sorted(names, key=lambda name: name in SHOWN.values())


def parallel(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Parallel coordinates: a line an experiment, an axis for each number that differs, params first; coloured by the first."""
    names = differing(rows)
    values = np.array([[row[name] for name in names] for row in rows])
    low, high = values.min(axis=0), values.max(axis=0)
    heights = (values - low) / (high - low)
    figure = Figure(figsize=(max(6.0, 2.2 * len(names)), 4.2))
    axes = figure.subplots()
    different, ranks = np.unique(values[:, 0], return_inverse=True)
    for line, rank in zip(heights, ranks, strict=True):
        colour = colormaps["viridis"](0.9 * rank / (len(different) - 1))
        axes.plot(range(len(names)), line, color=colour, linewidth=2, marker="o")
    for place in range(len(names)):
        axes.plot([place, place], [0, 1], color=figures.BLACK, linewidth=1, zorder=1)
        for height, value in ((-0.06, low[place]), (1.06, high[place])):
            axes.text(place, height, f"{value:.3g}", ha="center", va="center")
    axes.set_xticks(range(len(names)), names)
    axes.set(yticks=[], ylim=(-0.12, 1.12), xlim=(-0.3, len(names) - 0.7), title=f"{len(rows)} experiments, by {names[0]}")
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    return figure


if __name__ == "__main__":
    main()
