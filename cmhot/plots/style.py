"""What all figures share: colours, marks, refusals, and where they say "modelled"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb

from cmhot.errors import UsageError
from cmhot.plots.words import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "<", ">", "P", "X", "*", "h")
"""Told apart without colour. They are no multiple of the colours, so that
a colour comes back with another marker."""
# Okabe and Ito's palette (jfly.uni-koeln.de/color), told apart by colour-blind readers.
# Of yellow on white, and of the deep blue on black, too little can be seen.
_ON_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_ON_DARK = ("#56B4E9", "#E69F00", "#2BC79A", "#DD9BC0", "#F0E442", "#F08A4B")
_LUMA = (0.299, 0.587, 0.114)
_HALF = 0.5
_WIDE_IN = 6.0
_MARKS_FROM, _MARKS_APART = 0.04, 0.02
_FEWEST_MARKED = 8
_MARK_PT = 7
ROOM = 0.17
"""For a legend above the rows, as a share of theirs."""


def axes_or_new(ax: Axes | None) -> Axes:
    """Give the Axes to draw on; None: new ones."""
    return plt.subplots()[1] if ax is None else ax


def is_dark(ax: Axes) -> bool:
    """Tell whether the Axes are dark, so that colours can be light."""
    shares = zip(to_rgb(ax.get_facecolor()), _LUMA, strict=True)
    return sum(part * weight for part, weight in shares) < _HALF


def colour(ax: Axes, number: int) -> str:
    """Give the colour of the number-th series, from 0."""
    palette = _ON_DARK if is_dark(ax) else _ON_LIGHT
    return palette[number % len(palette)]


def marker(number: int) -> str:
    """Give the marker of the number-th series, from 0."""
    return MARKERS[number % len(MARKERS)]


def mark_every(number: int, *, of: int) -> tuple[float, float]:
    """Give where the number-th of some curves has its marks, as Matplotlib has it.

    Curves that lie on each other have theirs at different places.

    Returns
    -------
    start, step
        As shares of the diagonal of the Axes; a mark is a hundredth of it wide.
    """
    return (
        _MARKS_FROM + _MARKS_APART * number,
        _MARKS_APART * max(_FEWEST_MARKED, of),
    )


def ink() -> str:
    """Give the colour of words and of laws."""
    return str(mpl.rcParams["text.color"])


def need(table: pd.DataFrame, columns: Sequence[str], *, of: str) -> None:
    """Refuse a table that lacks a column, or has no row.

    Parameters
    ----------
    table
        What is to be drawn.
    columns
        That it must have.
    of
        What makes such a table: for the message.

    Raises
    ------
    UsageError
        When it lacks one, or has no row.
    """
    absent = [name for name in columns if name not in table]
    if absent:
        msg = f"the table has no column {', '.join(absent)}: take the one of {of}"
        raise UsageError(msg)
    if table.empty:
        msg = f"the table has no row, so nothing can be drawn: take the one of {of}"
        raise UsageError(msg)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows of a table, by the names of the columns."""
    return [
        {str(name): value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def note_origin(ax: Axes, *, modelled: bool, lang: str) -> None:
    """Write on the figure that its numbers were modelled, if they were."""
    text = say("modelled, not measured", lang) if modelled else ""
    ax.set_title(text, loc="right", style="italic")


def behind(ax: Axes) -> dict[str, Any]:
    """Give the box behind a word that lines may cross."""
    return {"facecolor": ax.get_facecolor(), "alpha": 0.7, "pad": 1, "lw": 0}


def legend_below(ax: Axes, *args: Any) -> None:  # noqa: ANN401 - as of Axes.legend
    """Put a legend where curves that rise leave room; behind it they are pale."""
    ax.legend(
        *args,
        loc="lower right",
        handlelength=3.2,
        frameon=True,
        facecolor=ax.get_facecolor(),
        edgecolor="none",
        framealpha=0.8,
    )


def name_rows(
    ax: Axes, names: Sequence[str], *, up: float = 0.0, gap_pt: float = _MARK_PT
) -> None:
    """Name rows 0, 1 … inside the Axes, above each: there is no room beside.

    Parameters
    ----------
    ax
        With rows at y = 0, 1 …
    names
        From the top.
    up
        How far above its row a name stands, in rows.
    gap_pt
        And above that, in points: a mark's height, where there are marks.
    """
    for y, name in enumerate(names):
        ax.annotate(
            name,
            (0.01, y - up),
            xycoords=ax.get_yaxis_transform(),
            xytext=(0, gap_pt),
            textcoords="offset points",
            va="bottom",
            linespacing=1.35,
            bbox=behind(ax),
        )
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")


def legend_above(
    ax: Axes, rows: int, *, handles: Sequence[Artist], columns: int
) -> None:
    """Leave room above rows 0, 1 … for a legend, and put it there.

    Parameters
    ----------
    ax
        With rows at y = 0, 1 …
    rows
        How many.
    handles
        What the legend shows.
    columns
        Entries beside each other where the figure is wide.
    """
    ax.set_ylim(rows - 0.4, -0.7 - ROOM * rows)
    figure = ax.get_figure(root=True)
    wide = figure is not None and figure.get_figwidth() >= _WIDE_IN
    ax.legend(
        handles=handles,
        loc="upper left",
        ncols=columns if wide else 2,
        borderaxespad=0.2,
        columnspacing=1.4,
        handletextpad=0.5,
    )
