"""docs/explorer.png, the explorer after a reader's guess: `python -m tools.picture` takes it in Debian's chromium."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from stages.base.errors import UserError
from stages.base.storage import save_bytes
from stages.console.command import in_one_line

PAGE, PICTURE = Path("plots", "explorer.html"), Path("docs", "explorer.png")
SIZE = {"width": 1440, "height": 1075}
GUESS, THEN = "1", "3"  # λ
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def main() -> None:
    if importlib.util.find_spec("playwright") is None or chromium() is None:
        raise UserError("expected playwright and chromium, got one or none: make extras, and Debian's chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        save_bytes(PICTURE, taken(browser, PAGE))
    print(PICTURE)


def taken(browser: Any, page: Path) -> bytes:
    """The first study of a page, with a guess made and then another λ chosen."""
    reader = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
    reader.goto(page.resolve().as_uri())
    move(reader, GUESS)
    reader.get_by_role("button", name="Show").click()
    move(reader, THEN)
    for plot in reader.locator(".plot:visible").all():
        plot.locator("svg").first.wait_for()
    reader.evaluate("document.activeElement.blur()")
    return reader.screenshot()


def move(reader: Any, decay: str) -> None:
    """Move the slider by keyboard, from its left end, until it says so; or to its right end."""
    slider = reader.get_by_label("λ", exact=True)
    slider.press("Home")
    while not slider.get_attribute("aria-valuetext").endswith(f" = {decay}"):
        before = slider.input_value()
        slider.press("ArrowRight")
        if slider.input_value() == before:
            return


if __name__ == "__main__":
    with in_one_line("picture"):
        main()
