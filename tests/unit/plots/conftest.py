"""Figures are drawn without a window, and none stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Draw without a window, and leave no figure open."""
    mpl.use("Agg")
    yield
    plt.close("all")
