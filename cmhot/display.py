"""How a result looks: as text, as HTML in JupyterLab, as Markdown elsewhere.

A result makes its `Page`; `Shown` turns that into each form, and escapes it: names of
pods, keys and contents are other people's. Progress is shown on a `Board`: one display
in a notebook, or lines.

What a terminal obeys or a page hides is made visible where text leaves the program:
`Outlet` is the command line's standard output and error, `visible` does it for files.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from cmhot.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

    from cmhot.clock import Clock


_SPACES = {*" \u00a0\u1680\u202f\u205f\u3000", *map(chr, range(0x2000, 0x200B))}
"""The spaces of Unicode (Zs), which Python counts among what cannot be printed."""
_ARRANGING = frozenset("\n\t")


def visible(text: str) -> str:
    r"""Write control and format characters as JSON does: ``\u001b``, ``\r``.

    They could move a cursor, set a clipboard, or turn the direction of a line. Ends of
    lines and tabs stay: see `one_line`.
    """
    return _without_controls(text, _ARRANGING)


def one_line(text: object) -> str:
    """Write a sentence or a cell so that nothing in it begins another line."""
    return _without_controls(str(text), frozenset())


def as_lines(lines: Iterable[object]) -> str:
    """Write each in a line of its own."""
    return "\n".join(map(one_line, lines))


def _without_controls(text: str, allowed: frozenset[str]) -> str:
    bare = text
    for mark in allowed:
        bare = bare.replace(mark, "")
    if bare.isprintable():  # nearly always, and of large outputs much quicker
        return text
    return "".join(
        mark
        if mark.isprintable() or mark in _SPACES or mark in allowed
        else json.dumps(mark)[1:-1]
        for mark in text
    )


class Outlet:
    """Standard output or error, through which no control character gets.

    Characters that its encoding does not have are written like those.
    """

    color = False  # click then leaves the colours of other people's texts to this

    def __init__(self, stream: TextIO, *, may_fail: bool, draws: bool = False) -> None:
        """Write to a stream.

        What does not matter `may_fail` to be written: the measurement goes on. What
        `draws` moves the cursor.
        """
        self._stream = stream
        self._may_fail = contextlib.suppress(*([OSError] if may_fail else []))
        self._draws = draws

    def write(self, text: str) -> int:
        """Write the text, made visible."""
        shown = text if self._draws else visible(text)
        encoding = self._stream.encoding or "utf-8"
        try:
            shown.encode(encoding)
        except UnicodeEncodeError:
            shown = "".join(_encodable(mark, encoding) for mark in shown)
        with self._may_fail:
            self._stream.write(shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is kept."""
        with self._may_fail:
            self._stream.flush()

    def canvas(self) -> Outlet:
        """Give the same stream to a progress bar, which moves the cursor."""
        return Outlet(self._stream, may_fail=True, draws=True)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        if name == "buffer":  # it would lead past this
            raise AttributeError(name)
        return getattr(self._stream, name)


def _encodable(mark: str, encoding: str) -> str:
    try:
        mark.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(mark)[1:-1]
    return mark


def canvas() -> TextIO:
    """Give standard error as progress bars need it."""
    stream: Any = sys.stderr
    drawn: Any = stream.canvas() if isinstance(stream, Outlet) else stream
    return cast("TextIO", drawn)


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
            names = [*self.rows[0]]
            cells = [[one_line(row[name]) for name in names] for row in self.rows]
            cells = [names, *cells]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            for row in cells:
                padded = map(str.ljust, row, widths)
                lines.append("  ".join(padded).rstrip())
        return as_lines([*lines, *self.notes])

    def to_html(self) -> str:
        """Write it with a table, a caption and a list."""
        heading = _escaped(self.heading)
        notes = "".join(f"<li>{_escaped(note)}</li>" for note in self.notes)
        below = f"<ul>{notes}</ul>" if notes else ""
        if not self.rows:
            return f"<p>{heading}</p>{below}"
        names = "".join(
            f'<th scope="col" style="text-align: left">{_escaped(name)}</th>'
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
    return f'<td style="text-align: left">{_escaped(text)}</td>'


def _escaped(text: str) -> str:
    import html  # noqa: PLC0415 - the command line writes none

    return html.escape(visible(text))


_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~&"})


def _plain(text: str) -> str:
    """Take the meaning off what Markdown and HTML would read."""
    return visible(" ".join(text.split())).translate(_SPECIAL)


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
        if lines:
            out.write(f"{as_lines(lines)}\n")
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
