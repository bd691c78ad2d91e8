"""How a study leaves its result: a page for people, numbers for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCS = Path(__file__).parents[1] / "docs" / "studies"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table in Markdown; what is not known is a dash.

    A bar within a cell is escaped: it would begin another cell.
    """
    lines = [list(heads), ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"  # noqa: RUF001 - a dash, not a minus
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return str(value).replace("|", r"\|")


def write(name: str, *, text: str, numbers: Mapping[str, Any]) -> bool:
    """Write ``docs/studies/<name>.md`` and ``.json``; tell whether all of it holds.

    Parameters
    ----------
    name
        Of the study.
    text
        The page, in Markdown.
    numbers
        What it says, with ``holds``: whether what must be shown was seen.
    """
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / f"{name}.md").write_text(text.strip() + "\n", encoding="utf-8")
    content = json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"
    (DOCS / f"{name}.json").write_text(content, encoding="utf-8")
    click.echo(text.strip())
    click.echo(f"written to {DOCS / name}.md", err=True)
    return bool(numbers["holds"])
