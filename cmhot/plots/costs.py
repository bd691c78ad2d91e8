"""What a shorter syncFrequency costs a kubelet.

The named figure ``costs``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law.price import design, fitted, is_saturated, price_of, row_of
from cmhot.plots import drawing
from cmhot.plots.figure import NamedFigure, Subject, describe, records
from cmhot.plots.words import Pair, joined, say, semicolons

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.law.price import Price
    from cmhot.plots.figure import Description, Material, Row, Source


_QUANTITIES = {"millicores": "millicores", "requests_per_s": "requests"}
"""As the law names them, and columns of the table."""
_MADE_OF = ("pods", "maps", "strategy", "syncs_per_s")
_COLUMNS = (*_MADE_OF, "sync_frequency_s", "saturated", *_QUANTITIES.values())
_HEIGHTS = (3, 2)  # of the two panels
_SWEEP = 100  # corners of a curve
_ROOM = 1.8  # above the curves, for the legend
_ASKED = Setting(10)
"""What the words compare with the default."""


def _read(material: Material) -> Subject:
    """Take the table of cells, and the price that was fitted to their windows."""
    table = material.table_of("costs are measured by `make study PARTS=costs`")
    return Subject(
        source=material.source,
        draw=partial(sync_costs, table),
        numbers={"prices": _prices(table), "cells": records(table)},
        describe=partial(_describe, table, material.source),
    )


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out what is not drawn."""
    return table[(table["maps"] == 1) & (table["pods"] > 0) & ~table["saturated"]]


def _prices(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Price each cell that is drawn."""
    rows = []
    for row in records(_cells(table)):
        found = price_of(_setting(row), pods=row["pods"])
        keys = ("pods", "sync_frequency_s", "strategy")
        rows.append({key: row[key] for key in keys} | {**found.spent})
    return rows


def _setting(row: Row) -> Setting:
    return Setting(row["sync_frequency_s"], Strategy(row["strategy"]))


def sync_costs(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw CPU and requests of a kubelet against `syncFrequency`, and the fitted law.

    A window holds more or fewer syncs than the law has on average (pods that were
    started together are synced together), so that each point is moved by what the fit
    gives for the difference.

    Parameters
    ----------
    table
        Means of the windows of each population at each setting, as docs/findings.json
        has them (``costs``, ``cells``). Those of pods with one ConfigMap are drawn.
    ax, modelled, lang
        Where to draw (None: new Axes; they are split in two, requests below), whether
        the figure is to say that its numbers come from the model, and the language of
        its words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        Those with the CPU.

    Raises
    ------
    UsageError
        When the table lacks a column, or has no row.
    """
    drawing.need(table, _COLUMNS, of="what a shorter syncFrequency costs")
    upper = drawing.axes_or_new(ax)
    rows = _cells(table)
    syncs_s = sorted(rows["sync_frequency_s"].unique())
    panels = _split(upper)
    for panel, (name, column) in zip(panels, _QUANTITIES.items(), strict=False):
        _draw(panel, rows, name, column)
        panel.set_xscale("log")
        panel.set_yscale("log")
        drawing.label_decades(panel.yaxis)
        panel.set_xticks(syncs_s, [f"{one:g}" for one in syncs_s])
        panel.minorticks_off()
    upper.set_ylim(top=_ROOM * upper.get_ylim()[1])
    upper.set_ylabel(say("millicores", lang))
    panels[-1].set_xlabel(say("sync frequency", lang))
    if panels[1:]:
        panels[1].set_ylabel(say("requests a second", lang))
        upper.tick_params(labelbottom=False)
    above = upper.secondary_xaxis("top")
    p99_s = [price_of(Setting(one)).p99_s[0] for one in syncs_s]
    above.set_xticks(syncs_s, [f"{one:.0f}" for one in p99_s])
    above.minorticks_off()
    above.set_xlabel(say("p99 of the delay", lang))
    drawing.note_origin(upper, modelled=modelled, lang=lang)
    upper.legend(handles=_entries(upper, rows, lang), loc="upper right", ncols=2)
    return upper


def _split(ax: Axes) -> list[Axes]:
    """Make room for Axes below; there is none for those without a place in a grid."""
    place, figure = ax.get_subplotspec(), ax.get_figure(root=True)
    if place is None or figure is None:
        return [ax]
    rows = place.subgridspec(2, 1, height_ratios=_HEIGHTS)
    ax.set_subplotspec(rows[0])
    return [ax, figure.add_subplot(rows[1], sharex=ax)]


def _draw(ax: Axes, rows: pd.DataFrame, name: str, column: str) -> None:
    """Draw a quantity: a curve and points for each number of pods and strategy."""
    fit = fitted().fits[name]
    syncs_s = rows["sync_frequency_s"]
    swept_s = np.geomspace(syncs_s.min(), syncs_s.max(), _SWEEP)
    for number, pods in enumerate(sorted(rows["pods"].unique())):
        hue = drawing.colour(ax, number)
        for way, strategy in enumerate(Strategy):
            settings = [Setting(one, strategy) for one in swept_s]
            free = [x for x in settings if not is_saturated(x, pods=pods, maps=1)]
            ax.plot(
                [one.sync_frequency_s for one in free],
                [fit.of(row_of(one, pods=pods, maps=1))["value"] for one in free],
                color=hue,
                linestyle=drawing.LINES[way],
                linewidth=1.3,
            )
            own = rows[(rows["pods"] == pods) & (rows["strategy"] == strategy.value)]
            law = [row_of(_setting(row), pods=pods, maps=1) for row in records(own)]
            counted = design(**{name: own[name].to_numpy() for name in _MADE_OF})
            ax.plot(
                own["sync_frequency_s"],
                own[column] + (np.reshape(law, counted.shape) - counted) @ fit.value,
                color=hue,
                linestyle="none",
                marker=drawing.marker(way),
                markersize=6,
                markeredgecolor=ax.get_facecolor(),
                markeredgewidth=0.7,
            )


def _entries(ax: Axes, rows: pd.DataFrame, lang: str) -> list[Line2D]:
    """Give the legend's entries: a colour a number of pods, a look a strategy."""
    pods = [
        Line2D(
            *([], []),
            color=drawing.colour(ax, number),
            linewidth=drawing.CURVE_PT,
            label=say("pods of a node", lang, value=one),
        )
        for number, one in enumerate(sorted(rows["pods"].unique()))
    ]
    return pods[::-1] + [
        Line2D(
            *([], []),
            color="grey",
            linestyle=drawing.LINES[way],
            marker=drawing.marker(way),
            label=strategy.value,
        )
        for way, strategy in enumerate(Strategy)
    ]


_WORDS = {
    "title": Pair(
        "What a shorter syncFrequency costs the kubelet",
        "缩短 syncFrequency 要让 kubelet 付出什么",
    ),
    "alt": Pair(
        "Line chart, all axes logarithmic: CPU of the kubelet above, its requests to "
        "the API server below, against syncFrequency. {pods} pods, Watch: {points}.",
        "折线图（各轴均为对数刻度）：上为 kubelet 的 CPU，下为它向 API server 发出的"
        "请求，横轴为 syncFrequency。{pods} 个 Pod，Watch：{points}。",
    ),
    "caption": Pair(
        "What idle pods with one ConfigMap each cost the kubelet of their node. "
        "Lines: the fitted law; points: measured, moved by the fit to the number of "
        "syncs that the law has. Cache has a TTL of 0. Not counted: containerd, API "
        "server, etcd. {source}",
        "空闲 Pod（各挂载一个 ConfigMap）让所在节点的 kubelet 付出的代价。"
        "曲线为拟合结果；点为实测值，按拟合折算为理论同步次数。Cache 的 TTL 为 0。"
        "不含 containerd、API server 与 etcd。{source}",
    ),
}
_MORE = Pair(
    "On a node of {pods} such pods, {here:g} s instead of the default {there:g} s "
    "brings the 99 % point of the delay from {late:.1f} s to {early:.1f} s, and costs "
    "{costs} under Watch.",
    "节点上有 {pods} 个这样的 Pod 时，把默认的 {there:g} 秒改为 {here:g} 秒，"
    "延迟的 99 % 分位数由 {late:.1f} 秒降到 {early:.1f} 秒，Watch 下代价为 {costs}。",
)
_READS = Pair(
    "Under Get and Cache each sync sends a request for each ConfigMap: there it is "
    "{costs} under Get.",
    "Get 与 Cache 下每次同步都为每个 ConfigMap 发一次请求：Get 下为 {costs}。",
)
_COSTS = Pair(
    "{cpu:+.1f} millicores (95 %: {cpu_low:.1f} to {cpu_high:.1f}) and "
    "{requests:+z.2f} requests/s",
    "{cpu:+.1f} 毫核（95 %：{cpu_low:.1f} 至 {cpu_high:.1f}）、"
    "{requests:+z.2f} 次请求/秒",
)
_POINT = Pair("{sync:g} s: {cpu:.1f} millicores", "{sync:g} 秒 {cpu:.1f} 毫核")


def _describe(table: pd.DataFrame, source: Source, lang: str) -> Description:
    """Describe how the cost grows, and what a shorter one costs for most pods."""
    pods = int(_cells(table)["pods"].max())
    points = [
        say(_POINT, lang, sync=row["sync_frequency_s"], cpu=row["millicores"]["value"])
        for row in _prices(table)
        if row["pods"] == pods and row["strategy"] == Strategy.WATCH.value
    ]
    default = Setting()
    watch, get = (
        price_of(
            Setting(_ASKED.sync_frequency_s, strategy),
            pods=pods,
            instead_of=Setting(default.sync_frequency_s, strategy),
        )
        for strategy in (Strategy.WATCH, Strategy.GET)
    )
    early, late = watch.p99_s
    more = say(
        _MORE,
        lang,
        pods=pods,
        here=_ASKED.sync_frequency_s,
        there=default.sync_frequency_s,
        early=early,
        late=late,
        costs=_costs(watch, lang),
    )
    return describe(
        _WORDS,
        lang,
        paragraph=joined([more, say(_READS, lang, costs=_costs(get, lang))], lang),
        pods=pods,
        points=semicolons(points, lang),
        source=source.sentence(lang),
    )


def _costs(price: Price, lang: str) -> str:
    cpu = price.more["millicores"]
    low, high = cpu["95"]
    return say(
        _COSTS,
        lang,
        cpu=cpu["value"],
        cpu_low=low,
        cpu_high=high,
        requests=price.more["requests_per_s"]["value"],
    )


FIGURE = NamedFigure(
    name="costs",
    question={
        "en": "What does a shorter syncFrequency cost the kubelet?",
        "zh": "缩短 syncFrequency 要让 kubelet 付出什么代价？",
    },
    needs="the windows of the study, not a run",
    read=_read,
    wide=(8.0, 6.0),
    narrow=(4.2, 6.4),
)
