"""The README's results table, rendered from metrics/. `python -m tools.readme` writes it into the README."""

import json
import math
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MARKED = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- /table -->)", re.DOTALL)


def metrics() -> dict[str, dict[str, dict[str, Any]]]:
    paths = sorted((ROOT / "metrics").glob("*.json"))
    return {name: rows for path in paths for name, rows in json.loads(path.read_text(encoding="utf-8")).items()}


def with_error(row: dict[str, Any], name: str) -> str:
    """Mean ± standard error, to two digits of the error."""
    mean, error = row[name], row[f"{name}_se"]
    if error == 0:
        return f"{mean:g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"


def table() -> str:
    rows = metrics()
    systems = {
        "line": "`line`: y = 2x + 1",
        "wide": "`wide`: 200 inputs, 20 rows",
        "modular": "`modular`: (a + b) mod 53",
    }
    lines = ["| system | λ | validation loss | R² or accuracy | ‖w‖₂ | trials |", "|---|---|---|---|---|---|"]
    for study, title in systems.items():
        for arm in ("baseline", "wd"):
            row = rows[study][arm]
            score = with_error(row, "val_accuracy" if "val_accuracy" in row else "val_r2")
            cells = [title if arm == "baseline" else "", f"{row['weight_decay']:g}", with_error(row, "val_loss"), score]
            lines.append("| " + " | ".join([*cells, with_error(row, "weight_norm"), str(row["trials"])]) + " |")
        if study == "wide":
            row = rows[study]["null"]
            cells = [
                "",
                "best constant",
                with_error(row, "val_loss"),
                with_error(row, "val_r2"),
                "0",
                str(rows[study]["wd"]["trials"]),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    README.write_text(MARKED.sub(table(), README.read_text(encoding="utf-8")), encoding="utf-8")
