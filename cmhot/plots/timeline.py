"""When each pod sees one and the same update.

The named figure ``timeline``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.plots import drawing
from cmhot.plots.figure import (
    NamedFigure,
    Subject,
    describe,
    populations,
    with_most_pods,
)
from cmhot.plots.words import Pair, in_both, say, seconds
from cmhot.runs.delays import delays, pool

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Source


_STAMPS = ("planned_ns", "sent_ns", "acked_ns")
_MS_PER_S = 1000


def _read(material: Material) -> Subject:
    """Take the update of a table, or choose one of a run.

    The update is one that all pods of a setting saw: of the setting with most pods, in
    the first of several runs. A table has a row per pod, with the columns
    ``node, pod, consumer, configmap, seq, published_ns``, and in each
    ``planned_ns, sent_ns, acked_ns`` of the update.
    """
    table = material.table
    if table is None:
        return _chosen(material)
    (seq,) = table["seq"].unique()
    written = table[["configmap", "seq", *_STAMPS]].drop_duplicates()
    (acked_ns,) = written["acked_ns"]
    seen_s = sorted((table["published_ns"] - acked_ns) / NS_PER_S)
    setting, source = material.named_setting, material.source_of(table)
    return _subject(written, table, int(seq), seen_s, setting=setting, source=source)


def _chosen(material: Material) -> Subject:
    """Choose the update in the middle of those that all pods of a setting saw."""
    run = material.runs[0]
    found = [
        (row, own)
        for row, own in populations(delays(run))
        if (own["status"] == "observed").any()
    ]
    if not found:
        msg = "timeline needs a run in which a pod saw an update, and none did"
        raise UsageError(msg)
    row, own = with_most_pods(found)
    observed = own["status"] == "observed"
    seen = own.loc[observed, "seq"].unique()
    whole = np.setdiff1d(seen, own.loc[~observed, "seq"].unique())
    seqs = np.sort(whole if whole.size else seen)
    seq = int(seqs[len(seqs) // 2])
    published = run.publications[
        run.publications["pod"].isin(own["pod"].unique())
        & (run.publications["consumer"] == row["consumer"])
    ]
    updates = run.updates[run.updates["configmap"].isin(own["configmap"].unique())]
    rows = own[(own["seq"] == seq) & observed]
    seen_s = sorted(rows["delay_s"].astype(float))
    source = material.source_of(pool({str(run.meta["run_id"]): rows}))
    setting = in_both(row)
    return _subject(updates, published, seq, seen_s, setting=setting, source=source)


def _subject(
    updates: pd.DataFrame,
    publications: pd.DataFrame,
    seq: int,
    seen_s: list[float],
    *,
    setting: Pair,
    source: Source,
) -> Subject:
    planned, sent = _since_ack_ms(updates[updates["seq"] == seq].iloc[0])
    numbers = {
        "setting": setting.en,
        "seq": seq,
        "planned_s": None if planned is None else planned / _MS_PER_S,
        "sent_s": None if sent is None else sent / _MS_PER_S,
        "seen_s": seen_s,
    }
    return Subject(
        source=source,
        draw=partial(update_timeline, updates, publications, seq=seq),
        numbers=numbers,
        describe=partial(_describe, numbers, setting, source),
    )


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
        When a table lacks a column, or there is no such update,
        or it was not acknowledged, or no pod published it.
    """
    drawing.need(updates, ["seq", *_STAMPS], of="cmhot.runs.rundir.read_run(…).updates")
    drawing.need(
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
    ax = drawing.axes_or_new(ax)
    groups = seen.groupby("node", observed=True)
    for number, (node, rows) in enumerate(groups):
        hue = drawing.colour(ax, number)
        ax.hlines(rows["turn"], 0, rows["since_s"], color=hue, alpha=0.35, linewidth=1)
        ax.plot(
            rows["since_s"],
            rows["turn"],
            color=hue,
            linestyle="none",
            marker=drawing.marker(number),
            markersize=6,
            label=str(node),
        )
    ax.axvline(0, color=drawing.ink(), linewidth=1.2)
    room = max(1.0, drawing.ROOM * len(seen))
    ax.annotate(
        _written(own, lang),
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
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    if len(groups) > 1:
        ax.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0 - drawing.ROOM))
    return ax


def _seen(publications: pd.DataFrame, seq: int, acked_ns: int) -> pd.DataFrame:
    """List each pod's ``node``, ``since_s`` (when it first had the update) and turn."""
    enough = publications[publications["seq"] >= seq]
    keys = ["node", "pod", "consumer"]
    first = enough.groupby(keys, observed=True)["published_ns"].min().sort_values()
    since = (first.to_numpy(dtype=np.int64) - acked_ns) / NS_PER_S
    return first.reset_index()[["node"]].assign(
        since_s=since, turn=np.arange(1, len(since) + 1)
    )


def _written(own: pd.DataFrame, lang: str) -> str:
    """Write when an update was planned and sent, before it was acknowledged."""
    said = []
    for ms in _since_ack_ms(own.iloc[0]):
        if ms is None:
            said.append(say("none such", lang))
        else:
            said.append(say("minus ms" if ms < 0 else "ms", lang, value=abs(ms)))
    return say("write", lang, planned=said[0], sent=said[1])


def _since_ack_ms(update: pd.Series[Any]) -> tuple[float | None, float | None]:
    """Give when a write was planned and sent, in ms from its acknowledgement."""
    planned, sent = (
        None
        if pd.isna(update[name])
        else (int(update[name]) - int(update["acked_ns"])) / NS_PER_S * _MS_PER_S
        for name in ("planned_ns", "sent_ns")
    )
    return planned, sent


_WORDS = {
    "title": Pair("One update, from its write to the last pod", "一次更新的时间线"),
    "alt": Pair(
        "Timeline of one update. {wrote}The first pod had it after {first}, the middle "
        "one after {middle}, the last of {pods} after {last}.",
        "时间线：{wrote}首个 Pod 在 {first}后看到更新，中间的在 {middle}，"
        "最后一个在 {last}。",
    ),
    "caption": Pair(
        "Update {seq}: when each of {pods} pods had it, in seconds since the API "
        "server acknowledged the write. {setting}. {source}",
        "第 {seq} 次更新：自 API server 确认起，{pods} 个 Pod 各自看到更新的时刻。"
        "{setting}。{source}",
    ),
    "paragraph": Pair(
        "{wrote}After it no message reaches a pod: each waits for its kubelet's next "
        "sync. Of {pods} pods the first waited {first}, half of them up to {middle}, "
        "the last {last}.",
        "{wrote}此后没有任何通知到达 Pod：每个 Pod 等待 kubelet 下一次同步。"
        "{pods} 个 Pod 中，首个等了 {first}，一半在 {middle}内，最后一个等了 {last}。",
    ),
}
_WROTE = Pair("The write took {ms:.0f} ms. ", "写请求耗时 {ms:.0f} 毫秒；")


def _describe(
    numbers: dict[str, Any], setting: Pair, source: Source, lang: str
) -> Description:
    """Describe when the first, the middle and the last pod had it."""
    seen_s, sent_s = numbers["seen_s"], numbers["sent_s"]
    took = "" if sent_s is None else say(_WROTE, lang, ms=-sent_s * _MS_PER_S)
    return describe(
        _WORDS,
        lang,
        seq=numbers["seq"],
        wrote=took,
        first=seconds(seen_s[0], lang),
        middle=seconds(float(np.median(seen_s)), lang),
        last=seconds(seen_s[-1], lang),
        pods=len(seen_s),
        setting=say(setting, lang),
        source=source.sentence(lang),
    )


FIGURE = NamedFigure(
    name="timeline",
    question={
        "en": "When does each pod see one and the same update?",
        "zh": "同一次更新，各 Pod 分别何时看到？",
    },
    needs="a run in which a pod saw an update",
    read=_read,
)
