"""How long pods wait for an update: the share of them that has it within t.

The named figures ``delay-distribution``, and ``headline``, of one strategy alone.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.plots import drawing
from cmhot.plots.figure import NamedFigure, Subject, describe, reads_each_sync
from cmhot.plots.words import (
    VOLUME,
    Pair,
    joined,
    listing,
    name_of,
    say,
    seconds,
    semicolons,
    setting_name,
    strategy_name,
    sync_of,
)
from cmhot.runs import schema
from cmhot.statistics import GROUP, cdf_bounds, delay_blocks, survival_curve
from cmhot.statistics.agreement import expected_law
from cmhot.statistics.population import populations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from cmhot.law import Law
    from cmhot.plots.figure import Description, Material, Source
    from cmhot.statistics.summary import SettingSummary, Summary

    Floats = npt.NDArray[np.float64]
    Band = tuple[Floats, Floats, Floats]

_TABLE = "cmhot.runs.delays.delays"
_CORNERS = 501  # corners of a curve: more cannot be seen, and make a large SVG
_BAND_CORNERS = 201
_ROOM, _ROOM_ABOVE = 1.02, 1.1  # of the axes beyond the curves; for names above them
_NEAR_1 = 0.99  # where a curve seems to reach the top
_ALIKE = 0.04  # of the axis: curves that end no further apart lie on each other
_NEEDED = (*GROUP, "node", "pod", "configmap", "status", "delay_s")
_WAITED = ("acked_ns", "published_ns", "waited_s")


def _read(material: Material) -> Subject:
    """Take the delays of all runs, or the table that is given instead.

    The words are about the settings that are drawn.
    """
    rows, summary = material.table, material.summary
    if rows is None:
        rows = material.delays
    else:
        summary = _of_what_is_in(rows, summary)
    return _subject(rows, summary, material.source_of(rows))


def _read_headline(material: Material) -> Subject:
    """Take the volumes of one strategy: others would lie on the same curves."""
    given = material.table
    rows = material.delays if given is None else given
    summary = _of_what_is_in(rows, material.summary)
    kept = {_key(one.population) for one in series(summary)}
    drawn = [own for population, own in populations(rows) if _key(population) in kept]
    if not drawn:
        msg = "headline needs a pod that mounts the ConfigMap and saw an update"
        raise UsageError(msg)
    rows = pd.concat(drawn, ignore_index=True)
    return _subject(rows, _of_what_is_in(rows, summary), material.source_of(rows))


def _subject(rows: pd.DataFrame, summary: Summary, source: Source) -> Subject:
    return Subject(
        source=source,
        draw=partial(delay_distribution, rows, kubernetes=source.kubernetes),
        numbers=summary.to_dict(),
        describe=partial(_describe, summary, source),
    )


def _of_what_is_in(rows: pd.DataFrame, summary: Summary) -> Summary:
    """Keep the settings and consumers that occur in a table of delays."""
    drawn = rows.reindex(columns=GROUP).drop_duplicates()
    there = {_key(one) for one in drawn.to_dict("records")}
    kept = tuple(own for own in summary.settings if _key(own.population) in there)
    return replace(summary, settings=kept)


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(row[name]) else row[name] for name in GROUP)


def delay_distribution(
    delays: pd.DataFrame,
    *,
    ax: Axes | None = None,
    laws: bool = True,
    band: bool = True,
    kubernetes: str | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the share of updates seen within t, a curve per setting and consumer.

    Where something was waited for in vain the curve is the product-limit estimate
    (`cmhot.statistics.survival_curve`), and it may end below 1.

    Parameters
    ----------
    delays
        As `cmhot.runs.delays.delays` gives it.
    ax, modelled, lang
        Where to draw (None: new Axes), whether the figure is to say that its numbers
        come from the model, and the language of its words, ``en`` or ``zh``.
    laws
        Whether to draw the law over each curve, where one is known.
    band
        Whether to draw the pointwise 95 % confidence band of each curve;
        there is none where there are too few independent blocks for an interval,
        or where something was waited for in vain.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column,
        or has no delay that was observed or waited for.
    """
    ax = drawing.axes_or_new(ax)
    curves = list(_curves(delays, band=band, kubernetes=kubernetes, lang=lang))
    last_s = max(curve.end_s for curve in curves)
    end_s = last_s * _ROOM
    syncs = list(dict.fromkeys(curve.sync for curve in curves))
    ways = list(dict.fromkeys(curve.way for curve in curves))
    labels = _direct_labels(ax, curves, end_s) if 1 < len(syncs) <= drawing.HUES else []
    marked = not {text for _, text, _ in labels} & {curve.label for curve in curves}
    for number, curve in enumerate(curves):
        hue = drawing.colour(ax, syncs.index(curve.sync))
        kind = ways.index(curve.way) if labels else number
        marks = drawing.marked_curve(ax, number, of=len(curves), kind=kind)
        _draw_band(ax, curve, hue, lang)
        ax.step(
            *_prolonged(curve, last_s),
            where="post",
            linewidth=drawing.CURVE_PT,
            label=curve.label,
            color=hue,
            **(marks if marked else {}),
        )
    for curve in curves if laws else []:
        if curve.law is not None:
            drawing.draw_law(ax, curve.law.t, curve.law.share, label=say("law", lang))
    drawing.label_shares(ax, end_s, lang=lang)
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    for at_s, text, move_pt in labels:
        ax.annotate(
            *(text, (at_s, 1.0)),
            xytext=(move_pt, 5),
            textcoords="offset points",
            ha="center",
        )
    if labels:
        ax.set_ylim(0, _ROOM_ABOVE)
    named = {curve.label for curve in curves} if labels else set()
    entries = drawing.entries(ax, [], ways) if labels and marked else []
    _legend(ax, entries, without=named, several=len(curves) > 1, lang=lang)
    return ax


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """The curve, the law and the band of one setting and consumer."""

    label: str
    sync: str
    """Name of its `syncFrequency`: one colour for all curves that have it."""
    way: str
    """Name of the rest, such as ``Watch``: one marker."""
    law: Law | None  # None: none is known
    t: Floats
    """Corners of `share`, the part that has the update; steps to the right of each."""
    share: Floats
    band: Band | None
    """Delays, and the lower and upper limit of the share there; None: no interval."""
    end_s: float  # where the axis has to end


def _curves(
    delays: pd.DataFrame, *, band: bool, kubernetes: str | None, lang: str
) -> Iterator[_Curve]:
    """Make the curve of each setting and consumer."""
    drawing.need(delays, _NEEDED, of=_TABLE)
    lost = delays["status"].isin(schema.DEAD_ENDS)
    more = [*_WAITED] if lost.any() else ["acked_ns"] if band else []
    drawing.need(delays, more, of=_TABLE)
    optional = ("modelled", "clock_bound_s")  # the former is never mixed
    more += [str(name) for name in delays if name in optional]
    drawn = lost | (delays["status"] == "observed")
    kept = delays[[*_NEEDED, *more]]
    if not drawn.all():  # ten million rows are not copied without need
        kept = kept[drawn]
    if kept.empty:
        msg = "no delays to draw: the table has no row that was observed or waited for"
        raise UsageError(msg)
    several = len(kept["consumer"].unique()) > 1
    for population, own in populations(kept):
        names = [setting_name(population, lang), strategy_name(population, lang)]
        if several:
            consumer = say(str(population["consumer"]), lang)
            names = [say("with", lang, name=one, more=consumer) for one in names]
        label, way = names
        law = expected_law(own)
        t, share = _share_seen(own)
        furthest_s = max(float(t[-1]), 1.0 if len(t) == 1 else 0.0)
        yield _Curve(
            label=label,
            sync=sync_of(population, lang),
            way=way,
            law=law,
            t=t,
            share=share,
            band=_band(own, kubernetes) if band else None,
            end_s=furthest_s if law is None else max(furthest_s, law.max_s),
        )


def _share_seen(own: pd.DataFrame) -> tuple[Floats, Floats]:
    """Give the corners of the share seen, from 0 on; of many, an even choice."""
    status = own["status"]
    if not status.isin(["observed", "missed"]).any():
        return np.zeros(1), np.zeros(1)
    if (status == "observed").all():
        t = np.sort(own["delay_s"].to_numpy(dtype=np.float64))
        share = np.arange(1, len(t) + 1) / len(t)
    else:
        found = survival_curve(own)
        t, share = found["delay_s"].to_numpy(), found["share"].to_numpy()
    t = np.concatenate([[min(0.0, float(t[0]))], t])
    share = np.concatenate([[0.0], share])
    shown = _evenly(len(t), _CORNERS)
    return t[shown], share[shown]


def _evenly(number: int, most: int) -> npt.NDArray[np.int_]:
    """Choose at most so many of a number of places, evenly, with both ends."""
    return np.unique(np.linspace(0, number - 1, most).round().astype(int))


def _prolonged(curve: _Curve, end_s: float) -> tuple[Floats, Floats]:
    """Draw a curve that does not reach 1 on to the end: longer delays are missing."""
    if curve.share[-1] < 1:
        return np.append(curve.t, end_s), np.append(curve.share, curve.share[-1])
    return curve.t, curve.share


def _band(own: pd.DataFrame, kubernetes: str | None) -> Band | None:
    """Give the 95 % limits of the share at each delay; None: there are none."""
    if (own["status"] != "observed").any():
        return None
    blocks = delay_blocks(own, kubernetes=kubernetes)
    if blocks.shortfall() is not None or len(blocks.t) < 2:  # noqa: PLR2004 - as `statistics.confidence` has it
        return None
    low, high = cdf_bounds(blocks)
    # a distribution function rises; so do the limits that quantiles are read from
    low, high = np.minimum.accumulate(low[::-1])[::-1], np.maximum.accumulate(high)
    shown = _evenly(len(low), _BAND_CORNERS)
    return blocks.t[shown], low[shown], high[shown]


def _draw_band(ax: Axes, curve: _Curve, hue: str, lang: str) -> None:
    if curve.band is not None:
        t, low, high = curve.band
        ax.fill_between(
            *(t, low, high),
            step="post",
            color=hue,
            alpha=0.25,
            linewidth=0,
            label=say("band", lang),
        )


def _direct_labels(
    ax: Axes, curves: Sequence[_Curve], end_s: float
) -> list[tuple[float, str, float]]:
    """Choose names to stand above curves: of those of one S that end alike but one.

    Each is the delay at which it stands, the name, and the points to move it by. It is
    that of the setting where there is one strategy, and room; else `syncFrequency`.
    Empty: a curve does not end at 1, or there is no room for either.
    """
    if any(curve.share[-1] < 1 for curve in curves):
        return []
    ends = [float(np.interp(_NEAR_1, curve.share, curve.t)) for curve in curves]
    ordered = sorted(zip(ends, curves, strict=True), key=lambda one: one[0])
    whole = [True, False] if len({curve.way for curve in curves}) == 1 else [False]
    for is_whole in whole:
        named: list[tuple[float, str]] = []
        for at_s, curve in ordered:
            name = curve.label if is_whole else curve.sync
            if not any(
                name == other and at_s - before_s < _ALIKE * end_s
                for before_s, other in named
            ):
                named.append((at_s, name))
        places = [at_s / end_s for at_s, _ in named]
        moves = drawing.place_above(ax, [name for _, name in named], places)
        if moves is not None:
            return [(*one, by_pt) for one, by_pt in zip(named, moves, strict=True)]
    return []


def _legend(
    ax: Axes, first: Sequence[Line2D], *, without: set[str], several: bool, lang: str
) -> None:
    """Name each curve once that has no name yet, the laws and the bands once together.

    The entries in `first` come first.
    """
    handles, labels = ax.get_legend_handles_labels()
    once: dict[str, Any] = {str(one.get_label()): one for one in first}
    once |= {
        label: one
        for label, one in zip(labels, handles, strict=True)
        if label not in without
    }
    band = once.pop(say("band", lang), None)
    if band is not None:  # the last entry; in no curve's colour if it is for several
        grey = Patch(color="grey", alpha=0.4, linewidth=0)
        once[say("band", lang)] = grey if several else band
    drawing.legend_below(ax, once.values(), once.keys())


_WORDS = {
    "title": Pair(
        "How long pods wait for a changed ConfigMap",
        "ConfigMap 修改后，Pod 要等多久才能看到",
    ),
    "alt": Pair(
        "Line chart, {measured}: the share of pods that have the update against the "
        "delay in seconds, one curve for each kubelet setting, with the law dashed "
        "over it. {curves}.",
        "折线图，{measured}：横轴为延迟（秒），纵轴为已看到更新的 Pod 比例，"
        "每种 kubelet 设置一条曲线，虚线为理论分布。{curves}。",
    ),
    "caption": Pair(
        "Share of pods that have the update, against the time since the API server "
        "acknowledged it; shaded: 95 % confidence; dashed: the law. {names}; "
        "{n_delays:,} delays in {n_pods} pods. {source}",
        "自 API server 确认更新起，已看到更新的 Pod 比例；阴影为 95 % 置信区间，"
        "虚线为理论分布。{names}；{n_pods} 个 Pod 中的 {n_delays:,} 个延迟。"
        "{source}",
    ),
}
_MEASURED, _MODELLED = Pair("measured", "实测"), Pair("modelled", "模型结果")
_CURVE = Pair(
    "{name}: half by {p50}, 95 % by {p95}{law}",
    "{name}：半数 Pod 在 {p50}内、95 % 在 {p95}内看到更新{law}",
)
_LAW = Pair(" (law: {p50} and {p95})", "（理论：{p50}、{p95}）")


def _describe(summary: Summary, source: Source, lang: str) -> Description:
    """Describe the delays of each setting."""
    curves = []
    for own in summary.settings:
        p50, p95, law50, law95 = (
            seconds(one[name], lang)
            for one in (own.direct, own.law)
            for name in ("p50_s", "p95_s")
        )
        known = own.law["p50_s"] is not None
        law = say(_LAW, lang, p50=law50, p95=law95) if known else ""
        name = name_of(own, summary, lang)
        curves.append(say(_CURVE, lang, name=name, p50=p50, p95=p95, law=law))
    names = dict.fromkeys(name_of(own, summary, lang) for own in summary.settings)
    return describe(
        _WORDS,
        lang,
        measured=say(_MODELLED if source.modelled else _MEASURED, lang),
        curves=semicolons(curves, lang),
        names=semicolons(names, lang),
        n_delays=sum(own.counts["n_delays"] for own in summary.settings),
        n_pods=sum(own.counts["pods"] for own in summary.settings),
        source=source.sentence(lang),
        paragraph=_paragraph(summary, source, lang),
    )


_NOTHING = Pair(
    "No pod showed any update, so there is nothing to explain.",
    "没有任何 Pod 看到更新，因此无可说明。",
)
_WHY = Pair(
    "A pod does not see a changed ConfigMap when it is written, but when its kubelet "
    "next syncs the pod.",
    "Pod 并不是在 ConfigMap 写入时看到新内容，而是在 kubelet 下一次同步该 Pod 时。",
)
_WAIT = Pair(
    "With {frequency}, half of the pods {had} it after {p50} and 99 in 100 after "
    "{p99}; the mean is {mean}, the slowest of {n:,} took {longest}.",
    "{frequency}时，半数 Pod {had}在 {p50}内看到更新，99 % 在 {p99}内；"
    "平均 {mean}，{n:,} 次中最慢的一次为 {longest}。",
)
_FREQUENCY = Pair("a syncFrequency of {sync}", "syncFrequency 为 {sync}")
_NO_FREQUENCY = Pair("an unknown syncFrequency", "syncFrequency 为 未知")
_HAD, _WOULD_HAVE_HAD = Pair("had", ""), Pair("would have had", "将")
_LONGER = Pair(
    "So syncFrequency is not the longest delay: it is the shortest time between two "
    "syncs, which come up to one and a half times as far apart.",
    "所以 syncFrequency 不是最长延迟，而是两次同步之间的最短间隔；"
    "实际间隔最长可达其 1.5 倍。",
)
_GROWTH = Pair(
    "From {low:g} s to {high:g} s, a syncFrequency {times:.3g} times as long made the "
    "mean delay {grown:.1f} times as long.",
    "syncFrequency 从 {low:g} 秒增至 {high:g} 秒（{times:.3g} 倍），"
    "平均延迟为原来的 {grown:.1f} 倍。",
)
_STRATEGIES = Pair(
    "How the kubelet detects changes matters little in comparison: {means}.",
    "相比之下，变更检测方式影响很小：{means}。",
)
_MEANS = Pair(
    "at {sync_s:g} s the means are {means}", "{sync_s:g} 秒时平均延迟为 {means}"
)
_MEAN = Pair("{mean} under {strategy}", "{strategy} {mean}")
_AGREEMENT = Pair(
    "Estimated from the intervals between syncs, no curve is further from the law "
    "than {furthest:.1f} percentage points.",
    "按同步间隔估计，各曲线与理论分布相差不超过 {furthest:.1f} 个百分点。",
)

_CONTRADICTION = Pair(
    "The delays with {name} contradict the law: their mean is {mean}, the law's {law}.",
    "{name} 的延迟与理论分布不符：平均 {mean}，理论为 {law}。",
)


def _paragraph(summary: Summary, source: Source, lang: str) -> str:
    """Write what follows from the delays, for the longest `syncFrequency` first."""
    chosen = series(summary)
    if not chosen:
        return say(_NOTHING, lang)
    last = chosen[-1]
    own, sync_s = last.direct, last.population["sync_frequency_s"]
    wait = say(
        _WAIT,
        lang,
        frequency=say(
            _NO_FREQUENCY if sync_s is None else _FREQUENCY,
            lang,
            sync=sync_of(last.population, lang),
        ),
        had=say(_WOULD_HAVE_HAD if source.modelled else _HAD, lang),
        p50=seconds(own["p50_s"], lang),
        p99=seconds(own["p99_s"], lang),
        mean=seconds(own["mean_s"], lang),
        n=last.counts["n_delays"],
        longest=seconds(own["max_s"], lang),
    )
    said = [say(_WHY, lang), wait]
    if sync_s is not None and own["max_s"] is not None and own["max_s"] > sync_s:
        said.append(say(_LONGER, lang))
    said += _growth(chosen[0], last, lang)
    said += _strategies(summary, lang)
    distances = [own.fit["sup_difference"] for own in summary.settings]
    known = [float(distance) for distance in distances if distance is not None]
    wrong = [own for own in summary.settings if own.contradiction is not None]
    for one in wrong:
        law, mean = (
            seconds(numbers["mean_s"], lang) for numbers in (one.law, one.direct)
        )
        name = name_of(one, summary, lang)
        said.append(say(_CONTRADICTION, lang, name=name, mean=mean, law=law))
    if known and not wrong:
        said.append(say(_AGREEMENT, lang, furthest=max(known) * 100))
    return joined(said, lang)


def series(summary: Summary) -> list[SettingSummary]:
    """Pick the volumes of one strategy, Watch if there is any, by `syncFrequency`."""
    seen = [
        own
        for own in summary.settings
        if own.direct["p95_s"] is not None and own.population["consumer"] == VOLUME
    ]
    strategies = [own.population["strategy"] for own in seen]
    if not strategies:
        return []
    wanted = Strategy.WATCH.value
    strategy = wanted if wanted in strategies else strategies[0]
    chosen = [own for own in seen if own.population["strategy"] == strategy]
    return sorted(chosen, key=lambda own: own.population["sync_frequency_s"] or 0)


def _growth(first: SettingSummary, last: SettingSummary, lang: str) -> Iterable[str]:
    """Write how the mean delay grew from the first to the last `syncFrequency`."""
    low, high = (own.population["sync_frequency_s"] for own in (first, last))
    before, after = first.direct["mean_s"], last.direct["mean_s"]
    if low and high and high > low and before and after:
        times, grown = high / low, after / before
        yield say(_GROWTH, lang, low=low, high=high, times=times, grown=grown)


def _strategies(summary: Summary, lang: str) -> Iterable[str]:
    """Compare strategies whose every sync reads current content, at one frequency."""
    by_sync: dict[float, list[SettingSummary]] = {}
    for own in summary.settings:
        if reads_each_sync(own.population) and own.direct["mean_s"] is not None:
            sync_s = float(own.population["sync_frequency_s"])
            by_sync.setdefault(sync_s, []).append(own)
    means = []
    for sync_s, several in by_sync.items():
        named = [(own.population["strategy"], own.direct["mean_s"]) for own in several]
        if len({strategy for strategy, _ in named}) > 1:
            listed = [
                say(_MEAN, lang, strategy=strategy, mean=seconds(mean_s, lang))
                for strategy, mean_s in named
            ]
            means.append(say(_MEANS, lang, sync_s=sync_s, means=listing(listed, lang)))
    if means:
        yield say(_STRATEGIES, lang, means=semicolons(means, lang))


HEADLINE = NamedFigure(
    name="headline",
    question={
        "en": "I changed a ConfigMap: when do my pods see it?",
        "zh": "我修改了 ConfigMap：Pod 何时能看到？",
    },
    needs="a run",
    read=_read_headline,
)
DELAY_DISTRIBUTION = NamedFigure(
    name="delay-distribution",
    question={
        "en": "What share of the pods has a changed ConfigMap after t seconds?",
        "zh": "ConfigMap 修改后 t 秒，有多大比例的 Pod 看到新内容？",
    },
    needs="a run",
    read=_read,
)
