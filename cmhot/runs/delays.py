"""From what was recorded to what is asked: delays.

The table is a pure function of a run, so it can be made again at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.runs import schema
from cmhot.runs.clocks import NodeClock
from cmhot.runs.columns import flags, integers, joined
from cmhot.runs.meta import observed_until_ns
from cmhot.runs.series import NEVER, all_series, names_of, of_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from cmhot.runs.rundir import Run
    from cmhot.runs.series import Series

    Nanoseconds = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

CHUNK = 25_000
"""Rows of a chunk: some ten megabytes while they are made."""
_NUMBERS = {name: number for number, name in enumerate(schema.STATUSES)}


def delays(run: Run) -> pd.DataFrame:
    """Compute what each trial update came to in each consumer of each pod.

    The delay of update i is the time from its acknowledgement
    to the first publication with number i or a later one;
    it may be negative, when the answer to the write was slow.
    The publication's stamp is the node's: it is translated to the collector's clock
    by the offset that was estimated around it (`cmhot.runs.clocks`),
    and ``clock_bound_s`` says how far it may still be wrong.

    Waiting that ended otherwise is kept, with ``waited_s`` up to that end:
    at a restart of the pod or its node (``interrupted``),
    at the start of a gap that covers the publication
    (``missed``: the one that was seen after it, ``published_ns``,
    may have replaced an earlier one)
    or at the end of observation (``timeout``).
    What was acknowledged after a pod was lost is ``interrupted`` at once:
    nothing is known of any waiting, so that ``waited_s`` is 0.

    Returns
    -------
    DataFrame
        One row per update, pod and consumer, with the columns of `schema.DELAYS`;
        those that the schema has as text are categories here.
    """
    return _Matching.of(run).table(all_series(run))


def delays_in_chunks(run: Run, *, rows: int = CHUNK) -> Iterator[pd.DataFrame]:
    """Compute `delays` piece by piece, so that they need never be held together.

    Parameters
    ----------
    run
        What was recorded.
    rows
        How many rows a piece has, about: that of a pod is never divided.

    Yields
    ------
    DataFrame
        Rows in the order of `delays`; each piece has categories of its own.
    """
    matching = _Matching.of(run)
    piece: list[Series] = []
    size = 0
    for series in all_series(run):
        piece.append(series)
        size += len(matching.trials(series.configmap).seq)
        if size >= rows:
            yield matching.table(piece)
            piece, size = [], 0
    if piece:
        yield matching.table(piece)


@dataclass(frozen=True, slots=True)
class _Trials:
    """Updates whose delays count, by number; each of shape (n,).

    Attributes
    ----------
    seq, sent_ns, acked_ns
        Number and stamps; 0 where there is none.
    unsent, unanswered
        Where the write was not sent, or not answered.
    no_sent, no_acked
        Where there is no such stamp.
    configmap
        Code of the ConfigMap's name; -1: not recorded.
    """

    seq: Nanoseconds
    sent_ns: Nanoseconds
    acked_ns: Nanoseconds
    unsent: Flags
    unanswered: Flags
    no_sent: Flags
    no_acked: Flags
    configmap: Nanoseconds

    @classmethod
    def of(cls, updates: pd.DataFrame) -> _Trials:
        """Take the columns of updates apart."""
        status = updates["status"]
        return cls(
            seq=integers(updates["seq"]),
            sent_ns=integers(updates["sent_ns"].fillna(0)),
            acked_ns=integers(updates["acked_ns"].fillna(0)),
            unsent=flags((status == "not_sent") | updates["sent_ns"].isna()),
            unanswered=flags(
                updates["acked_ns"].isna() | status.isin(["not_sent", "failed"])
            ),
            no_sent=flags(updates["sent_ns"].isna()),
            no_acked=flags(updates["acked_ns"].isna()),
            configmap=integers(updates["map_code"]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Matching:
    """What the delays of every pod of a run are made of.

    Attributes
    ----------
    run
        What was recorded.
    updates
        Its trials, in their order.
    maps
        Names of the ConfigMaps.
    end_ns
        End of observation, UTC epoch ns.
    """

    run: Run
    updates: pd.DataFrame
    maps: pd.Index
    end_ns: int
    _trials: dict[str | None, _Trials] = field(default_factory=dict)
    _clocks: dict[str, NodeClock] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> _Matching:
        """Sort a run's trials."""
        updates = run.updates[run.updates["purpose"] == "trial"].sort_values("seq")
        codes, maps = pd.factorize(updates["configmap"])
        return cls(
            run, updates.assign(map_code=codes), pd.Index(maps), observed_until_ns(run)
        )

    def trials(self, configmap: str | None) -> _Trials:
        """Give the trials of a ConfigMap."""
        known = self._trials.get(configmap)
        if known is None:
            known = _Trials.of(of_map(self.updates, configmap))
            self._trials[configmap] = known
        return known

    def clock(self, node: str) -> NodeClock:
        """Give what is known of a node's clock."""
        known = self._clocks.get(node)
        if known is None:
            known = self._clocks[node] = NodeClock.of(
                self.run.meta, self.run.clock, node
            )
        return known

    def table(self, some: Sequence[Series]) -> pd.DataFrame:
        """Make the rows of some consumers."""
        parts = [
            _outcomes(
                self.trials(one.configmap), one, self.clock(one.node), self.end_ns
            )
            for one in some
        ]
        sizes = np.array([len(part["seq"]) for part in parts], dtype=np.int64)
        columns: dict[str, Any] = {
            **names_of(self.run.meta, some, sizes),
            "configmap": pd.Categorical.from_codes(
                joined(parts, "configmap", np.int32), categories=self.maps
            ),
        }
        typed = (
            ("sent_ns", "no_sent"),
            ("acked_ns", "no_acked"),
            ("published_ns", None),
            ("sync", None),
        )
        unseen = joined(parts, "unseen", np.bool_)
        for name, absent in typed:
            values = joined(parts, name, np.int64)
            null = unseen if absent is None else joined(parts, absent, np.bool_)
            columns[name] = pd.arrays.IntegerArray(values, null.copy())
        floats = [(name, float) for name in ("delay_s", "waited_s", "clock_bound_s")]
        for name, dtype in (("seq", np.int64), *floats):
            columns[name] = joined(parts, name, dtype)
        columns["status"] = pd.Categorical.from_codes(
            joined(parts, "status", np.int8), categories=pd.Index(schema.STATUSES)
        )
        return pd.DataFrame(
            {column.name: columns[column.name] for column in schema.DELAYS.columns}
        )


def _outcomes(
    trials: _Trials, series: Series, clock: NodeClock, end_ns: int
) -> dict[str, Any]:
    """Match updates with the publications of one consumer in one pod.

    What befell the pod is compared by the node's clock, in which most of it is told;
    how long was waited is counted by the collector's.
    """
    acked = clock.to_node(trials.acked_ns)
    index = np.searchsorted(series.seq, trials.seq, "left")
    found = index < len(series.seq)
    published = np.append(series.published_ns, NEVER)[index]
    restart = np.append(series.restarts_ns, NEVER)[
        np.searchsorted(series.restarts_ns, acked, "right")
    ]
    gap = np.full(len(acked), NEVER)
    for gap_from, gap_to in series.gaps_ns:
        hidden = (acked < gap_to) & (gap_from < published) & (published <= gap_to)
        gap = np.where(hidden, np.minimum(gap, np.maximum(acked, gap_from)), gap)
    lost = trials.acked_ns > series.gone_ns
    restart = np.where(lost, acked, restart)
    cases = {
        "not_sent": trials.unsent,
        "failed": trials.unanswered,
        "missed": (gap < published) & (gap <= restart) & ~lost,
        "interrupted": lost | (restart < published),
        "observed": found,
    }
    status = np.select(
        [*cases.values()], [_NUMBERS[name] for name in cases], _NUMBERS["timeout"]
    ).astype(np.int8)
    ends = {"missed": gap, "interrupted": restart, "observed": published}
    ended = [status == _NUMBERS[name] for name in ends]
    until, bound_s = clock.to_collector(np.select(ended, [*ends.values()], end_ns))
    until = np.where(status == _NUMBERS["timeout"], end_ns, until)
    waited = np.where(trials.unanswered, np.nan, (until - trials.acked_ns) / NS_PER_S)
    observed = status == _NUMBERS["observed"]
    # rounding may put an end just before the acknowledgement
    waited = np.where(observed, waited, np.maximum(waited, 0.0))
    unseen = ~(found & (observed | (status == _NUMBERS["missed"])))
    shown, _ = clock.to_collector(np.where(unseen, end_ns, published))
    return {
        "seq": trials.seq,
        "configmap": trials.configmap.astype(np.int32),
        "sent_ns": trials.sent_ns,
        "acked_ns": trials.acked_ns,
        "no_sent": trials.no_sent,
        "no_acked": trials.no_acked,
        "published_ns": shown,
        "sync": index + 1,
        "unseen": unseen,
        "delay_s": np.where(observed, waited, np.nan),
        "waited_s": waited,
        "status": status,
        "clock_bound_s": bound_s,
    }
