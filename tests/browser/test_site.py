"""The documentation's site in a real browser: first page, gallery, a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.test_page_opens import DESKTOP, PHONE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.opening import Opener

PAGES = ("index", "guide/gallery", "notebooks/02-collect")


@pytest.mark.parametrize(
    ("width", "dark"), [(PHONE, True), (DESKTOP, False)], ids=["phone", "desktop"]
)
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("npm")
def test_a_page_of_the_site_is_in_order(
    visit: Opener, site: Path, *, name: str, width: int, dark: bool
) -> None:
    """No complaint, nothing from elsewhere, no scrolling sideways, no fault by axe."""
    seen = visit((site / f"{name}.html").as_uri(), width=width, dark=dark)

    assert seen.complaints == []
    assert [url for url in seen.requests if not url.startswith("file:")] == []
    assert seen.overflow_px() == 0
    assert seen.violations() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_figure_has_the_form_for_screen_and_theme(
    visit: Opener, site: Path, *, width: int, dark: bool
) -> None:
    """Of four forms of the headline one is shown."""
    seen = visit((site / "index.html").as_uri(), width=width, dark=dark)

    shown = seen.page.locator("picture img:visible")
    form = f"{'-narrow' if width == PHONE else ''}{'-dark' if dark else ''}"
    assert shown.count() == 1
    source = shown.evaluate("one => one.currentSrc")
    assert source.endswith(f"/figures/headline{form}.svg")
