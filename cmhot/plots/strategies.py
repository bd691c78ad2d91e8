"""What the change-detection strategy and its TTL do to the delay.

``change-detection``: what Watch, Get, Cache and its TTL do to the delay.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.plots.figure import (
    NamedFigure,
    Telling,
    best,
    distinct_names,
    reads_each_sync,
    records,
)
from cmhot.plots.style import (
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
from cmhot.plots.sweep import SHOWN_QUANTILES, column, estimates
from cmhot.plots.words import joined, say, seconds, setting_name
from cmhot.runs import schema
from cmhot.statistics import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Material, Source

    Row = Mapping[str, Any]


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
    need(
        table,
        [*GROUP, *(f"{name}_s" for name in SHOWN_QUANTILES)],
        of="Summary.table()",
    )
    ax = axes_or_new(ax)
    rows = table[table["p50_s"].notna() & ~table["consumer"].isin(schema.NEVER_UPDATED)]
    if rows.empty:
        msg = "no delay to draw: the table has no consumer that saw an update"
        raise UsageError(msg)
    rows = _ordered(rows)
    y = np.arange(len(rows), dtype=np.float64)
    end = np.zeros(len(rows))
    for number, name in enumerate(SHOWN_QUANTILES):
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
            label=say("law", lang) if number == len(SHOWN_QUANTILES) - 1 else None,
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


@dataclass(frozen=True, slots=True, eq=False)
class _Strategies:
    """Quantiles by strategy and TTL, at each `syncFrequency` that has several."""

    table: pd.DataFrame
    source: Source

    @classmethod
    def of(cls, material: Material) -> _Strategies:
        """Take each `syncFrequency` that was measured under several."""
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
        source = material.source_at(kept) if given is None else material.source
        return cls(kept, source)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw them side by side."""
        return change_detection(
            self.table, ax=ax, modelled=self.source.modelled, lang=lang
        )

    def numbers(self) -> dict[str, Any]:
        """Give the rows that are drawn."""
        return {"settings": records(self.table)}

    def tell(self, lang: str) -> Telling:
        """Say what each costs."""
        rows = records(self.table)
        names = distinct_names(rows, lang)
        n_delays = int(self.table["n_delays"].sum())
        n_pods = int(self.table["pods"].sum())
        source = self.source.sentence(lang)
        if lang == "zh":
            points = [
                f"{name}：中位数 {seconds(best(row, 'p50_s'), lang)}，99 % "
                f"{seconds(best(row, 'p99_s'), lang)}"
                for row, name in zip(rows, names, strict=True)
            ]
            return Telling(
                title="kubelet 的变更检测方式对延迟的影响",
                alt="点图：每种变更检测方式一行，横轴为延迟（秒），竖线为理论值。"
                f"{'；'.join(points)}。",
                caption="各变更检测方式下延迟的中位数、90 % 与 99 % 分位数及其 95 % "
                f"置信区间；竖线为理论值。{'；'.join(names)}；{n_pods} 个 Pod 中的 "
                f"{n_delays:,} 个延迟。{source}",
                paragraph=joined(_chinese(rows, names), lang),
            )
        points = [
            f"{name}: median {seconds(best(row, 'p50_s'))}, 99 % "
            f"{seconds(best(row, 'p99_s'))}"
            for row, name in zip(rows, names, strict=True)
        ]
        return Telling(
            title="What the kubelet's change detection does to the delay",
            alt="Point chart: a row for each way of detecting changes, delay in "
            "seconds, "
            f"with the law as vertical bars. {'; '.join(points)}.",
            caption="Median, 90 % and 99 % point of the delay for each way of "
            "detecting "
            "changes, with 95 % confidence intervals; vertical bars: the law. "
            f"{'; '.join(names)}; {n_delays:,} delays in {n_pods} pods. {source}",
            paragraph=joined(_english(rows, names)),
        )


def _split(rows: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Give places of rows where each sync reads what there is, and of the others."""
    every = [number for number, row in enumerate(rows) if reads_each_sync(row)]
    return every, [number for number in range(len(rows)) if number not in every]


def _compared(rows: Sequence[Row], late: int, every: Sequence[int]) -> int | None:
    """Find the row that a cached one is to be compared with."""
    same = [
        number
        for number in every
        if rows[number]["sync_frequency_s"] == rows[late]["sync_frequency_s"]
        and rows[number]["consumer"] == rows[late]["consumer"]
    ]
    return same[-1] if same else None


def _medians(
    rows: Sequence[Row], every: Sequence[int]
) -> Iterator[tuple[float, float, float]]:
    """Give S, and the least and most median of the several ways at it, seconds."""
    for sync_s in sorted({rows[number]["sync_frequency_s"] for number in every}):
        own = [
            best(rows[number], "p50_s")
            for number in every
            if rows[number]["sync_frequency_s"] == sync_s
        ]
        if len(own) > 1:
            yield sync_s, min(own), max(own)


def _english(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    every, cached = _split(rows)
    said = []
    for sync_s, least_s, most_s in _medians(rows, every):
        low, high = seconds(least_s), seconds(most_s)
        medians = (
            f"medians from {low} to {high}" if low != high else f"medians of {low}"
        )
        said.append(
            f"At {sync_s:g} s the ways under which each sync reads what there is "
            f"have {medians}: which of them it is matters little."
        )
    for number in cached:
        beside = _compared(rows, number, every)
        than = (
            ""
            if beside is None
            else f", against {seconds(best(rows[beside], 'p50_s'))} and "
            f"{seconds(best(rows[beside], 'p99_s'))} with {names[beside]}"
        )
        said.append(
            f"{names[number]} has a median of {seconds(best(rows[number], 'p50_s'))} "
            f"and a 99 % point of {seconds(best(rows[number], 'p99_s'))}{than}: "
            "there pods wait for the cached copy to expire as well."
        )
    return said


def _chinese(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    every, cached = _split(rows)
    said = []
    for sync_s, least_s, most_s in _medians(rows, every):
        low, high = seconds(least_s, "zh"), seconds(most_s, "zh")
        medians = f"在 {low}到 {high}之间" if low != high else f"都是 {low}"
        said.append(
            f"syncFrequency 为 {sync_s:g} 秒时，每次同步都读取最新内容的各种方式，"
            f"中位数{medians}，差别很小。"
        )
    for number in cached:
        beside = _compared(rows, number, every)
        than = (
            ""
            if beside is None
            else f"（{names[beside]} 为 {seconds(best(rows[beside], 'p50_s'), 'zh')}和 "
            f"{seconds(best(rows[beside], 'p99_s'), 'zh')}）"
        )
        said.append(
            f"{names[number]} 的中位数为 {seconds(best(rows[number], 'p50_s'), 'zh')}，"
            f"99 % 分位数为 {seconds(best(rows[number], 'p99_s'), 'zh')}{than}："
            "Pod 还要等待缓存过期。"
        )
    return said


FIGURE = NamedFigure(
    name="change-detection",
    question={
        "en": "What do Watch, Get, Cache and its TTL do to the delay?",
        "zh": "Watch、Get、Cache 及其 TTL 对延迟有何影响？",
    },
    needs="a run under two strategies or TTLs at one syncFrequency",
    read=_Strategies.of,
)
