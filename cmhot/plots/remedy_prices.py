"""Which methods force an update, how fast, and at what cost.

The named figure ``remedies``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.plots import drawing
from cmhot.plots.figure import NamedFigure, Subject, describe, records
from cmhot.plots.words import Pair, counted, joined, say, seconds, semicolons

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Row, Source


_COSTS = ("restarted", "min_ready_share", "requests")
_WAIT = "nothing"
"""The method that only waits: its seconds are the law's."""
_BELOW = 0.14  # the trials stand below their row's name, in rows
_ROUNDED_FROM_S = 10


def _read(material: Material) -> Subject:
    """Take the table of trials."""
    table = material.table_of("remedies are measured by notebooks/06-force-it.ipynb")
    grouped = table.groupby("method", sort=False)
    medians = grouped[["seconds", *_COSTS]].median()
    methods = records(medians.assign(trials=grouped.size()).reset_index())
    return Subject(
        source=material.source,
        draw=partial(remedies, table),
        numbers={
            "setting": material.source.setting,
            "methods": methods,
            "trials": records(table),
        },
        describe=partial(_describe, methods, material.source),
    )


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
    drawing.need(table, ["method", "seconds", *_COSTS], of="trials of cmhot refresh")
    ax = drawing.axes_or_new(ax)
    methods = [str(one) for one in table["method"].unique()]
    names = []
    for y, method in enumerate(methods):
        own = table[table["method"] == method]
        seconds = own["seconds"].to_numpy(dtype=np.float64)
        places = y + _BELOW * (1 + np.linspace(-0.7, 0.7, len(seconds) + 2)[1:-1])
        ax.plot(
            seconds,
            places,
            color=drawing.colour(ax, y),
            linestyle="none",
            marker=drawing.marker(y),
            markersize=5,
            alpha=0.7,
            label=method,
        )
        median = float(np.median(seconds))
        if len(own) > 1:
            ax.vlines(median, y, y + 2 * _BELOW, color=drawing.ink(), linewidth=2)
        names.append(_name(method, own, median, lang))
    ax.set_xscale("log")
    drawing.label_decades(ax.xaxis)
    drawing.name_rows(ax, names)
    ax.set_ylim(len(methods) - 0.4, -0.75)
    ax.set_xlabel(say("until all", lang))
    drawing.note_origin(ax, modelled=modelled, lang=lang)
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


_WORDS = {
    "title": Pair(
        "What forces an update, how fast, and at what cost",
        "让更新立即生效的办法及其代价",
    ),
    "alt": Pair(
        "Point chart on a log scale: seconds until all pods have the update, a row for "
        "each method. Medians: {points}.",
        "点图（对数刻度）：每种办法一行，横轴为全部 Pod 看到更新所需秒数。{points}。",
    ),
    "caption": Pair(
        "Each trial of each method, its median as a bar, its costs beside{by_law}. "
        "{trials}. {setting}{source}",
        "每种办法的各次试验与中位数，及其代价{by_law}。{trials} 次试验。"
        "{setting}{source}",
    ),
}
_POINT = Pair("{method}: {seconds}", "{method}：{seconds}")
_BY_LAW = Pair("; waiting is by the law", "（等待为理论值）")
_WAITED = Pair(
    "Who does nothing waits for the last pod; the median of that is {seconds}, by the "
    "law.",
    "什么都不做，最后一个 Pod 看到更新的中位时间为 {seconds}（理论值）。",
)
_TRIED = Pair(
    "With “{method}” all pods have it after {seconds} (median of {trials}), for {pods} "
    "replaced and {requests} to the API server.",
    "{method}的中位时间（{trials} 次）为 {seconds}，替换 {pods} 个 Pod，"
    "{requests} 次 API 请求。",
)


def _describe(methods: Sequence[Row], source: Source, lang: str) -> Description:
    """Describe how long each method takes and what it costs."""
    tried = [row for row in methods if row["method"] != _WAIT]
    waits = [row for row in methods if row["method"] == _WAIT]
    points = [say(_POINT, lang, **_values(row, lang)) for row in methods]
    said = [say(_WAITED, lang, **_values(row, lang)) for row in waits]
    said += [say(_TRIED, lang, **_values(row, lang)) for row in tried]
    return describe(
        _WORDS,
        lang,
        paragraph=joined(said, lang),
        points=semicolons(points, lang),
        by_law=say(_BY_LAW, lang) if waits else "",
        trials=counted(sum(row["trials"] for row in tried), "trial", lang),
        setting=source.setting_sentence(lang),
        source=source.sentence(lang),
    )


def _values(row: Row, lang: str) -> dict[str, Any]:
    return {
        "method": say(row["method"], lang),
        "seconds": seconds(row["seconds"], lang),
        "trials": row["trials"],
        "pods": counted(row["restarted"], "pod", lang),
        "requests": counted(row["requests"], "request", lang),
    }


FIGURE = NamedFigure(
    name="remedies",
    question={
        "en": "What forces an update into the pods, how fast, and at what cost?",
        "zh": "怎样让更新立即生效？多快？代价如何？",
    },
    needs="trials of notebook 06, not a run",
    read=_read,
)
