"""How the delay grows with `syncFrequency`, and what is left when it is divided out.

``sync-frequency`` and ``collapse``: how the delay grows with `syncFrequency`.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from cmhot.errors import UsageError
from cmhot.kubelet.eras import TICK_S
from cmhot.law import QUANTILES, ContinuousLaw, reads_at_every_sync
from cmhot.plots.figure import (
    NamedFigure,
    Telling,
    best,
    distinct_names,
    populations,
    reads_each_sync,
    records,
)
from cmhot.plots.style import (
    axes_or_new,
    colour,
    ink,
    legend_below,
    mark_every,
    marker,
    need,
    note_origin,
    rows_of,
)
from cmhot.plots.words import listing, say, seconds, setting_name
from cmhot.runs import schema
from cmhot.statistics import GROUP
from cmhot.statistics.population import refresh_cdf, refresh_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Material, Source

    Floats = npt.NDArray[np.float64]

SHOWN_QUANTILES = ("p50", "p90", "p99")
"""The quantiles that a sweep shows."""
_POINTS = 401
_TABLE = "Summary.table()"


def delay_by_sync_frequency(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw quantiles of the delay against `syncFrequency`, with intervals and the law.

    Parameters
    ----------
    table
        As `cmhot.statistics.summary.Summary.table` gives it. Settings under which a
        sync may read old content, and consumers that never update, are left out.
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
        When the table lacks a column, or has nothing to be drawn.
    """
    need(table, [*GROUP, *(f"{name}_s" for name in SHOWN_QUANTILES)], of=_TABLE)
    ax = axes_or_new(ax)
    rows = table[[_reads_each_sync(row) for row in rows_of(table)]]
    rows = rows[rows["p50_s"].notna()].sort_values("sync_frequency_s", kind="stable")
    if rows.empty:
        msg = (
            "no delay to draw by syncFrequency: the table has no setting under which "
            "each sync reads what there is (Watch, Get, or Cache without a TTL)"
        )
        raise UsageError(msg)
    s = rows["sync_frequency_s"].to_numpy(dtype=np.float64)
    for number, name in enumerate(SHOWN_QUANTILES):
        value, low, high = estimates(rows, name)
        hue = colour(ax, number)
        ax.errorbar(
            s,
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
        _law_line(ax, rows, f"law_{name}_s", hue=hue)
    _law_line(ax, rows, "law_max_s", label=say("longest", lang), style=":")
    ax.set_xlim(0, s.max() * 1.08)
    ax.set_ylim(0, None)
    ax.set_xticks(np.unique(s))
    ax.set_xlabel(say("sync frequency", lang))
    ax.set_ylabel(say("delay", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(handles=[*handles[::-1], *law_entry(rows, lang)], loc="upper left")
    return ax


def collapse(
    refresh: pd.DataFrame,
    *,
    ax: Axes | None = None,
    laws: bool = True,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the delay over S + ½ s, the shortest interval: one law for all settings.

    Half a second is what the kubelet's tick adds on average
    (`cmhot.law.ContinuousLaw`).
    The law is that of long intervals; F of S = 5 s differs from it by 0.015 at most.

    Parameters
    ----------
    refresh
        As `cmhot.runs.delays.refresh_intervals` gives it, of any number of settings.
        Those under which a sync may read old content are left out.
    ax
        Where to draw; None: new Axes.
    laws
        Whether to draw the law.
    modelled
        Whether the refreshes come from the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or has nothing to be drawn.
    """
    need(
        refresh,
        [*GROUP, "least_s", "most_s"],
        of="cmhot.runs.delays.refresh_intervals",
    )
    ax = axes_or_new(ax)
    end = 1.55
    fresh = list(_fresh(refresh))
    for number, (row, own) in enumerate(fresh):
        r, share = _scaled(own, float(row["sync_frequency_s"]))
        end = max(end, float(r[-1]))
        ax.plot(
            r,
            share,
            color=colour(ax, number),
            linewidth=2.0,
            marker=marker(number),
            markeredgecolor=ax.get_facecolor(),
            markeredgewidth=0.7,
            markersize=8,
            markevery=mark_every(number, of=len(fresh)),
            label=setting_name(row, lang),
        )
    if not fresh:
        msg = (
            "nothing to divide by syncFrequency: the table has no setting under which "
            "each sync reads what there is (Watch, Get, or Cache without a TTL)"
        )
        raise UsageError(msg)
    if laws:
        t = np.linspace(0, end, _POINTS)
        ax.plot(
            t,
            ContinuousLaw(1.0, 1.5).cdf(t),
            color=ink(),
            linewidth=1.0,
            linestyle="--",
            label=say("limit law", lang),
            zorder=3,
        )
    ax.set_xlim(0, end)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(say("scaled delay", lang))
    ax.set_ylabel(say("share", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    legend_below(ax)
    return ax


def estimates(rows: pd.DataFrame, name: str) -> tuple[Floats, Floats, Floats]:
    """Give a quantile of each row with its limits, by the best estimator known.

    Returns
    -------
    value, low, high
        Seconds, each of shape (n,); where a limit is not known, both are
        the value itself.
    """
    value, low, high = (
        column(rows, f"intervals_{name}_s{end}") for end in ("", "_low", "_high")
    )
    value = np.where(np.isnan(value), column(rows, f"{name}_s"), value)
    known = ~(np.isnan(low) | np.isnan(high))
    low, high = (np.where(known, one, value) for one in (low, high))
    return value, low, high


def column(rows: pd.DataFrame, name: str) -> Floats:
    """Give a column as numbers; NaN where there is none."""
    if name not in rows:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(dtype=np.float64, na_value=np.nan)


def law_entry(rows: pd.DataFrame, lang: str) -> list[Line2D]:
    """Give the legend's entry of the dashed lines, if a law is known."""
    laws = [name for name in rows if "law" in str(name).split("_")]
    if rows[laws].isna().all(axis=None):
        return []
    return [Line2D([], [], color="grey", linestyle="--", label=say("law", lang))]


def _law_line(
    ax: Axes,
    rows: pd.DataFrame,
    name: str,
    *,
    hue: str | None = None,
    label: str | None = None,
    style: str = "--",
) -> None:
    known = rows.assign(law=column(rows, name)).dropna(subset="law")
    if not known.empty:
        ax.plot(
            known["sync_frequency_s"],
            known["law"],
            color=ink() if hue is None else hue,
            linewidth=1.2,
            linestyle=style,
            label=label,
        )


def _fresh(refresh: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give the populations under whose setting each sync reads what there is."""
    for key, own in refresh.groupby(GROUP, dropna=False, observed=True):
        row: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        if _reads_each_sync(row):
            yield row, own


def _scaled(own: pd.DataFrame, sync_s: float) -> tuple[Floats, Floats]:
    """Give the interval estimator of the delay over S + ½ s, on an even grid."""
    t, share = refresh_cdf(*refresh_ends(own))
    even = np.linspace(0, float(t[-1]), _POINTS)
    return even / (sync_s + TICK_S / 2), np.interp(even, t, share)


def _reads_each_sync(row: Mapping[str, Any]) -> bool:
    """Tell whether each sync reads what there is, and the container sees it."""
    if row["consumer"] in schema.NEVER_UPDATED:
        return False
    setting = schema.setting_of(row)
    return setting is not None and bool(reads_at_every_sync(setting, None))


_LIMIT = ContinuousLaw(1.0, 1.5)
"""Of the delay over S + ½ s, where the kubelet's tick is nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sweep:
    """Quantiles by `syncFrequency`."""

    table: pd.DataFrame
    source: Source

    @classmethod
    def of(cls, material: Material) -> _Sweep:
        """Take the settings under which each sync reads what there is."""
        given = material.table
        table = material.summary.table() if given is None else given
        kept = table[[reads_each_sync(row) for row in records(table)]]
        kept = kept[kept["p50_s"].notna()].sort_values("sync_frequency_s")
        if kept["sync_frequency_s"].nunique() < 2:  # noqa: PLR2004 - a line has two ends
            msg = (
                "sync-frequency needs delays at two values of syncFrequency at least, "
                f"and there are {kept['sync_frequency_s'].nunique()}: collect on nodes "
                "that differ in it, or give a further run with --run"
            )
            raise UsageError(msg)
        source = material.source_at(kept) if given is None else material.source
        return cls(kept, source)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw quantiles against `syncFrequency`."""
        return delay_by_sync_frequency(
            self.table, ax=ax, modelled=self.source.modelled, lang=lang
        )

    def numbers(self) -> dict[str, Any]:
        """Give the rows that are drawn."""
        return {"settings": records(self.table)}

    def tell(self, lang: str) -> Telling:
        """Say the quantiles at each `syncFrequency`."""
        rows = records(self.table)
        source = self.source.sentence(lang)
        n_delays = int(self.table["n_delays"].sum())
        n_pods = int(self.table["pods"].sum())
        first, last = rows[0], rows[-1]
        ratio = last["sync_frequency_s"] / first["sync_frequency_s"]
        grown = best(last, "p50_s") / best(first, "p50_s")
        names = distinct_names(rows, lang)
        points = [
            {
                "en": f"{name}: median {seconds(best(row, 'p50_s'))}, "
                f"99 % {seconds(best(row, 'p99_s'))}",
                "zh": f"{name}：中位数 {seconds(best(row, 'p50_s'), 'zh')}，"
                f"99 % {seconds(best(row, 'p99_s'), 'zh')}",
            }[lang]
            for row, name in zip(rows, names, strict=True)
        ]
        if lang == "zh":
            return Telling(
                title="syncFrequency 越大，延迟越长",
                alt="点图：横轴为 syncFrequency（秒），纵轴为延迟（秒），"
                f"虚线为理论分布。{'；'.join(points)}。",
                caption="各 syncFrequency 下延迟的中位数、90 % 与 99 % 分位数及其 95 % "
                "置信区间；虚线为理论值，点线为可能的最长延迟。"
                f"{'；'.join(names)}；{n_pods} 个 Pod 中的 {n_delays:,} 个延迟。"
                f"{source}",
                paragraph=f"syncFrequency 从 {first['sync_frequency_s']:g} 秒增至 "
                f"{last['sync_frequency_s']:g} 秒（{ratio:.3g} 倍），中位延迟从 "
                f"{seconds(best(first, 'p50_s'), lang)}变为 "
                f"{seconds(best(last, 'p50_s'), lang)}（{grown:.1f} 倍），99 % "
                "分位数从 "
                f"{seconds(best(first, 'p99_s'), lang)}变为 "
                f"{seconds(best(last, 'p99_s'), lang)}。"
                "较长的 syncFrequency 减半，延迟也几乎减半，代价是 kubelet "
                "同步每个 Pod 的次数加倍；若只有几秒，kubelet 的 1 秒节拍使收效变小。",
            )
        return Telling(
            title="The longer syncFrequency, the longer the delay",
            alt="Point chart: delay in seconds against syncFrequency in seconds, "
            f"with the law as dashed lines. {'; '.join(points)}.",
            caption="Median, 90 % and 99 % point of the delay at each syncFrequency, "
            "with 95 % confidence intervals; dashed: the law; dotted: the longest "
            "delay "
            f"possible. {'; '.join(names)}; {n_delays:,} delays in {n_pods} pods. "
            f"{source}",
            paragraph=f"From a syncFrequency of {first['sync_frequency_s']:g} s to one "
            f"of {last['sync_frequency_s']:g} s, {ratio:.3g} times as long, the median "
            f"delay went from {seconds(best(first, 'p50_s'))} to "
            f"{seconds(best(last, 'p50_s'))}, {grown:.1f} times as long, and the 99 % "
            f"point from {seconds(best(first, 'p99_s'))} to "
            f"{seconds(best(last, 'p99_s'))}. Who halves a long syncFrequency nearly "
            "halves the delay, at the price of kubelets that sync each pod twice as "
            "often; of some seconds, the kubelet's tick of a second leaves less.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Collapse:
    """Refreshes of several settings, to be divided by S + ½ s each."""

    refresh: pd.DataFrame
    source: Source
    found: list[dict[str, Any]]

    @classmethod
    def of(cls, material: Material) -> _Collapse:
        """Take all refreshes of settings under which each sync reads what there is."""
        table = material.refresh if material.table is None else material.table
        fresh = [(row, own) for row, own in populations(table) if reads_each_sync(row)]
        if not fresh:
            msg = (
                "collapse needs a run at a setting under which each sync reads what "
                "there is (Watch, Get, or Cache without a TTL), and there is none"
            )
            raise UsageError(msg)
        found = [
            {**row, **_scaled_quantiles(own, float(row["sync_frequency_s"]))}
            for row, own in fresh
        ]
        if material.table is not None:
            return cls(table, material.source, found)
        nodes = pd.concat([own[["node"]].drop_duplicates() for _, own in fresh])
        return cls(table, material.source_of(nodes), found)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw all settings on one scale."""
        return collapse(self.refresh, ax=ax, modelled=self.source.modelled, lang=lang)

    def numbers(self) -> dict[str, Any]:
        """Give the scaled quantiles of each setting, and the law's."""
        law = {
            name.replace("_s", "_scaled"): float(_LIMIT.quantile(p))
            for name, p in QUANTILES.items()
        }
        return {"settings": self.found, "law": law}

    def tell(self, lang: str) -> Telling:
        """Say how far the settings lie apart."""
        names = distinct_names(self.found, lang)
        halves = [f"{row['p50_scaled']:.3f}" for row in self.found]
        spread = max(row["p50_scaled"] for row in self.found) - min(
            row["p50_scaled"] for row in self.found
        )
        law = float(_LIMIT.quantile(0.5))
        n_pods = sum(row["pods"] for row in self.found)
        n_syncs = sum(row["n_syncs"] for row in self.found)
        source = self.source.sentence(lang)
        points = [f"{name}: {half}" for name, half in zip(names, halves, strict=True)]
        if lang == "zh":
            return Telling(
                title="按 syncFrequency 缩放后，各种设置重合为一条曲线",
                alt="折线图：横轴为延迟除以（syncFrequency + ½ 秒），"
                "纵轴为已看到更新的 Pod "
                "比例；"
                f"虚线为理论分布。中位数：{'；'.join(points)}；理论 {law:.3f}。",
                caption="延迟除以（syncFrequency + ½ 秒）的分布，½ 秒为 kubelet 1 "
                "秒节拍的平均"
                "影响；虚线为长间隔下的理论分布。"
                f"{'；'.join(names)}；{n_pods} 个 Pod 的 {n_syncs:,} 次同步间隔。"
                f"{source}",
                paragraph="延迟除以（syncFrequency + ½ 秒）后，各设置的中位数为 "
                f"{listing(halves, lang)}，理论值 {law:.3f}，彼此相差 {spread:.3f}；"
                "按理论，最长延迟为 syncFrequency 的 1.5 倍加 1.2 秒。"
                "因此测得一种设置，即可按比例推知其他设置。",
            )
        return Telling(
            title="Scaled by syncFrequency, all settings are one curve",
            alt="Line chart: share of pods that have the update against the delay "
            "divided by syncFrequency + ½ s, with the law dashed. Medians: "
            f"{'; '.join(points)}; law {law:.3f}.",
            caption="Distribution of the delay divided by syncFrequency + ½ s, which "
            "is "
            "what the kubelet's tick of a second adds on average; dashed: the law of "
            f"long intervals. {'; '.join(names)}; "
            f"{n_syncs:,} intervals between syncs of {n_pods} pods. {source}",
            paragraph="Divided by syncFrequency + ½ s, the medians are "
            f"{listing(halves)}; by the law they are {law:.3f}. They lie {spread:.3f} "
            "apart, and by the law nothing takes longer than 1.5 times syncFrequency "
            "and 1.2 s. So one setting that was measured tells of the others.",
        )


def _scaled_quantiles(own: pd.DataFrame, sync_s: float) -> dict[str, Any]:
    """Give quantiles of the delay over S + ½ s, by the interval estimator."""
    least, most = (own[name].to_numpy(float) for name in ("least_s", "most_s"))
    t = np.linspace(0, float(most.max()), 801)
    area = [np.minimum(most, at).sum() - np.minimum(least, at).sum() for at in t]
    share = np.array(area) / float((most - least).sum())
    shortest_s = sync_s + TICK_S / 2
    return {
        "pods": int(own["pod"].nunique()),
        "n_syncs": len(own),
        **{
            name.replace("_s", "_scaled"): float(np.interp(p, share, t)) / shortest_s
            for name, p in QUANTILES.items()
        },
    }


SYNC_FREQUENCY = NamedFigure(
    name="sync-frequency",
    question={
        "en": "How does the delay grow with the kubelet's syncFrequency?",
        "zh": "延迟如何随 kubelet 的 syncFrequency 增长？",
    },
    needs="a run at two values of syncFrequency at least",
    read=_Sweep.of,
)
COLLAPSE = NamedFigure(
    name="collapse",
    question={
        "en": "Does one law hold at every syncFrequency?",
        "zh": "同一理论分布是否适用于各种 syncFrequency？",
    },
    needs="a run under Watch, Get, or Cache without a TTL",
    read=_Collapse.of,
)
