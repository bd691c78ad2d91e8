"""What forces an update, how fast, and at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cmhot.plots.look import (
    axes_or_new,
    colour,
    ink,
    marker,
    name_rows,
    need,
    note_origin,
)
from cmhot.plots.words import say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COSTS = ("restarted", "min_ready_share", "requests")
_BELOW = 0.14  # the trials stand below their row's name, in rows
_ROUNDED_FROM_S = 10


def remedies(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw each trial of each method on a log scale, with the costs beside it.

    Parameters
    ----------
    table
        One row per trial: ``method`` (``nothing``, ``annotate``, ``rollout``,
        ``recreate``), ``seconds`` until all pods had the update, ``restarted`` (pods),
        ``min_ready_share`` (0 … 1, the least meanwhile) and ``requests``.
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
    need(table, ["method", "seconds", *_COSTS], of="trials of cmhot refresh")
    ax = axes_or_new(ax)
    methods = [str(one) for one in table["method"].unique()]
    names = []
    for y, method in enumerate(methods):
        own = table[table["method"] == method]
        seconds = own["seconds"].to_numpy(dtype=np.float64)
        places = y + _BELOW * (1 + np.linspace(-0.7, 0.7, len(seconds) + 2)[1:-1])
        ax.plot(
            seconds,
            places,
            color=colour(ax, y),
            linestyle="none",
            marker=marker(y),
            markersize=5,
            alpha=0.7,
            label=method,
        )
        median = float(np.median(seconds))
        if len(own) > 1:
            ax.vlines(median, y, y + 2 * _BELOW, color=ink(), linewidth=2)
        names.append(_name(method, own, median, lang))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    name_rows(ax, names)
    ax.set_ylim(len(methods) - 0.4, -0.75)
    ax.set_xlabel(say("until all", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    return ax


def _name(method: str, own: pd.DataFrame, median: float, lang: str) -> str:
    """Give a method's name with its median, and its costs in a second line."""
    key = "tenths of s" if median < _ROUNDED_FROM_S else "s"
    value = say(key, lang, value=median if median < _ROUNDED_FROM_S else round(median))
    first = say(
        "median of" if len(own) > 1 else "once",
        lang,
        name=say(method, lang),
        value=value,
        n=len(own),
    )
    cost = {name: own[name].astype(float).median() for name in _COSTS}
    cost["min_ready_share"] = round(100 * cost["min_ready_share"], 1)
    known = {
        name: say("none such", lang) if np.isnan(value) else f"{value:g}"
        for name, value in cost.items()
    }
    second = say(
        "costs",
        lang,
        restarted=known["restarted"],
        percent=known["min_ready_share"],
        requests=known["requests"],
    )
    return f"{first}\n{second}"
