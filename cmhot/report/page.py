"""The builder of report pages: sections in, one self-contained HTML page out.

All content of a page is in its file, figures included;
it has no script and fetches nothing,
and tells the browser so (Content-Security-Policy).
All text is escaped.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, ClassVar

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


FEW = 5
"""Up to so many sections need no list of contents."""
_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|pods|delays)\b|%)")


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page; a modelled one says at its top that nothing was measured."""

    title: str  # of the browser's tab
    headline: str  # the result in one sentence
    byline: str  # where it comes from, in a few words
    modelled: bool
    sections: Sequence[Section]

    @property
    def contents(self) -> list[Section]:
        """The sections that are worth a list at the top; few are not."""
        titled = [section for section in self.sections if section.title]
        return titled if len(titled) > FEW else []


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; without a title it follows the one before."""

    title: str | None
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The anchor for links within the page."""
        return re.sub(r"[^a-z0-9]+", "-", (self.title or "").lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs of plain text."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    kind: ClassVar[str] = "points"
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning that must not be overlooked, such as a failure."""

    kind: ClassVar[str] = "notice"
    text: str
    link: tuple[str, str] | None = None  # label and relative path of further reading


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, contained in the page, with links to its files."""

    kind: ClassVar[str] = "figure"
    wide: Path  # an SVG file
    alt: str
    caption: str
    narrow: Path | None = None  # an SVG file for a phone, which else gets the wide one
    links: Sequence[tuple[str, str]] = ()  # labels and relative paths

    @property
    def wide_uri(self) -> str:
        """The wide figure as a data URI."""
        return _svg_uri(self.wide)

    @property
    def narrow_uri(self) -> str | None:
        """The narrow figure as a data URI."""
        return None if self.narrow is None else _svg_uri(self.narrow)


@dataclass(frozen=True, slots=True)
class HtmlRow:
    """A row of a table: its subject, and a cell for each column but the first."""

    head: str
    cells: Sequence[str]
    tone: str = "main"  # or "aside", for what stands beside what was found
    first: bool = True  # whether it opens a group


@dataclass(frozen=True, slots=True)
class HtmlTable:
    """A table; numbers stand right, text left."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[HtmlRow]
    caption: str  # what the numbers are, with their unit
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and their values."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Links:
    """Links: label, relative path, and a description."""

    kind: ClassVar[str] = "links"
    items: Sequence[tuple[str, str, str]]


Block = Text | Points | Notice | Figure | HtmlTable | Facts | Links


def build_page(page: HtmlPage) -> str:
    """Write a page as HTML."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_keep_together,
    )
    folder = resources.files("cmhot.report")
    source = folder.joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(page=page)


def _keep_together(value: object) -> object:
    """Keep a line from breaking between a number and its unit."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", value) if type(value) is str else value


def _svg_uri(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:image/svg+xml;base64,{content}"
