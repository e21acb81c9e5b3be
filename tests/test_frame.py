"""What a report says on a pull request stays in its frame: it calls, refers to and links to nobody.

What GitHub would show is asked of another Markdown implementation.
"""

import random
import re
import unicodedata
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt
from test_comment import COMMIT, HIDDEN, MADE, SERVER

from tools.comment import body
from tools.tables import MARK, metrics_tables, params_table


def shown(report: str) -> str:
    return body(report, COMMIT, ("some/where", "fork/where"))


class Page(HTMLParser):
    """Rendered Markdown: its tags, its pictures, its text; balanced, or an error."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.pictures: list[str] = []
        self.comments: list[str] = []
        self.words = ""
        self.first: tuple[list[str], str] | None = None
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        assert set(given) <= {"img": {"src", "alt"}}.get(tag, set()), (tag, attributes)
        self.tags.append(tag)
        self.words += "\n"  # what a tag parts is no one word to GitHub either
        if tag == "img":
            self.pictures.append(given["src"] or "")
        elif tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)  # `<img />` has no end

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.words += "\n"

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.words += data
        if "Made by" in data and self.first is None:
            self.first = ([*self.open], self.words)


ALLOWED = {
    "p",
    "strong",
    "h3",
    "ul",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "img",
    "details",
    "summary",
}
CALLS = re.compile(r"@\w|#\d|\$|(?<!\d)[a-z]-\w|://|www\.|(?<!\d\.)(?<![\da-f])[\da-f]{7}", re.IGNORECASE)
PICTURE = re.compile(r"https://github\.com/(?:some|fork)/where/raw/[0-9a-f]{40}/plots/[\w/-]+\.png")


def assert_stays_in_its_frame(report: str) -> Page:
    text = shown(report)
    assert len(text) < 65_536
    assert re.match(re.escape(f"{MARK}\n\n{MADE}\n") + r"(\n|\Z)", text)
    assert text.replace(HIDDEN, "").replace("\n", "").isprintable()  # no turned text, no control
    page = Page(text)
    assert not any(unicodedata.combining(letter) for letter in text)  # nothing piled up over the lines around
    assert not re.search("^/", text, re.MULTILINE)  # no command to whoever reads comments as they were sent
    assert page.comments == [MARK.removeprefix("<!--").removesuffix("-->")]  # and no other, which might hide something
    assert page.first == (["p", "strong"], page.first[1] if page.first else "")
    assert page.first[1].strip() == "Made by the pull request's own code"
    assert set(page.tags) <= ALLOWED
    of_the_report = page.words.partition("Nobody vouches for what follows.")[2]
    assert not CALLS.search(of_the_report), of_the_report
    assert all(PICTURE.fullmatch(picture) for picture in page.pictures)
    return page


FIGURE = f"![plots/wide/curves.png]({SERVER}/some/where/raw/{COMMIT}/plots/wide/curves.png)"
TRIGGERS = [
    *("@all", "@some/team", "&#64;all", "&commat;all", "&#x40;all", "&#0064;all", "a@b.cd", "mailto:a@b.cd"),
    *(
        "#1",
        "&num;1",
        "&#35;1",
        "other/repo#1",
        "GH-1",
        "gh-1",
        "g&#104;-1",
        "GHSA-q4c5-6w23",
        "KEY-1",
        COMMIT,
        COMMIT[:7].upper(),
        f"other/repo@{COMMIT}",
    ),
    *(
        f"{SERVER}/o/r/issues/1",
        f"<{SERVER}/o/r/pull/1>",
        f"[a]({SERVER}/o/r)",
        "[a]: /b",
        "http&colon;//a.bc",
        "www.a.bc",
        "[^1]",
    ),
    *(
        "![a](https://evil.example/a.png)",
        FIGURE,
        FIGURE.replace("some", "evil"),
        FIGURE.replace("wide/curves.png)", "../../../a.png)"),
        f"[{FIGURE}](/a)",
    ),
    *("<!--", "-->", "<b>", "</details>", "</summary>", "<script>", "<a href='/'>", "<![CDATA[", "<?", "<pre>", "</p>", "<@all>"),
    *("<details>", "<details open>", "<details><summary>3 more</summary>", "<details><summary>@all</summary>"),
    *("`", "``", "```", "~~~", "`a`", "`a@b`", "`#1", "\\", "\\`", "|", "\\|", "**", "*", "_", "$", "$$", "---", "===", "> "),
    *(
        "### ",
        "# ",
        "- ",
        "1. ",
        "2) ",
        "1.     ---",
        "    ",
        "\t",
        "| a | b |",
        "|---|---|",
        "\x00",
        "\u200d",
        "\u202e",
        "\x85",
        "\u2028",
        "\u0336\u20d2" * 9,
        "$a$",
        "$`a`$",
        "/close",
        "\x0b",
        "\r",
    ),
    *("a", "0.0001234", "±", " ", " ", "\n", "\n", "\n", "\n\n", "\n\n"),
]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_report_holds_stays_in_its_frame(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(25):
        assert_stays_in_its_frame("".join(draw.choices(TRIGGERS, k=draw.randrange(1, 60))))


@pytest.mark.parametrize("trigger", TRIGGERS, ids=ascii)
def test_each_trigger_is_harmless_wherever_it_stands(trigger: str) -> None:
    places = (
        "{}",
        "a\n{}",
        "({})",
        "`{}`",
        "| {} | `{}` |",
        "- {}",
        "### {}",
        "**{}**",
        "a | `b | {}",
        "<!-- {}",
        "``` {}",
        "\\{}",
    )
    for place in places:
        report = place.replace("{}", trigger)
        assert_stays_in_its_frame(report)
        assert_stays_in_its_frame(f"<details><summary>3 more</summary>\n{report}\n</details>\n{report}")


def test_the_oracle_sees_each_trigger() -> None:
    """What is not framed fails: an oracle that lets it pass would prove nothing."""
    for trigger in (
        "@all",
        "&#64;all",
        "a/b#1",
        "GH-1",
        COMMIT,
        "https://a.bc",
        "www.a.bc",
        "&commat;all",
        "`@all`",
        "KEY-1",
        "&#36;a$",
    ):
        assert CALLS.search(Page(trigger).words)
    assert Page("<!--\nMade by\n-->").first is None
    assert "pre" in Page("```\nx").tags


def test_what_looks_like_a_report_keeps_its_form() -> None:
    """Of a report that this project writes, what is shown is what was written, apart from what nobody sees."""
    changes = {"wd": (3, 1), "wide.sweep.wd": ([0, 1], [0, 2])}
    metrics: dict[str, Any] = {f"wide.wd.other_{row}": (row, row + 1e-4) for row in range(3)}
    metrics |= {"wide.wd.val_loss": (0.0001234, 0.25), "wide.wd.val_loss_se": (0.1, 0.2), "new.a.b_c": (None, 1)}
    lines = [
        "### Experiment: origin/main (e1e4355) → ac5de40",
        "",
        "⚠ head has results that are not those of its own code and params, of `evaluate@wide`.",
        *params_table(changes),
        *metrics_tables(metrics),
        *("", "| base | head |", "|---|---|", f"| {FIGURE} | no `plots/a_b.png` |"),
    ]
    report = "\n".join(lines) + "\n"
    page = assert_stays_in_its_frame(f"\n{report}")
    assert page.words.replace(HIDDEN, "").partition("follows.")[2].split() == Page(report).words.split()
    assert page.tags == ["p", "strong", *Page(report).tags]
    assert page.tags.count("details") == 1
    assert page.pictures == [FIGURE[:-1].partition("(")[2]]
    assert FIGURE.replace("some", "fork") in shown(FIGURE.replace("some", "fork"))
    assert "0.0001234" in page.words  # a number can be copied


def test_a_long_report_is_cut_between_lines_and_says_so() -> None:
    text = shown("\n<details><summary>3 more</summary>\n\n" + "| row | 1 |\n" * 10_000)
    assert 59_000 < len(text) < 65_536
    assert text.endswith("| row | 1 |\n\n</details>\n\nCut here: the run's summary has the rest.\n")


def test_a_long_line_takes_neither_mark_nor_origin_along() -> None:
    page = assert_stays_in_its_frame("a\n" + "&" * 70_000)
    assert page.words.split()[-9:] == ["a", "Cut", "here:", "the", "run's", "summary", "has", "the", "rest."]
