"""The page builder: one file, nothing from elsewhere, nothing unescaped."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from cmhot.report.page import (
    Facts,
    Figure,
    HtmlPage,
    HtmlRow,
    HtmlTable,
    Links,
    Notice,
    Points,
    Section,
    Text,
    build_page,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.report.page import Block

VOID = {"meta", "link", "img", "source", "br"}


class Reader(HTMLParser):
    """Collects what a browser would fetch or follow, and sees that tags match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.followed: list[str] = []
        self.alts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its addresses."""
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.alts.append(given.get("alt"))
        for name in ("src", "srcset", "data", "poster"):
            if name in given:
                self.fetched.append(given[name] or "")
        if "href" in given:
            (self.followed if tag == "a" else self.fetched).append(given["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        """See that it closes the tag that was opened last."""
        assert self.open.pop() == tag


@pytest.fixture
def figure(tmp_path: Path) -> Figure:
    """Give a figure in two sizes."""
    for name in ("wide", "narrow"):
        (tmp_path / f"{name}.svg").write_text(f"<svg><!-- {name} --></svg>")
    return Figure(
        wide=tmp_path / "wide.svg",
        narrow=tmp_path / "narrow.svg",
        alt='half by 6.5 s, "law" dashed',
        caption="Share < 1",
        links=[("SVG", "figures/wide.svg")],
    )


def build(*blocks: Block, modelled: bool = False) -> tuple[str, Reader]:
    """Build a page of one section and read it."""
    page = HtmlPage(
        title="Delay & more",
        headline="95 % within 12.9 s",
        byline="run <r>",
        modelled=modelled,
        sections=[Section("First", blocks)],
    )
    html = build_page(page)
    reader = Reader()
    reader.feed(html)
    return html, reader


def test_page_is_whole(figure: Figure) -> None:
    """Every block is shown, every tag is closed, and there is no script."""
    html, reader = build(
        Text(["one", "two"]),
        Points(["a point"]),
        Notice("it failed", ("why", "notebooks/x.html")),
        figure,
        HtmlTable(["head", "value"], [HtmlRow("row", ["1"])], "seconds"),
        Facts([("Seed", "1")]),
        Links([("numbers.json", "numbers.json", "all numbers")]),
    )

    assert reader.open == []
    assert "script" not in reader.tags
    shown = (
        "<p>two",
        "a point",
        "it failed",
        ">row<",
        "seconds",
        "Seed",
        "all numbers",
    )
    assert [text for text in shown if text not in html] == []


def test_page_fetches_nothing(figure: Figure) -> None:
    """Figures and icon are data URIs, links are relative, and the browser is told."""
    html, reader = build(figure, Links([("raw", "runs/r/run.json", "")]))

    assert [uri for uri in reader.fetched if not uri.startswith("data:")] == []
    assert reader.followed == ["figures/wide.svg", "runs/r/run.json"]
    assert "default-src 'none'; img-src data:" in html
    assert '<link rel="icon" href="data:,">' in html


def test_page_escapes_text() -> None:
    """Text from a cluster cannot become markup."""
    html, _ = build(Text(["<script>alert(1)</script>"]), Notice("<b>", None))

    assert "&lt;script&gt;" in html
    assert "run &lt;r&gt;" in html
    assert "<b>" not in html
    assert "Delay &amp; more" in html


def test_figure_has_alt_text_and_a_narrow_form(figure: Figure) -> None:
    """A reader without eyes gets the numbers, a phone gets its own drawing."""
    html, reader = build(figure)

    assert reader.alts == ['half by 6.5\N{NO-BREAK SPACE}s, "law" dashed']
    assert html.count("data:image/svg+xml;base64,") == 2
    assert "(max-width: 36rem)" in html


def test_figure_without_narrow_form(figure: Figure) -> None:
    """A phone gets the wide drawing where there is no other."""
    html, _ = build(Figure(wide=figure.wide, alt="", caption=""))

    assert html.count("data:image/svg+xml;base64,") == 1


def test_number_and_unit_stay_together() -> None:
    """No line breaks between a number and its unit."""
    html, _ = build()

    assert "95\N{NO-BREAK SPACE}% within 12.9\N{NO-BREAK SPACE}s" in html


def test_modelled_page_is_marked() -> None:
    """A modelled headline looks different from a measured one."""
    assert '<h1 class="modelled">' in build(modelled=True)[0]
    assert "<h1>" in build(modelled=False)[0]


@pytest.mark.parametrize(("number", "listed"), [(5, False), (6, True)])
def test_a_long_page_has_contents(number: int, *, listed: bool) -> None:
    """Of more than five sections each can be reached from the top."""
    sections = [Section(f"Part {n}: why?", []) for n in range(number)]

    html = build_page(HtmlPage("t", "h", "b", modelled=False, sections=sections))

    assert ('<a href="#part-0-why">' in html) is listed
    assert '<h2 id="part-0-why">' in html
