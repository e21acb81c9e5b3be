"""The explorer and all that it links, the pages of the studies as HTML, their figures → build/site/."""

import itertools
import posixpath
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from stages.base.errors import UserError
from stages.base.storage import save_bytes

FIRST = "plots/explorer.html"
LINK = re.compile(r'(?<=href=")([^":#]+)(?=[#"])|(?<=src=")([^":#]+)(?=")')
FRAME = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 100%/1.5 system-ui, sans-serif; }}
img {{ max-width: 100%; }}
table, pre {{ display: block; overflow-x: auto; }}
td, th {{ padding: .1rem .75rem .1rem 0; text-align: left; }}
</style>
{body}
</html>
"""


def main() -> None:
    pages = site(Path())
    shutil.rmtree(Path("build", "site"), ignore_errors=True)
    for name, content in pages.items():
        save_bytes(Path("build", "site", name), content)
    print("build/site/index.html")


def site(root: Path) -> dict[str, bytes]:
    """A path in the site → what is there. Raises UserError where a page links what is not there."""
    made: dict[str, bytes] = {}
    wanted = [FIRST]
    while wanted:
        path = wanted.pop()
        if path in made or published(path) in made:
            continue
        if not (root / path).is_file():
            raise UserError(f"{path}: expected this file, which a page links, got none")
        if path.endswith((".md", ".html")):
            text = (root / path).read_text(encoding="utf-8")
            text = rendered(text) if path.endswith(".md") else text
            wanted += [posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) for link in links(text)]
            made[published(path)] = LINK.sub(lambda found: published(found[0]), text).encode()
        else:
            made[path] = (root / path).read_bytes()
    return made | {"index.html": made[FIRST].replace(b'href="../', b'href="')}


def links(text: str) -> Iterator[str]:
    """The files that a page links, outside its scripts."""
    for found in LINK.finditer(re.sub(r"(?s)<script.*?</script>", "", text)):
        yield found[0]


def published(path: str) -> str:
    return f"{path.removesuffix('.md')}.html" if path.endswith(".md") else path


def rendered(text: str) -> str:
    """Markdown as a page, its headings with the names that links know them by."""
    reader = MarkdownIt("js-default", {"html": True})
    tokens = reader.parse(text)
    titles = []
    for heading, text_of in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            titles.append(text_of.content)
            heading.attrSet("id", re.sub(r"[^\w\- ]", "", text_of.content.lower()).replace(" ", "-"))
    return FRAME.format(title=next(iter(titles), ""), body=reader.renderer.render(tokens, reader.options, {}))


if __name__ == "__main__":
    main()
