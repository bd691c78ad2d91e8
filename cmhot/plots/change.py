"""How a change of the setting changed the delay: two runs, in a report only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.plots import drawing
from cmhot.plots.words import say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


_COLUMNS = ("when", "setting", "delay_s", "share", "low", "high")


def before_and_after(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the distribution of the delay before and after a change, with its bands.

    Parameters
    ----------
    table
        As `report.comparison_page.Change.curves` gives it: ``when`` is ``before`` or
        ``after``, ``setting`` its name, ``share`` the pods that have the update after
        ``delay_s`` seconds, ``low`` and ``high`` its 95 % limits (NaN: none).
    ax, modelled, lang
        Where to draw (None: new Axes), whether the figure is to say that its numbers
        come from the model, and the language of its words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or has no row.
    """
    drawing.need(table, _COLUMNS, of="cmhot.report.comparison_page.Change.curves")
    ax = drawing.axes_or_new(ax)
    for when, number in (("after", 0), ("before", 1)):  # the broken line on the other
        own = table[table["when"] == when]
        hue = drawing.colour(ax, number)
        x = own["delay_s"].to_numpy()
        ax.fill_between(x, own["low"], own["high"], color=hue, alpha=0.2, linewidth=0)
        ax.plot(
            x,
            own["share"],
            color=hue,
            linewidth=2.2,
            linestyle=drawing.LINES[number],
            label=say(when, lang, name=str(own["setting"].iloc[0])),
        )
    drawing.label_shares(ax, float(table["delay_s"].max()) * 1.02, lang=lang)
    lines, labels = ax.get_legend_handles_labels()
    ax.legend(lines[::-1], labels[::-1], loc="lower right")
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    return ax
