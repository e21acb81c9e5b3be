"""The picture over experiments, from what `dvc exp show --json` prints."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tools import compare


def shown(wd: float, loss: float | None) -> dict[str, Any]:
    if loss is None:
        return {"rev": "failed", "data": None}
    tree = {"wide": {"trials": 16}, "wd": wd}
    return {
        "rev": "one",
        "data": {
            "params": {"params.yaml": {"data": tree}},
            "metrics": {
                "metrics/wide.json": {"data": {"wide": {"wd": {"val_loss": loss, "trials": 16}}}},
                "metrics/line.json": {},
            },
        },
    }


def test_experiments_are_the_commits_and_those_that_succeeded() -> None:
    listed = [
        {"rev": "workspace", **{"data": shown(9, 9)["data"]}},
        {**shown(3, 0.01), "experiments": [{"revs": [shown(1, 0.02)]}, {"revs": [shown(5, None)]}]},
    ]
    rows = compare.experiments(listed)
    assert [row["wd"] for row in rows] == [3, 1]
    assert [row["wide: validation loss"] for row in rows] == [0.01, 0.02]


@pytest.mark.parametrize("wds", [[], [3], [3, 3]])
def test_experiments_that_do_not_differ_are_refused_in_one_line(wds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "experiments", lambda listed: [{"wd": wd} for wd in wds])
    monkeypatch.setattr(compare.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="[]"))
    with pytest.raises(SystemExit, match=rf"^error: compare: expected two experiments .* that differ, got {len(wds)} alike: "):
        compare.main()


def test_an_axis_is_drawn_for_what_differs() -> None:
    rows = [{"wide.trials": 16, "wd": wd, "wide: validation loss": loss} for wd, loss in ((3, 0.01), (1, 0.02), (0, 0.03))]
    axes = compare.parallel(rows).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["wd", "wide: validation loss"]
    heights = [np.asarray(line.get_ydata()).tolist() for line in axes.lines if line.get_marker() == "o"]
    assert heights[0] == [1, 0]
    assert heights[2] == [0, 1]
    assert {text.get_text() for text in axes.texts} == {"0", "3", "0.01", "0.03"}
