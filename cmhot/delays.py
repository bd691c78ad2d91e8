"""From what was recorded to what is asked: delays, and intervals between syncs.

Both tables are pure functions of a run, so they can be made again at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot import schema
from cmhot.clock import NS_PER_S
from cmhot.law import law_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from cmhot.rundir import Run

    Nanoseconds = npt.NDArray[np.int64]

_NEVER = np.iinfo(np.int64).max
_INTERVAL_COLUMNS = [
    *schema.SETTING,
    "consumer",
    "node",
    "pod",
    "start_ns",
    "interval_s",
]


@dataclass(frozen=True, slots=True)
class _Series:
    """The publications of one consumer in one pod, in order.

    Attributes
    ----------
    node, pod, consumer
        Whose they are.
    configmap
        What it mounts; None: the only ConfigMap of the run.
    seq
        The largest number published so far; shape (n,).
    published_ns
        Node clock; shape (n,).
    restarts_ns
        When the pod or its node was restarted, ascending; shape (r,).
    gaps_ns
        First and last instant of each stretch in which the probe did not look,
        so that it saw the last publication in it only; shape (g, 2).
    """

    node: str
    pod: str
    consumer: str
    configmap: str | None
    seq: Nanoseconds
    published_ns: Nanoseconds
    restarts_ns: Nanoseconds
    gaps_ns: Nanoseconds


def delays(run: Run) -> pd.DataFrame:
    """Compute what each trial update came to in each consumer of each pod.

    The delay of update i is the time from its acknowledgement
    to the first publication with number i or a later one;
    it may be negative, when the answer to the write was slow.
    It subtracts stamps of two clocks: ``clock_bound_s`` says how far they may differ.

    Waiting that ended otherwise is kept, with ``waited_s`` up to that end:
    at a restart of the pod or its node (``interrupted``),
    at the start of a gap that covers the publication
    (``missed``: the one that was seen after it, ``published_ns``,
    may have replaced an earlier one)
    or at the end of observation (``timeout``).

    Returns
    -------
    DataFrame
        One row per update, pod and consumer, with the columns of `schema.DELAYS`.
    """
    trials = run.updates[run.updates["purpose"] == "trial"].sort_values("seq")
    end_ns = observed_until_ns(run)
    parts = []
    for series in _all_series(run):
        own = trials
        if series.configmap is not None:
            own = trials[
                trials["configmap"].fillna(series.configmap) == series.configmap
            ]
        part = _outcomes(own.reset_index(drop=True), series, end_ns).assign(
            **setting_columns(run.meta, series.node),
            clock_bound_s=_clock_bound_s(run.clock, series.node),
        )
        parts.append(schema.conform(part, schema.DELAYS))
    return pd.concat([schema.frame([], schema.DELAYS), *parts], ignore_index=True)


def sync_intervals(run: Run) -> pd.DataFrame:
    """Compute the intervals between syncs that began in the measuring window.

    Each sync publishes, as long as an update comes between any two syncs;
    so consecutive publications of a pod are consecutive syncs.
    An interval counts if it begins in the measuring window,
    if b, the longest interval, passed before the end of observation and before
    any break in the pod's records, so that long ones have the same chance as short
    ones, and if an update was acknowledged within S of its beginning,
    so that the next sync had something to publish.
    A gap of up to S is no break: it cannot hide a sync, as two are further apart.
    None of this depends on how long the interval then was.

    Nodes whose law is not known (Cache with a TTL above 0) have none:
    there a sync may publish nothing although there is something new.

    Returns
    -------
    DataFrame
        One row per interval: the columns of the setting,
        ``consumer, node, pod, start_ns, interval_s``.
    """
    acked_ns = np.sort(_integers(run.updates["acked_ns"].dropna()))
    from_ns = run.meta.get("measure_from_ns")
    if from_ns is None:
        sent = run.updates.loc[run.updates["purpose"] == "trial", "sent_ns"].dropna()
        from_ns = 0 if sent.empty else sent.min()
    end_ns = observed_until_ns(run)
    until_ns = run.meta.get("measure_until_ns") or end_ns
    parts = []
    for series in _all_series(run):
        columns = setting_columns(run.meta, series.node)
        setting = schema.setting_of(columns)
        law = None if setting is None else law_for(setting)
        if setting is None or law is None:
            continue
        start = series.published_ns[:-1]
        drained = start + _ns(law.max_s)
        counts = (start >= from_ns) & (start <= until_ns) & (drained <= end_ns)
        long = np.diff(series.gaps_ns)[:, 0] > _ns(setting.sync_frequency_s)
        breaks = [*zip(series.restarts_ns, series.restarts_ns, strict=True)]
        for break_from, break_to in [*breaks, *series.gaps_ns[long]]:
            counts &= (start > break_to) | (drained < break_from)
        coming = np.append(acked_ns, _NEVER)[np.searchsorted(acked_ns, start, "right")]
        counts &= coming - start <= _ns(setting.sync_frequency_s)
        found = {
            "start_ns": start[counts],
            "interval_s": np.diff(series.published_ns)[counts] / NS_PER_S,
        }
        names = {"consumer": series.consumer, "node": series.node, "pod": series.pod}
        parts.append(pd.DataFrame(found).assign(**columns, **names))
    table = pd.concat(parts) if parts else pd.DataFrame([], None, _INTERVAL_COLUMNS)
    return table[_INTERVAL_COLUMNS].reset_index(drop=True)


def observed_until_ns(run: Run) -> int:
    """Tell until when publications would have been seen, in UTC epoch nanoseconds.

    That is ``observed_until_ns`` of run.json, or else the last stamp of any file:
    a run that was killed has no other end.
    """
    given = run.meta.get("observed_until_ns")
    if given is not None:
        return int(given)
    stamps = [
        frame[name].max()
        for frame in (run.updates, run.publications, run.events, run.clock)
        for name in map(str, frame)
        if name.endswith("_ns") and name not in {"planned_ns", "offset_ns", "bound_ns"}
    ]
    return max((int(stamp) for stamp in stamps if pd.notna(stamp)), default=0)


def setting_columns(meta: dict[str, Any], node: str) -> dict[str, Any]:
    """Find the setting of a node in run.json; None for what is not known."""
    known = meta.get("settings", {}).get(node, {})
    return {name: known.get(name) for name in schema.SETTING}


def _outcomes(updates: pd.DataFrame, series: _Series, end_ns: int) -> pd.DataFrame:
    """Match updates with the publications of one consumer in one pod."""
    acked = _integers(updates["acked_ns"].fillna(0))
    answered = updates["acked_ns"].notna() & ~updates["status"].isin(
        ["not_sent", "failed"]
    )
    index = np.searchsorted(series.seq, _integers(updates["seq"]), "left")
    found = index < len(series.seq)
    published = np.append(series.published_ns, _NEVER)[index]
    restart = np.append(series.restarts_ns, _NEVER)[
        np.searchsorted(series.restarts_ns, acked, "right")
    ]
    gap = np.full(len(acked), _NEVER)
    for gap_from, gap_to in series.gaps_ns:
        hidden = (acked < gap_to) & (gap_from < published) & (published <= gap_to)
        gap = np.where(hidden, np.minimum(gap, np.maximum(acked, gap_from)), gap)
    unsent = (updates["status"] == "not_sent") | updates["sent_ns"].isna()
    status = np.select(
        [unsent, ~answered, (gap < published) & (gap <= restart), restart < published],
        ["not_sent", "failed", "missed", "interrupted"],
        np.where(found, "observed", "timeout"),
    )
    ends = {"missed": gap, "interrupted": restart, "observed": published}
    until = np.select([status == name for name in ends], [*ends.values()], end_ns)
    waited = np.where(answered, (until - acked) / NS_PER_S, np.nan)
    seen = pd.Series(np.isin(status, ["observed", "missed"]) & found)
    return updates[["seq", "configmap", "sent_ns", "acked_ns"]].assign(
        node=series.node,
        pod=series.pod,
        consumer=series.consumer,
        published_ns=pd.Series(published, dtype="Int64").where(seen),
        delay_s=np.where(status == "observed", waited, np.nan),
        waited_s=waited,
        status=status,
        sync=pd.Series(index + 1, dtype="Int64").where(seen),
    )


def _all_series(run: Run) -> Iterator[_Series]:
    """Go through the consumers in pods: those that run.json lists, or all seen."""
    keys = ["pod", "container", "consumer"]
    published = run.publications.sort_values(["published_ns", "seq"])
    published = published.assign(container=published["container"].fillna(""))
    groups = dict(iter(published.groupby(keys)))
    listed = run.meta.get("pods")
    if listed is None:
        listed = published.drop_duplicates(keys).to_dict("records")
    for entry in listed:
        key = (entry["pod"], entry.get("container") or "", entry["consumer"])
        own = groups.get(key, published.iloc[:0])
        configmap = entry.get("configmap")
        pod, node = str(entry["pod"]), str(entry["node"])
        yield _Series(
            node=node,
            pod=pod,
            consumer=str(entry["consumer"]),
            configmap=configmap if isinstance(configmap, str) else None,
            seq=np.maximum.accumulate(_integers(own["seq"])),
            published_ns=_integers(own["published_ns"]),
            **_incidents(run.events, {pod, f"pod/{pod}", node, f"node/{node}"}),
        )


def _incidents(events: pd.DataFrame, names: set[str]) -> dict[str, Nanoseconds]:
    """Find when the records of a pod break off, for good or for a while."""
    own = events[events["object"].isin(names)]
    restarts = own.loc[own["kind"] == "restart", "at_ns"]
    gaps = [
        (detail["from_ns"], detail["to_ns"])
        for detail in own.loc[own["kind"] == "gap", "detail"]
        if isinstance(detail, dict) and {"from_ns", "to_ns"} <= set(detail)
    ]
    return {
        "restarts_ns": np.sort(_integers(restarts)),
        "gaps_ns": np.array(gaps, dtype=np.int64).reshape(-1, 2),
    }


def _clock_bound_s(clock: pd.DataFrame, node: str) -> float:
    """Bound what two clocks add to a delay: the worst |offset| + bound of the node."""
    own = clock[clock["node"] == node]
    return float((own["offset_ns"].abs() + own["bound_ns"]).max() / NS_PER_S)


def _integers(column: pd.Series[Any]) -> Nanoseconds:
    return column.to_numpy(dtype=np.int64)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
