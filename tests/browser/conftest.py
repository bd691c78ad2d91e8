"""A real browser: Debian's Chromium, driven by Playwright.

Nothing of it survives a test: Playwright's event loop in a session that also
executes notebooks would be in their way.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.opening import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Request

    from tests.browser.opening import Opener

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MS = 120_000
"""A page takes some 0.3 s; a busy machine of two cores much longer."""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Find Chromium; where CI promises it, its absence is a failure."""
    return _find(NAMES)


@pytest.fixture(scope="session")
def npm() -> str:
    """Find npm, which brings axe-core; where CI promises it, it must be there."""
    return _find(("npm",))


def _find(names: tuple[str, ...]) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    remedy = f"no {names[0]} here: `tools/system-packages browser` installs it"
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(remedy)
    if found is None:
        pytest.skip(remedy)
    return found


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    """Start a browser of one's own, without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox"],  # as root there is none
            timeout=TIMEOUT_MS,
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Opener:
    """Open pages, and note all that they complain of."""

    def opened(
        url: str, *, width: int = 1400, height: int = 1000, dark: bool = False
    ) -> Visit:
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        page.set_default_timeout(TIMEOUT_MS)
        seen = Visit(page, [], [])

        def said(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                seen.complaints.append(f"{message.type}: {message.text}")

        def asked(request: Request) -> None:
            if not request.url.startswith("data:") and request.url != url:
                seen.requests.append(request.url)

        page.on("console", said)
        page.on("pageerror", lambda error: seen.complaints.append(f"error: {error}"))
        page.on(
            "requestfailed",
            lambda request: seen.complaints.append(f"failed: {request.url}"),
        )
        page.on("request", asked)
        page.goto(url)
        return seen

    return opened
