"""The named figures, and how one becomes files.

`publish` writes a figure for a page: drawn wide and narrow, words and numbers beside
it. `render` writes one for a blog: a picture of a width, its numbers, and Markdown
ready to paste.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

import base64
import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cmhot.errors import UsageError
from cmhot.plots.consumers import FIGURE as CONSUMERS
from cmhot.plots.costs import FIGURE as COSTS
from cmhot.plots.delay_distribution import DELAY_DISTRIBUTION, HEADLINE
from cmhot.plots.environment import FIGURE as ENVIRONMENT
from cmhot.plots.figure import Material, shipped
from cmhot.plots.files import new_figure, save_figure
from cmhot.plots.fleet import FIGURE as FLEET
from cmhot.plots.loads import FIGURE as LIMITS
from cmhot.plots.phase import FIGURE as PHASE
from cmhot.plots.remedy_prices import FIGURE as REMEDIES
from cmhot.plots.strategies import FIGURE as STRATEGIES
from cmhot.plots.sweep import COLLAPSE, SYNC_FREQUENCY
from cmhot.plots.timeline import FIGURE as TIMELINE
from cmhot.plots.words import say
from cmhot.plots.wrong_ways import FIGURE as WRONG_WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from cmhot.plots.figure import Description, NamedFigure, Source, Subject


# which figures there are


FIGURES: dict[str, NamedFigure] = {
    figure.name: figure
    for figure in (
        HEADLINE,
        DELAY_DISTRIBUTION,
        ENVIRONMENT,
        TIMELINE,
        SYNC_FREQUENCY,
        COLLAPSE,
        STRATEGIES,
        REMEDIES,
        FLEET,
        CONSUMERS,
        WRONG_WAYS,
        PHASE,
        COSTS,
        LIMITS,
    )
}
"""All named figures: the one of the answer, then in the notebooks' order."""
NAMES = tuple(FIGURES)


def named(name: str) -> NamedFigure:
    """Find a figure by its name.

    Raises
    ------
    UsageError
        When there is no such figure; the message lists all.
    """
    found = FIGURES.get(name)
    if found is None:
        known = ", ".join(NAMES)
        msg = f"there is no figure {name!r}: choose one of {known}"
        raise UsageError(msg)
    return found


# for a page: `publish`


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that was written, and its words.

    In a notebook it shows the figure, with its alternative text.

    Attributes
    ----------
    name
        Of the figure and its files.
    svg, png, narrow, json
        The files: drawing for a page, twice, drawing for a phone, words and numbers.
    title, alt, caption, paragraph
        As `cmhot.plots.figure.Description` has them.
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
        """Show the figure in JupyterLab; its alternative text is for screen readers."""
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
    runs: Sequence[Path] | None = None,
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
        One of `cmhot.plots.publishing.NAMES`.
    out
        Folder that gets the files; made if it is not there.
    runs
        Run directories that it is drawn from, or where `table` comes from. None, and
        no table either: the measured data that come with the package.
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
    if runs is None and table is None:
        material = shipped(figure.name)
    else:
        material = Material(tuple(runs or ()), table, source, modelled)
    subject = figure.read(material)
    description = subject.describe(lang)
    out.mkdir(parents=True, exist_ok=True)
    with _drawn(subject, figure.wide, theme, lang) as fig:
        svg, png = save_figure(fig, out / figure.name)
    with _drawn(subject, figure.narrow, theme, lang) as fig:
        narrow, needless = save_figure(fig, out / f"{figure.name}-narrow")
    needless.unlink()
    path = out / f"{figure.name}.json"
    _write_numbers(path, figure.name, subject, description)
    return Published(
        name=figure.name,
        svg=svg,
        png=png,
        narrow=narrow,
        json=path,
        modelled=subject.source.modelled,
        numbers=subject.numbers,
        **asdict(description),
    )


@contextmanager
def _drawn(
    subject: Subject, size: tuple[float, float], theme: str, lang: str
) -> Iterator[Figure]:
    """Draw a subject on a figure of a size in inches."""
    with new_figure(size, theme, lang) as (fig, ax):
        subject.draw(ax=ax, modelled=subject.source.modelled, lang=lang)
        yield fig


def _write_numbers(
    path: Path, name: str, subject: Subject, description: Description, **more: str
) -> None:
    """Write a figure's words and numbers as JSON."""
    content = {
        "name": name,
        **asdict(description),
        "modelled": subject.source.modelled,
        **more,
        "numbers": subject.numbers,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


# for a blog: `render`


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
    """The files of a figure."""

    picture: Path  # SVG or PNG
    numbers: Path  # JSON, with the words
    snippet: Path  # Markdown


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

    `picture` ends in ``.svg`` or ``.png``; the others have the same name, and end in
    ``.json`` and ``.md``. `width` is in pixels, as CSS has them: under 560 the figure
    has the form for a phone; above 960 it is that of 960, enlarged, so that letters
    grow with it.

    Raises
    ------
    UsageError
        For an unknown name or format, a width out of range, or where the material
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
    description = subject.describe(lang)
    size, scale = _size(figure, width)
    numbers, snippet = picture.with_suffix(".json"), picture.with_suffix(".md")
    words = {"lang": lang, "licence": licence}
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        with _drawn(subject, size, theme, lang) as fig:
            if form == "png":
                dpi = _PX_PER_IN * scale
                fig.savefig(picture, dpi=dpi, metadata={"Software": None})
            else:
                fig.savefig(picture, metadata={"Date": None})
        if form == "svg":
            _add_words(picture, description, scale)
        _write_numbers(numbers, figure.name, subject, description, **words)
        text = _snippet(description, picture.name, subject.source, **words)
        snippet.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"cannot write {picture}: {error.strerror}; name another place with --out"
        raise UsageError(msg) from error
    return Rendered(picture, numbers, snippet)


def _size(figure: NamedFigure, width: int) -> tuple[tuple[float, float], float]:
    """Give the size to draw at, in inches, and by what to enlarge it."""
    across, high = figure.wide if width >= _FOR_A_PAGE else figure.narrow
    drawn = min(width, _LARGEST) / _PX_PER_IN
    return (drawn, drawn * high / across), width / min(width, _LARGEST)


def _add_words(path: Path, description: Description, scale: float) -> None:
    """Give an SVG its width in pixels, and its words for screen readers."""
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
        f"\n <title>{_escaped(description.title)}</title>"
        f"\n <desc>{_escaped(description.alt)}</desc>"
    )
    root = root.replace("<svg ", '<svg role="img" ', 1)
    path.write_text(
        text[: found.start()] + root + words + text[found.end() :], encoding="utf-8"
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _snippet(
    description: Description, file: str, source: Source, *, lang: str, licence: str
) -> str:
    """Write Markdown to be pasted: the image, its caption, its source and licence."""
    linked = f"[{licence}]({LICENCES[licence]})" if licence in LICENCES else licence
    data = source.short(lang)
    last = say(
        (
            "Source: [cmhot]({home}){data}. Licence: {licence}.",
            "来源：[cmhot]({home}){data}。许可：{licence}。",
        ),
        lang,
        home=HOME,
        data=say((", ", "，"), lang) + data if data else "",
        licence=linked,
    )
    return (
        f"![{_plain(description.alt)}]({_address(file)})\n\n"
        f"**{_plain(description.title)}**  \n{_plain(description.caption)}  \n{last}\n"
    )


def _address(file: str) -> str:
    """Write a file's name as a relative address; letters of any language stay."""
    return re.sub(r"[^\w.-]", lambda mark: quote(mark[0]), file)


def _plain(text: str) -> str:
    """Keep words from being taken for Markdown."""
    return re.sub(r"([\\\[\]*_`<>#|])", r"\\\1", text)
