"""Under which loads a kubelet keeps to the law, and under which it does not.

The named figure ``limits``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from cmhot.kubelet.settings import Strategy
from cmhot.plots import drawing
from cmhot.plots.figure import NamedFigure, Subject, describe, records
from cmhot.plots.words import Pair, joined, listing, percent, say, seconds, semicolons

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Row, Source


_LOADS = ("pods", "strategy", "maps", "bytes", "keys", "core", "late_s")
_COLUMNS = (*_LOADS, "sync_frequency_s", "p99_s", "p99_s_low", "law_p99_s", "answer")
_ANSWERS = ("within", "not decided", "beyond", "no start")
_WITHIN, _UNDECIDED, _BEYOND, _NO_START = _ANSWERS
_MARGIN_S = 1.0
"""Above the law's p99; farther is beyond it."""
_PALE = 0.12
_TOP = -3.0  # room for the legend, in rows
_KIB = 1024
_LEFT, _ROOM = 0.7, 1.15  # from the law's p99 to the farthest end
_TICKS = (1, 1.5, 2, 3, 5)
_EDGE = 1.05  # right of the mark of pods that did not start


def _read(material: Material) -> Subject:
    """Take the table of loads."""
    table = material.table_of("loads are measured by `make study PARTS=validity-pods`")
    rows = records(table)
    return Subject(
        source=material.source,
        draw=partial(law_limits, table),
        numbers={"margin_s": _MARGIN_S, "loads": rows},
        describe=partial(_describe, rows, material.source),
    )


def law_limits(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw p99 of the delay under each load, beside the law's, on a log scale.

    Parameters
    ----------
    table
        One row per load: ``pods`` on the kubelet, its ``strategy``, ``maps`` (that each
        pod mounts), ``bytes`` and ``keys`` of the measured one (0 bytes: a number
        alone), ``core`` (share that the kubelet may use; NaN: all), ``late_s`` (how
        late the API server answers), ``sync_frequency_s``; and what was found:
        ``p99_s``, ``p99_s_low`` and ``p99_s_high`` (NaN: endless), ``law_p99_s``, and
        ``answer`` (``within``, ``beyond``, ``not decided``, or ``no start``: its pods
        did not become Ready, and nothing was measured).
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
    drawing.need(table, _COLUMNS, of="where the law ends")
    ax = drawing.axes_or_new(ax)
    rows = records(table)
    groups = [_group(row, lang) for row in rows]
    # a heading has a row of its own
    at = np.array([y + len({*groups[: y + 1]}) for y in range(len(rows))], dtype=float)
    value, low, law = (
        drawing.column(table, name) for name in ("p99_s", "p99_s_low", "law_p99_s")
    )
    high = drawing.column(table, "p99_s_high", np.inf)
    seen = np.concatenate([value, low, high, law + _MARGIN_S])
    end = _ROOM * float(seen[np.isfinite(seen)].max())
    silent = (table["answer"] == _NO_START).to_numpy()
    low = np.where(silent, end / _EDGE, low)
    high = np.where(silent, low, np.minimum(high, 2 * end))
    centre = np.where(np.isnan(value), low, value)
    ax.barh(at, _MARGIN_S, 1, law, color=drawing.ink(), alpha=_PALE, linewidth=0)
    ax.vlines(law, at - 0.5, at + 0.5, color=drawing.ink(), linestyle="--", lw=1.1)
    for number, answer in enumerate(_ANSWERS):
        own = (table["answer"] == answer).to_numpy()
        found = centre[own], low[own], high[own]
        drawing.draw_estimates(ax, number, at[own], found, upright=False, capsize=3)
    ax.set_xscale("log")
    ax.set_xlim(_LEFT * float(law.min()), end)
    drawing.label_decades(ax.xaxis, at=_TICKS)
    ax.set_xlabel(say("p99 under a load", lang))
    _name(ax, at.tolist(), rows, groups, lang)
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    entries = _entries(ax, table, lang)
    drawing.legend_above(ax, int(at[-1]) + 1, handles=entries, columns=4)
    ax.set_ylim(top=_TOP)
    return ax


def _group(row: Row, lang: str) -> str:
    """Say in what a load differs from the idle kubelet."""
    return say(_GROUPS[_kind(row)], lang, kib=row["bytes"] / _KIB, **row)


def _kind(row: Row) -> str:
    if row["late_s"]:
        return "late"
    if row["core"] is not None:
        return "core"
    if row["bytes"]:
        return "keys" if row["keys"] > 1 else "bytes"
    idle = row["strategy"] == Strategy.WATCH.value and row["maps"] == 1
    return "pods" if idle else "maps"


def _load(row: Row, lang: str) -> str:
    """Write the load itself, which its group gives a meaning."""
    kind = _kind(row)
    if kind == "late":
        return say("s", lang, value=row["late_s"])
    if kind == "core":
        return percent(row["core"])
    if kind == "bytes":
        return f"{row['bytes'] / _KIB:,.0f} KiB"
    return f"{row[kind]:,}"


def _name(
    ax: Axes, at: Sequence[float], rows: Sequence[Row], groups: list[str], lang: str
) -> None:
    """Name each row beside the Axes, and each group above its rows."""
    ax.set_yticks(at, [_load(row, lang) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    for group in dict.fromkeys(groups):
        ax.text(
            0.01,
            at[groups.index(group)] - 1,
            group,
            transform=ax.get_yaxis_transform(),
            va="center",
            bbox=drawing.behind(ax),
        )


def _entries(ax: Axes, table: pd.DataFrame, lang: str) -> list[Line2D]:
    """Give the legend's entries: the law, and a look for each answer that is there."""
    answers = [
        Line2D(
            *([], []),
            color=drawing.colour(ax, number),
            linestyle="none",
            marker=drawing.marker(number),
            markersize=8,
            label=say(answer, lang),
        )
        for number, answer in enumerate(_ANSWERS)
        if (table["answer"] == answer).any()
    ]
    law = Line2D([], [], color=drawing.ink(), linestyle="--", label=say("law", lang))
    return [law, *answers]


_GROUPS = {
    "pods": Pair("pods", "Pod 数"),
    "maps": Pair(
        "ConfigMaps a pod, {strategy}, {pods} pods",
        "每 Pod 的 ConfigMap 数，{strategy}，{pods} 个 Pod",
    ),
    "bytes": Pair(
        "size of the ConfigMap, {pods} pods", "ConfigMap 大小，{pods} 个 Pod"
    ),
    "keys": Pair(
        "keys of {kib:.0f} KiB, {pods} pods", "{kib:.0f} KiB 的键数，{pods} 个 Pod"
    ),
    "core": Pair("share of a core, {pods} pods", "可用的单核份额，{pods} 个 Pod"),
    "late": Pair(
        "API server late, {strategy}, {pods} pods",
        "API server 应答延迟，{strategy}，{pods} 个 Pod",
    ),
}
_WORDS = {
    "title": Pair("Where the law ends", "理论分布在哪里失效"),
    "alt": Pair(
        "Point chart on a log scale: p99 of the delay, a row for each load of a "
        "kubelet, beside the law's p99 of {law}. {points}.",
        "点图（对数刻度）：横轴为延迟的 99 % 分位数，kubelet 的每种负载一行；"
        "理论值为 {law}。{points}。",
    ),
    "caption": Pair(
        "p99 of the delay at syncFrequency {sync:g} s, each load on a kubelet of its "
        "own; bars: 95 % on each side. Dashed: the law, which knows no load; shaded: "
        "up to {margin:g} s above it. Unless said otherwise, Watch and a ConfigMap "
        "of a number alone. {source}",
        "syncFrequency 为 {sync:g} 秒时延迟的 99 % 分位数，每种负载各用一个 kubelet；"
        "横线为每侧 95 % 的置信限。虚线为理论值（与负载无关），"
        "阴影为其上 {margin:g} 秒以内。未另注明者为 Watch、仅含一个数字的 ConfigMap。"
        "{source}",
    ),
}
_POINT = Pair("{group}: {loads}", "{group}：{loads}")
_VALUE = Pair("{load} ({p99})", "{load}（{p99}）")
_KEPT = Pair(
    "Under {n} of {all} loads p99 of the delay stayed within {margin:g} s of the law's "
    "{law}.",
    "{all} 种负载中有 {n} 种的延迟 99 % 分位数不超过理论值（{law}）加 {margin:g} 秒。",
)
_MORE = Pair("It was more under these: {loads}.", "超出的有：{loads}。")
_NONE = Pair("Nothing was measured with {loads}.", "未能测量的有：{loads}。")
_OPEN = Pair("Not decided: {loads}.", "未能判定的有：{loads}。")


def _describe(rows: Sequence[Row], source: Source, lang: str) -> Description:
    """Describe which loads the law bears, and name those that it does not."""
    law = seconds(max(row["law_p99_s"] for row in rows), lang)
    kept = sum(row["answer"] == _WITHIN for row in rows)
    said = [say(_KEPT, lang, n=kept, all=len(rows), margin=_MARGIN_S, law=law)]
    for pair, answer in ((_MORE, _BEYOND), (_NONE, _NO_START), (_OPEN, _UNDECIDED)):
        own = [row for row in rows if row["answer"] == answer]
        said += [say(pair, lang, loads=_listed(own, lang))] if own else []
    return describe(
        _WORDS,
        lang,
        paragraph=joined(said, lang),
        points=_listed(rows, lang),
        law=law,
        sync=rows[0]["sync_frequency_s"],
        margin=_MARGIN_S,
        source=source.sentence(lang),
    )


def _listed(rows: Sequence[Row], lang: str) -> str:
    """List loads with their p99, by group."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        p99 = say(_NO_START, lang) if row["answer"] == _NO_START else _p99(row, lang)
        value = say(_VALUE, lang, load=_load(row, lang), p99=p99)
        groups.setdefault(_group(row, lang), []).append(value)
    points = [
        say(_POINT, lang, group=group, loads=listing(values, lang))
        for group, values in groups.items()
    ]
    return semicolons(points, lang)


def _p99(row: Row, lang: str) -> str:
    """Write p99; where it was not reached, what it is at least."""
    if row["p99_s"] is not None:
        return seconds(row["p99_s"], lang)
    return say(_AT_LEAST, lang, value=row["p99_s_low"])


_AT_LEAST = Pair("over {value:.1f} s", "超过 {value:.1f} 秒")

FIGURE = NamedFigure(
    name="limits",
    question={
        "en": "Under which loads does a kubelet no longer keep to the law?",
        "zh": "哪些负载会让 kubelet 偏离理论分布？",
    },
    needs="the loads of the study, not a run",
    read=_read,
    wide=(8.0, 7.6),
    narrow=(4.2, 7.6),
)
