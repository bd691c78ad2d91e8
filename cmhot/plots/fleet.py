"""How long until all of N pods have an update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.plots.look import axes_or_new, colour, marker, need, note_origin
from cmhot.plots.sweep import column, law_entry
from cmhot.plots.words import say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_QUANTILES = ("p50", "p95", "p99")
_APART = 1.4  # of two numbers on a logarithmic axis


def fleet_maximum(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the time until all N pods have an update against N, and the law's.

    Parameters
    ----------
    table
        As `cmhot.statistics.fleet_maximum` gives it.
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
    need(
        table,
        ["pods", *(f"{name}_s" for name in _QUANTILES)],
        of="cmhot.statistics.fleet_maximum",
    )
    ax = axes_or_new(ax)
    rows = table.sort_values("pods", kind="stable")
    pods = rows["pods"].to_numpy(dtype=np.float64)
    for number, name in enumerate(_QUANTILES):
        value = column(rows, f"{name}_s")
        low, high = (
            np.where(np.isnan(end), value, end)
            for end in (column(rows, f"{name}_{end}_s") for end in ("low", "high"))
        )
        hue = colour(ax, number)
        ax.errorbar(
            pods,
            value,
            yerr=np.abs(np.array([value - low, high - value])),
            color=hue,
            linestyle="none",
            marker=marker(number),
            markersize=7,
            capsize=4,
            label=say(name, lang),
            zorder=3,
        )
        law = column(rows, f"{name}_law_s")
        if not np.isnan(law).all():
            ax.plot(pods, law, color=hue, linewidth=1.2, linestyle="--")
    ax.set_xscale("log")
    ticks = _apart(pods.tolist())
    ax.set_xticks(ticks, [f"{one:g}" for one in ticks])
    ax.minorticks_off()
    ax.set_ylim(0, None)
    ax.set_xlabel(say("fleet size", lang))
    ax.set_ylabel(say("until all N", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(handles=[*handles[::-1], *law_entry(rows, lang)], loc="lower right")
    return ax


def _apart(pods: list[float]) -> list[float]:
    """Leave out ticks that stand too close to the one before; the last one stays."""
    kept = [pods[-1]]
    for one in pods[-2::-1]:
        if kept[-1] / one >= _APART:
            kept.append(one)
    return kept[::-1]
