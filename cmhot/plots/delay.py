"""The share of updates seen within t, in one panel or in one for each setting.

``delay-distribution``: how long pods wait for an update.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.law import reads_at_every_sync
from cmhot.plots.figure import NamedFigure, Telling
from cmhot.plots.style import (
    axes_or_new,
    colour,
    ink,
    legend_below,
    mark_every,
    marker,
    need,
    note_origin,
)
from cmhot.plots.words import (
    VOLUME,
    joined,
    listing,
    name_of,
    names_of,
    say,
    seconds,
    setting_name,
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

    from cmhot.law import Law
    from cmhot.plots.figure import Material, Source
    from cmhot.statistics.summary import SettingSummary, Summary

    Floats = npt.NDArray[np.float64]
    Band = tuple[Floats, Floats, Floats]

_TABLE = "cmhot.runs.delays.delays"
_CORNERS = 501  # of a curve: more cannot be seen, and make a large SVG
_BAND_CORNERS = 201
_NEEDED = (*GROUP, "node", "pod", "configmap", "status", "delay_s")
_WAITED = ("acked_ns", "published_ns", "waited_s")


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """What is drawn of one setting and consumer.

    Attributes
    ----------
    label
        Its name.
    law
        None: no law is known.
    t, share
        Corners of the share that has the update, steps to the right of each.
    band
        Delays, and the lower and upper limit of the share there; None: no interval.
    end_s
        How far the axis has to go.
    """

    label: str
    law: Law | None
    t: Floats
    share: Floats
    band: Band | None
    end_s: float


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
    ax
        Where to draw; None: new Axes.
    laws
        Whether to draw the law over each curve, where one is known.
    band
        Whether to draw the pointwise 95 % confidence band of each curve;
        there is none where there are too few independent blocks for an interval,
        or where something was waited for in vain.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.
    modelled
        Whether the delays come from the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

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
    ax = axes_or_new(ax)
    curves = list(_curves(delays, band=band, kubernetes=kubernetes, lang=lang))
    end_s = max(curve.end_s for curve in curves)
    for number, curve in enumerate(curves):
        hue = colour(ax, number)
        _draw_band(ax, curve, hue, lang)
        ax.step(
            *_prolonged(curve, end_s),
            where="post",
            color=hue,
            linewidth=2.2,
            marker=marker(number),
            markeredgecolor=ax.get_facecolor(),
            markeredgewidth=0.7,
            markersize=8,
            markevery=mark_every(number, of=len(curves)),
            label=curve.label,
        )
    for curve in curves if laws else []:
        if curve.law is not None:
            _draw_law(ax, curve.law, lang)
    _dress(ax, end_s=end_s, lang=lang)
    note_origin(ax, modelled=modelled, lang=lang)
    _legend(ax, several=len(curves) > 1, lang=lang)
    return ax


def _curves(
    delays: pd.DataFrame, *, band: bool, kubernetes: str | None, lang: str
) -> Iterator[_Curve]:
    """Give what is drawn of each setting and consumer."""
    need(delays, _NEEDED, of=_TABLE)
    lost = delays["status"].isin(schema.DEAD_ENDS)
    more = [*_WAITED] if lost.any() else ["acked_ns"] if band else []
    need(delays, more, of=_TABLE)
    more += [name for name in delays if name == "modelled"]  # never mixed
    drawn = lost | (delays["status"] == "observed")
    kept = delays[[*_NEEDED, *more]]
    if not drawn.all():  # ten million rows are copied for a reason only
        kept = kept[drawn]
    if kept.empty:
        msg = "no delays to draw: the table has no row that was observed or waited for"
        raise UsageError(msg)
    several = len(kept["consumer"].unique()) > 1
    for population, own in populations(kept):
        label = setting_name(population, lang)
        if several:
            label = say(
                "with", lang, name=label, more=say(str(population["consumer"]), lang)
            )
        law = expected_law(own)
        t, share = _share_seen(own)
        furthest_s = max(float(t[-1]), 1.0 if len(t) == 1 else 0.0)
        yield _Curve(
            label=label,
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
    if len(t) > _CORNERS:
        shown = np.unique(np.linspace(0, len(t) - 1, _CORNERS).round().astype(int))
        t, share = t[shown], share[shown]
    return t, share


def _prolonged(curve: _Curve, end_s: float) -> tuple[Floats, Floats]:
    """Lead a curve that does not reach 1 to the end: its delays are longer."""
    if curve.share[-1] < 1:
        return np.append(curve.t, end_s), np.append(curve.share, curve.share[-1])
    return curve.t, curve.share


def _band(own: pd.DataFrame, kubernetes: str | None) -> Band | None:
    """Give the 95 % limits of the share at each delay; None: not to be had."""
    if (own["status"] != "observed").any():
        return None
    blocks = delay_blocks(own, kubernetes=kubernetes)
    if blocks.shortfall() is not None or len(blocks.t) < 2:  # noqa: PLR2004 - as `statistics.confidence` has it
        return None
    low, high = cdf_bounds(blocks)
    # a distribution function rises; so do the limits that quantiles are read from
    low, high = np.minimum.accumulate(low[::-1])[::-1], np.maximum.accumulate(high)
    shown = np.unique(np.linspace(0, len(low) - 1, _BAND_CORNERS).round().astype(int))
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


def _draw_law(ax: Axes, law: Law, lang: str) -> None:
    t, share = law.t, law.share
    ax.plot(
        t,
        share,
        label=say("law", lang),
        color=ink(),
        linewidth=1.0,
        linestyle="--",
        zorder=3,
    )


def _legend(ax: Axes, *, several: bool, lang: str) -> None:
    """Name each curve once, and the laws and the bands once together."""
    handles, labels = ax.get_legend_handles_labels()
    once: dict[str, Any] = dict(zip(labels, handles, strict=True))
    band = once.pop(say("band", lang), None)
    if band is not None:  # the last entry, of no curve's colour if it is of several
        grey = Patch(color="grey", alpha=0.4, linewidth=0)
        once[say("band", lang)] = grey if several else band
    legend_below(ax, once.values(), once.keys())


def _dress(ax: Axes, *, end_s: float, lang: str) -> None:
    ax.set_xlim(0, end_s * 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(say("delay", lang))
    ax.set_ylabel(say("share", lang))


_POPULATION = (*schema.SETTING, "consumer")


@dataclass(frozen=True, slots=True, eq=False)
class _Distribution:
    """The delays of runs, and their summary."""

    delays: pd.DataFrame
    summary: Summary
    source: Source
    kubernetes: str | None

    @classmethod
    def of(cls, material: Material) -> _Distribution:
        """Take the delays of all runs, or the table that is given instead.

        What is told is of the settings that are drawn.
        """
        rows, summary = material.table, material.summary
        if rows is None:
            rows = material.delays
        else:
            summary = _of_what_is_in(rows, summary)
        return cls(rows, summary, material.source, material.kubernetes)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw a curve for each setting, and the laws."""
        return delay_distribution(
            self.delays,
            ax=ax,
            kubernetes=self.kubernetes,
            modelled=self.source.modelled,
            lang=lang,
        )

    def numbers(self) -> dict[str, Any]:
        """Give the summary, as ``cmhot summarise --json`` does."""
        return self.summary.to_dict()

    def tell(self, lang: str) -> Telling:
        """Say the delays of each setting."""
        texts = {"en": _english, "zh": _chinese}
        return texts[lang](self.summary, self.source)


FIGURE = NamedFigure(
    name="delay-distribution",
    question={
        "en": "What share of the pods has a changed ConfigMap after t seconds?",
        "zh": "ConfigMap 修改后 t 秒，有多大比例的 Pod 看到新内容？",
    },
    needs="a run",
    read=_Distribution.of,
)


def _of_what_is_in(rows: pd.DataFrame, summary: Summary) -> Summary:
    """Keep the settings and consumers that occur in a table of delays."""
    drawn = rows.reindex(columns=[*_POPULATION]).drop_duplicates()
    there = {_key(one) for one in drawn.to_dict("records")}
    kept = tuple(own for own in summary.settings if _key(own.population) in there)
    return replace(summary, settings=kept)


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(row[name]) else row[name] for name in _POPULATION)


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


def _english(summary: Summary, source: Source) -> Telling:
    word = "modelled" if source.modelled else "measured"
    curves = []
    for own in summary.settings:
        law = own.law
        beside = (
            ""
            if law["p50_s"] is None
            else f" (law: {seconds(law['p50_s'])} and {seconds(law['p95_s'])})"
        )
        curves.append(
            f"{name_of(own, summary)}: half by {seconds(own.direct['p50_s'])}, "
            f"95 % by {seconds(own.direct['p95_s'])}{beside}"
        )
    n_delays, n_pods = _counts(summary)
    return Telling(
        title="How long pods wait for a changed ConfigMap",
        alt=(
            f"Line chart, {word}: the share of pods that have the update "
            "against the delay in seconds, one curve for each kubelet setting, "
            f"with the law dashed over it. {'; '.join(curves)}."
        ),
        caption=(
            "Share of pods that have the update, against the time since the API server "
            "acknowledged it; shaded: 95 % confidence; dashed: the law. "
            f"{names_of(summary)}; {n_delays:,} delays in {n_pods} pods. "
            f"{source.sentence()}"
        ),
        paragraph=_paragraph(summary, source),
    )


def _counts(summary: Summary) -> tuple[int, int]:
    """Count delays and pods of a summary."""
    delays = sum(own.counts["n_delays"] for own in summary.settings)
    return delays, sum(own.counts["pods"] for own in summary.settings)


def _paragraph(summary: Summary, source: Source) -> str:
    chosen = series(summary)
    if not chosen:
        return "No pod showed any update, so there is nothing to explain."
    last = chosen[-1]
    own = last.direct
    verb = "would have had" if source.modelled else "had"
    known = last.population["sync_frequency_s"] is not None
    frequency = (
        f"a syncFrequency of {sync_of(last.population)}"
        if known
        else "an unknown syncFrequency"
    )
    said = [
        (
            "A pod does not see a changed ConfigMap when it is written, "
            "but when its kubelet next syncs the pod."
        ),
        (
            f"With {frequency}, half of the pods {verb} it after "
            f"{seconds(own['p50_s'])} and 99 in 100 after {seconds(own['p99_s'])}; "
            f"the mean is {seconds(own['mean_s'])}, the slowest of "
            f"{last.counts['n_delays']:,} took {seconds(own['max_s'])}."
        ),
    ]
    sync_s = last.population["sync_frequency_s"]
    if sync_s is not None and own["max_s"] is not None and own["max_s"] > sync_s:
        said.append(
            "So syncFrequency is not the longest delay: it is the shortest time "
            "between two syncs, which come up to one and a half times as far apart."
        )
    said += _growth(chosen)
    said += _strategies(summary)
    said += _agreement(summary)
    return joined(said)


def _growth(chosen: Sequence[SettingSummary]) -> Iterable[str]:
    first, last = chosen[0], chosen[-1]
    low, high = (own.population["sync_frequency_s"] for own in (first, last))
    before, after = first.direct["mean_s"], last.direct["mean_s"]
    if low and high and high > low and before and after:
        yield (
            f"From {low:g} s to {high:g} s, a syncFrequency {high / low:.3g} times "
            f"as long made the mean delay {after / before:.1f} times as long."
        )


def _by_sync(summary: Summary) -> dict[float, list[SettingSummary]]:
    """Sort settings whose every sync reads what there is; more than one strategy."""
    found: dict[float, list[SettingSummary]] = {}
    for own in summary.settings:
        setting = schema.setting_of(own.population)
        every = setting is not None and reads_at_every_sync(setting)
        if setting and every and own.direct["mean_s"] is not None:
            found.setdefault(setting.sync_frequency_s, []).append(own)
    return {
        sync_s: several
        for sync_s, several in found.items()
        if len({own.population["strategy"] for own in several}) > 1
    }


def _strategies(summary: Summary) -> Iterable[str]:
    means = [
        f"at {sync_s:g} s the means are "
        + listing(
            [
                f"{seconds(own.direct['mean_s'])} under {own.population['strategy']}"
                for own in several
            ]
        )
        for sync_s, several in _by_sync(summary).items()
    ]
    if means:
        yield (
            "How the kubelet detects changes matters little in comparison: "
            f"{'; '.join(means)}."
        )


def _furthest(summary: Summary) -> float | None:
    """Give the largest distance of a curve from its law; None: no law is known."""
    distances = [own.fit["sup_difference"] for own in summary.settings]
    known = [float(distance) for distance in distances if distance is not None]
    return max(known, default=None)


def _agreement(summary: Summary) -> Iterable[str]:
    furthest = _furthest(summary)
    if furthest is not None:
        yield (
            "Estimated from the intervals between syncs, no curve is further from "
            f"the law than {furthest * 100:.1f} percentage points."
        )


def _chinese(summary: Summary, source: Source) -> Telling:
    word = "模型结果" if source.modelled else "实测"
    curves = []
    for own in summary.settings:
        law = own.law
        beside = (
            ""
            if law["p50_s"] is None
            else f"（理论：{seconds(law['p50_s'], 'zh')}、"
            f"{seconds(law['p95_s'], 'zh')}）"
        )
        curves.append(
            f"{name_of(own, summary, 'zh')}：半数 Pod 在 "
            f"{seconds(own.direct['p50_s'], 'zh')}内、95 % 在 "
            f"{seconds(own.direct['p95_s'], 'zh')}内看到更新{beside}"
        )
    n_delays, n_pods = _counts(summary)
    return Telling(
        title="ConfigMap 修改后，Pod 要等多久才能看到",
        alt=(
            f"折线图，{word}：横轴为延迟（秒），纵轴为已看到更新的 Pod 比例，"
            f"每种 kubelet 设置一条曲线，虚线为理论分布。{'；'.join(curves)}。"
        ),
        caption=(
            "自 API server 确认更新起，已看到更新的 Pod 比例；阴影为 95 % 置信区间，"
            f"虚线为理论分布。{names_of(summary, 'zh')}；{n_pods} 个 Pod 中的 "
            f"{n_delays:,} 个延迟。{source.sentence('zh')}"
        ),
        paragraph=_chinese_paragraph(summary, source),
    )


def _chinese_paragraph(summary: Summary, source: Source) -> str:
    chosen = series(summary)
    if not chosen:
        return "没有任何 Pod 看到更新，因此无可说明。"
    last = chosen[-1]
    own = last.direct
    would = "将" if source.modelled else ""
    said = [
        "Pod 并不是在 ConfigMap 写入时看到新内容，而是在 kubelet 下一次同步该 Pod 时。",
        (
            f"syncFrequency 为 {sync_of(last.population, 'zh')}时，半数 Pod {would}在 "
            f"{seconds(own['p50_s'], 'zh')}内看到更新，99 % 在 "
            f"{seconds(own['p99_s'], 'zh')}内；平均 {seconds(own['mean_s'], 'zh')}，"
            f"{last.counts['n_delays']:,} 次中最慢的一次为 "
            f"{seconds(own['max_s'], 'zh')}。"
        ),
    ]
    sync_s = last.population["sync_frequency_s"]
    if sync_s is not None and own["max_s"] is not None and own["max_s"] > sync_s:
        said.append(
            "所以 syncFrequency 不是最长延迟，而是两次同步之间的最短间隔；"
            "实际间隔最长可达其 1.5 倍。"
        )
    first = chosen[0]
    low = first.population["sync_frequency_s"]
    before, after = first.direct["mean_s"], own["mean_s"]
    if low and sync_s and sync_s > low and before and after:
        said.append(
            f"syncFrequency 从 {low:g} 秒增至 {sync_s:g} 秒（{sync_s / low:.3g} 倍），"
            f"平均延迟为原来的 {after / before:.1f} 倍。"
        )
    means = [
        f"{shared_s:g} 秒时平均延迟为 "
        + listing(
            [
                f"{one.population['strategy']} {seconds(one.direct['mean_s'], 'zh')}"
                for one in several
            ],
            "zh",
        )
        for shared_s, several in _by_sync(summary).items()
    ]
    if means:
        said.append(f"相比之下，变更检测方式影响很小：{'；'.join(means)}。")
    furthest = _furthest(summary)
    if furthest is not None:
        said.append(
            f"按同步间隔估计，各曲线与理论分布相差不超过 {furthest * 100:.1f} "
            "个百分点。"
        )
    return joined(said, "zh")
