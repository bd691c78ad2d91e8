"""How a result looks: as text, as HTML in JupyterLab, as Markdown elsewhere.

A result makes its `Page`; `Shown` turns that into each form, and escapes it: names of
pods, keys and contents are other people's. Progress is shown on a `Board`: one display
in a notebook, or lines.
"""

from __future__ import annotations

import html
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cmhot.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from cmhot.clock import Clock


@dataclass(frozen=True, slots=True)
class Page:
    """The content of a result, to be shown in any form."""

    heading: str  # one sentence
    rows: Sequence[Mapping[str, str]] = ()  # a table: cells by the same column names
    notes: Sequence[str] = ()  # sentences below the table

    def to_text(self) -> str:
        """Write it with aligned columns."""
        lines = [self.heading]
        if self.rows:
            widths = {
                name: max(len(name), *(len(row[name]) for row in self.rows))
                for name in self.rows[0]
            }
            for row in (dict(zip(widths, widths, strict=True)), *self.rows):
                cells = (f"{row[name]:{width}}" for name, width in widths.items())
                lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *self.notes])

    def to_html(self) -> str:
        """Write it with a table, a caption and a list."""
        heading = html.escape(self.heading)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        below = f"<ul>{notes}</ul>" if notes else ""
        if not self.rows:
            return f"<p>{heading}</p>{below}"
        names = "".join(
            f'<th scope="col" style="text-align: left">{html.escape(name)}</th>'
            for name in self.rows[0]
        )
        rows = "".join(
            "<tr>" + "".join(map(_cell, row.values())) + "</tr>" for row in self.rows
        )
        # a table that is wider than a phone scrolls by itself
        return (
            '<div style="overflow-x: auto"><table>'
            f'<caption style="text-align: left">{heading}</caption>'
            f"<thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></div>{below}"
        )

    def to_markdown(self) -> str:
        """Write it with a pipe table."""
        blocks = [_plain(self.heading)]
        if self.rows:
            names = list(self.rows[0])
            lines = [names, ["---"] * len(names)]
            lines += [[_plain(row[name]) for name in names] for row in self.rows]
            blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        if self.notes:
            blocks.append("\n".join(f"* {_plain(note)}" for note in self.notes))
        return "\n\n".join(blocks)


class Shown:
    """A result that knows how to show itself.

    A subclass makes its `page`, and is a dataclass with ``repr=False``.
    """

    __slots__ = ()

    def page(self) -> Page:
        """Make the page of this result."""
        raise NotImplementedError

    def to_text(self) -> str:
        """Write it for people."""
        return self.page().to_text()

    def __repr__(self) -> str:
        """Write it for people, who asked for it at a prompt."""
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.page().to_html()

    def _repr_markdown_(self) -> str:
        return self.page().to_markdown()


def _cell(text: str) -> str:
    return f'<td style="text-align: left">{html.escape(text)}</td>'


_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~&"})


def _plain(text: str) -> str:
    """Take the meaning off what Markdown and HTML would read."""
    return " ".join(text.split()).translate(_SPECIAL)


class Board(Protocol):
    """Where to show it."""

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Show the present state, and the news since the last time."""


class Silence:
    """A board that shows nothing."""

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Do nothing."""


class Terminal:
    """A board of lines: each piece of news, and the end."""

    def __init__(self, out: TextIO | None = None) -> None:
        """Write there; None: to the standard output, as it is at that time."""
        self._out = out
        self._has_begun = False

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Write the beginning, each piece of news, and the end."""
        out = sys.stdout if self._out is None else self._out
        lines = list(news)
        if is_last or not self._has_begun:
            lines.append(now.page().heading)
        self._has_begun = True
        for line in lines:
            out.write(f"{line}\n")
        out.flush()


EVERY_S = 0.25
"""A notebook's display changes no more often: each change is a message to a browser."""


class Notebook:
    """A board that is one display, changed in place."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Limit changes by a clock: the viewer's, not the model's."""
        self._clock = SystemClock() if clock is None else clock
        self._handle: Any = None
        self._next = 0.0

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Make the display, or change it; the end is never left out."""
        del news
        from IPython.display import display  # noqa: PLC0415 - slow, and only needed here

        instant = self._clock.monotonic()
        if self._handle is None:
            self._handle = display(now, display_id=True)  # type: ignore[no-untyped-call]
        elif is_last or instant >= self._next:
            self._handle.update(now)
        else:
            return
        self._next = instant + EVERY_S


def board() -> Board:
    """Choose the board by whether a Jupyter kernel runs us."""
    return Notebook() if in_notebook() else Terminal()


def in_notebook() -> bool:
    """Report whether a Jupyter kernel runs us; IPython in a terminal is none."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return getattr(shell, "kernel", None) is not None
