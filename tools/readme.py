"""The README's results table, rendered from metrics/details/. `python -m tools.readme` writes it into the README."""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from stages.base.errors import UserError
from stages.console.command import in_one_line

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MARKED = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- /table -->)", re.DOTALL)


def metrics() -> dict[str, dict[str, dict[str, Any]]]:
    """By the file's name: a place is `study.row.value`."""
    paths = sorted((ROOT / "metrics" / "details").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def with_error(row: dict[str, Any], name: str) -> str:
    """Mean ± standard error, to two digits of the error; the mean alone where the error is zero or there is one trial."""
    mean, error = row[name], row.get(f"{name}_se", 0)
    if error == 0:
        return f"{mean:g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"


def drawn() -> list[str]:
    """The studies of the overview, in its order."""
    command: str = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["overview"]["cmd"]
    return command.split()[3:]


def table() -> str:
    """One row an arm of the studies in the overview; a study's title is its page's."""
    rows = metrics()
    lines = ["| system | λ | validation loss | R² or accuracy | ‖w‖₂ | trials |", "|---|---|---|---|---|---|"]
    for study in drawn():
        page = (ROOT / "stages" / "studies" / study / "README.md").read_text(encoding="utf-8")
        title = page.partition("\n")[0].partition(": ")[2]
        if study not in rows:
            raise UserError(
                f"metrics/details/{study}.json: expected the results of {study}, got no file: dvc repro evaluate@{study}"
            )
        own, compared = rows[study], ["baseline", "wd"] + ["null"] * ("wd_minus_null" in rows[study])
        for row in compared:
            score = "val_accuracy" if "val_accuracy" in own[row] else "val_r2"
            decay = "best constant" if row == "null" else f"{own[row]['weight_decay']:g}"
            cells = [f"`{study}`: {title}" if row == "baseline" else "", decay]
            cells += [with_error(own[row], value) for value in ("val_loss", score, "weight_norm")]
            lines.append("| " + " | ".join([*cells, str(own["wd"]["trials"])]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with in_one_line("readme"):
        README.write_text(MARKED.sub(table(), README.read_text(encoding="utf-8")), encoding="utf-8")
