"""One update's life: written once, and seen by each pod in its turn.

``timeline``: what happens to one update.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.plots.figure import (
    NamedFigure,
    Telling,
    distinct_names,
    most_telling,
    populations,
)
from cmhot.plots.style import ROOM, axes_or_new, colour, ink, marker, need, note_origin
from cmhot.plots.words import say, seconds
from cmhot.runs.delays import delays, pool

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Material, Source


_STAMPS = ("planned_ns", "sent_ns", "acked_ns")
_MS_PER_S = 1000


def update_timeline(
    updates: pd.DataFrame,
    publications: pd.DataFrame,
    *,
    seq: int,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw when one update was planned, sent and acknowledged, and when pods had it.

    A pod has update i from its first publication with number i or a later one on.

    Parameters
    ----------
    updates, publications
        As `cmhot.runs.rundir.Run` has them.
    seq
        Number of the update.
    ax
        Where to draw; None: new Axes.
    modelled
        Whether the run is of the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When a table lacks a column, or there is no such update,
        or it was not acknowledged, or no pod published it.
    """
    need(updates, ["seq", *_STAMPS], of="cmhot.runs.rundir.read_run(…).updates")
    need(
        publications,
        ["node", "pod", "consumer", "seq", "published_ns"],
        of="cmhot.runs.rundir.read_run(…).publications",
    )
    own = updates[updates["seq"] == seq]
    if own.empty or pd.isna(own["acked_ns"].iloc[0]):
        msg = (
            f"update {seq} was not acknowledged or does not exist: "
            f"choose one of {updates['seq'].min()} … {updates['seq'].max()}"
        )
        raise UsageError(msg)
    acked_ns = int(own["acked_ns"].iloc[0])
    seen = _seen(publications, seq, acked_ns)
    if seen.empty:
        msg = f"no pod published update {seq}: choose an earlier one"
        raise UsageError(msg)
    ax = axes_or_new(ax)
    groups = seen.groupby("node", observed=True)
    for number, (node, rows) in enumerate(groups):
        hue = colour(ax, number)
        ax.hlines(rows["turn"], 0, rows["since_s"], color=hue, alpha=0.35, linewidth=1)
        ax.plot(
            rows["since_s"],
            rows["turn"],
            color=hue,
            linestyle="none",
            marker=marker(number),
            markersize=6,
            label=str(node),
        )
    ax.axvline(0, color=ink(), linewidth=1.2)
    room = max(1.0, ROOM * len(seen))
    ax.annotate(
        _written(own, acked_ns, lang),
        (0.015, 0.985),
        xycoords="axes fraction",
        va="top",
        linespacing=1.35,
    )
    ax.set_xlim(min(0.0, float(seen["since_s"].min())), seen["since_s"].max() * 1.05)
    ax.set_ylim(len(seen) + 0.8, 0.2 - room)
    ticks = MaxNLocator(integer=True).tick_values(1, len(seen))
    ax.set_yticks([tick for tick in ticks if 1 <= tick <= len(seen)])
    ax.set_xlabel(say("since", lang))
    ax.set_ylabel(say("pods by turn", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    if len(groups) > 1:
        ax.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0 - ROOM))
    return ax


def _seen(publications: pd.DataFrame, seq: int, acked_ns: int) -> pd.DataFrame:
    """Give when each pod first had an update, in seconds since it was acknowledged.

    Returns
    -------
    DataFrame
        ``node``, ``since_s``, ascending, and ``turn``, from 1.
    """
    enough = publications[publications["seq"] >= seq]
    keys = ["node", "pod", "consumer"]
    first = enough.groupby(keys, observed=True)["published_ns"].min().sort_values()
    since = (first.to_numpy(dtype=np.int64) - acked_ns) / NS_PER_S
    return first.reset_index()[["node"]].assign(
        since_s=since, turn=np.arange(1, len(since) + 1)
    )


def _written(own: pd.DataFrame, acked_ns: int, lang: str) -> str:
    """Say when an update was planned and sent, before it was acknowledged."""
    found = {}
    for name in ("planned", "sent"):
        stamp = own[f"{name}_ns"].iloc[0]
        if pd.isna(stamp):
            found[name] = say("none such", lang)
            continue
        ms = (acked_ns - int(stamp)) / NS_PER_S * _MS_PER_S
        key = "minus ms" if ms > 0 else "ms"
        found[name] = say(key, lang, value=abs(ms))
    return say("write", lang, **found)


_WRITTEN = ("planned_ns", "sent_ns", "acked_ns")


@dataclass(frozen=True, slots=True, eq=False)
class _Timeline:
    """The update in the middle of a run, in the pods of one setting."""

    updates: pd.DataFrame
    publications: pd.DataFrame
    seq: int
    seen_s: list[float]
    written_ms: tuple[float | None, float | None]
    setting: dict[str, str]
    source: Source

    @classmethod
    def of(cls, material: Material) -> _Timeline:
        """Take the update of a table, or choose one of a run.

        It is one that all pods of a setting saw, of the setting with most pods; of
        several runs the first is taken. A table has a row per pod, with the columns
        ``node, pod, consumer, configmap, seq, published_ns``, and in each
        ``planned_ns, sent_ns, acked_ns`` of the update.
        """
        if material.table is not None:
            return cls._of_table(material.table, material.source)
        return cls._chosen(material)

    @classmethod
    def _of_table(cls, table: pd.DataFrame, source: Source) -> _Timeline:
        named = source.setting or ""
        (seq,) = table["seq"].unique()
        written = table[["configmap", "seq", *_WRITTEN]].drop_duplicates()
        (acked_ns,) = written["acked_ns"]
        return cls(
            updates=written,
            publications=table,
            seq=int(seq),
            seen_s=sorted((table["published_ns"] - acked_ns) / NS_PER_S),
            written_ms=_before_ms(written.iloc[0]),
            setting={"en": named, "zh": named},
            source=source,
        )

    @classmethod
    def _chosen(cls, material: Material) -> _Timeline:
        run = material.runs[0]
        every = delays(run)
        found = [
            (row, own)
            for row, own in populations(every)
            if (own["status"] == "observed").any()
        ]
        if not found:
            msg = "timeline needs a run in which a pod saw an update, and none did"
            raise UsageError(msg)
        row, own = most_telling(found)
        missed = own.loc[own["status"] != "observed", "seq"].unique()
        seen = own.loc[own["status"] == "observed", "seq"].unique()
        whole = np.setdiff1d(seen, missed)
        seqs = np.sort(whole if whole.size else seen)
        seq = int(seqs[len(seqs) // 2])
        pods, configmaps = own["pod"].unique(), own["configmap"].unique()
        published = run.publications[
            run.publications["pod"].isin(pods)
            & (run.publications["consumer"] == row["consumer"])
        ]
        updates = run.updates[run.updates["configmap"].isin(configmaps)]
        of_it = updates[updates["seq"] == seq].iloc[0]
        rows = own[(own["seq"] == seq) & (own["status"] == "observed")]
        return cls(
            updates=updates,
            publications=published,
            seq=seq,
            seen_s=sorted(rows["delay_s"].astype(float)),
            written_ms=_before_ms(of_it),
            setting={lang: distinct_names([row], lang)[0] for lang in ("en", "zh")},
            source=material.source_of(pool({str(run.meta["run_id"]): rows})),
        )

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw the update, and each pod's publication of it."""
        return update_timeline(
            self.updates,
            self.publications,
            seq=self.seq,
            ax=ax,
            modelled=self.source.modelled,
            lang=lang,
        )

    def numbers(self) -> dict[str, Any]:
        """Give when each pod had it."""
        planned, sent = self.written_ms
        return {
            "setting": self.setting["en"],
            "seq": self.seq,
            "planned_s": None if planned is None else planned / 1000,
            "sent_s": None if sent is None else sent / 1000,
            "seen_s": self.seen_s,
        }

    def tell(self, lang: str) -> Telling:
        """Say when the first, the middle and the last pod had it."""
        first, last = self.seen_s[0], self.seen_s[-1]
        middle = float(np.median(self.seen_s))
        pods = len(self.seen_s)
        source = self.source.sentence(lang)
        sent = self.written_ms[1]
        if lang == "zh":
            wrote = "" if sent is None else f"写请求耗时 {-sent:.0f} 毫秒；"
            return Telling(
                title="一次更新的时间线",
                alt=f"时间线：{wrote}首个 Pod 在 {seconds(first, lang)}后看到更新，"
                f"中间的在 {seconds(middle, lang)}，最后一个在 {seconds(last, lang)}。",
                caption=f"第 {self.seq} 次更新：自 API server 确认起，{pods} 个 Pod "
                f"各自看到更新的时刻。{self.setting[lang]}。{source}",
                paragraph=f"{wrote}此后没有任何通知到达 Pod：每个 Pod 等待 kubelet "
                f"下一次同步。{pods} 个 Pod 中，首个等了 {seconds(first, lang)}，"
                f"一半在 {seconds(middle, lang)}内，最后一个等了 "
                f"{seconds(last, lang)}。",
            )
        wrote = "" if sent is None else f"The write took {-sent:.0f} ms. "
        return Telling(
            title="One update, from its write to the last pod",
            alt=f"Timeline of one update. {wrote}The first pod had it after "
            f"{seconds(first)}, the middle one after {seconds(middle)}, the last of "
            f"{pods} after {seconds(last)}.",
            caption=f"Update {self.seq}: when each of {pods} pods had it, in seconds "
            "since the API server acknowledged the write. "
            f"{self.setting['en']}. {source}",
            paragraph=f"{wrote}After it no message reaches a pod: each waits for its "
            f"kubelet's next sync. Of {pods} pods the first waited {seconds(first)}, "
            f"half of them up to {seconds(middle)}, the last {seconds(last)}.",
        )


def _before_ms(written: pd.Series[Any]) -> tuple[float | None, float | None]:
    """Say when a write was planned and sent, as of its acknowledgement."""
    planned, sent = (
        None
        if pd.isna(written[name])
        else (int(written[name]) - int(written["acked_ns"])) / NS_PER_S * 1000
        for name in ("planned_ns", "sent_ns")
    )
    return planned, sent


FIGURE = NamedFigure(
    name="timeline",
    question={
        "en": "When does each pod see one and the same update?",
        "zh": "同一次更新，各 Pod 分别何时看到？",
    },
    needs="a run in which a pod saw an update",
    read=_Timeline.of,
)
