"""Which mean delay each wrong way of measuring finds, beside the right one.

The named figure ``wrong-ways``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.plots import drawing
from cmhot.plots.figure import (
    NamedFigure,
    Subject,
    describe,
    populations,
    reading_each_sync,
    records,
    with_most_pods,
)
from cmhot.plots.words import (
    Pair,
    in_both,
    listing,
    say,
    seconds,
    semicolons,
    way_name,
)
from cmhot.statistics import mistakes
from cmhot.statistics.mistakes import CLOSED, OPEN

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Source


def _read(material: Material) -> Subject:
    """Take the table that is given, or try the wrong ways on what was measured."""
    table, source, setting = material.table, material.source, material.named_setting
    if table is None:
        found = reading_each_sync(material.refresh)
        if not found:
            msg = (
                "wrong-ways needs a run at a setting under which each sync reads what "
                "there is (Watch, Get, or Cache without a TTL), and there is none"
            )
            raise UsageError(msg)
        row, own = with_most_pods(found)
        (seen,) = (rows for key, rows in populations(material.delays) if key == row)
        setting = in_both(row)
        source = material.source_of(seen)
        table = mistakes.wrong_ways(own, delays=seen, kubernetes=source.kubernetes)
    return Subject(
        source=source,
        draw=partial(wrong_ways, table),
        numbers={"setting": setting.en, "ways": records(table)},
        describe=partial(_describe, table, setting, source),
    )


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
    drawing.need(table, ["method", "mean_s", "truth_s"], of="ways of measuring")
    ax = drawing.axes_or_new(ax)
    y = np.arange(len(table), dtype=np.float64)
    mean = drawing.column(table, "mean_s")
    low, high = (drawing.column(table, name, mean) for name in ("low_s", "high_s"))
    right = (table["method"] == OPEN).to_numpy()
    for number, (rows, hue) in enumerate(((right, 2), (~right, 1))):
        found = (mean[rows], low[rows], high[rows])
        look = {"color": drawing.colour(ax, hue), "zorder": 2}
        drawing.draw_estimates(ax, number, y[rows], found, upright=False, **look)
    for place, value, end in zip(y, mean, high, strict=True):
        ax.annotate(
            say("tenths of s", lang, value=value),
            (end, place),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            bbox=drawing.behind(ax),
        )
    truth = float(drawing.column(table, "truth_s")[0])
    ax.axvline(truth, color=drawing.ink(), linestyle="--", linewidth=1.2, zorder=1)
    ax.annotate(
        say("truth", lang, value=truth),
        (truth, -0.75),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
    )
    drawing.name_rows(ax, [way_name(row, lang) for row in records(table)])
    ax.set_ylim(len(table) - 0.5, -1.0)
    ax.set_xlim(0, float(np.nanmax(high)) * 1.2)
    ax.set_xlabel(say("mean delay", lang))
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    return ax


_WORDS = {
    "title": Pair("What one finds who measures wrongly", "错误的测量方法会得到什么"),
    "alt": Pair(
        "Point chart: a row for each way of measuring, mean delay in seconds; the "
        "truth, {truth}, is dashed. {points}.",
        "点图：每种测量方法一行，横轴为平均延迟（秒），虚线为真值 {truth}。{points}。",
    ),
    "caption": Pair(
        "Mean delay as each way of measuring has it, with 95 % confidence intervals; "
        "dashed: the true mean, over all instants, by the intervals between syncs. "
        "The open loop is the mean of the updates that were sent. "
        "{replayed}{setting}. {source}",
        "各种测量方法得到的平均延迟及其 95 % 置信区间；"
        "虚线为由同步间隔算出的所有时刻的真实平均值，"
        "开环为实际发出的更新的平均值。{replayed}{setting}。{source}",
    ),
    "paragraph": Pair(
        "By the intervals between syncs an update at any instant waits {truth} on "
        "average{sent}. {loops}The way that is furthest off, {worst}, finds "
        "{factor:.1f} times the truth.",
        "由同步间隔可知，任意时刻的更新平均等待 {truth}{sent}。{loops}"
        "偏差最大的方法（{worst}）得到真值的 {factor:.1f} 倍。",
    ),
}
_POINT = Pair("{name}: {mean}", "{name}：{mean}")
_RUN = Pair("Closed loops were really run. ", "闭环确实执行过。")
_REPLAYED = Pair(
    "Closed loops were replayed on the syncs that were recorded. ",
    "闭环在测得的同步时刻上重放。",
)
_SENT = Pair(
    "; those that were sent, at instants drawn beforehand, waited {means}",
    "，实际发出的更新平均等待 {means}",
)
_LOOPS = Pair(
    "“Patch, wait until seen, pause, patch again” finds {means}, depending on the "
    "pause, since each of its updates follows a sync. ",
    "“修改、等到看见、停一会儿、再改”的闭环得到 {means}，取决于停多久，"
    "因为每次修改都紧跟在一次同步之后。",
)


def _describe(
    table: pd.DataFrame, setting: Pair, source: Source, lang: str
) -> Description:
    """Describe how far off each way is."""
    rows = records(table)
    truth = rows[0]["truth_s"]
    opened = [row for row in rows if row["method"] == OPEN]
    closed = [row for row in rows if row["method"] == CLOSED]
    wrong = [row for row in rows if row["method"] != OPEN]
    worst = max(wrong, key=lambda row: abs(row["mean_s"] - truth))
    sent, loops = (
        listing([seconds(row["mean_s"], lang) for row in some], lang)
        for some in (opened, closed)
    )
    points = [
        say(_POINT, lang, name=way_name(row, lang), mean=seconds(row["mean_s"], lang))
        for row in rows
    ]
    replayed = _RUN if any(row.get("executed") for row in closed) else _REPLAYED
    return describe(
        _WORDS,
        lang,
        truth=seconds(truth, lang),
        points=semicolons(points, lang),
        replayed=say(replayed, lang) if closed else "",
        setting=say(setting, lang),
        sent=say(_SENT, lang, means=sent) if opened else "",
        loops=say(_LOOPS, lang, means=loops) if closed else "",
        worst=way_name(worst, lang),
        factor=worst["mean_s"] / truth,
        source=source.sentence(lang),
    )


FIGURE = NamedFigure(
    name="wrong-ways",
    question={
        "en": "What does one find who measures the delay wrongly?",
        "zh": "用错误的方法测量延迟会得到什么？",
    },
    needs="a run under Watch, Get, or Cache without a TTL",
    read=_read,
)
