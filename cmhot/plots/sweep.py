"""How the delay grows with `syncFrequency`, and what is left when it is divided out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from cmhot.errors import UsageError
from cmhot.kubelet import TICK_S
from cmhot.law import ContinuousLaw, reads_at_every_sync
from cmhot.plots.look import (
    axes_or_new,
    colour,
    ink,
    legend_below,
    mark_every,
    marker,
    need,
    note_origin,
    rows_of,
)
from cmhot.plots.words import say, setting_name
from cmhot.runs import schema
from cmhot.statistics import GROUP
from cmhot.statistics.describe import refresh_cdf
from cmhot.statistics.population import refresh_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    Floats = npt.NDArray[np.float64]

QUANTILES = ("p50", "p90", "p99")
"""The quantiles that a sweep shows."""

_POINTS = 401
_TABLE = "Summary.table()"


def delay_by_sync_frequency(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw quantiles of the delay against `syncFrequency`, with intervals and the law.

    Parameters
    ----------
    table
        As `cmhot.summaries.summary.Summary.table` gives it. Settings under which a
        sync may read old content, and consumers that never update, are left out.
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
    need(table, [*GROUP, *(f"{name}_s" for name in QUANTILES)], of=_TABLE)
    ax = axes_or_new(ax)
    rows = table[[_reads_each_sync(row) for row in rows_of(table)]]
    rows = rows[rows["p50_s"].notna()].sort_values("sync_frequency_s", kind="stable")
    if rows.empty:
        msg = (
            "no delay to draw by syncFrequency: the table has no setting under which "
            "each sync reads what there is (Watch, Get, or Cache without a TTL)"
        )
        raise UsageError(msg)
    s = rows["sync_frequency_s"].to_numpy(dtype=np.float64)
    for number, name in enumerate(QUANTILES):
        value, low, high = estimates(rows, name)
        hue = colour(ax, number)
        ax.errorbar(
            s,
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
        _law_line(ax, rows, f"law_{name}_s", hue=hue)
    _law_line(ax, rows, "law_max_s", label=say("longest", lang), style=":")
    ax.set_xlim(0, s.max() * 1.08)
    ax.set_ylim(0, None)
    ax.set_xticks(np.unique(s))
    ax.set_xlabel(say("sync frequency", lang))
    ax.set_ylabel(say("delay", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(handles=[*handles[::-1], *law_entry(rows, lang)], loc="upper left")
    return ax


def collapse(
    refresh: pd.DataFrame,
    *,
    ax: Axes | None = None,
    laws: bool = True,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the delay over S + ½ s, the shortest interval: one law for all settings.

    Half a second is what the kubelet's tick adds on average
    (`cmhot.law.ContinuousLaw`).
    The law is that of long intervals; F of S = 5 s differs from it by 0.015 at most.

    Parameters
    ----------
    refresh
        As `cmhot.runs.delays.refresh_intervals` gives it, of any number of settings.
        Those under which a sync may read old content are left out.
    ax
        Where to draw; None: new Axes.
    laws
        Whether to draw the law.
    modelled
        Whether the refreshes come from the model; the figure then says so.
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
    need(
        refresh,
        [*GROUP, "least_s", "most_s"],
        of="cmhot.runs.delays.refresh_intervals",
    )
    ax = axes_or_new(ax)
    end = 1.55
    fresh = list(_fresh(refresh))
    for number, (row, own) in enumerate(fresh):
        r, share = _scaled(own, float(row["sync_frequency_s"]))
        end = max(end, float(r[-1]))
        ax.plot(
            r,
            share,
            color=colour(ax, number),
            linewidth=2.0,
            marker=marker(number),
            markeredgecolor=ax.get_facecolor(),
            markeredgewidth=0.7,
            markersize=8,
            markevery=mark_every(number, of=len(fresh)),
            label=setting_name(row, lang),
        )
    if not fresh:
        msg = (
            "nothing to divide by syncFrequency: the table has no setting under which "
            "each sync reads what there is (Watch, Get, or Cache without a TTL)"
        )
        raise UsageError(msg)
    if laws:
        t = np.linspace(0, end, _POINTS)
        ax.plot(
            t,
            ContinuousLaw(1.0, 1.5).cdf(t),
            color=ink(),
            linewidth=1.0,
            linestyle="--",
            label=say("limit law", lang),
            zorder=3,
        )
    ax.set_xlim(0, end)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(say("scaled delay", lang))
    ax.set_ylabel(say("share", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    legend_below(ax)
    return ax


def estimates(rows: pd.DataFrame, name: str) -> tuple[Floats, Floats, Floats]:
    """Give a quantile of each row with its limits, by the best estimator known.

    Returns
    -------
    value, low, high
        Seconds, each of shape (n,); where a limit is not known, both are
        the value itself.
    """
    value, low, high = (
        column(rows, f"intervals_{name}_s{end}") for end in ("", "_low", "_high")
    )
    value = np.where(np.isnan(value), column(rows, f"{name}_s"), value)
    known = ~(np.isnan(low) | np.isnan(high))
    low, high = (np.where(known, one, value) for one in (low, high))
    return value, low, high


def column(rows: pd.DataFrame, name: str) -> Floats:
    """Give a column as numbers; NaN where there is none."""
    if name not in rows:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(dtype=np.float64, na_value=np.nan)


def law_entry(rows: pd.DataFrame, lang: str) -> list[Line2D]:
    """Give the legend's entry of the dashed lines, if a law is known."""
    laws = [name for name in rows if "law" in str(name).split("_")]
    if rows[laws].isna().all(axis=None):
        return []
    return [Line2D([], [], color="grey", linestyle="--", label=say("law", lang))]


def _law_line(
    ax: Axes,
    rows: pd.DataFrame,
    name: str,
    *,
    hue: str | None = None,
    label: str | None = None,
    style: str = "--",
) -> None:
    known = rows.assign(law=column(rows, name)).dropna(subset="law")
    if not known.empty:
        ax.plot(
            known["sync_frequency_s"],
            known["law"],
            color=ink() if hue is None else hue,
            linewidth=1.2,
            linestyle=style,
            label=label,
        )


def _fresh(refresh: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give the populations under whose setting each sync reads what there is."""
    for key, own in refresh.groupby(GROUP, dropna=False, observed=True):
        row: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        if _reads_each_sync(row):
            yield row, own


def _scaled(own: pd.DataFrame, sync_s: float) -> tuple[Floats, Floats]:
    """Give the interval estimator of the delay over S + ½ s, on an even grid."""
    t, share = refresh_cdf(*refresh_ends(own))
    even = np.linspace(0, float(t[-1]), _POINTS)
    return even / (sync_s + TICK_S / 2), np.interp(even, t, share)


def _reads_each_sync(row: Mapping[str, Any]) -> bool:
    """Tell whether each sync reads what there is, and the container sees it."""
    if row["consumer"] in schema.NEVER_UPDATED:
        return False
    setting = schema.setting_of(row)
    return setting is not None and bool(reads_at_every_sync(setting, None))
