"""The site: every link of every page leads to something that is there."""

import posixpath
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import ROOT, Clone
from explored import whole

from stages import studies
from stages.base.errors import UserError
from stages.drawing.explorer.page import page
from tools.site import site


class Page(HTMLParser):
    """What a page links, and the names that links may point at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.links += [str(known[key]) for key in ("href", "src") if key in known]
        self.names.add(str(known.get("id")))


@pytest.fixture
def copy(clone: Clone) -> Path:
    """The project with an explorer of all studies."""
    (clone.path / "plots" / "explorer.html").write_bytes(page(dict.fromkeys(studies.NAMES, whole()), seed=0, parameters={}))
    return clone.path


def test_every_link_leads_somewhere(copy: Path) -> None:
    made = site(copy)
    pages = {path: Page(content.decode()) for path, content in made.items() if path.endswith(".html")}
    assert {f"stages/studies/{study}/README.html" for study in studies.NAMES} < set(pages)
    for path, each in pages.items():
        for link in each.links:
            to, _, name = link.partition("#")
            if ":" not in to:
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), to)) if to else path
                assert target in made, (path, link)
                assert not name or name in pages[target].names, (path, link)
    figures = {path.relative_to(ROOT).as_posix() for path in (ROOT / "plots").glob("*/*.png")}
    assert figures <= set(made)


def test_a_link_to_nothing_is_an_error_that_names_it(copy: Path) -> None:
    (copy / "plots" / "line" / "starts.png").unlink()
    with pytest.raises(UserError, match=r"plots/line/starts\.png: expected this file"):
        site(copy)
