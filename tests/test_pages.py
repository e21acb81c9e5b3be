"""What a page quotes of the metrics: each form written anew, all else kept, there and back nothing left."""

import re
from typing import Any

import pytest

from stages.base.errors import UserError
from stages.drawing.pages import rendered

PAGE = """# wide: 200 inputs
Kept 3 and <!-- a comment --> and 0.5. Loss 0.0105<!-- wide.wd.val_loss .4f -->, share 43 %<!-- wide.wd.share .0% -->.
Steps 1,000<!-- sweep.steps ,.0f -->, gap −0.00016<!-- wide.gap .5f --> below 1e-15<!-- wide.below .0e -->,
`-S wd=3`<!-- wide.wd.weight_decay g -->.
At step 233<!-- wide.wd.steps_to_generalise .0f --> (**98.5 %**<!-- wide.wd.share .1% -->).
<!-- finding wide.panel -->λ = 3 does
this<!-- /finding -->: so it is.

```python
weight_decay = 3  # wide.wd.weight_decay
other = 3  # three
print(weight_decay)  # wide.wd.val_loss
```

<!-- table wide -->
| old |
<!-- /table -->
"""


def arm(decay: float, loss: float, error: float) -> dict[str, float]:
    known = {"weight_decay": decay, "val_loss": loss, "val_loss_se": error, "val_r2": 0.5, "weight_norm": 2.0, "trials": 16}
    return known | {"share": 0.4321, "steps_to_generalise": -1}


def results(decay: float) -> dict[str, dict]:
    wide = {"baseline": arm(0, 0.02, 0.001), "wd": arm(decay, 0.0136887, 0.0004), "gap": -7.3e-5, "below": 1e-14}
    return {"wide": wide | {"findings": {"panel": f"λ = {decay:g} does that"}}, "sweep": {"steps": 12000}}


EXPECTED = """# wide: 200 inputs
Kept 3 and <!-- a comment --> and 0.5. Loss 0.0137<!-- wide.wd.val_loss .4f -->, share 43 %<!-- wide.wd.share .0% -->.
Steps 12,000<!-- sweep.steps ,.0f -->, gap −0.00007<!-- wide.gap .5f --> below 1e-14<!-- wide.below .0e -->,
`-S wd=0.5`<!-- wide.wd.weight_decay g -->.
At step —<!-- wide.wd.steps_to_generalise .0f --> (**43.2 %**<!-- wide.wd.share .1% -->).
<!-- finding wide.panel -->λ = 0.5 does that<!-- /finding -->: so it is.

```python
weight_decay = 0.5  # wide.wd.weight_decay
other = 3  # three
print(weight_decay)  # wide.wd.val_loss
```

<!-- table wide -->
| system | λ | validation loss | R² or accuracy | ‖w‖₂ | trials |
|---|---|---|---|---|---|
| `wide`: 200 inputs | 0 | 0.0200 ± 0.0010 | 0.5 | 2 | 16 |
|  | 0.5 | 0.01369 ± 0.00040 | 0.5 | 2 | 16 |
<!-- /table -->
"""
FILE = "metrics/details/wide.json"
TITLES = {"wide": "200 inputs"}


def test_each_form_is_written_anew_and_all_else_kept() -> None:
    assert rendered(PAGE, results(0.5), TITLES).splitlines() == EXPECTED.splitlines()


def test_there_and_back_nothing_is_left() -> None:
    """Neither digits nor the place of a value that was absent in between."""
    here = rendered(PAGE, results(0.5), TITLES)
    few = {"findings": {"panel": "x"}, "baseline": {"weight_decay": 0}, "wd": {"weight_decay": 0, "trials": 1}}
    away = rendered(here, {"sweep": {}, "wide": few}, TITLES)
    assert away.count("—") >= 6
    assert rendered(away, results(0.5), TITLES) == here
    assert rendered(here, results(0.5), TITLES) == here


@pytest.mark.parametrize(("place", "spec"), [("wide.wd.val_loss", ".4z"), ("wide.findings.panel", ".4f"), ("wide.wd", ".4f")])
def test_what_has_no_such_format_is_refused(place: str, spec: str) -> None:
    with pytest.raises(UserError, match=rf"^a page quotes {place}: expected a number and a format such as \.4f, got {spec}: "):
        rendered(f"1<!-- {place} {spec} -->", results(0.5), {})


def test_a_quoted_finding_file_or_study_that_does_not_exist_is_refused() -> None:
    known: dict[str, Any] = {"wide": {"findings": {}}}
    for page, told in {
        "<!-- finding wide.panel -->x<!-- /finding -->": f"{FILE}: expected a finding 'panel', which a page quotes",
        "<!-- table wide -->\n<!-- /table -->": f"a page has a table of wide: expected arms in {FILE}",
        "0.5<!-- wode.wd.val_loss .1f -->": "a page quotes wode.wd.val_loss: expected the file metrics/details/wode.json",
    }.items():
        with pytest.raises(UserError, match=f"^{re.escape(told)}, got none$"):
            rendered(page, known, {})


UNCLOSED = "<!-- finding wide.panel -->mine <!-- finding wide.panel -->a<!-- /finding -->"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (UNCLOSED, "mine <!-- finding wide.panel -->λ = 0.5"),
        ("<!-- table wide -->\nmine <!-- a comment --> mine\n<!-- /table -->", "-->\nmine <!-- a comment --> mine\n<!-- /table"),
        ("-0.5<!-- wide.gap .5f -->", "−0.00007<!--"),
        ("1e5<!-- wide.gap .5f -->", "−0.00007<!--"),
        ("v1.5<!-- wide.gap .5f -->", "v1.5<!--"),
        ("# a: b\r\nweight_decay = 3  # wide.wd.weight_decay\r\n", "weight_decay = 0.5  # wide.wd.weight_decay\r\n"),
    ],
)
def test_what_is_the_authors_is_kept(page: str, expected: str) -> None:
    """Marks that are not closed, words that only look like numbers, line ends."""
    assert expected in rendered(page, results(0.5), TITLES)
