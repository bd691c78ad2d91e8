"""A page in a real browser: opened, and asked what is wrong with it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = Path(__file__).parent
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
"""Of axe-core; contrast is among those of WCAG 2 AA."""
NPM_S = 300
"""For one package of a few megabytes, from a slow registry."""


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """A page that was opened.

    Attributes
    ----------
    page
        Playwright's page, to be asked or operated further.
    complaints
        Console messages of error or warning, uncaught exceptions and failed requests;
        grows while the page lives.
    requests
        Addresses that were asked for, but for the page's own and data URIs.
    """

    page: Page
    complaints: list[str]
    requests: list[str]

    def overflow_px(self) -> int:
        """Say how much wider than the window the page is, in CSS pixels."""
        width: int = self.page.evaluate(
            "document.documentElement.scrollWidth - window.innerWidth"
        )
        return max(0, width)

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong: a line for each element concerned."""
        self.page.evaluate(axe_source())
        found = self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules})", list(RULES)
        )
        return [
            f"{rule['id']}: {node['html'][:120]} ({node['failureSummary']})"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]


class Opener(Protocol):
    """What the fixture `visit` gives."""

    def __call__(
        self, url: str, *, width: int = 1400, height: int = 1000, dark: bool = False
    ) -> Visit:
        """Open a page in a window of that size, in CSS pixels."""


def axe_source() -> str:
    """Return axe-core's script, installed first if it is not there.

    Raises
    ------
    subprocess.CalledProcessError
        When npm cannot install it.
    """
    script = HERE / "node_modules" / "axe-core" / "axe.min.js"
    lock = json.loads((HERE / "package-lock.json").read_bytes())
    wanted = lock["packages"]["node_modules/axe-core"]["version"]
    installed = script.with_name("package.json")
    if not script.exists() or json.loads(installed.read_bytes())["version"] != wanted:
        subprocess.run(["npm", "ci"], cwd=HERE, check=True, timeout=NPM_S)
    return script.read_text(encoding="utf-8")
