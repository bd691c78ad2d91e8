"""What all tests have in common: the order, and the marks that follow the folders."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MOST_CPU_S = 180.0
"""Of the documentation's build, seconds of a processor: it takes some 80, of them 70
for figures and notebooks, which are kept until something changes; a busy machine takes
longer by the clock, and says nothing about the build."""
LONGEST_S = 1800.0
"""By the clock, for a machine that is very busy."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Have an option that takes today's outputs as those to be expected."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what tests/golden produces as what it expects",
    )


def pytest_configure() -> None:
    """Take interrupts, and have programs take them, however the tests are begun.

    What a shell begins in the background ignores them, and hands that on.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def folder_of(item: pytest.Item) -> str:
    """Return the folder below ``tests/`` that a test is in."""
    if not item.path.is_relative_to(HERE):
        return ""
    return item.path.relative_to(HERE).parts[0]


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, and put those of the real testbed last."""
    for item in items:
        if folder_of(item) == "testbed":
            item.add_marker(pytest.mark.testbed)
    items.sort(key=lambda item: folder_of(item) == "testbed")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documentation as `make docs` does, with warnings as errors."""
    out = tmp_path_factory.mktemp("docs")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    built = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going"),
            *("--quiet", "--builder", "html", "--doctree-dir", out / "doctrees"),
            *(HERE.parent / "docs", out / "html"),
        ],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert built.returncode == 0, built.stderr
    took_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert took_s < MOST_CPU_S
    return out / "html"
