"""How a result looks: as text, as HTML in JupyterLab, as Markdown elsewhere.

A result says what is on its page; `Shown` turns that into each form, and escapes it:
names of pods, keys and contents are other people's.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~&"})


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be seen of a result.

    Attributes
    ----------
    heading
        One sentence.
    rows
        Of the table, each from the same column names to what is in the cells.
    notes
        Sentences below the table.
    """

    heading: str
    rows: Sequence[Mapping[str, str]] = ()
    notes: Sequence[str] = ()

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

    Who inherits says what is on its `page`, and is a dataclass with ``repr=False``.
    """

    __slots__ = ()

    def page(self) -> Page:
        """Say what is to be seen."""
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


def _plain(text: str) -> str:
    """Take the meaning off what Markdown and HTML would read."""
    return " ".join(text.split()).translate(_SPECIAL)
