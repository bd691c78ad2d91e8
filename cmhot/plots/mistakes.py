"""The wrong ways of measuring beside the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.plots.look import (
    axes_or_new,
    behind,
    colour,
    ink,
    marker,
    name_rows,
    need,
    note_origin,
    rows_of,
)
from cmhot.plots.sweep import column
from cmhot.plots.words import say, way_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_RIGHT = "open loop"


def wrong_ways(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the mean delay that each way of measuring finds, and the true one.

    Parameters
    ----------
    table
        One row per way: ``method`` (``open loop``, ``closed loop``), ``mean_s`` and
        ``truth_s``; where known ``pause_s``, between seeing one update and sending
        the next, and ``low_s`` and ``high_s``, the interval of the mean.
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
        When the table lacks a column, or has no row.
    """
    need(table, ["method", "mean_s", "truth_s"], of="ways of measuring")
    ax = axes_or_new(ax)
    y = np.arange(len(table), dtype=np.float64)
    mean = column(table, "mean_s")
    low, high = (
        np.where(np.isnan(end), mean, end)
        for end in (column(table, name) for name in ("low_s", "high_s"))
    )
    right = (table["method"] == _RIGHT).to_numpy()
    for number, rows in enumerate((right, ~right)):
        ax.errorbar(
            mean[rows],
            y[rows],
            xerr=np.abs(np.array([mean - low, high - mean]))[:, rows],
            color=colour(ax, 2 if number == 0 else 1),
            linestyle="none",
            marker=marker(number),
            markersize=8,
            capsize=4,
        )
    for place, value, end in zip(y, mean, high, strict=True):
        ax.annotate(
            say("tenths of s", lang, value=value),
            (end, place),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            bbox=behind(ax),
        )
    truth = float(column(table, "truth_s")[0])
    ax.axvline(truth, color=ink(), linestyle="--", linewidth=1.2, zorder=1)
    ax.annotate(
        say("truth", lang, value=truth),
        (truth, -0.75),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
    )
    name_rows(ax, [way_name(row, lang) for row in rows_of(table)])
    ax.set_ylim(len(table) - 0.5, -1.0)
    ax.set_xlim(0, float(np.nanmax(high)) * 1.2)
    ax.set_xlabel(say("mean delay", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    return ax
