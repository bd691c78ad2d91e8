"""Figures as files: one look, light or dark, in English or Chinese, SVG and PNG.

The look begins with matplotlib's own defaults, and no window is asked for: what a user
or a folder has in a matplotlibrc, or in MPLBACKEND, changes no figure.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.style import context as style_context

from cmhot.errors import HostError, UsageError
from cmhot.plots.drawing import ON_DARK, ON_LIGHT
from cmhot.plots.words import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes


WIDE = (8.0, 4.5)
"""Width and height in inches; at 800 pixels, 9 points are 9 points."""
NARROW = (4.2, 4.8)
"""For a phone."""
THEMES = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1b1f24",
        "soft": "#57606a",
        "grid": "#e4e4e4",
    },
    "dark": {
        "paper": "#14171b",
        "ink": "#e6e9ed",
        "soft": "#a3acb7",
        "grid": "#363d46",
    },
}
"""The report's colours."""
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Noto Sans CJK JP",  # what matplotlib before 3.11 calls Noto's collection
    "SimHei",
    "Arial Unicode MS",
    "Droid Sans Fallback",
)
"""Fonts with simplified Chinese, best first."""
_LATIN = ("DejaVu Sans", "Verdana", "Segoe UI", "Helvetica", "Arial")
# the first comes with matplotlib, so it is what figures are drawn with everywhere;
# the others are for readers of an SVG who do not have it
_FILES: dict[Any, Any] = {
    "font.sans-serif": [*_LATIN],
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",  # text stays text: searchable, and readable aloud
    "svg.hashsalt": "cmhot",  # else ids differ from run to run
}


def _look(theme: str, fonts: list[str]) -> dict[Any, Any]:
    """Give the settings of matplotlib that make a look."""
    colours = THEMES[theme]
    return _FILES | {
        "axes.axisbelow": True,
        "axes.edgecolor": colours["soft"],
        "axes.facecolor": colours["paper"],
        "axes.grid": True,
        "axes.labelcolor": colours["ink"],
        "axes.labelsize": 11,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.facecolor": colours["paper"],
        "figure.figsize": WIDE,
        "font.family": [*fonts, "sans-serif"],
        "font.size": 10,
        "grid.color": colours["grid"],
        "grid.linewidth": 0.8,
        "legend.fontsize": 10,
        "legend.frameon": False,
        "text.color": colours["ink"],
        "xtick.color": colours["soft"],
        "xtick.labelcolor": colours["ink"],
        "xtick.labelsize": 10,
        "ytick.color": colours["soft"],
        "ytick.labelcolor": colours["ink"],
        "ytick.labelsize": 10,
    }


@contextmanager
def style(theme: str = "light", lang: str = "en") -> Iterator[None]:
    """Draw within this context to have the look of the report's figures.

    Parameters
    ----------
    theme
        ``light`` or ``dark``.
    lang
        ``en`` or ``zh``; the latter needs a font with Chinese characters.

    Raises
    ------
    UsageError
        For another theme or language.
    HostError
        When no font with Chinese characters is installed.
    """
    for asked, known, what in ((theme, THEMES, "theme"), (lang, LANGUAGES, "language")):
        if asked not in known:
            msg = f"figures have no {what} {asked!r}: choose one of {', '.join(known)}"
            raise UsageError(msg)
    fonts = [] if lang == "en" else [chinese_font()]
    with style_context(["default", _look(theme, fonts)]):
        yield


@contextmanager
def new_figure(
    size: tuple[float, float], theme: str = "light", lang: str = "en"
) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure of a size in inches and its Axes, in the look of `style`.

    It is none of pyplot's: the user's own figures and backend stay as they are.
    """
    with style(theme, lang):
        figure = Figure(figsize=size)
        yield figure, figure.subplots()


@cache
def chinese_font() -> str:
    """Find an installed font with simplified Chinese characters.

    Raises
    ------
    HostError
        When there is none; the message names what to install.
    """
    found = _installed()
    if not found:  # matplotlib's list may be older than the font
        listed = {str(entry.fname) for entry in font_manager.fontManager.ttflist}
        for path in sorted(set(font_manager.findSystemFonts()) - listed):
            try:
                font_manager.fontManager.addfont(path)
            except (OSError, RuntimeError):  # a font that cannot be read is no font
                continue
        found = _installed()
    if not found:
        msg = (
            "no font with Chinese characters is installed, and a figure in Chinese "
            "needs one: install fonts-noto-cjk (Debian, Ubuntu), "
            "google-noto-sans-cjk-fonts (Fedora) or noto-fonts-cjk (Arch, Homebrew's "
            "font-noto-sans-cjk), or draw with the language en"
        )
        raise HostError(msg)
    return found[0]


def _installed() -> list[str]:
    """Give those of `CJK_FONTS` that matplotlib knows."""
    known = set(font_manager.get_font_names())
    return [name for name in CJK_FONTS if name in known]


def recoloured(svg: str) -> str:
    """Give the dark form of an SVG that was drawn in the light theme."""
    light, dark = THEMES["light"], THEMES["dark"]
    colours = {light[name]: dark[name] for name in light}
    colours |= {
        one.lower(): other.lower() for one, other in zip(ON_LIGHT, ON_DARK, strict=True)
    }
    wanted = "|".join(map(re.escape, colours))
    return re.sub(rf"(?:{wanted})\b", lambda found: colours[found[0]], svg)


def _saving() -> dict[Any, Any]:
    """Give the settings that count when a figure is written, not when it is drawn."""
    groups = ("agg.", "path.", "savefig.", "svg.")
    defaults = mpl.rcParamsDefault
    return {key: defaults[key] for key in defaults if key.startswith(groups)} | _FILES


def save_figure(fig: Figure, stem: Path) -> tuple[Path, Path]:
    """Write a figure as ``<stem>.svg`` and ``<stem>.png``.

    Neither holds a date, so the same data give the same files.

    Returns
    -------
    svg, png
        The paths written.
    """
    svg, png = (stem.with_name(stem.name + suffix) for suffix in (".svg", ".png"))
    with mpl.rc_context(_saving()):
        fig.savefig(svg, metadata={"Date": None})
        fig.savefig(png, dpi=144, metadata={"Software": None})
    return svg, png
