"""The report's page opens in a real browser, from a file, without a complaint."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cmhot.report.make import report

if TYPE_CHECKING:
    from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 120
"""A headless page takes some 3 s; a busy machine of two cores much longer."""


@pytest.fixture(scope="module")
def browser() -> str:
    """Find Chromium; where CI promises it, its absence is a failure."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("CI has no Chromium: tools/system-packages browser")
    if found is None:
        pytest.skip("no Chromium here: `tools/system-packages browser` installs it")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a report on the model."""
    out = tmp_path_factory.mktemp("reports")
    return report(target="model", pods=3, duration_s=30, out=out)


def look(browser: str, page: Path, folder: Path, *, width: int) -> tuple[str, bytes]:
    """Open the page; return what the browser logged, and a screenshot."""
    picture = folder / "page.png"
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--no-first-run", "--enable-logging=stderr", "--v=0"),
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},1200",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
        env={**os.environ, "HOME": str(folder)},
    )
    return done.stderr, picture.read_bytes()


def complaints(log: str) -> list[str]:
    """Return what the page itself said on the console."""
    return [line for line in log.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_a_page_opens_without_a_word(
    browser: str, page: Path, tmp_path: Path, width: int
) -> None:
    """Nothing is logged to the console, and something is drawn."""
    log, picture = look(browser, page, tmp_path, width=width)

    assert complaints(log) == []
    assert len(picture) > 10_000  # an empty page of this size has some 5 kB


def test_a_complaint_would_be_seen(browser: str, tmp_path: Path) -> None:
    """The check notices an error that a page does log."""
    bad = tmp_path / "bad.html"
    bad.write_text("<!doctype html><title>x</title><script>nonsense()</script>")

    log, _ = look(browser, bad, tmp_path, width=800)

    assert len(complaints(log)) == 1
