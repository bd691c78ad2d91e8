"""What the change-detection strategy and its TTL do to the delay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.plots.look import (
    axes_or_new,
    colour,
    ink,
    legend_above,
    marker,
    name_rows,
    need,
    note_origin,
    rows_of,
)
from cmhot.plots.sweep import QUANTILES, column, estimates
from cmhot.plots.words import say, setting_name
from cmhot.runs import schema
from cmhot.settings import Strategy
from cmhot.statistics import GROUP

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def change_detection(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw strategies and TTLs side by side: quantiles, their intervals and the law.

    Parameters
    ----------
    table
        As `cmhot.summaries.summary.Summary.table` gives it.
        Consumers that never update are left out.
    ax
        Where to draw; None: new Axes.
    modelled
        Whether the numbers come from the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or has nothing to be drawn.
    """
    need(table, [*GROUP, *(f"{name}_s" for name in QUANTILES)], of="Summary.table()")
    ax = axes_or_new(ax)
    rows = table[table["p50_s"].notna() & ~table["consumer"].isin(schema.NEVER_UPDATED)]
    if rows.empty:
        msg = "no delay to draw: the table has no consumer that saw an update"
        raise UsageError(msg)
    rows = _ordered(rows)
    y = np.arange(len(rows), dtype=np.float64)
    end = np.zeros(len(rows))
    for number, name in enumerate(QUANTILES):
        value, low, high = estimates(rows, name)
        ax.errorbar(
            value,
            y,
            xerr=np.abs(np.array([value - low, high - value])),
            color=colour(ax, number),
            linestyle="none",
            marker=marker(number),
            markersize=8,
            capsize=4,
            label=say(name, lang),
            zorder=3,
        )
        law = column(rows, f"law_{name}_s")
        ax.plot(
            law,
            y,
            color=ink(),
            linestyle="none",
            marker="|",
            markersize=14,
            label=say("law", lang) if number == len(QUANTILES) - 1 else None,
            zorder=4,
        )
        end = np.fmax(end, high)
    ax.hlines(y, 0, end, color=ink(), alpha=0.25, linewidth=1.0, zorder=1)
    name_rows(ax, [setting_name(row, lang) for row in rows_of(rows)])
    ax.set_xlim(0, None)
    ax.set_xlabel(say("delay", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()  # the law comes first, as a line
    legend_above(ax, len(rows), handles=[*handles[1:], handles[0]], columns=4)
    return ax


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """Order rows by S, then by strategy as the kubelet's manual lists them, and TTL."""
    order = {name: place for place, name in enumerate(Strategy)}
    place = rows["strategy"].map(lambda name: order.get(name, len(order)))
    keys = ["sync_frequency_s", "place", "ttl_s"]
    return rows.assign(place=place).sort_values(keys, kind="stable")
