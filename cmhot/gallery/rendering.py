"""One figure for a blog: the picture, its numbers, and a snippet ready to paste."""

# ruff: noqa: RUF001 - Chinese punctuation is as it should be
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from cmhot import figures
from cmhot.errors import UsageError
from cmhot.gallery.index import named
from cmhot.gallery.publishing import write_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.gallery.material import Material, Source
    from cmhot.gallery.named import NamedFigure, Telling

FORMATS = ("svg", "png")
WIDTHS = (320, 4000)
"""Pixels: of a narrow phone, and of a poster."""

LICENCE = "CC BY 4.0"
LICENCES = {LICENCE: "https://creativecommons.org/licenses/by/4.0/"}
"""Where a licence can be read."""

HOME = "https://github.com/cmhot/cmhot"

_PX_PER_IN = 96  # of CSS: 9 points are 12 pixels
_PT_PER_IN = 72
_FOR_A_PAGE = 560  # pixels from which on the wide form is legible
_LARGEST = 960  # beyond it letters would be lost in the picture, so it is scaled
_ROOT = re.compile(r"<svg [^>]*>")
_SIZE = re.compile(r'(width|height)="([\d.]+)pt"')


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files of a figure.

    Attributes
    ----------
    picture, numbers, snippet
        SVG or PNG; JSON with words and numbers; Markdown.
    """

    picture: Path
    numbers: Path
    snippet: Path


def render(
    name: str,
    material: Material,
    *,
    picture: Path,
    width: int = 800,
    theme: str = "light",
    lang: str = "en",
    licence: str = LICENCE,
) -> Rendered:
    """Draw a named figure at a width, and write its numbers and a snippet beside it.

    Parameters
    ----------
    name
        One of `cmhot.gallery.NAMES`, or an alias.
    material
        What it is drawn from.
    picture
        Where: a path that ends in ``.svg`` or ``.png``.
        The others have the same name, and end in ``.json`` and ``.md``.
    width
        Pixels, as CSS has them. Under 560 it has the form for a phone;
        above 960 it is that of 960, enlarged, so that letters grow with it.
    theme, lang
        ``light`` or ``dark``, ``en`` or ``zh``.
    licence
        What the snippet says of it.

    Returns
    -------
    Rendered
        The files written.

    Raises
    ------
    UsageError
        For a name, width or format that there is not, or where the material
        lacks what the figure needs.
    HostError
        When no font has Chinese characters.
    """
    figure = named(name)
    form = picture.suffix.removeprefix(".")
    if form not in FORMATS:
        msg = f"{picture.name} has to end in .svg or .png, and not in {form!r}"
        raise UsageError(msg)
    least, most = WIDTHS
    if not least <= width <= most:
        msg = f"a figure is {least} to {most} pixels wide, not {width}"
        raise UsageError(msg)
    subject = figure.read(material)
    telling = subject.tell(lang)
    size, scale = _size(figure, width)
    rendered = Rendered(
        picture, picture.with_suffix(".json"), picture.with_suffix(".md")
    )
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        with figures.style(theme, lang):
            fig, ax = plt.subplots(figsize=size)
            try:
                subject.draw(ax, lang)
                if form == "png":
                    dpi = _PX_PER_IN * scale
                    fig.savefig(picture, dpi=dpi, metadata={"Software": None})
                else:
                    fig.savefig(picture, metadata={"Date": None})
            finally:
                plt.close(fig)
        if form == "svg":
            _describe(picture, telling, scale)
        write_numbers(
            rendered.numbers,
            name=figure.name,
            telling=telling,
            modelled=subject.source.modelled,
            numbers=subject.numbers(),
            lang=lang,
            licence=licence,
        )
        text = snippet(
            telling, picture.name, subject.source, lang=lang, licence=licence
        )
        rendered.snippet.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"cannot write {picture}: {error.strerror}; name another place with --out"
        raise UsageError(msg) from error
    return rendered


def snippet(
    telling: Telling, file: str, source: Source, *, lang: str, licence: str
) -> str:
    """Write Markdown to be pasted: the image, its caption, its source and licence.

    Parameters
    ----------
    telling
        Words of the figure.
    file
        Name of the picture.
    source
        Where its data come from.
    lang, licence
        As of `render`.
    """
    runs = source.short()
    linked = f"[{licence}]({LICENCES[licence]})" if licence in LICENCES else licence
    home = f"[cmhot]({HOME})"
    if lang == "zh":
        last = f"来源：{home}{'，' + runs if runs else ''}。许可：{linked}。"
    else:
        last = f"Source: {home}{', ' + runs if runs else ''}. Licence: {linked}."
    return (
        f"![{_plain(telling.alt)}]({file})\n\n"
        f"**{_plain(telling.title)}**  \n{_plain(telling.caption)}  \n{last}\n"
    )


def _size(figure: NamedFigure, width: int) -> tuple[tuple[float, float], float]:
    """Give the size to draw at, in inches, and by what to enlarge it."""
    across, high = figure.wide if width >= _FOR_A_PAGE else figure.narrow
    drawn = min(width, _LARGEST) / _PX_PER_IN
    return (drawn, drawn * high / across), width / min(width, _LARGEST)


def _describe(path: Path, telling: Telling, scale: float) -> None:
    """Give an SVG its width in pixels, and its words for who cannot see it."""
    text = path.read_text(encoding="utf-8")
    found = _ROOT.search(text)
    if found is None:  # pragma: no cover - matplotlib writes one
        return
    root = _SIZE.sub(
        lambda size: (
            f'{size[1]}="{float(size[2]) * _PX_PER_IN / _PT_PER_IN * scale:g}"'
        ),
        found[0],
    )
    words = (
        f"\n <title>{_escaped(telling.title)}</title>"
        f"\n <desc>{_escaped(telling.alt)}</desc>"
    )
    root = root.replace("<svg ", '<svg role="img" ', 1)
    path.write_text(
        text[: found.start()] + root + words + text[found.end() :], encoding="utf-8"
    )


def _plain(text: str) -> str:
    """Keep words from being taken for Markdown."""
    return re.sub(r"([\\\[\]*_`<>#|])", r"\\\1", text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
