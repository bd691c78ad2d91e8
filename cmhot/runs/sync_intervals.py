"""Sync intervals of pods: which updates each publication brought, and how late.

A pure function of a run, so that it can be made again at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S, ns
from cmhot.law import law_for, reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.delays import NEVER, NodeClock, all_series, names_of, of_map
from cmhot.runs.rundir import kubelet_version, node_setting, observed_until_ns
from cmhot.runs.tables import integers, joined, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cmhot.runs.delays import ConsumerSeries
    from cmhot.runs.rundir import Run

    Nanoseconds = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_NOT_READ_AGAIN = ("env", "envFrom")  # a subPath's volume is read, though not shown
REFRESH_COLUMNS = (
    *schema.SETTING,
    "consumer",
    "node",
    "pod",
    "configmap",
    "start_ns",
    "published_ns",
    "least_s",
    "most_s",
)
"""Columns of `refresh_intervals`."""


def refresh_intervals(run: Run) -> pd.DataFrame:
    """Compute which updates each publication brought, and how late.

    With P the instant of a publication and G one at which its content was current, the
    updates that publication k of a pod brought were made in (Gₖ₋₁, Gₖ]. Any instant
    there was as likely, so their delays are spread evenly over ``least_s`` = Pₖ - Gₖ to
    ``most_s`` = Pₖ - Gₖ₋₁.

    Where each sync reads current content (Watch, Get, Cache without an effective TTL),
    G = P: ``least_s`` is 0 and ``most_s`` the interval between two syncs, as long as an
    update comes between any two of them. Under Cache with a TTL the node's pods share
    what one of them fetched, and the first to publish a number is the one that fetched
    it: G is that publication (of any probe on the node with the same ConfigMap). If it
    came after the next update was sent, something else had fetched it before: then G is
    the middle between the number's acknowledgement and the next's sending, wrong by
    half the gap between two updates at most, to either side alike.

    An interval counts if it begins (Gₖ₋₁) in the measuring window, if b, the end of the
    law's support, passed before the end of observation and before any break in the
    pod's records, so that long ones have the same chance as short ones, and if an
    update was acknowledged so soon after its beginning (within S, or the TTL where
    sharers may fetch sooner) that the next fetch had something to bring. A gap of up to
    S is no break: it cannot hide a sync, as two are further apart. None of this depends
    on how long the interval then was.

    Nodes whose law is not known (an unknown setting or TTL) have none. The table has
    one row per publication that counts: `REFRESH_COLUMNS`, with ``start_ns`` for Gₖ₋₁
    and ``published_ns`` for Pₖ, both node clock; names are categories.
    """
    window = _window_ns(run)
    entries: dict[tuple[str, str | None], list[ConsumerSeries]] = {}
    for series in all_series(run):
        if series.consumer not in _NOT_READ_AGAIN:
            entries.setdefault((series.node, series.configmap), []).append(series)
    kept: list[ConsumerSeries] = []
    parts: list[dict[str, Any]] = []
    for sharing in entries.values():
        found = _of_entry(run, sharing, window)
        if found is not None:
            kept += sharing
            parts += found
    sizes = np.array([len(part["start_ns"]) for part in parts], dtype=np.int64)
    columns: dict[str, Any] = names_of(run.meta, kept, sizes)
    columns["configmap"] = repeated([one.configmap for one in kept], sizes)
    for name in ("start_ns", "published_ns", "current_ns"):
        columns[name] = joined(parts, name, np.int64)
    late = columns["published_ns"]
    columns["least_s"] = (late - columns.pop("current_ns")) / NS_PER_S
    columns["most_s"] = (late - columns["start_ns"]) / NS_PER_S
    return pd.DataFrame({name: columns[name] for name in REFRESH_COLUMNS})


@dataclass(frozen=True, slots=True)
class _Fetches:
    """When the content of a node's cache entry was current, by number."""

    seq: Nanoseconds  # numbers that were published on the node, ascending; shape (n,)
    current_ns: Nanoseconds  # G of each; shape (n,)
    known: Flags  # whether G is known; shape (n,)

    @classmethod
    def of(cls, updates: pd.DataFrame, sharing: Sequence[ConsumerSeries]) -> _Fetches:
        """Find the first publication of each number, and whether it can be the fetch.

        `updates` are all of the ConfigMap, ascending in number; `sharing` its consumers
        on the node.
        """
        published = np.concatenate([one.published_ns for one in sharing])
        numbers = np.concatenate([one.seq for one in sharing])
        order = np.argsort(published, kind="stable")
        seq, first = np.unique(numbers[order], return_index=True)
        earliest = published[order][first]
        sent = updates[updates["sent_ns"].notna()]
        sent_seq, sent_ns = integers(sent["seq"]), integers(sent["sent_ns"])
        after = np.searchsorted(sent_seq, seq, "right")
        next_ns = np.append(sent_ns, NEVER)[after]
        acked_ns = np.append(integers(sent["acked_ns"].fillna(sent["sent_ns"])), NEVER)[
            after - 1
        ]
        recorded = (after > 0) & (np.append(sent_seq, -1)[after - 1] == seq)
        itself = earliest <= next_ns
        middle = acked_ns + (next_ns - acked_ns) // 2
        return cls(seq, np.where(itself, earliest, middle), itself | recorded)

    def at(self, seq: Nanoseconds) -> tuple[Nanoseconds, Flags]:
        """Look up numbers, each of which was published."""
        index = np.searchsorted(self.seq, seq)
        return self.current_ns[index], self.known[index]


def _of_entry(
    run: Run, sharing: Sequence[ConsumerSeries], window: tuple[int, int, int]
) -> list[dict[str, Any]] | None:
    """Give the intervals that count, per consumer of one ConfigMap on one node.

    None where no law is known.
    """
    node, configmap = sharing[0].node, sharing[0].configmap
    setting = node_setting(run.meta, node)
    if setting is None:
        return None
    version = kubelet_version(run.meta, node)
    sharers = len({series.pod for series in sharing})
    law = law_for(setting, sharers=sharers, kubernetes=version)
    if law is None:
        return None
    every = reads_at_every_sync(setting, version)
    clock = NodeClock.of(run.meta, run.clock, node)
    updates = _by_clock(of_map(run.updates, configmap).sort_values("seq"), clock)
    fetches = None if every else _Fetches.of(updates, sharing)
    soon = sync = setting.sync_frequency_s
    if not every and sharers > 1:
        soon = min(sync, setting.ttl_s or sync)
    parts = []
    for series in sharing:
        part = _intervals(series, fetches)
        gaps = series.hiding_gaps_ns(setting)
        counts = _counts(part["start_ns"], series, window, law.max_s, gaps)
        counts &= _followed(part["start_ns"], updates["acked_ns"], soon)
        counts &= part.pop("known")
        parts.append({name: column[counts] for name, column in part.items()})
    return parts


def _by_clock(updates: pd.DataFrame, clock: NodeClock) -> pd.DataFrame:
    """Give the stamps of updates by a node's clock."""
    if not clock.at_ns.size:
        return updates
    shifted = {}
    for name in ("sent_ns", "acked_ns"):
        stamps = updates[name].copy()
        known = stamps.notna()
        stamps[known] = clock.to_node(integers(stamps[known]))
        shifted[name] = stamps
    return updates.assign(**shifted)


def _intervals(series: ConsumerSeries, fetches: _Fetches | None) -> dict[str, Any]:
    """Give the start, publication and currency of each publication's updates.

    Without fetches each publication is current. Each column has shape (n - 1,).
    """
    current, known = series.published_ns, np.ones(len(series.seq), dtype=np.bool_)
    if fetches is not None and len(series.seq):
        current, known = fetches.at(series.seq)
    return {
        "start_ns": current[:-1],
        "published_ns": series.published_ns[1:],
        "current_ns": current[1:],
        "known": known[:-1] & known[1:] & (np.diff(current) > 0),
    }


def _counts(
    start: Nanoseconds,
    series: ConsumerSeries,
    window: tuple[int, int, int],
    max_s: float,
    gaps_ns: Nanoseconds,
) -> Flags:
    """Select the intervals that begin in the window, with time b left and unbroken."""
    from_ns, until_ns, end_ns = window
    drained = start + ns(max_s)
    counts = (start >= from_ns) & (start <= until_ns) & (drained <= end_ns)
    breaks = [*zip(series.restarts_ns, series.restarts_ns, strict=True)]
    for break_from, break_to in [*breaks, *gaps_ns]:
        counts &= (start > break_to) | (drained < break_from)
    return np.asarray(counts)


def _followed(start: Nanoseconds, acked: pd.Series[Any], within_s: float) -> Flags:
    """Select the beginnings after which an update was acknowledged soon enough."""
    acked_ns = np.append(np.sort(integers(acked.dropna())), NEVER)
    next_ns = acked_ns[np.searchsorted(acked_ns[:-1], start, "right")]
    return np.asarray(next_ns - start <= ns(within_s))


def _window_ns(run: Run) -> tuple[int, int, int]:
    """Find the measuring window, and the end of observation."""
    end_ns = observed_until_ns(run)
    from_ns = run.meta.get("measure_from_ns")
    if from_ns is None:
        sent = run.updates.loc[run.updates["purpose"] == "trial", "sent_ns"].dropna()
        from_ns = 0 if sent.empty else int(sent.min())
    return from_ns, run.meta.get("measure_until_ns") or end_ns, end_ns
