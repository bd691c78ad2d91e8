"""Which way of using a ConfigMap sees an update, and after what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.patches import Rectangle

from cmhot.errors import UsageError
from cmhot.plots.look import axes_or_new, colour, need, note_origin, rows_of
from cmhot.plots.words import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEES = ("at once", "later", "never")
"""What a cell may say; null: there is no such case."""

_COLOURS = {"at once": (2, 0.2), "later": (0, 0.35), "never": (1, 0.5)}
# green, blue, red; in black and white a light, a middle and a dark grey,
# and what is written on them is readable on each


def consumer_matrix(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw which consumer sees new content after which event: at once, later, never.

    Parameters
    ----------
    table
        One row per cell: ``consumer``, ``event`` and ``sees``, one of `SEES` or null.
    ax
        Where to draw; None: new Axes.
    modelled
        Whether the cells come from the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or a cell says something else.
    """
    need(table, ["consumer", "event", "sees"], of="cells: consumer, event and sees")
    unknown = set(table["sees"].dropna()) - set(SEES)
    if unknown:
        msg = f"a cell says {min(unknown)!r}: it has to be one of {', '.join(SEES)}"
        raise UsageError(msg)
    ax = axes_or_new(ax)
    consumers = [str(one) for one in table["consumer"].unique()]
    events = [str(one) for one in table["event"].unique()]
    for cell in rows_of(table):
        x, y = events.index(cell["event"]), consumers.index(cell["consumer"])
        if pd.isna(cell["sees"]):
            ax.annotate(say("none such", lang), (x, y), ha="center", va="center")
            continue
        number, tint = _COLOURS[cell["sees"]]
        ax.add_patch(
            Rectangle(
                (x - 0.48, y - 0.45),
                0.96,
                0.9,
                facecolor=(colour(ax, number), tint),
                linewidth=0,
            )
        )
        ax.annotate(say(cell["sees"], lang), (x, y), ha="center", va="center")
    ax.set_xticks(range(len(events)), [say(one, lang) for one in events])
    ax.set_yticks(range(len(consumers)), [say(one, lang) for one in consumers])
    ax.set_xlim(-0.5, len(events) - 0.5)
    ax.set_ylim(len(consumers) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    note_origin(ax, modelled=modelled, lang=lang)
    return ax
