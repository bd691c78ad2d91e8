"""How the delay grows with `syncFrequency`, and how little remains once divided by it.

The named figures ``sync-frequency`` and ``collapse``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import UsageError
from cmhot.kubelet.eras import TICK_S
from cmhot.law import QUANTILES, ContinuousLaw
from cmhot.plots import drawing
from cmhot.plots.figure import (
    NamedFigure,
    Subject,
    best,
    describe,
    quantile_values,
    reading_each_sync,
    reads_each_sync,
    records,
)
from cmhot.plots.words import (
    Pair,
    distinct_names,
    listing,
    say,
    semicolons,
    setting_name,
    strategy_name,
    sync_of,
)
from cmhot.statistics import GROUP
from cmhot.statistics.population import refresh_cdf, refresh_ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Source

    Floats = npt.NDArray[np.float64]

SHOWN_QUANTILES = ("p50", "p90", "p99")
"""The quantiles that a sweep shows."""
_POINTS = 401
_TABLE = "Summary.table()"


# sync-frequency: quantiles of the delay against syncFrequency


def _read_quantiles(material: Material) -> Subject:
    """Take the settings under which each sync reads current content."""
    given = material.table
    kept = _comparable(material.summary.table() if given is None else given)
    values = kept["sync_frequency_s"].nunique()
    if values < 2:  # noqa: PLR2004 - a line has two ends
        msg = (
            "sync-frequency needs delays at two values of syncFrequency at least, "
            f"and there are {values}: collect on nodes that differ in it, or give a "
            "further run with --run"
        )
        raise UsageError(msg)
    source = material.source_at(kept)
    return Subject(
        source=source,
        draw=partial(delay_by_sync_frequency, kept),
        numbers={"settings": records(kept)},
        describe=partial(_describe_quantiles, kept, source),
    )


def _comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Keep rows with delays under which each sync reads current content, by S."""
    rows = table[[reads_each_sync(row) for row in records(table)]]
    rows = rows[rows["p50_s"].notna()]
    return rows.sort_values("sync_frequency_s", kind="stable")


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
        As `cmhot.statistics.summary.Summary.table` gives it. Settings under which a
        sync may read old content, and consumers that never update, are left out.
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
        When the table lacks a column, or has nothing to be drawn.
    """
    drawing.need(table, [*GROUP, *(f"{name}_s" for name in SHOWN_QUANTILES)], of=_TABLE)
    ax = drawing.axes_or_new(ax)
    rows = _comparable(table)
    if rows.empty:
        msg = (
            "no delay to draw by syncFrequency: the table has no setting under which "
            "each sync reads current content (Watch, Get, or Cache without a TTL)"
        )
        raise UsageError(msg)
    s = rows["sync_frequency_s"].to_numpy(dtype=np.float64)
    for number, name in enumerate(SHOWN_QUANTILES):
        found, label = drawing.estimates(rows, name), say(name, lang)
        drawing.draw_estimates(ax, number, s, found, label=label)
        _law_line(ax, rows, f"law_{name}_s", hue=drawing.colour(ax, number))
    _law_line(ax, rows, "law_max_s", label=say("longest", lang), linestyle=":")
    ax.set_xlim(0, s.max() * 1.08)
    ax.set_ylim(0, None)
    ax.set_xticks(np.unique(s))
    ax.set_xlabel(say("sync frequency", lang))
    ax.set_ylabel(say("delay", lang))
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(
        handles=[*handles[::-1], *drawing.law_entry(rows, lang)], loc="upper left"
    )
    return ax


def _law_line(
    ax: Axes,
    rows: pd.DataFrame,
    name: str,
    *,
    hue: str | None = None,
    label: str | None = None,
    linestyle: str = "--",
) -> None:
    known = rows.assign(law=drawing.column(rows, name)).dropna(subset="law")
    if not known.empty:
        ax.plot(
            known["sync_frequency_s"],
            known["law"],
            color=drawing.ink() if hue is None else hue,
            linewidth=1.2,
            linestyle=linestyle,
            label=label,
        )


_QUANTILES = {
    "title": Pair(
        "The longer syncFrequency, the longer the delay",
        "syncFrequency 越大，延迟越长",
    ),
    "alt": Pair(
        "Point chart: delay in seconds against syncFrequency in seconds, with the law "
        "as dashed lines. {points}.",
        "点图：横轴为 syncFrequency（秒），纵轴为延迟（秒），"
        "虚线为理论分布。{points}。",
    ),
    "caption": Pair(
        "Median, 90 % and 99 % point of the delay at each syncFrequency, with 95 % "
        "confidence intervals; dashed: the law; dotted: the longest delay possible. "
        "{names}; {n_delays:,} delays in {n_pods} pods. {source}",
        "各 syncFrequency 下延迟的中位数、90 % 与 99 % 分位数及其 95 % 置信区间；"
        "虚线为理论值，点线为可能的最长延迟。"
        "{names}；{n_pods} 个 Pod 中的 {n_delays:,} 个延迟。{source}",
    ),
    "paragraph": Pair(
        "From a syncFrequency of {low:g} s to one of {high:g} s, {ratio:.3g} times as "
        "long, the median delay went from {low50:.1f} s to {high50:.1f} s, "
        "{grown:.1f} times as long, and the 99 % point from {low99:.1f} s to "
        "{high99:.1f} s. Who halves a long syncFrequency nearly halves the delay, at "
        "the price of kubelets that sync each pod twice as often; of some seconds, "
        "the kubelet's tick of a second leaves less.",
        "syncFrequency 从 {low:g} 秒增至 {high:g} 秒（{ratio:.3g} 倍），"
        "中位延迟从 {low50:.1f} 秒变为 {high50:.1f} 秒（{grown:.1f} 倍），"
        "99 % 分位数从 {low99:.1f} 秒变为 {high99:.1f} 秒。"
        "较长的 syncFrequency 减半，延迟也几乎减半，代价是 kubelet "
        "同步每个 Pod 的次数加倍；若只有几秒，kubelet 的 1 秒节拍使收效变小。",
    ),
}


def _describe_quantiles(table: pd.DataFrame, source: Source, lang: str) -> Description:
    """Describe the quantiles at each `syncFrequency`."""
    rows = records(table)
    (low, low50, low99), (high, high50, high99) = (
        (row["sync_frequency_s"], best(row, "p50_s"), best(row, "p99_s"))
        for row in (rows[0], rows[-1])
    )
    return describe(
        _QUANTILES,
        lang,
        low=low,
        low50=low50,
        low99=low99,
        high=high,
        high50=high50,
        high99=high99,
        ratio=high / low,
        grown=high50 / low50,
        source=source.sentence(lang),
        **quantile_values(table, lang),
    )


SYNC_FREQUENCY = NamedFigure(
    name="sync-frequency",
    question={
        "en": "How does the delay grow with the kubelet's syncFrequency?",
        "zh": "延迟如何随 kubelet 的 syncFrequency 增长？",
    },
    needs="a run at two values of syncFrequency at least",
    read=_read_quantiles,
)


# collapse: the delay over S + ½ s


_LIMIT = ContinuousLaw(1.0, 1.5)
"""The law of the delay over S + ½ s, where the kubelet's tick is negligible."""


def _read_scaled(material: Material) -> Subject:
    """Take all refreshes of settings under which each sync reads current content."""
    table = material.refresh if material.table is None else material.table
    fresh = reading_each_sync(table)
    if not fresh:
        msg = (
            "collapse needs a run at a setting under which each sync reads what "
            "there is (Watch, Get, or Cache without a TTL), and there is none"
        )
        raise UsageError(msg)
    source = material.source
    if material.table is None:
        nodes = pd.concat([own[["node"]].drop_duplicates() for _, own in fresh])
        source = material.source_of(nodes)
    found = [
        {**row, **_scaled_quantiles(own, float(row["sync_frequency_s"]))}
        for row, own in fresh
    ]
    law = {
        name.replace("_s", "_scaled"): float(_LIMIT.quantile(p))
        for name, p in QUANTILES.items()
    }
    return Subject(
        source=source,
        draw=partial(collapse, table),
        numbers={"settings": found, "law": law},
        describe=partial(_describe_scaled, found, source),
    )


def _scaled_quantiles(own: pd.DataFrame, sync_s: float) -> dict[str, Any]:
    """Give quantiles of the delay over S + ½ s, by the interval estimator."""
    least, most = (own[name].to_numpy(float) for name in ("least_s", "most_s"))
    t = np.linspace(0, float(most.max()), 801)
    area = [np.minimum(most, at).sum() - np.minimum(least, at).sum() for at in t]
    share = np.array(area) / float((most - least).sum())
    shortest_s = sync_s + TICK_S / 2
    return {
        "pods": int(own["pod"].nunique()),
        "n_syncs": len(own),
        **{
            name.replace("_s", "_scaled"): float(np.interp(p, share, t)) / shortest_s
            for name, p in QUANTILES.items()
        },
    }


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
        As `cmhot.runs.sync_intervals.refresh_intervals` gives it, of any number of
        settings. Those under which a sync may read old content are left out.
    ax, modelled, lang
        Where to draw (None: new Axes), whether the figure is to say that its numbers
        come from the model, and the language of its words, ``en`` or ``zh``.
    laws
        Whether to draw the law.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or has nothing to be drawn.
    """
    drawing.need(
        refresh,
        [*GROUP, "least_s", "most_s"],
        of="cmhot.runs.sync_intervals.refresh_intervals",
    )
    ax = drawing.axes_or_new(ax)
    end = 1.55
    fresh = reading_each_sync(refresh)
    if not fresh:
        msg = (
            "nothing to divide by syncFrequency: the table has no setting under which "
            "each sync reads current content (Watch, Get, or Cache without a TTL)"
        )
        raise UsageError(msg)
    looks = [(sync_of(row, lang), strategy_name(row, lang)) for row, _ in fresh]
    syncs, ways = (list(dict.fromkeys(names)) for names in zip(*looks, strict=True))
    # a colour for each syncFrequency and a marker for each strategy, where they suffice
    crossed = len(ways) > 1 and len(syncs) <= drawing.HUES
    crossed &= len({*looks}) == len(looks)
    for number, ((row, own), (sync, way)) in enumerate(zip(fresh, looks, strict=True)):
        r, share = _scaled(own, float(row["sync_frequency_s"]))
        end = max(end, float(r[-1]))
        hue, kind = (
            (syncs.index(sync), ways.index(way)) if crossed else (number, number)
        )
        ax.plot(
            r,
            share,
            linewidth=drawing.CURVE_PT,
            label=setting_name(row, lang),
            color=drawing.colour(ax, hue),
            **drawing.marked_curve(ax, number, of=len(fresh), kind=kind),
        )
    if laws:
        t = np.linspace(0, end, _POINTS)
        drawing.draw_law(ax, t, _LIMIT.cdf(t), label=say("limit law", lang))
    drawing.label_shares(ax, end, along="scaled delay", lang=lang)
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    if crossed:
        handles[: len(fresh)] = drawing.entries(ax, syncs, ways)
    drawing.legend_below(ax, handles, [str(one.get_label()) for one in handles])
    return ax


def _scaled(own: pd.DataFrame, sync_s: float) -> tuple[Floats, Floats]:
    """Give the interval estimator of the delay over S + ½ s, on an even grid."""
    t, share = refresh_cdf(*refresh_ends(own))
    even = np.linspace(0, float(t[-1]), _POINTS)
    return even / (sync_s + TICK_S / 2), np.interp(even, t, share)


_SCALED = {
    "title": Pair(
        "Scaled by syncFrequency, all settings are one curve",
        "按 syncFrequency 缩放后，各种设置重合为一条曲线",
    ),
    "alt": Pair(
        "Line chart: share of pods that have the update against the delay divided by "
        "syncFrequency + ½ s, with the law dashed. Medians: {points}; law {law:.3f}.",
        "折线图：横轴为延迟除以（syncFrequency + ½ 秒），"
        "纵轴为已看到更新的 Pod 比例；虚线为理论分布。"
        "中位数：{points}；理论 {law:.3f}。",
    ),
    "caption": Pair(
        "Distribution of the delay divided by syncFrequency + ½ s, which is what the "
        "kubelet's tick of a second adds on average; dashed: the law of long "
        "intervals. {names}; {n_syncs:,} intervals between syncs of {n_pods} pods. "
        "{source}",
        "延迟除以（syncFrequency + ½ 秒）的分布，"
        "½ 秒为 kubelet 1 秒节拍的平均影响；虚线为长间隔下的理论分布。"
        "{names}；{n_pods} 个 Pod 的 {n_syncs:,} 次同步间隔。{source}",
    ),
    "paragraph": Pair(
        "Divided by syncFrequency + ½ s, the medians are {halves}; by the law they are "
        "{law:.3f}. They lie {spread:.3f} apart, and by the law nothing takes longer "
        "than 1.5 times syncFrequency and 1.2 s. So one setting that was measured "
        "tells of the others.",
        "延迟除以（syncFrequency + ½ 秒）后，各设置的中位数为 {halves}，"
        "理论值 {law:.3f}，彼此相差 {spread:.3f}；"
        "按理论，最长延迟为 syncFrequency 的 1.5 倍加 1.2 秒。"
        "因此测得一种设置，即可按比例推知其他设置。",
    ),
}


def _describe_scaled(
    found: Sequence[dict[str, Any]], source: Source, lang: str
) -> Description:
    """Describe how far the settings lie apart."""
    names = distinct_names(found, lang)
    medians = [row["p50_scaled"] for row in found]
    halves = [f"{median:.3f}" for median in medians]
    points = [f"{name}: {half}" for name, half in zip(names, halves, strict=True)]
    return describe(
        _SCALED,
        lang,
        names=semicolons(names, lang),
        points=semicolons(points, lang),
        halves=listing(halves, lang),
        spread=max(medians) - min(medians),
        law=float(_LIMIT.quantile(0.5)),
        n_pods=sum(row["pods"] for row in found),
        n_syncs=sum(row["n_syncs"] for row in found),
        source=source.sentence(lang),
    )


COLLAPSE = NamedFigure(
    name="collapse",
    question={
        "en": "Does one law hold at every syncFrequency?",
        "zh": "同一理论分布是否适用于各种 syncFrequency？",
    },
    needs="a run under Watch, Get, or Cache without a TTL",
    read=_read_scaled,
)
