"""Figures as files: the look, the fonts, and the same bytes for the same data."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from cmhot.errors import HostError, UsageError
from cmhot.plots import change_detection, delay_distribution, publish, remedies
from cmhot.plots.files import (
    NARROW,
    THEMES,
    WIDE,
    chinese_font,
    recoloured,
    save_figure,
    style,
)
from tests.unit.plots.tables import delays, summary
from tests.unit.plots.test_rows import trials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes


def with_font(lang: str) -> str:
    """Skip what needs Chinese characters where no font has them; in CI they must be."""
    if lang == "zh" and not os.environ.get("CI"):
        try:
            chinese_font()
        except HostError as error:
            pytest.skip(str(error))
    return lang


VARIANTS = [(theme, lang) for theme in THEMES for lang in ("en", "zh")]


@pytest.mark.parametrize(
    ("theme", "lang"), VARIANTS, ids=["-".join(v) for v in VARIANTS]
)
def test_the_same_data_give_the_same_bytes(
    tmp_path: Path, theme: str, lang: str
) -> None:
    """Drawn anew, SVG and PNG are as before, and hold no date."""
    for name in ("a", "b"):
        with style(theme, with_font(lang)):
            fig, ax = plt.subplots()
            table = delays([float(k % 13) for k in range(200)], pods=8)
            delay_distribution(table, ax=ax, lang=lang, modelled=True)
            svg, png = save_figure(fig, tmp_path / name)

    assert (svg.name, png.name) == ("b.svg", "b.png")
    assert (tmp_path / "a.svg").read_bytes() == svg.read_bytes()
    assert (tmp_path / "a.png").read_bytes() == png.read_bytes()
    assert "<dc:date>" not in svg.read_text(encoding="utf-8")
    width = int.from_bytes(png.read_bytes()[16:20], "big")
    assert width == 1152  # 8 inches at 144 dots


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", "delay, s"), ("zh", "延迟（秒）")],  # noqa: RUF001
)
def test_text_stays_text_in_an_svg(tmp_path: Path, lang: str, words: str) -> None:
    """Words can be searched and read aloud, and each names its font."""
    with style(lang=with_font(lang)):
        fig, ax = plt.subplots()
        delay_distribution(delays([3.0]), ax=ax, lang=lang)
        svg, _ = save_figure(fig, tmp_path / "figure")

    source = svg.read_text(encoding="utf-8")
    assert f"{words}</text>" in source
    assert re.search(r"font-family: [^;]*'DejaVu Sans', [^;]*, sans-serif;", source)


def test_a_figure_saved_outside_of_its_style_is_the_same(tmp_path: Path) -> None:
    """A notebook may draw in one cell and save in the next."""
    with style("dark"):
        fig, ax = plt.subplots()
        delay_distribution(delays([3.0]), ax=ax)
        inside, _ = save_figure(fig, tmp_path / "inside")
    outside, _ = save_figure(fig, tmp_path / "outside")

    assert outside.read_bytes() == inside.read_bytes()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_word_is_small_or_outside(size: tuple[float, float], lang: str) -> None:
    """At least 9 points, and all of it on the figure."""
    with style(lang=with_font(lang)):
        drawings: list[tuple[Callable[..., Axes], pd.DataFrame]] = [
            (delay_distribution, delays([3.0])),
            (change_detection, summary()),
            (remedies, trials()),
        ]
        for draw, table in drawings:
            fig, ax = plt.subplots(figsize=size)
            draw(table, ax=ax, lang=lang, modelled=True)
            fig.canvas.draw()
            for text in fig.findobj(Text):
                assert isinstance(text, Text)
                assert float(text.get_fontsize()) >= 9
            taken = fig.get_tightbbox()  # inches
            assert taken is not None
            assert min(taken.x0, taken.y0) >= -0.01  # of rounding: a pixel
            assert taken.x1 <= size[0] + 0.01
            assert taken.y1 <= size[1] + 0.01


@pytest.mark.parametrize("theme", THEMES)
def test_words_stand_out_from_the_paper(theme: str) -> None:
    """Contrast is AA or better, 4.5 to 1 (WCAG 2.2, criterion 1.4.3)."""
    with style(theme):
        fig, ax = plt.subplots()
        delay_distribution(delays([3.0]), ax=ax, modelled=True)

    paper = brightness(fig.get_facecolor())
    words = [ax.xaxis.label, ax.yaxis.label, ax.title, *ax.get_xticklabels()]
    for text in words:
        first, second = sorted([paper, brightness(text.get_color())])
        assert (second + 0.05) / (first + 0.05) >= 4.5


@pytest.mark.parametrize(
    "name", ["headline", "remedies", "consumers", "environment-or-volume"]
)
def test_a_recoloured_drawing_is_the_dark_one(name: str, tmp_path: Path) -> None:
    """But for the names of its parts, which are made of what they look like."""
    light, dark = (
        publish(name, out=tmp_path / theme, theme=theme).svg.read_text(encoding="utf-8")
        for theme in THEMES
    )

    light, dark = (
        re.sub(r"\b[a-z][0-9a-f]{10}\b", "id", text)
        for text in (recoloured(light), dark)
    )

    assert light == dark


def brightness(colour: object) -> float:
    """Give the relative luminance of a colour, as WCAG defines it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)  # type: ignore[arg-type]
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_dark_figure_has_lighter_curves() -> None:
    """A deep blue is not seen on black: the palette follows the paper."""
    colours = []
    for theme in THEMES:
        with style(theme):
            line = delay_distribution(delays([3.0])).get_lines()[0]
            colours.append(brightness(line.get_color()))

    assert colours[1] > 2 * colours[0]


def test_the_style_does_not_leak() -> None:
    """Drawing in the report's style leaves the user's own settings alone."""
    before = dict(mpl.rcParams)

    with style("dark", with_font("zh")):
        pass

    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"theme": "sepia"}, "no theme 'sepia': choose one of light, dark"),
        ({"lang": "de"}, "no language 'de': choose one of en, zh"),
    ],
    ids=["theme", "language"],
)
def test_another_look_is_refused(asked: dict[str, str], message: str) -> None:
    """The message says which there are."""
    with pytest.raises(UsageError, match=re.escape(message)), style(**asked):
        pass


def test_without_a_chinese_font_the_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Boxes in place of characters are no figure."""
    chinese_font.cache_clear()
    monkeypatch.setattr(font_manager, "get_font_names", lambda: ["DejaVu Sans"])
    monkeypatch.setattr(font_manager, "findSystemFonts", list)

    with pytest.raises(HostError, match="fonts-noto-cjk"), style(lang="zh"):
        pass


def test_a_font_that_is_newer_than_matplotlibs_list_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Installed a minute ago, it is read from its file; what is no font is not."""
    chinese_font.cache_clear()
    known = ["DejaVu Sans"]
    read = []

    def addfont(path: str) -> None:
        read.append(path)
        if path == "/fonts/broken.ttf":
            msg = "no font"
            raise RuntimeError(msg)
        known.append("Noto Sans CJK SC")

    monkeypatch.setattr(font_manager, "get_font_names", lambda: known)
    monkeypatch.setattr(
        font_manager, "findSystemFonts", lambda: ["/fonts/new.ttc", "/fonts/broken.ttf"]
    )
    monkeypatch.setattr(font_manager.fontManager, "addfont", addfont)

    assert chinese_font() == "Noto Sans CJK SC"
    assert read == ["/fonts/broken.ttf", "/fonts/new.ttc"]
    chinese_font.cache_clear()
