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

from stages import studies
from stages.drawing.explorer.page import page
from tools.picture import chromium, taken

CHROMIUM = chromium()
AXE = Path(sys.prefix, "axe.min.js")
LIMIT = 3_000_000  # bytes
OURS = ROOT / "plots" / "explorer.html"
LEAST = 8  # points of a letter on paper
A4 = {"portrait": {"width": 703, "height": 1032}, "landscape": {"width": 1032, "height": 703}}  # within the margins, in pixels
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
    assert OURS.stat().st_size < LIMIT


def test_the_page_names_every_study_by_what_it_is() -> None:
    """One without a part is linked alone."""
    text = page(SHOWN, seed=7, parameters=PARAMETERS, others=["other"]).decode()
    assert "<span>One λ <small>alone</small></span>" in text
    assert '<a href="../stages/studies/other/README.md">other</a>: on its own page alone' in text
    tabs = re.findall(r'name="study" value="(\w+)"', OURS.read_text(encoding="utf-8"))
    assert sorted(tabs) == list(studies.NAMES)


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

    def __init__(self, browser: Any, file: str, at: str = "", **options: Any) -> None:
        self.said: list[str] = []
        self.page = browser.new_page(**{"viewport": {"width": 1280, "height": 800}} | options)
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.said.extend({request.url.split("#")[0]} - {file}))
        self.page.goto(file + at)
        self.decay = self.page.get_by_label("λ", exact=True)
        self.drawn()

    def drawn(self) -> None:
        """Wait for what is drawn after the first paint."""
        for plot in self.page.locator(".plot:visible").all():
            plot.locator("svg").first.wait_for()

    def until(self, holds: str) -> None:
        self.page.evaluate(
            f"new Promise((done) => {{ const look = () => (({holds}) ? done() : setTimeout(look, 10)); look(); }})"
        )

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
    """Until then it shows λ = 0 alone, and where the guess is."""
    show = reader.page.locator("#show")
    assert (show.inner_text(), reader.text("#facts"), reader.rows(1, "now")) == (
        "My guess is λ\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0: show",
        "",
        [],
    )
    assert "best" not in reader.text("#decay")
    reader.decay.press("ArrowRight")
    for run in ("now", "theory"):
        assert [row["label"] for row in reader.rows(0, run)] == ["0"]
    assert [row["x"] for row in reader.rows(0, "chosen")] == [0.1]
    assert [reader.rows(0, run) for run in ("best", "here")] == [[], []]
    show.click()
    reader.drawn()
    assert reader.text("#verdict") == "You expected λ = 0.1; best is λ = 1: lowest validation loss."
    assert [len(reader.rows(0, run)) for run in ("now", "guess", "best")] == [len(DECAYS), 1, 1]
    assert all(word in reader.text("#decay") for word in ("your guess", "best"))
    reader.page.get_by_label("epochs", exact=True).press("ArrowLeft")
    assert reader.text("#verdict") == "Best here is λ = 10: lowest validation loss."
    reader.choose("gaps")
    reader.page.get_by_role("button", name="My guess is λ = 0: show").click()  # without a move; each study has its own guess
    assert reader.text("#verdict") == "You expected λ = 0, and that is best: lowest validation loss."
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


@pytest.mark.parametrize(
    "size", [{"width": 1280, "height": 720}, {"width": 1920, "height": 1080}], ids=lambda size: str(size["height"])
)
def test_a_presentation_fills_the_screen_with_one_chart(browser: Any, file: str, size: dict[str, int]) -> None:
    reader = Reader(browser, file, viewport=size)
    reader.page.locator("#present").click()
    assert reader.decay.evaluate("each => each === document.activeElement")
    (chart,) = (each for each in reader.page.locator("figure").all() if each.is_visible())
    for locator, least in (
        (chart.locator(".plot"), (0.9, 0.45)),
        (chart.locator(".plot svg"), (0.9, 0.45)),
        (reader.page.locator("#title"), (0, 0)),
        (reader.page.locator("#leave"), (0, 0)),
    ):
        box = locator.bounding_box()
        assert box["width"] >= least[0] * size["width"]
        assert box["height"] >= least[1] * size["height"]
        assert 0 <= box["x"] <= box["x"] + box["width"] <= size["width"]
        assert 0 <= box["y"] <= box["y"] + box["height"] <= size["height"]
    assert reader.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert not reader.page.locator(".tabs").is_visible()
    reader.page.close()


def test_a_presentation_is_led_by_keys_and_by_clicks(reader: Reader) -> None:
    def standing() -> tuple[str, str]:
        return reader.text("#title"), reader.text(".front h3")

    plain = reader.decay.bounding_box()
    first, second = [each.title for each in SHOWN.values()][:2]
    charts = [each.title for each in WHOLE.charts]
    for keys in (True, False):

        def act(button: str, key: str) -> None:
            reader.page.keyboard.press(key) if keys else reader.page.locator(button).click()  # noqa: B023

        act("#present", "p")
        assert standing() == (first, charts[0])
        reader.decay.press("ArrowRight")  # the keys still move λ
        assert reader.decay.get_attribute("aria-valuetext") == f"λ = {DECAYS[1 if keys else 2]:g}"
        for chart in (*charts[1:], charts[0], charts[1]):
            act("#another", "c")
            assert standing() == (first, chart)
        act("#after", "PageDown")
        assert standing() == (second, SHOWN["alone"].charts[0].title)
        act("#before", "PageUp")
        assert standing() == (first, charts[0])
        act("#leave", "Escape")
        assert reader.page.locator("figure").filter(visible=True).count() == len(charts)
        assert reader.decay.bounding_box() == plain


def test_a_link_leads_to_a_state_and_follows_it(browser: Any, file: str) -> None:
    reader = Reader(browser, file, "#wide&decay=1&second=3&shown")
    check(reader, 0, 2)
    reader.decay.press("ArrowRight")
    reader.page.wait_for_url("**#wide&decay=10&second=3&shown")
    reader.choose("gaps")
    reader.page.wait_for_url("**#gaps&decay=0")
    reader.page.evaluate("location.hash = '#wide&decay=0.12'")  # no such λ: the nearest
    assert reader.decay.get_attribute("aria-valuetext") == "λ = 0.1"
    reader.page.evaluate("location.hash = '#nobody&decay=x'")
    assert reader.text("#title") == WHOLE.title
    reader.page.close()
    assert reader.said == []


def test_slider_sentence_and_chart_stand_on_a_laptops_screen(browser: Any) -> None:
    """Of every study, at every place of its sliders, and before the guess."""
    reader = Reader(browser, OURS.as_uri(), viewport={"width": 1280, "height": 720})
    for shown in ("false", "true"):
        lowest = reader.page.evaluate(
            """(shown) => STUDIES.flatMap((each) => {
          choose(each.key);
          return each.said.flatMap((row, m) => row.map((_, l) => {
            move({ m, l, shown });
            return [each.key, m, l, figures[0].find(".plot").getBoundingClientRect().bottom];
          }));
        }).filter((place) => place[3] > innerHeight)""",
            shown == "true",
        )
        assert lowest == []
    reader.page.close()


def each_study(reader: Reader) -> Iterator[str]:
    """Every study of ours, at its largest λ."""
    for study in studies.NAMES:
        reader.page.evaluate("(key) => { choose(key); move({ l: study.decay.values.length - 1, shown: true }); }", study)
        reader.drawn()
        reader.until("figures.every(({ view }) => view)")
        yield study


@pytest.mark.parametrize("landscape", [False, True], ids=["portrait", "landscape"])
def test_every_study_prints_on_one_page(browser: Any, landscape: bool) -> None:
    reader = Reader(browser, OURS.as_uri())
    for study in each_study(reader):
        made = reader.page.pdf(format="A4", landscape=landscape)
        assert len(re.findall(rb"/Type /Page\b", made)) == 1, study
    reader.page.close()


@pytest.mark.parametrize("paper", A4)
def test_what_is_printed_has_legible_letters(browser: Any, paper: str) -> None:
    reader = Reader(browser, OURS.as_uri(), viewport=A4[paper])
    reader.page.emulate_media(media="print")
    reader.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for study in each_study(reader):
        reader.until("[...document.querySelectorAll('.plot svg')].every((each) => each.viewBox.baseVal.width === PRINTED.width)")
        letters = reader.page.evaluate("""() => {
          const text = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          const sizes = [];
          while (text.nextNode()) {
            const element = text.currentNode.parentElement;
            const { width } = element.getBoundingClientRect();
            if (!text.currentNode.data.trim() || !width) continue;
            const svg = element.closest("svg");
            const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
            sizes.push([scale * parseFloat(getComputedStyle(element).fontSize) * 0.75, text.currentNode.data]);
          }
          return sizes;
        }""")
        assert [each for each in letters if each[0] < LEAST - 0.01] == [], study
        assert {each[1] for each in letters} & {"λ", "Λ", "lr·λ"}, study  # the name of an axis
    reader.page.close()


def test_a_study_is_chosen_by_keyboard(reader: Reader) -> None:
    reader.page.locator("[name=study]:checked").press("ArrowRight")
    assert reader.text("#title") == SHOWN["alone"].title


def test_what_a_study_lacks_breaks_nothing(reader: Reader) -> None:
    reader.choose("alone")
    assert reader.page.locator("#decay-at").is_disabled()
    assert not reader.page.locator("#second").is_visible()
    assert reader.text("#facts") == "accuracy\n0.5"
    assert reader.text("#notes") == "\n".join([*SHOWN["alone"].notes, *SHOWN["alone"].words])
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
