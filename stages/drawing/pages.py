"""What README and the studies' pages quote of the metrics: numbers, sentences, a table.

Behind what is quoted, or around it, a comment of the page says where it comes from. Everything else on a page is its author's.

    0.0105<!-- wide.wd.val_loss .4f -->                  a value of metrics/details/wide.json, in Python's format
    <!-- finding wide.panel -->…<!-- /finding -->        a sentence that a rule chose
    <!-- table wide modular -->…<!-- /table -->          the arms of these studies, a row each
    weight_decay = 3  # wide.wd.weight_decay             in Python code
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from stages.base.errors import UserError
from stages.drawing.tables import Metrics

PLACE = r"\w+(?:\.\w+)+"
BODY = r"(?:(?!<!--).)*"  # up to the next comment, so that a mark that is not closed takes nothing of the author's
NUMBER = re.compile(rf"(?<![\w.,])(?:—|[−-]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?: %)?)([`*]*<!-- ({PLACE}) (\S+) -->)")
FINDING = re.compile(rf"(<!-- finding (\w+)\.(\w+) -->){BODY}(?=<!-- /finding -->)", re.DOTALL)
TABLE = re.compile(rf"(<!-- table ([\w ]+) -->\r?\n){BODY}(?=<!-- /table -->)", re.DOTALL)
CODE = re.compile(rf"^(\w+ = )\S+(  # ({PLACE}))(?=\r?$)", re.MULTILINE)
ABSENT = "—"  # no such value, or a step that was not reached
HEADER = "| system | λ | validation loss | R² or accuracy | ‖w‖₂ | trials |\n|---|---|---|---|---|---|\n"


def rendered(text: str, metrics: Mapping[str, Metrics], titles: Mapping[str, str]) -> str:
    """A page with what the metrics say now, by the names of their files; `titles` are those of the studies in its tables.

    Raises UserError where there is no such finding or study, and where a quoted value has no such format.
    """
    text = NUMBER.sub(lambda found: number(metrics, found[2], found[3]) + found[1], text)
    text = CODE.sub(lambda found: found[1] + number(metrics, found[3], "g") + found[2], text)
    text = FINDING.sub(lambda found: found[1] + finding(metrics, found[2], found[3]), text)
    return TABLE.sub(lambda found: found[1] + table(found[2].split(), metrics, titles), text)


def at(metrics: Mapping[str, Any], place: str) -> Any:
    """A value by its dotted place, None where there is none."""
    found: Any = metrics
    for key in place.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def number(metrics: Mapping[str, Metrics], place: str, spec: str) -> str:
    """A value in a format such as `.4f` or `.1%`, as the pages write it: −0.0012 and 43 %."""
    file, value, name = place.partition(".")[0], at(metrics, place), place.rpartition(".")[2]
    if file not in metrics:
        raise UserError(f"a page quotes {place}: expected the file metrics/details/{file}.json, got none")
    if value is None or (name.startswith("steps_to_") and value < 0):
        return ABSENT
    try:
        return re.sub("^-", "−", format(value, spec).replace("%", " %"))
    except (ValueError, TypeError) as error:
        raise UserError(f"a page quotes {place}: expected a number and a format such as .4f, got {spec}: {error}") from error


def finding(metrics: Mapping[str, Metrics], file: str, name: str) -> str:
    said = at(metrics, f"{file}.findings.{name}")
    if said is None:
        raise UserError(f"metrics/details/{file}.json: expected a finding {name!r}, which a page quotes, got none")
    return said


def table(studies: list[str], metrics: Mapping[str, Metrics], titles: Mapping[str, str]) -> str:
    """A row an arm, and one for the best constant where the study is compared with it. Raises UserError for other studies."""
    lines = []
    for study in studies:
        own = metrics.get(study, {})
        if "wd" not in own:
            raise UserError(f"a page has a table of {study}: expected arms in metrics/details/{study}.json, got none")
        for row in ("baseline", "wd", *["null"] * ("wd_minus_null" in own)):
            score = "val_accuracy" if "val_accuracy" in own[row] else "val_r2"
            decay = "best constant" if row == "null" else f"{own[row]['weight_decay']:g}"
            cells = [f"`{study}`: {titles[study]}" if row == "baseline" else "", decay]
            cells += [with_error(own[row], value) for value in ("val_loss", score, "weight_norm")]
            lines.append(f"| {' | '.join([*cells, str(own['wd']['trials'])])} |\n")
    return HEADER + "".join(lines)


def with_error(row: Mapping[str, float], name: str) -> str:
    """Mean ± standard error, to two digits of the error; the mean alone where the error is zero or there is one trial."""
    mean, error = row.get(name), row.get(f"{name}_se", 0)
    if mean is None:
        return ABSENT
    if error == 0:
        return f"{mean:g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"
