"""How the change-detection strategy and its TTL change the delay.

The named figure ``change-detection``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.plots import drawing
from cmhot.plots.figure import (
    NamedFigure,
    Subject,
    best,
    describe,
    quantile_values,
    reads_each_sync,
    records,
)
from cmhot.plots.sweep import SHOWN_QUANTILES
from cmhot.plots.words import Pair, distinct_names, joined, say, seconds, setting_name
from cmhot.runs import schema
from cmhot.statistics import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Source

    Row = Mapping[str, Any]


def _read(material: Material) -> Subject:
    """Take each `syncFrequency` that was measured under several strategies or TTLs."""
    given = material.table
    table = material.summary.table() if given is None else given
    seen = table[
        table["p50_s"].notna()
        & table["strategy"].notna()
        & ~table["consumer"].isin(schema.NEVER_UPDATED)
    ]
    ways = seen.groupby(["sync_frequency_s", "consumer"])["p50_s"].transform("size")
    kept = seen[ways > 1]
    if kept.empty:
        msg = (
            "change-detection needs delays under two strategies or TTLs at one "
            "syncFrequency, and there are none: collect on nodes that differ in it"
        )
        raise UsageError(msg)
    source = material.source_at(kept)
    return Subject(
        source=source,
        draw=partial(change_detection, kept),
        numbers={"settings": records(kept)},
        describe=partial(_describe, kept, source),
    )


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
        As `cmhot.statistics.summary.Summary.table` gives it.
        Consumers that never update are left out.
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
    drawing.need(
        table,
        [*GROUP, *(f"{name}_s" for name in SHOWN_QUANTILES)],
        of="Summary.table()",
    )
    ax = drawing.axes_or_new(ax)
    rows = table[table["p50_s"].notna() & ~table["consumer"].isin(schema.NEVER_UPDATED)]
    if rows.empty:
        msg = "no delay to draw: the table has no consumer that saw an update"
        raise UsageError(msg)
    rows = _ordered(rows)
    y = np.arange(len(rows), dtype=np.float64)
    end = np.zeros(len(rows))
    for number, name in enumerate(SHOWN_QUANTILES):
        found, label = drawing.estimates(rows, name), say(name, lang)
        drawing.draw_estimates(ax, number, y, found, upright=False, label=label)
        law = drawing.column(rows, f"law_{name}_s")
        ax.plot(
            law,
            y,
            color=drawing.ink(),
            linestyle="none",
            marker="|",
            markersize=14,
            label=say("law", lang) if number == len(SHOWN_QUANTILES) - 1 else None,
            zorder=4,
        )
        end = np.fmax(end, found[2])
    ax.hlines(y, 0, end, color=drawing.ink(), alpha=0.25, linewidth=1.0, zorder=1)
    drawing.name_rows(ax, [setting_name(row, lang) for row in records(rows)])
    ax.set_xlim(0, None)
    ax.set_xlabel(say("delay", lang))
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()  # the law comes first, as a line
    drawing.legend_above(ax, len(rows), handles=[*handles[1:], handles[0]], columns=4)
    return ax


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """Order rows by S, then by strategy as the kubelet's manual lists them, and TTL."""
    order = {name: place for place, name in enumerate(Strategy)}
    place = rows["strategy"].map(lambda name: order.get(name, len(order)))
    keys = ["sync_frequency_s", "place", "ttl_s"]
    return rows.assign(place=place).sort_values(keys, kind="stable")


_WORDS = {
    "title": Pair(
        "What the kubelet's change detection does to the delay",
        "kubelet 的变更检测方式对延迟的影响",
    ),
    "alt": Pair(
        "Point chart: a row for each way of detecting changes, delay in seconds, with "
        "the law as vertical bars. {points}.",
        "点图：每种变更检测方式一行，横轴为延迟（秒），竖线为理论值。{points}。",
    ),
    "caption": Pair(
        "Median, 90 % and 99 % point of the delay for each way of detecting changes, "
        "with 95 % confidence intervals; vertical bars: the law. "
        "{names}; {n_delays:,} delays in {n_pods} pods. {source}",
        "各变更检测方式下延迟的中位数、90 % 与 99 % 分位数及其 95 % 置信区间；"
        "竖线为理论值。{names}；{n_pods} 个 Pod 中的 {n_delays:,} 个延迟。{source}",
    ),
}
_EACH_SYNC = Pair(
    "At {sync_s:g} s the ways under which each sync reads current content have "
    "{medians}: which of them it is matters little.",
    "syncFrequency 为 {sync_s:g} 秒时，每次同步都读取最新内容的各种方式，"
    "中位数{medians}，差别很小。",
)
_BETWEEN = Pair("medians from {low} to {high}", "在 {low}到 {high}之间")
_EQUAL = Pair("medians of {low}", "都是 {low}")
_CACHED = Pair(
    "{name} has a median of {p50} and a 99 % point of {p99}{than}: "
    "there pods wait for the cached copy to expire as well.",
    "{name} 的中位数为 {p50}，99 % 分位数为 {p99}{than}：Pod 还要等待缓存过期。",
)
_THAN = Pair(", against {p50} and {p99} with {name}", "（{name} 为 {p50}和 {p99}）")


def _describe(table: pd.DataFrame, source: Source, lang: str) -> Description:
    """Describe the delay under each way of detecting changes."""
    rows = records(table)
    return describe(
        _WORDS,
        lang,
        source=source.sentence(lang),
        paragraph=joined(_sentences(rows, lang), lang),
        **quantile_values(table, lang),
    )


def _sentences(rows: list[dict[str, Any]], lang: str) -> Iterator[str]:
    """Compare the ways that read current content at each sync, then each cached one."""
    every = [row for row in rows if reads_each_sync(row)]
    for sync_s in sorted({row["sync_frequency_s"] for row in every}):
        at = [best(one, "p50_s") for one in every if one["sync_frequency_s"] == sync_s]
        if len(at) > 1:
            low, high = seconds(min(at), lang), seconds(max(at), lang)
            medians = say(_EQUAL if low == high else _BETWEEN, lang, low=low, high=high)
            yield say(_EACH_SYNC, lang, sync_s=sync_s, medians=medians)
    names = distinct_names(rows, lang)
    for row, name in zip(rows, names, strict=True):
        if reads_each_sync(row):
            continue
        beside = [
            (one, other)
            for one, other in zip(rows, names, strict=True)
            if reads_each_sync(one)
            and one["sync_frequency_s"] == row["sync_frequency_s"]
            and one["consumer"] == row["consumer"]
        ]
        than = ""
        if beside:
            one, other = beside[-1]
            than = say(_THAN, lang, name=other, **_quantiles(one, lang))
        yield say(_CACHED, lang, name=name, than=than, **_quantiles(row, lang))


def _quantiles(row: Row, lang: str) -> dict[str, str]:
    return {name: seconds(best(row, f"{name}_s"), lang) for name in ("p50", "p99")}


FIGURE = NamedFigure(
    name="change-detection",
    question={
        "en": "What do Watch, Get, Cache and its TTL do to the delay?",
        "zh": "Watch、Get、Cache 及其 TTL 对延迟有何影响？",
    },
    needs="a run under two strategies or TTLs at one syncFrequency",
    read=_read,
)
