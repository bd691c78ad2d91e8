"""What forces an update, how fast, and at what cost.

``remedies``: what forces an update, how fast, and at what cost.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cmhot.errors import UsageError
from cmhot.plots.figure import NamedFigure, Telling, records
from cmhot.plots.style import (
    axes_or_new,
    colour,
    ink,
    marker,
    name_rows,
    need,
    note_origin,
)
from cmhot.plots.words import counted, joined, say, seconds

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Material, Source


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


_WAIT = "nothing"


@dataclass(frozen=True, slots=True, eq=False)
class _Remedies:
    """Trials of each method, and the wait without one."""

    table: pd.DataFrame
    source: Source

    @classmethod
    def of(cls, material: Material) -> _Remedies:
        """Take the table of trials."""
        if material.table is None:
            msg = (
                "remedies are measured by notebooks/06-force-it.ipynb, not by a run: "
                "leave out --run for those that come with cmhot"
            )
            raise UsageError(msg)
        return cls(material.table, material.source)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw each trial, the costs beside."""
        return remedies(self.table, ax=ax, modelled=self.source.modelled, lang=lang)

    def numbers(self) -> dict[str, Any]:
        """Give the trials, and the medians of each method."""
        return {
            "setting": self.source.setting,
            "methods": self._medians(),
            "trials": records(self.table),
        }

    def _medians(self) -> list[dict[str, Any]]:
        """Give a row for each method, in the table's order."""
        costs = ["seconds", "restarted", "min_ready_share", "requests"]
        grouped = self.table.groupby("method", sort=False)
        found = grouped[costs].median().assign(trials=grouped.size()).reset_index()
        return records(found)

    def tell(self, lang: str) -> Telling:
        """Say what each method takes and costs."""
        rows = self._medians()
        tried = [row for row in rows if row["method"] != _WAIT]
        n = sum(row["trials"] for row in tried)
        waits = [row["seconds"] for row in rows if row["method"] == _WAIT]
        source = self.source.sentence(lang)
        setting = f"{self.source.setting}. " if self.source.setting else ""
        if lang == "zh":
            setting = setting.replace(". ", "。")
            points = [
                f"{say(row['method'], lang)}：{seconds(row['seconds'], lang)}"
                for row in rows
            ]
            said = [
                f"{say(row['method'], lang)}的中位时间为 "
                f"{seconds(row['seconds'], lang)}，"
                f"替换 {_count(row['restarted'])} 个 Pod，{_count(row['requests'])} 次 "
                "API 请求。"
                for row in tried
            ]
            if waits:
                said.insert(
                    0,
                    "什么都不做，最后一个 Pod 看到更新的中位时间为 "
                    f"{seconds(waits[0], lang)}（理论值）。",
                )
            return Telling(
                title="让更新立即生效的办法及其代价",
                alt="点图（对数刻度）：每种办法一行，横轴为全部 Pod 看到更新所需秒数。"
                f"{'；'.join(points)}。",
                caption="每种办法的各次试验与中位数，及其代价"
                f"{'（等待为理论值）' if waits else ''}。"
                f"{n} 次试验。"
                f"{setting}{source}",
                paragraph=joined(said, lang),
            )
        points = [
            f"{say(row['method'], lang)}: {seconds(row['seconds'])}" for row in rows
        ]
        said = []
        if waits:
            said.append(
                "Who does nothing waits for the last pod; the median of that is "
                f"{seconds(waits[0])}, by the law."
            )
        said += [
            f"With “{say(row['method'], lang)}” all pods have it after "
            f"{seconds(row['seconds'])} (median of {row['trials']}), for "
            f"{counted(row['restarted'], 'pod')} replaced and "
            f"{counted(row['requests'], 'request')} to the API server."
            for row in tried
        ]
        return Telling(
            title="What forces an update, how fast, and at what cost",
            alt="Point chart on a log scale: seconds until all pods have the update, a "
            f"row for each method. Medians: {'; '.join(points)}.",
            caption="Each trial of each method, its median as a bar, its costs beside"
            f"{'; waiting is by the law' if waits else ''}. "
            f"{counted(n, 'trial')}. {setting}{source}",
            paragraph=joined(said),
        )


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


FIGURE = NamedFigure(
    name="remedies",
    question={
        "en": "What forces an update into the pods, how fast, and at what cost?",
        "zh": "怎样让更新立即生效？多快？代价如何？",
    },
    needs="trials of notebook 06, not a run",
    read=_Remedies.of,
)
