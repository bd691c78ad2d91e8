"""The report's page in a real browser, from a file: nothing is wrong with it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.browser.example import make_comparison_page, make_report_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.browser.opening import Opener

PHONE, DESKTOP = 390, 1400
HEIGHT = 844
"""Of a phone, pixels."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a report of a measured run, with every kind of block."""
    return make_report_page(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a comparison of a measured run with itself."""
    return make_comparison_page(tmp_path_factory.mktemp("comparison"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("which", ["page", "comparison"])
@pytest.mark.usefixtures("npm", "page", "comparison")
def test_a_page_opens_without_a_word(
    request: pytest.FixtureRequest, visit: Opener, *, which: str, width: int, dark: bool
) -> None:
    """No complaint, no request, no scrolling sideways, and axe-core finds nothing."""
    page: Path = request.getfixturevalue(which)

    seen = visit(page.as_uri(), width=width, dark=dark)

    assert seen.complaints == []
    assert seen.requests == []
    assert seen.overflow_px() == 0
    assert seen.violations() == []
    images = seen.page.locator("img").all()
    assert len(images) >= 2
    assert all(image.get_attribute("alt") for image in images)
    assert all(
        image.evaluate("one => one.complete && one.naturalWidth > 0")
        for image in images
    )


def test_a_phone_gets_its_own_drawing(visit: Opener, page: Path) -> None:
    """At 390 pixels the narrow figure is shown, at 1400 the wide one."""
    shown = [
        visit(page.as_uri(), width=width)
        .page.locator("img")
        .first.evaluate("one => one.naturalHeight / one.naturalWidth")
        for width in (PHONE, DESKTOP)
    ]

    assert shown[0] > 1 > shown[1]


@pytest.mark.parametrize("which", ["page", "comparison"])
@pytest.mark.usefixtures("page", "comparison")
def test_a_phone_shows_whole_tables(
    request: pytest.FixtureRequest, visit: Opener, *, which: str
) -> None:
    """No number lies beside the screen, and no row is half as high as it."""
    url = request.getfixturevalue(which).as_uri()

    page = visit(url, width=PHONE, height=HEIGHT).page

    rights, heights = (
        page.locator(f"tbody {what}").evaluate_all(
            "(those, side) => those.map(one => one.getBoundingClientRect()[side])", side
        )
        for what, side in (("td, tbody th", "right"), ("tr", "height"))
    )
    assert len(rights) > 50
    assert max(rights) <= PHONE
    assert max(heights) <= HEIGHT / 2


def test_it_opens_where_nothing_else_is(
    visit: Opener, page: Path, tmp_path: Path
) -> None:
    """The page alone, sent by mail, shows its figures."""
    alone = tmp_path / "alone.html"
    shutil.copy(page, alone)

    seen = visit(alone.as_uri())

    assert seen.complaints == []
    width = seen.page.locator("img").first.evaluate("one => one.naturalWidth")
    assert width > 0


def test_figures_are_readable_in_the_dark(visit: Opener, page: Path) -> None:
    """A light figure keeps a light card under it, whatever the page's colour."""
    seen = visit(page.as_uri(), dark=True)

    colours = seen.page.evaluate(
        "[document.body, document.querySelector('img')]"
        ".map(one => getComputedStyle(one).backgroundColor)"
    )

    assert colours == ["rgb(20, 23, 27)", "rgb(255, 255, 255)"]


def test_it_prints_in_black_on_white(browser: Browser, page: Path) -> None:
    """On paper there is no dark page, and no table is cut off."""
    sheet = browser.new_page(
        color_scheme="dark", viewport={"width": 720, "height": 1000}
    )
    sheet.goto(page.as_uri())
    sheet.emulate_media(media="print", color_scheme="dark")

    papers, inks = (
        sheet.evaluate(
            "name => [document.body, document.querySelector('.notice')]"
            ".map(one => getComputedStyle(one)[name])",
            name,
        )
        for name in ("backgroundColor", "color")
    )
    wider = sheet.evaluate(
        "Math.max(...[...document.querySelectorAll('table')]"
        ".map(one => one.getBoundingClientRect().right)) - window.innerWidth"
    )

    assert papers == ["rgb(255, 255, 255)"] * 2
    assert inks == ["rgb(0, 0, 0)"] * 2
    assert wider <= 0
    assert len(sheet.pdf(format="A4")) > 20_000


def test_a_complaint_would_be_seen(visit: Opener, tmp_path: Path) -> None:
    """The checks notice an error, a request and a page that is too wide."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><title>x</title><script>nonsense()</script>"
        "<div style='width:2000px;color:#ccc'>pale</div><img src='gone.png'>"
    )

    seen = visit(bad.as_uri(), width=PHONE)

    assert any("nonsense is not defined" in said for said in seen.complaints)
    assert any("gone.png" in said for said in seen.complaints)
    assert [url.rpartition("/")[2] for url in seen.requests] == ["gone.png"]
    assert seen.overflow_px() == 2000 + 8 - PHONE  # 8 px is a body's margin


@pytest.mark.usefixtures("npm")
def test_axe_would_find_it(visit: Opener, tmp_path: Path) -> None:
    """axe-core is really asked: pale text and a picture without words are found."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><html lang=en><title>x</title>"
        "<main><h1 style='color:#ccc'>pale</h1><img src='data:,'></main>"
    )

    rules = {line.partition(":")[0] for line in visit(bad.as_uri()).violations()}

    assert {"color-contrast", "image-alt"} <= rules
