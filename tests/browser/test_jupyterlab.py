"""JupyterLab, started for real: "Run All" draws, "Interrupt" keeps what was seen."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pytest

from cmhot.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browser.opening import Opener

ROOT = Path(__file__).parents[2]
RUN = ROOT / "data" / "testbed-2026-11-24" / "main"
START_S = 600.0
"""A server takes some 3 s; a busy machine of two cores much longer."""
RUN_MS = 600_000
"""The notebook takes some 15 s, most of it imports and the figure; see above."""
CLOCK = SystemClock()

LIVE = """\
from cmhot import observe
from cmhot.clock import SystemClock
from tests.unit.living import Living

cluster = Living(clock=SystemClock(), env=True)
cluster.deploy(3)
cluster.update("2")
now = cluster.clock.monotonic()
cluster.due |= {"web-0": now + 1, "web-1": now + 2}
table = observe(cluster, "m", live=True)
"""
"""Three pods of which the last never turns."""
AFTER = """\
print("kept", table["turned_s"].notna().sum(), "of", len(table), table.attrs["ending"])
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab.

    Attributes
    ----------
    url
        Its address, on the loopback interface.
    token
        Without which it answers nobody.
    folder
        Of its notebooks.
    """

    url: str
    token: str
    folder: Path

    def address(self, notebook: str) -> str:
        """Give the page that opens a notebook alone, in a fresh workspace."""
        place = f"lab/workspaces/{secrets.token_hex(4)}/tree/{notebook}"
        return f"{self.url}{place}?token={self.token}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start JupyterLab as `make jupyter` does, without a browser and without a home."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    folder.mkdir()
    _write_notebooks(folder)
    config = home / "config" / "labconfig"
    config.mkdir(parents=True)
    # it would ask whether it may fetch news
    off = {"@jupyterlab/apputils-extension:announcements": True}
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": off}))
    token = secrets.token_hex(16)
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", "--port=0", f"--notebook-dir={folder}"),
            ],
            env={
                **os.environ,
                "HOME": str(home),
                "JUPYTER_CONFIG_DIR": str(home / "config"),
                "JUPYTER_DATA_DIR": str(home / "data"),
                "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
                "JUPYTER_TOKEN": token,
                "MPLCONFIGDIR": mpl.get_cachedir(),  # its fonts are known there
                "PYTHONPATH": str(ROOT),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        yield Lab(_wait_for(server, home), token, folder)
    finally:
        server.terminate()
        server.wait(timeout=START_S)


def _wait_for(server: subprocess.Popen[bytes], home: Path) -> str:
    """Wait until the server says where it listens."""
    until = CLOCK.monotonic() + START_S
    told = home / "runtime" / f"jpserver-{server.pid}.json"
    while CLOCK.monotonic() < until and server.poll() is None:
        if told.exists() and told.stat().st_size:
            return str(json.loads(told.read_bytes())["url"])
        CLOCK.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{(home / 'log').read_text()[-3000:]}")


def _write_notebooks(folder: Path) -> None:
    """Put there notebook 03 on a shipped run, one with controls, and one that waits."""
    name = "03-delay-distribution.ipynb"
    content = json.loads((ROOT / "notebooks" / name).read_bytes())
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            source = "".join(cell["source"])
            cell["source"] = re.sub(
                r"runs: list\[str\] = \[\]", f"runs: list[str] = {[str(RUN)]}", source
            )
            assert cell["source"] != source
    (folder / name).write_text(json.dumps(content))
    controls = "10-what-if.ipynb"
    (folder / controls).write_bytes((ROOT / "notebooks" / controls).read_bytes())
    (folder / "live.ipynb").write_text(json.dumps(_notebook(LIVE, AFTER)))


def _notebook(*sources: str) -> dict[str, Any]:
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    meta = {"kernelspec": kernel}
    return {"cells": cells, "metadata": meta, "nbformat": 4, "nbformat_minor": 5}


def press(page: Page, menu: str, entry: str) -> None:
    """Choose an entry of JupyterLab's menu."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    # its key stands in an entry's name, too
    page.get_by_role("menuitem", name=re.compile(f"^{entry}")).first.click()


def run_all(page: Page) -> None:
    """Press "Run All", and take the kernel that is offered where one is asked for."""
    press(page, "Run", "Run All Cells")
    asked = page.locator(".jp-Dialog-button.jp-mod-accept")
    begun = page.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[(\*|1)\]"))
    asked.or_(begun).first.wait_for(timeout=RUN_MS)
    if asked.first.is_visible():
        asked.first.click()


def opened(visit: Opener, lab: Lab, notebook: str) -> Page:
    """Open a notebook, and wait for its kernel."""
    page = visit(lab.address(notebook)).page
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    # earlier, "Run All" asks for a kernel
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
    return page


def test_a_control_that_is_moved_redraws(visit: Opener, lab: Lab) -> None:
    """Notebook 10: another `syncFrequency` is another picture, and other numbers."""
    page = opened(visit, lab, "10-what-if.ipynb")

    run_all(page)

    picture = page.locator("img.widget-image")
    picture.wait_for(timeout=RUN_MS)
    before, numbers = picture.get_attribute("src"), page.locator(".widget-html table")
    assert "37.8" in numbers.inner_text()  # half of the pods, at the default of 60 s
    page.locator(".noUi-handle").first.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('img.widget-image').src !== before",
        arg=before,
    )
    assert "181.2" in numbers.inner_text()  # the longest at 120 s
    picture.scroll_into_view_if_needed()
    page.screenshot(path=lab.folder / "controls.png")


def test_run_all_draws_the_figure(visit: Opener, lab: Lab) -> None:
    """Notebook 03 on measured data: all cells are executed, the figure is there."""
    page = opened(visit, lab, "03-delay-distribution.ipynb")

    run_all(page)

    figure = page.locator(".jp-OutputArea-output img").first
    figure.wait_for(timeout=RUN_MS)
    figure.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => document.querySelector('.jp-OutputArea-output img').naturalWidth > 0"
    )
    page.screenshot(path=lab.folder / "figure.png")
    natural = figure.evaluate("image => image.naturalWidth")
    assert natural > 400  # pixels: something was drawn, and not an icon
    # the last cell checks what the text says
    done = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
    page.locator(done).first.wait_for(timeout=RUN_MS)
    assert page.locator("[data-mime-type*=error]").count() == 0
    page.locator(".jp-RenderedHTMLCommon table").first.scroll_into_view_if_needed()
    page.screenshot(path=lab.folder / "table.png")


def test_an_interrupted_observation_keeps_what_it_saw(visit: Opener, lab: Lab) -> None:
    """One display changes as pods turn; "Interrupt Kernel" ends it, and data stay."""
    page = opened(visit, lab, "live.ipynb")

    run_all(page)

    display = page.locator(".jp-RenderedHTMLCommon table")
    states = display.locator("tbody td:nth-child(7)")
    states.get_by_text("turned", exact=True).nth(1).wait_for(timeout=RUN_MS)
    assert display.count() == 1
    assert states.all_inner_texts() == [
        *("turned", "never updates", "turned", "never updates"),
        *("waiting", "never updates"),
    ]
    press(page, "Kernel", "Interrupt Kernel")
    page.get_by_text("kept 2 of 6 interrupted").wait_for(timeout=RUN_MS)
    page.screenshot(path=lab.folder / "live.png")
    assert "2 of 3 containers" in display.locator("caption").inner_text()
    assert display.locator("caption").inner_text().endswith("interrupted")
