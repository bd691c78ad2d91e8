"""Figures as files: one style, SVG and PNG, the same bytes for the same data."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.figsize": (8.0, 4.5),  # inches: at 800 pixels, 9 points are 9 points
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is everywhere
    "font.size": 10,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: searchable, and readable aloud
    "svg.hashsalt": "cmhot",  # else ids differ from run to run
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw within this context to have the look of the report's figures."""
    with mpl.rc_context(_STYLE):
        yield


def save_figure(fig: Figure, stem: Path) -> tuple[Path, Path]:
    """Write a figure as ``<stem>.svg`` and ``<stem>.png``.

    Neither holds a date, so the same data give the same files.

    Returns
    -------
    svg, png
        The paths written.
    """
    svg, png = (stem.with_name(stem.name + suffix) for suffix in (".svg", ".png"))
    with style():
        fig.savefig(svg, metadata={"Date": None})
        fig.savefig(png, dpi=144, metadata={"Software": None})
    return svg, png
