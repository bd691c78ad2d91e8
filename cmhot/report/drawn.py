"""The figures that a report's notebooks drew, as they stand in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HEADLINE_FIGURE = "delay-distribution"
"""The one that the headline is about: it stands first."""

_TEXTS = ("name", "title", "alt", "caption", "paragraph")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure and its words, as `cmhot.gallery` publishes them.

    Attributes
    ----------
    name
        Of its files.
    title, caption, paragraph
        Its question, what stands below it, and what it says.
    alt
        What it shows, for who cannot see it.
    modelled
        Whether nothing of it was measured.
    numbers
        What it shows, for programs.
    wide, narrow
        SVG files for a page and for a phone; None: a phone gets `wide`.
    files
        All its files, by the word for their form.
    """

    name: str
    title: str
    alt: str
    caption: str
    paragraph: str
    modelled: bool
    numbers: Mapping[str, Any]
    wide: Path
    narrow: Path | None
    files: Mapping[str, Path]


def find_drawn(folder: Path, *, order: Sequence[str]) -> tuple[list[Drawn], list[str]]:
    """Read the figures of a report: the headline's, then in order, then the rest.

    Parameters
    ----------
    folder
        ``figures/`` of the report.
    order
        Names, in the order of the notebooks that drew them.

    Returns
    -------
    drawn, spoilt
        The figures, and a sentence for each that cannot be shown.
    """
    there = [path.stem for path in sorted(folder.glob("*.json"))]
    names = dict.fromkeys([HEADLINE_FIGURE, *order, *there])
    drawn, spoilt = [], []
    for name in names:
        if name in there:
            try:
                drawn.append(_read(folder, name))
            except (OSError, ValueError, KeyError, TypeError) as error:
                spoilt.append(
                    f"Figure {name} cannot be shown: figures/{name}.json or its SVG "
                    f"is not whole ({type(error).__name__}: {error})."
                )
    return drawn, spoilt


def _read(folder: Path, name: str) -> Drawn:
    content = json.loads((folder / f"{name}.json").read_bytes())
    wide, narrow = folder / f"{name}.svg", folder / f"{name}-narrow.svg"
    wide.stat()  # a figure without its drawing is none
    forms = {"SVG": wide, "PNG": folder / f"{name}.png"}
    forms["numbers"] = folder / f"{name}.json"
    return Drawn(
        **{key: str(content[key]) for key in _TEXTS},
        modelled=bool(content["modelled"]),
        numbers=dict(content["numbers"]),
        wide=wide,
        narrow=narrow if narrow.is_file() else None,
        files={form: path for form, path in forms.items() if path.is_file()},
    )
