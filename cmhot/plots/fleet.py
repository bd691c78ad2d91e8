"""How long until all of N pods have an update.

``fleet``: how long until all N pods have an update.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot import statistics
from cmhot.errors import UsageError
from cmhot.plots.figure import (
    NamedFigure,
    Telling,
    distinct_names,
    most_telling,
    populations,
    records,
)
from cmhot.plots.style import axes_or_new, colour, marker, need, note_origin
from cmhot.plots.sweep import column, law_entry
from cmhot.plots.words import counted, say, seconds

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Material, Source


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


@dataclass(frozen=True, slots=True, eq=False)
class _Fleet:
    """The wait for the last of N pods, by N."""

    table: pd.DataFrame
    setting: dict[str, str]
    source: Source

    @classmethod
    def of(cls, material: Material) -> _Fleet:
        """Take the table that is given, or the setting with most pods."""
        if material.table is not None:
            named = material.source.setting or ""
            setting = {"en": named, "zh": named}
            table = material.table.sort_values("pods")
            return cls(table, setting, material.source)
        found = [
            (row, own)
            for row, own in populations(material.refresh)
            if len(own["pod"].unique()) > 1
        ]
        if not found:
            msg = "fleet needs two pods of one setting at least, and there are not"
            raise UsageError(msg)
        row, own = most_telling(found)
        names = {lang: distinct_names([row], lang)[0] for lang in ("en", "zh")}
        source = material.source_of(own)
        table = statistics.fleet_maximum(own, kubernetes=source.kubernetes)
        return cls(table.sort_values("pods"), names, source)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw seconds against N."""
        return fleet_maximum(
            self.table, ax=ax, modelled=self.source.modelled, lang=lang
        )

    def numbers(self) -> dict[str, Any]:
        """Give a row for each N."""
        return {"setting": self.setting["en"], "fleets": records(self.table)}

    def tell(self, lang: str) -> Telling:
        """Say how the wait grows with N."""
        one, *_, most = records(self.table)
        all_of = most["pods"]
        law = most.get("p50_law_s")
        source = self.source.sentence(lang)
        setting = self.setting[lang]
        if lang == "zh":
            points = [
                f"{row['pods']} 个：中位数 {seconds(row['p50_s'], lang)}，99 % "
                f"{seconds(row['p99_s'], lang)}"
                for row in records(self.table)
            ]
            beside = "" if law is None else f"（理论 {seconds(law, lang)}）"
            return Telling(
                title="全部 Pod 看到更新需要多久",
                alt="点图：横轴为 Pod 数量 N（对数），纵轴为全部 N 个 Pod "
                "看到更新的秒数。"
                f"{'；'.join(points)}。",
                caption="全部 N 个 Pod 看到更新所需时间的中位数、95 % 与 99 % "
                "分位数及其 "
                "95 % 置信区间（组数足够时）；虚线为理论值。"
                f"{setting}；N 最大为 {all_of}。{source}",
                paragraph=f"单个 Pod 的中位延迟为 {seconds(one['p50_s'], lang)}，"
                f"而全部 {all_of} 个 Pod 看到更新的中位时间为 "
                f"{seconds(most['p50_s'], lang)}{beside}，99 % 分位数为 "
                f"{seconds(most['p99_s'], lang)}。Pod 越多，等待越接近最长可能延迟，"
                "但不会超过它。",
            )
        points = [
            f"{counted(row['pods'], 'pod')}: median {seconds(row['p50_s'])}, 99 % "
            f"{seconds(row['p99_s'])}"
            for row in records(self.table)
        ]
        beside = "" if law is None else f" (law: {seconds(law)})"
        return Telling(
            title="How long until all pods have the update",
            alt="Point chart: seconds until all N pods have the update, against N on a "
            f"log scale. {'; '.join(points)}.",
            caption="Median, 95 % and 99 % point of the time until all N pods have the "
            "update, with 95 % confidence intervals where there are groups enough; "
            "dashed: the law. "
            f"{setting}; N up to {all_of}. {source}",
            paragraph=f"One pod has the update after {seconds(one['p50_s'])} (median), "
            f"all {all_of} pods after {seconds(most['p50_s'])}{beside}; in 99 of 100 "
            f"updates the last of them has it within {seconds(most['p99_s'])}. "
            "The more pods there are, the nearer the wait comes to the longest delay "
            "that is possible, and no further.",
        )


FIGURE = NamedFigure(
    name="fleet",
    question={
        "en": "How long until all N pods have an update?",
        "zh": "全部 N 个 Pod 看到更新需要多久？",
    },
    needs="a run with two pods of one setting at least",
    read=_Fleet.of,
)
