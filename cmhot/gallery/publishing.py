"""From a name and its material to files: drawing, numbers and words."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

from cmhot import figures
from cmhot.gallery.index import named
from cmhot.gallery.material import Material

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from cmhot.gallery.material import Source
    from cmhot.gallery.named import Subject, Telling


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that was written, and what is said of it.

    In a notebook it shows the figure, with its alternative text.

    Attributes
    ----------
    name
        Of the figure and its files.
    svg, png, narrow, json
        The files: drawing for a page, twice, drawing for a phone, words and numbers.
    title, alt, caption, paragraph
        As `cmhot.gallery.named.Telling` has them.
    modelled
        Whether nothing was measured.
    numbers
        What the figure shows.
    """

    name: str
    svg: Path
    png: Path
    narrow: Path
    json: Path
    title: str
    alt: str
    caption: str
    paragraph: str
    modelled: bool
    numbers: dict[str, Any]

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Show the figure in JupyterLab, and to who cannot see it its words."""
        del include, exclude
        picture = base64.b64encode(self.png.read_bytes()).decode("ascii")
        return (
            {"image/png": picture, "text/plain": self.alt},
            {"image/png": {"alt": self.alt, "width": 800}},
        )


def publish(
    name: str,
    *,
    out: Path,
    runs: Sequence[Path] = (),
    table: pd.DataFrame | None = None,
    source: Source | None = None,
    modelled: bool | None = None,
    lang: str = "en",
    theme: str = "light",
) -> Published:
    """Draw a named figure, for a page and for a phone, its words and numbers beside it.

    Parameters
    ----------
    name
        One of `cmhot.gallery.NAMES`, or an alias.
    out
        Folder that gets the files; made if it is not there.
    runs
        Run directories that it is drawn from, or where `table` comes from.
    table
        What is drawn instead of what the runs give: the table of the function
        of `cmhot.plots` that draws it.
    source
        Where the table comes from; None: from the runs.
    modelled
        Whether nothing was measured; None: as the source says.
    lang, theme
        ``en`` or ``zh``, ``light`` or ``dark``.

    Returns
    -------
    Published
        The files and what they say.

    Raises
    ------
    UsageError
        For a name that is not known, or where neither run nor table has what it needs.
    RunError
        When a run cannot be read.
    """
    figure = named(name)
    material = Material(paths=tuple(runs), table=table, given=source, modelled=modelled)
    subject = figure.read(material)
    telling = subject.tell(lang)
    numbers = subject.numbers()
    out.mkdir(parents=True, exist_ok=True)
    look = {"theme": theme, "lang": lang}
    svg, png = draw(subject, out / figure.name, size=figure.wide, **look)
    narrow, needless = draw(
        subject, out / f"{figure.name}-narrow", size=figure.narrow, **look
    )
    needless.unlink()
    path = out / f"{figure.name}.json"
    write_numbers(
        path,
        name=figure.name,
        telling=telling,
        modelled=subject.source.modelled,
        numbers=numbers,
    )
    return Published(
        name=figure.name,
        svg=svg,
        png=png,
        narrow=narrow,
        json=path,
        title=telling.title,
        alt=telling.alt,
        caption=telling.caption,
        paragraph=telling.paragraph,
        modelled=subject.source.modelled,
        numbers=numbers,
    )


def draw(
    subject: Subject,
    stem: Path,
    *,
    size: tuple[float, float],
    theme: str,
    lang: str,
) -> tuple[Path, Path]:
    """Draw a subject as ``<stem>.svg`` and ``<stem>.png``.

    Returns
    -------
    svg, png
        The paths written.
    """
    with figures.style(theme, lang):
        fig, ax = plt.subplots(figsize=size)
        try:
            subject.draw(ax, lang)
            return figures.save_figure(fig, stem)
        finally:
            plt.close(fig)


def write_numbers(
    path: Path,
    *,
    name: str,
    telling: Telling,
    modelled: bool,
    numbers: dict[str, Any],
    **more: object,
) -> None:
    """Write what a figure says and shows, as JSON."""
    content = {
        "name": name,
        "title": telling.title,
        "alt": telling.alt,
        "caption": telling.caption,
        "paragraph": telling.paragraph,
        "modelled": modelled,
        **more,
        "numbers": numbers,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
