"""The explorer: its bytes, and what a reader sees and does, in a browser that has nothing but the file."""

import html.parser
import importlib.util
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from explored import DECAYS, EPOCHS, PARAMETERS, SHOWN, STEPS
from PIL import Image

from stages.drawing.explorer.page import page
from tools.picture import chromium, taken

CHROMIUM = chromium()
AXE = Path(sys.prefix, "axe.min.js")
LIMIT = 3_000_000  # bytes
WHOLE, END = SHOWN["wide"], SHOWN["wide"].facts[0][1]
MADE = "import sys; from explored import SHOWN, PARAMETERS; from stages.drawing.explorer.page import page; "


def made(**variables: str) -> bytes:
    code = MADE + "assert 'matplotlib' not in sys.modules; sys.stdout.buffer.write(page(SHOWN, seed=7, parameters=PARAMETERS))"
    words = ["env", f"PYTHONPATH={ROOT}:{ROOT / 'tests'}", *(f"{key}={value}" for key, value in variables.items())]
    return subprocess.run([*words, sys.executable, "-c", code], capture_output=True, check=True).stdout


def test_the_page_is_the_same_bytes_whatever_a_user_has_set() -> None:
    odd = {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Kathmandu", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "3"}
    plain = made()
    assert plain == made(**odd)
    assert len(plain) < LIMIT


class Scripts(html.parser.HTMLParser):
    """The texts of a page's scripts, by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str | None, str] = {}
        self.open: str | None = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = dict(attrs).get("id") if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self.open != "":
            self.found[self.open] = self.found.get(self.open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self.open = ""


def test_no_text_ends_a_script_and_numbers_have_six_digits() -> None:
    scripts = Scripts(page(SHOWN, seed=7, parameters=PARAMETERS).decode()).found
    assert set(scripts) == {"studies", "config", "vega", None}
    first = json.loads(scripts["studies"])[0]
    assert first["title"] == WHOLE.title
    drawn = first["charts"][1]["lines"][0]["values"]
    np.testing.assert_allclose(drawn, WHOLE.charts[1].lines[0].values, rtol=5e-6)  # type: ignore[attr-defined]
    assert all(len(digits) <= 7 for digits in re.findall(r"(?<=[\[,])-?[\d.]+(?=[,\]])", json.dumps(drawn)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright here: make extras installs it")
    if CHROMIUM is None:
        pytest.skip("no chromium here: Debian's chromium has it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_bytes(page(SHOWN, seed=7, parameters=PARAMETERS))
    return path.as_uri()


class Reader:
    """Someone before the page."""

    def __init__(self, browser: Any, file: str, **options: Any) -> None:
        self.said: list[str] = []
        self.page = browser.new_page(**{"viewport": {"width": 1280, "height": 800}} | options)
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.said.extend({request.url} - {file}))
        self.page.goto(file)
        self.decay = self.page.get_by_label("λ", exact=True)
        self.drawn()

    def drawn(self) -> None:
        """Wait for what is drawn after the first paint."""
        for plot in self.page.locator(".plot:visible").all():
            plot.locator("svg").first.wait_for()

    def skip_prediction(self) -> None:
        self.page.get_by_label("predict first").uncheck()
        self.drawn()

    def choose(self, study: str) -> None:
        self.page.locator("label", has=self.page.locator(f"[name=study][value={study}]")).click()
        self.drawn()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text().replace("\N{NO-BREAK SPACE}", " ")

    def table(self, chart: int) -> list[list[str]]:
        """The numbers behind a chart."""
        figure = self.page.locator("figure").nth(chart)
        if not figure.locator("details").evaluate("each => each.open"):
            figure.locator("summary").click()
            figure.locator("tr").first.wait_for()
        return [row.split("\t") for row in figure.locator("table").inner_text().splitlines()]

    def rows(self, chart: int, run: str) -> list[dict[str, Any]]:
        """What Vega draws of a run."""
        return self.page.evaluate("([at, run]) => figures[at].view.data('now').filter((row) => row.run === run)", [chart, run])

    def picture(self, chart: int) -> bytes:
        return self.page.locator("figure .plot").nth(chart).screenshot()


@pytest.fixture
def reader(browser: Any, file: str) -> Iterator[Reader]:
    """A reader whose page says nothing on the console, and asks for nothing."""
    someone = Reader(browser, file)
    yield someone
    someone.page.close()
    assert someone.said == []


def test_all_that_is_shown_is_the_data_at_the_chosen_place(reader: Reader) -> None:
    """By keyboard and pointer, on either slider."""
    reader.skip_prediction()
    epochs = reader.page.get_by_label("epochs", exact=True)
    reader.decay.press("ArrowRight")
    check(reader, 1, 1)
    reader.decay.press("End")
    check(reader, 1, 3)
    epochs.press("ArrowLeft")
    check(reader, 0, 3)
    box = reader.decay.bounding_box()
    reader.page.mouse.click(box["x"] + box["width"] * 2 / 3, box["y"] + box["height"] / 2)
    check(reader, 0, 2)


def check(reader: Reader, m: int, l: int) -> None:  # noqa: E741
    assert reader.decay.get_attribute("aria-valuetext") == f"λ = {DECAYS[l]:g}"
    assert reader.text("#said") == f"said of {DECAYS[l]:g} after {EPOCHS[m]:g}"
    assert reader.text("#facts").split("\n")[1] == f"{END.values[m, l]:.2f} ± 0.25"
    reader.drawn()
    steps = WHOLE.charts[1]
    header, *rows = reader.table(0)
    assert header == ["λ", "validation", "exact"]
    assert [row[1] for row in rows] == [f"{value:.2f} ± 0.25" for value in END.values[m]]
    assert [row["y"] for row in reader.rows(0, "here")] == [END.values[m, l]]
    header, *rows = reader.table(1)
    assert header == ["epoch", "training, λ = 0", "training", "validation, λ = 0", "validation", "validation, exact"]
    shown = [place for place, step in enumerate(STEPS) if step <= EPOCHS[m]]
    assert [float(row[0]) for row in rows] == [STEPS[place] for place in shown]
    validation = steps.lines[1].values[m]  # type: ignore[attr-defined]
    for row, place in zip(rows, shown, strict=True):
        assert [float(row[column].split(" ")[0]) for column in (3, 4)] == [round(validation[at, place], 2) for at in (0, l)]
    drawn = [row["y"] for row in reader.rows(1, "now") if row["name"] == "validation"]
    np.testing.assert_allclose(drawn, validation[l, shown], rtol=1e-5)  # six digits
    weights = WHOLE.charts[2].series[0][1][m, l]  # type: ignore[attr-defined]
    np.testing.assert_allclose([row["y"] for row in reader.rows(2, "now")], weights, rtol=1e-5)
    assert {row["y"] for row in reader.rows(2, "wall")} == {1.5, -1.5}


def test_the_curve_over_decays_is_hidden_until_a_guess_is_made(reader: Reader) -> None:
    covered, show = reader.page.locator("figure").first.locator(".hidden-plot"), reader.page.get_by_role("button", name="Show")
    assert covered.is_visible()
    assert not reader.page.locator("figure").first.locator(".plot, details").filter(visible=True).count()
    assert (show.is_disabled(), reader.text("#facts"), reader.rows(1, "now")) == (True, "", [])
    assert "best" not in reader.text("#decay")
    reader.decay.press("ArrowRight")
    assert reader.rows(0, "now") == []
    show.click()
    reader.drawn()
    assert not covered.is_visible()
    assert reader.text("#verdict") == "You expected λ = 0.1; best is λ = 1: lowest validation loss."
    assert [len(reader.rows(0, run)) for run in ("guess", "best")] == [1, 1]
    assert all(word in reader.text("#decay") for word in ("your guess", "best"))
    reader.page.get_by_label("epochs", exact=True).press("ArrowLeft")
    assert reader.text("#verdict") == "Best at epochs = 3 is λ = 10: lowest validation loss."
    reader.choose("gaps")
    assert reader.page.locator("#show").is_visible()  # each study has a guess of its own
    reader.choose("wide")
    assert reader.decay.get_attribute("aria-valuetext") == "λ = 0.1"


def test_switches_take_away_bands_and_theory_and_bring_them_back(reader: Reader) -> None:
    reader.skip_prediction()
    for name in ("spread of trials", "theory"):
        switch, before = reader.page.get_by_label(name), reader.picture(1)
        switch.uncheck()
        assert reader.picture(1) != before
        switch.check()
        reader.page.mouse.move(0, 0)
        assert reader.picture(1) == before


def test_p_presents_one_chart_and_escape_leaves(reader: Reader) -> None:
    figures, small = reader.page.locator("figure"), float(reader.decay.evaluate("each => each.getBoundingClientRect().width"))
    reader.page.keyboard.press("p")
    assert figures.filter(visible=True).count() == 1
    assert reader.decay.evaluate("each => each === document.activeElement")
    assert reader.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert not reader.page.locator(".tabs").is_visible()
    reader.page.keyboard.press("ArrowRight")  # and the keys move λ
    assert reader.decay.get_attribute("aria-valuetext") == "λ = 0.1"
    reader.page.keyboard.press("Escape")
    assert figures.filter(visible=True).count() == 3
    assert reader.decay.evaluate("each => each.getBoundingClientRect().width") == small


def test_a_study_is_chosen_by_keyboard(reader: Reader) -> None:
    reader.page.locator("[name=study]:checked").press("ArrowRight")
    assert reader.text("#title") == SHOWN["alone"].title


def test_what_a_study_lacks_breaks_nothing(reader: Reader) -> None:
    reader.choose("alone")
    assert reader.page.locator("#decay-at").is_disabled()
    assert not reader.page.locator("#second").is_visible()
    assert reader.text("#facts") == "accuracy\n0.5"
    assert reader.text("#notes") == SHOWN["alone"].notes[0]
    reader.choose("lost")
    assert reader.page.locator(".empty").filter(visible=True).count() == 3
    assert reader.text("#facts") == "loss\nunknown"
    assert reader.text("#notes") == SHOWN["lost"].notes[0]
    reader.choose("gaps")
    reader.skip_prediction()
    for key in ("End", "ArrowLeft"):  # the λ that is missing
        reader.decay.press(key)
    assert reader.text("#facts") == "loss\nunknown"
    assert reader.table(1)[3] == ["1", "unknown", "unknown"]
    assert not reader.page.locator("#failure").is_visible()


def test_a_phone_has_no_horizontal_scrolling(browser: Any, file: str) -> None:
    reader = Reader(browser, file, viewport={"width": 375, "height": 700})
    for predicting in (True, False):
        reader.page.get_by_label("predict first").set_checked(predicting)
        for study in SHOWN:
            reader.choose(study)
            assert reader.page.evaluate("document.documentElement.scrollWidth") <= 375
    reader.page.close()


def test_without_scripts_the_page_says_so_and_links_the_studies(browser: Any, file: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    bare = context.new_page()
    bare.goto(file)
    assert bare.get_by_text("need JavaScript").is_visible()
    links = [link.get_attribute("href") for link in bare.locator("footer a").all()]
    assert links == [f"../stages/studies/{study}/README.md" for study in SHOWN]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_a_reader(browser: Any, file: str, scheme: str) -> None:
    """As axe-core finds it: names, contrast, order, keyboard."""
    if not AXE.exists():
        pytest.skip("no axe-core here: make extras fetches it where npm is")
    reader = Reader(browser, file, color_scheme=scheme)
    reader.page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    for act in (lambda: None, reader.skip_prediction, lambda: reader.table(0), lambda: reader.page.keyboard.press("p")):
        act()
        found = reader.page.evaluate("axe.run().then((result) => result.violations)")
        assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found] == []
    reader.page.close()


def test_the_readmes_picture_shows_the_page_as_it_is(browser: Any) -> None:
    """As a hundred by sixty grey dots: another font, or a slightly other curve, makes less of a difference."""
    pictures = taken(browser, ROOT / "plots" / "explorer.html"), (ROOT / "docs" / "explorer.png").read_bytes()
    now, then = (np.asarray(Image.open(io.BytesIO(each)).convert("L").resize((100, 60)), dtype=float) for each in pictures)
    assert np.abs(now - then).mean() < 4
