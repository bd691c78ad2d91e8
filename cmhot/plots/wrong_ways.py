"""The wrong ways of measuring beside the right one.

``wrong-ways``: what one finds who measures wrongly.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.errors import UsageError
from cmhot.plots.figure import (
    NamedFigure,
    Telling,
    distinct_names,
    most_telling,
    populations,
    reads_each_sync,
    records,
)
from cmhot.plots.style import (
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
from cmhot.plots.words import listing, say, seconds, way_name
from cmhot.statistics import mistakes
from cmhot.statistics.mistakes import CLOSED, OPEN

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Material, Source


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


@dataclass(frozen=True, slots=True, eq=False)
class _WrongWays:
    """The mean delay as each way of measuring has it."""

    table: pd.DataFrame
    setting: dict[str, str]
    source: Source

    @classmethod
    def of(cls, material: Material) -> _WrongWays:
        """Take the table that is given, or try the wrong ways on what was measured."""
        if material.table is not None:
            named = material.source.setting or ""
            setting = {"en": named, "zh": named}
            return cls(material.table, setting, material.source)
        found = [
            (row, own)
            for row, own in populations(material.refresh)
            if reads_each_sync(row)
        ]
        if not found:
            msg = (
                "wrong-ways needs a run at a setting under which each sync reads what "
                "there is (Watch, Get, or Cache without a TTL), and there is none"
            )
            raise UsageError(msg)
        row, own = most_telling(found)
        names = {lang: distinct_names([row], lang)[0] for lang in ("en", "zh")}
        (seen,) = (rows for key, rows in populations(material.delays) if key == row)
        source = material.source_of(own)
        table = mistakes.wrong_ways(own, delays=seen, kubernetes=source.kubernetes)
        return cls(table, names, source)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw each way's mean, and the true one."""
        return wrong_ways(self.table, ax=ax, modelled=self.source.modelled, lang=lang)

    def numbers(self) -> dict[str, Any]:
        """Give a row for each way."""
        return {"setting": self.setting["en"], "ways": records(self.table)}

    def tell(self, lang: str) -> Telling:
        """Say how far off each way is."""
        rows = records(self.table)
        truth = rows[0]["truth_s"]
        wrong = [row for row in rows if row["method"] != OPEN]
        closed = [row["mean_s"] for row in wrong if row["method"] == CLOSED]
        worst = max(wrong, key=lambda row: abs(row["mean_s"] - truth))
        colon = ": " if lang == "en" else "："
        points = [
            f"{way_name(row, lang)}{colon}{seconds(row['mean_s'], lang)}"
            for row in rows
        ]
        opened = [row["mean_s"] for row in rows if row["method"] == OPEN]
        executed = any(row.get("executed") for row in wrong if row["method"] == CLOSED)
        source = self.source.sentence(lang)
        factor = worst["mean_s"] / truth
        loops = [seconds(one, lang) for one in closed]
        sent = [seconds(one, lang) for one in opened]
        if lang == "zh":
            how = "确实执行过" if executed else "在测得的同步时刻上重放"
            replayed = f"闭环{how}。" if loops else ""
            really = f"，实际发出的更新平均等待 {listing(sent, lang)}" if sent else ""
            loop = (
                "“修改、等到看见、停一会儿、再改”的闭环得到 "
                f"{listing(loops, lang)}，取决于停多久，"
                "因为每次修改都紧跟在一次同步之后。"
                if loops
                else ""
            )
            return Telling(
                title="错误的测量方法会得到什么",
                alt="点图：每种测量方法一行，横轴为平均延迟（秒），虚线为真值 "
                f"{seconds(truth, lang)}。{'；'.join(points)}。",
                caption="各种测量方法得到的平均延迟及其 95 % 置信区间；"
                "虚线为由同步间隔算出的所有时刻的真实平均值，"
                "开环为实际发出的更新的平均值。"
                f"{replayed}{self.setting[lang]}。{source}",
                paragraph="由同步间隔可知，任意时刻的更新平均等待 "
                f"{seconds(truth, lang)}{really}。{loop}偏差最大的方法"
                f"（{way_name(worst, lang)}）得到真值的 {factor:.1f} 倍。",
            )
        how = "really run" if executed else "replayed on the syncs that were recorded"
        replayed = f"Closed loops were {how}. " if loops else ""
        really = (
            f"; those that were sent, at instants drawn beforehand, waited "
            f"{listing(sent)}"
            if sent
            else ""
        )
        loop = (
            "“Patch, wait until seen, pause, patch again” finds "
            f"{listing(loops)}, depending on the pause, since each of its updates "
            "follows a sync. "
            if loops
            else ""
        )
        return Telling(
            title="What one finds who measures wrongly",
            alt="Point chart: a row for each way of measuring, mean delay in seconds; "
            f"the truth, {seconds(truth)}, is dashed. {'; '.join(points)}.",
            caption="Mean delay as each way of measuring has it, with 95 % confidence "
            "intervals; dashed: the true mean, over all instants, by the intervals "
            "between syncs. The open loop is the mean of the updates that were sent. "
            f"{replayed}{self.setting['en']}. {source}",
            paragraph="By the intervals between syncs an update at any instant waits "
            f"{seconds(truth)} on average{really}. {loop}"
            f"The way that is furthest off, {way_name(worst, lang)}, finds "
            f"{factor:.1f} times the truth.",
        )


FIGURE = NamedFigure(
    name="wrong-ways",
    question={
        "en": "What does one find who measures the delay wrongly?",
        "zh": "用错误的方法测量延迟会得到什么？",
    },
    needs="a run under Watch, Get, or Cache without a TTL",
    read=_WrongWays.of,
)
