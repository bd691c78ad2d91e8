"""What all tests have in common: the order, and the marks that follow the folders."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

HERE = Path(__file__).parent


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
