"""The one builder of report pages: sections in, one self-contained HTML page out.

Everything that a page shows is in its file, figures included;
it has no script and asks for nothing from elsewhere,
and says so to the browser (Content-Security-Policy).
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
"""Sections that need no list of contents."""
_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|pods|delays)\b|%)")


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs.

    Attributes
    ----------
    paragraphs
        Plain text, one after the other.
    """

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    kind: ClassVar[str] = "points"
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Notice:
    """What must not be overlooked, such as a failure.

    Attributes
    ----------
    text
        A sentence or two.
    link
        Label and relative path of where to read on; None: nowhere.
    """

    kind: ClassVar[str] = "notice"
    text: str
    link: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, contained in the page.

    Attributes
    ----------
    wide, narrow
        SVG files for a page and for a phone; without `narrow` a phone gets `wide`.
    alt
        What it shows, for who cannot see it.
    caption
        What stands below it.
    links
        Labels and relative paths of its files.
    """

    kind: ClassVar[str] = "figure"
    wide: Path
    alt: str
    caption: str
    narrow: Path | None = None
    links: Sequence[tuple[str, str]] = ()

    @property
    def wide_uri(self) -> str:
        """The wide figure as a data URI."""
        return _svg_uri(self.wide)

    @property
    def narrow_uri(self) -> str | None:
        """The narrow figure as a data URI."""
        return None if self.narrow is None else _svg_uri(self.narrow)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    cells
        One for each column but the first.
    head
        What the row is about; stands in the first column.
    tone
        ``main`` for what was found, ``aside`` for what stands beside it.
    first
        Whether the row opens a group.
    """

    head: str
    cells: Sequence[str]
    tone: str = "main"
    first: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table; numbers stand right, text left.

    Attributes
    ----------
    columns
        Headings.
    rows
        Each as long as the headings.
    caption
        What the numbers are, with their unit.
    numeric
        Whether the cells are numbers.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Row]
    caption: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and their values."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Links:
    """Links with a word on each.

    Attributes
    ----------
    items
        Label, relative path, and what is found there.
    """

    kind: ClassVar[str] = "links"
    items: Sequence[tuple[str, str, str]]


Block = Text | Points | Notice | Figure | Table | Facts | Links


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; without a title it follows the one before."""

    title: str | None
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """What a link within the page leads to."""
        return re.sub(r"[^a-z0-9]+", "-", (self.title or "").lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes
    ----------
    title
        Of the browser's tab.
    headline
        The result in one sentence.
    byline
        Where it comes from, in a few words.
    modelled
        Whether nothing was measured; the page then says so at its top.
    sections
        In order.
    """

    title: str
    headline: str
    byline: str
    modelled: bool
    sections: Sequence[Section]

    @property
    def contents(self) -> list[Section]:
        """The sections that are worth a list at the top; few are not."""
        titled = [section for section in self.sections if section.title]
        return titled if len(titled) > FEW else []


def build_page(page: Page) -> str:
    """Write a page as HTML.

    Raises
    ------
    OSError
        When a figure cannot be read.
    """
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
