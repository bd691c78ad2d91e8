"""How long until all of N pods have an update.

The named figure ``fleet``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cmhot import statistics
from cmhot.errors import UsageError
from cmhot.plots import drawing
from cmhot.plots.figure import (
    NamedFigure,
    Subject,
    describe,
    populations,
    quantile_point,
    records,
    with_most_pods,
)
from cmhot.plots.words import Pair, counted, in_both, say, seconds, semicolons

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Source


_QUANTILES = ("p50", "p95", "p99")
_APART = 1.4  # least ratio of two ticks on a logarithmic axis


def _read(material: Material) -> Subject:
    """Take the table that is given, or the setting with most pods."""
    table, source, setting = material.table, material.source, material.named_setting
    if table is None:
        found = [
            (row, own)
            for row, own in populations(material.refresh)
            if len(own["pod"].unique()) > 1
        ]
        if not found:
            msg = "fleet needs two pods of one setting at least, and there are not"
            raise UsageError(msg)
        row, own = with_most_pods(found)
        setting = in_both(row)
        source = material.source_of(own)
        if own["least_s"].any():  # they share what one of them fetched
            (seen,) = (rows for key, rows in populations(material.delays) if key == row)
            source = source.with_clocks(seen)
        table = statistics.fleet_maximum(
            own, kubernetes=source.kubernetes, clock_s=source.clock_bound_s or 0.0
        )
    table = table.sort_values("pods")
    return Subject(
        source=source,
        draw=partial(fleet_maximum, table),
        numbers={"setting": setting.en, "fleets": records(table)},
        describe=partial(_describe, table, setting, source),
    )


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
    drawing.need(
        table,
        ["pods", *(f"{name}_s" for name in _QUANTILES)],
        of="cmhot.statistics.fleet_maximum",
    )
    ax = drawing.axes_or_new(ax)
    rows = table.sort_values("pods", kind="stable")
    pods = rows["pods"].to_numpy(dtype=np.float64)
    for number, name in enumerate(_QUANTILES):
        value = drawing.column(rows, f"{name}_s")
        low, high = (
            drawing.column(rows, f"{name}_{end}_s", value) for end in ("low", "high")
        )
        label = say(name, lang)
        drawing.draw_estimates(ax, number, pods, (value, low, high), label=label)
        law = drawing.column(rows, f"{name}_law_s")
        if not np.isnan(law).all():
            hue = drawing.colour(ax, number)
            ax.plot(pods, law, color=hue, linewidth=1.2, linestyle="--")
    ax.set_xscale("log")
    ticks = _apart(pods.tolist())
    ax.set_xticks(ticks, [f"{one:g}" for one in ticks])
    ax.minorticks_off()
    ax.set_ylim(0, None)
    ax.set_xlabel(say("fleet size", lang))
    ax.set_ylabel(say("until all N", lang))
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(
        handles=[*handles[::-1], *drawing.law_entry(rows, lang)], loc="lower right"
    )
    return ax


def _apart(pods: list[float]) -> list[float]:
    """Leave out ticks that stand too close to the one before; the last one stays."""
    kept = [pods[-1]]
    for one in pods[-2::-1]:
        if kept[-1] / one >= _APART:
            kept.append(one)
    return kept[::-1]


_WORDS = {
    "title": Pair(
        "How long until all pods have the update", "全部 Pod 看到更新需要多久"
    ),
    "alt": Pair(
        "Point chart: seconds until all N pods have the update, against N on a log "
        "scale. {points}.",
        "点图：横轴为 Pod 数量 N（对数），纵轴为全部 N 个 Pod 看到更新的秒数。"
        "{points}。",
    ),
    "caption": Pair(
        "Median, 95 % and 99 % point of the time until all N pods have the update, "
        "with 95 % confidence intervals where there are groups enough; dashed: the "
        "law. {setting}; N up to {all}. {source}",
        "全部 N 个 Pod 看到更新所需时间的中位数、95 % 与 99 % 分位数及其 "
        "95 % 置信区间（组数足够时）；虚线为理论值。"
        "{setting}；N 最大为 {all}。{source}",
    ),
    "paragraph": Pair(
        "One pod has the update after {one} (median), all {all} pods after "
        "{p50}{law}; in 99 of 100 updates the last of them has it within {p99}. The "
        "more pods there are, the nearer the wait comes to the longest delay that is "
        "possible, and no further.",
        "单个 Pod 的中位延迟为 {one}，而全部 {all} 个 Pod 看到更新的中位时间为 "
        "{p50}{law}，99 % 分位数为 {p99}。"
        "Pod 越多，等待越接近最长可能延迟，但不会超过它。",
    ),
}
_LAW = Pair(" (law: {p50})", "（理论 {p50}）")
_PODS = Pair("{pods}", "{pods} 个")


def _describe(
    table: pd.DataFrame, setting: Pair, source: Source, lang: str
) -> Description:
    """Describe how the wait grows with N."""
    rows = records(table)
    one, *_, most = rows
    points = [
        quantile_point(
            say(_PODS, lang, pods=counted(row["pods"], "pod", lang)),
            row["p50_s"],
            row["p99_s"],
            lang,
        )
        for row in rows
    ]
    law = most.get("p50_law_s")
    return describe(
        _WORDS,
        lang,
        points=semicolons(points, lang),
        setting=say(setting, lang),
        all=most["pods"],
        one=seconds(one["p50_s"], lang),
        p50=seconds(most["p50_s"], lang),
        p99=seconds(most["p99_s"], lang),
        law="" if law is None else say(_LAW, lang, p50=seconds(law, lang)),
        source=source.sentence(lang),
    )


FIGURE = NamedFigure(
    name="fleet",
    question={
        "en": "How long until all N pods have an update?",
        "zh": "全部 N 个 Pod 看到更新需要多久？",
    },
    needs="a run with two pods of one setting at least",
    read=_read,
)
