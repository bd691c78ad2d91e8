"""From publications to delays: when each update arrived in each pod.

The table is a pure function of a run, so it can be made again at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import CLOCK_LIMIT_S, NS_PER_S, has_one_clock, ns
from cmhot.errors import UsageError
from cmhot.runs import schema
from cmhot.runs.rundir import (
    node_setting,
    observed_until_ns,
    setting_columns,
)
from cmhot.runs.tables import flags, integers, joined, repeated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from cmhot.kubelet.settings import Setting
    from cmhot.runs.rundir import Run

    Nanoseconds = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

CHUNK = 25_000
"""Rows of a chunk: some ten megabytes while they are made."""
_STATUS_CODES = {name: number for number, name in enumerate(schema.STATUSES)}
DRIFT = 1e-4
"""Most drift between two clocks, s/s: quartz is good to 2e-5 each, and interpolation
between two estimates takes out part of it."""
NEVER = int(np.iinfo(np.int64).max)
"""After every instant."""


def delays(run: Run) -> pd.DataFrame:
    """Compute the outcome of each trial update in each consumer of each pod.

    The delay of update i is the time from its acknowledgement
    to the first publication with number i or a later one;
    it may be negative, when the answer to the write was slow.
    The publication's stamp is the node's: it is translated to the collector's clock
    by the offset that was estimated around it (`NodeClock`),
    and ``clock_bound_s`` is its largest error.

    An update whose arrival was not seen keeps its row, and ``waited_s`` counts up to
    the event that ended the waiting: a restart of the pod or its node
    (``interrupted``), the start of a gap in the probe's record (``missed``: the
    publication seen after it, ``published_ns``, may have replaced an earlier one),
    or the end of observation (``timeout``).
    A gap of up to `syncFrequency` hides nothing: two syncs are further apart, so that
    the publication seen after it is the only one in it, and its stamp is its own.
    An update acknowledged after a pod was lost is ``interrupted`` at once:
    no waiting was observed, so that ``waited_s`` is 0.

    Returns
    -------
    DataFrame
        One row per update, pod and consumer, with the columns of `schema.DELAYS`;
        the schema's text columns are categories here.
    """
    return _Matching.of(run).table(all_series(run))


def delays_in_chunks(run: Run, *, rows: int = CHUNK) -> Iterator[pd.DataFrame]:
    """Compute `delays` in pieces of about `rows` rows, never all held together.

    The rows of a pod are never divided; each piece has categories of its own.
    """
    matching = _Matching.of(run)
    piece: list[ConsumerSeries] = []
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
    """Updates whose delays count, in order of their numbers; each of shape (n,)."""

    seq: Nanoseconds
    sent_ns: Nanoseconds  # 0 where there is none, as in the next
    acked_ns: Nanoseconds
    unsent: Flags
    unanswered: Flags
    no_sent: Flags  # where there is no such stamp
    no_acked: Flags
    configmap: Nanoseconds  # code of its name; -1: not recorded

    @classmethod
    def of(cls, updates: pd.DataFrame) -> _Trials:
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
    """What the delays of every pod of a run are made of."""

    run: Run
    updates: pd.DataFrame  # the trials
    maps: pd.Index  # names of the ConfigMaps
    end_ns: int  # of observation, UTC epoch ns
    _trials: dict[str | None, _Trials] = field(default_factory=dict)
    _clocks: dict[str, NodeClock] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> _Matching:
        updates = run.updates[run.updates["purpose"] == "trial"].sort_values("seq")
        codes, maps = pd.factorize(updates["configmap"])
        return cls(
            run, updates.assign(map_code=codes), pd.Index(maps), observed_until_ns(run)
        )

    def trials(self, configmap: str | None) -> _Trials:
        known = self._trials.get(configmap)
        if known is None:
            known = _Trials.of(of_map(self.updates, configmap))
            self._trials[configmap] = known
        return known

    def clock(self, node: str) -> NodeClock:
        known = self._clocks.get(node)
        if known is None:
            known = self._clocks[node] = NodeClock.of(
                self.run.meta, self.run.clock, node
            )
        return known

    def table(self, some: Sequence[ConsumerSeries]) -> pd.DataFrame:
        """Make the rows of some consumers."""
        parts = [
            _outcomes(
                self.trials(one.configmap),
                one,
                self.clock(one.node),
                self.end_ns,
                one.hiding_gaps_ns(node_setting(self.run.meta, one.node)),
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
    trials: _Trials,
    series: ConsumerSeries,
    clock: NodeClock,
    end_ns: int,
    gaps_ns: Nanoseconds,
) -> dict[str, Any]:
    """Match updates with the publications of one consumer in one pod.

    The pod's events are compared by the node's clock, by which most of them are
    recorded; waiting is counted by the collector's.
    """
    acked = clock.to_node(trials.acked_ns)
    index = np.searchsorted(series.seq, trials.seq, "left")
    found = index < len(series.seq)
    published = np.append(series.published_ns, NEVER)[index]
    restart = np.append(series.restarts_ns, NEVER)[
        np.searchsorted(series.restarts_ns, acked, "right")
    ]
    gap = np.full(len(acked), NEVER)
    for gap_from, gap_to in gaps_ns:
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
        [*cases.values()],
        [_STATUS_CODES[name] for name in cases],
        _STATUS_CODES["timeout"],
    ).astype(np.int8)
    ends = {"missed": gap, "interrupted": restart, "observed": published}
    ended = [status == _STATUS_CODES[name] for name in ends]
    until, bound_s = clock.to_collector(np.select(ended, [*ends.values()], end_ns))
    until = np.where(status == _STATUS_CODES["timeout"], end_ns, until)
    waited = np.where(trials.unanswered, np.nan, (until - trials.acked_ns) / NS_PER_S)
    observed = status == _STATUS_CODES["observed"]
    # rounding may put an end just before the acknowledgement
    waited = np.where(observed, waited, np.maximum(waited, 0.0))
    unseen = ~(found & (observed | (status == _STATUS_CODES["missed"])))
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


@dataclass(frozen=True, slots=True)
class ConsumerSeries:
    """The publications of one consumer in one pod, in order, and their interruptions.

    In a gap the probe did not look: of the publications in it, it saw only the last. In
    one of its node, stamps cannot be told from those of another time. After `gone_ns`
    the pod is no longer known.
    """

    node: str
    pod: str
    consumer: str
    configmap: str | None  # None: the only ConfigMap of the run
    seq: Nanoseconds  # the largest number published so far; shape (n,)
    published_ns: Nanoseconds  # node clock; shape (n,)
    restarts_ns: Nanoseconds  # pod or node restarted or went away; ascending
    gaps_ns: Nanoseconds  # first and last instant of each; shape (g, 2)
    of_node: Flags  # which of these are of its node; shape (g,)
    gone_ns: int  # collector's clock; `NEVER`: it lived

    def hiding_gaps_ns(self, setting: Setting | None) -> Nanoseconds:
        """Give the gaps that may hide a sync: those long enough for two of them.

        So may those of a node, whose stamps may be of another time, and all of them
        where S is not known.
        """
        if setting is None:
            return self.gaps_ns
        long = np.diff(self.gaps_ns)[:, 0] > ns(setting.sync_frequency_s)
        return self.gaps_ns[long | self.of_node]


def all_series(run: Run) -> list[ConsumerSeries]:
    """List the consumers in pods: those that run.json lists, or all seen."""
    keys = ["pod", "container", "consumer"]
    seq = integers(run.publications["seq"])
    at_ns = integers(run.publications["published_ns"])
    published = run.publications[[*keys, "node", "configmap"]]
    published = published.assign(
        container=published["container"].astype("str").fillna("")
    )
    where = published.groupby(keys).indices
    incidents = _Incidents.of(run.events)
    listed = run.meta.get("pods")
    if listed is None:
        ordered = published.iloc[np.lexsort((seq, at_ns))]
        listed = ordered.drop_duplicates(keys).to_dict("records")
    found = []
    for entry in listed:
        key = (entry["pod"], entry.get("container") or "", entry["consumer"])
        own = np.asarray(where.get(key, []), dtype=np.int64)
        configmap = entry.get("configmap")
        pod, node = str(entry["pod"]), str(entry["node"])
        broken = incidents.concerning(pod, node)
        published_ns = at_ns[own]
        for gap_from, gap_to in broken["gaps_ns"][broken["of_node"]]:
            unclear = (published_ns >= gap_from) & (published_ns <= gap_to)
            published_ns[unclear] = gap_to  # it was by then
        in_order = np.lexsort((seq[own], published_ns))
        found.append(
            ConsumerSeries(
                node=node,
                pod=pod,
                consumer=str(entry["consumer"]),
                configmap=configmap if isinstance(configmap, str) else None,
                seq=np.maximum.accumulate(seq[own[in_order]]),
                published_ns=published_ns[in_order],
                **broken,
            )
        )
    return found


def names_of(
    meta: Mapping[str, Any], all_series: Sequence[ConsumerSeries], sizes: Nanoseconds
) -> dict[str, Any]:
    """Give the setting, consumer, node and pod of each row, `sizes` rows per series."""
    settings = [setting_columns(meta, one.node) for one in all_series]
    return {
        **{
            name: np.repeat(np.array([one[name] for one in settings], float), sizes)
            for name in ("sync_frequency_s", "ttl_s")
        },
        "strategy": repeated([one["strategy"] for one in settings], sizes),
        "consumer": repeated([one.consumer for one in all_series], sizes),
        "node": repeated([one.node for one in all_series], sizes),
        "pod": repeated([one.pod for one in all_series], sizes),
    }


def of_map(updates: pd.DataFrame, configmap: str | None) -> pd.DataFrame:
    """Pick the updates of one ConfigMap; an update that names none is of any."""
    if configmap is None:
        return updates
    return updates[updates["configmap"].fillna(configmap) == configmap]


@dataclass(frozen=True, slots=True)
class _Incidents:
    """The instants at which records break off, for good or a while, by object."""

    by_object: Mapping[str, list[tuple[str, int, Any]]]

    @classmethod
    def of(cls, events: pd.DataFrame) -> _Incidents:
        """Sort a run's events by their objects."""
        own = events[events["kind"].isin(["restart", "gap", "gone", "unseen"])]
        # a resumed run has since read the lines that were unseen when it ended
        resumed = np.flatnonzero(events["kind"] == "resumed")
        again = own.index.isin(events.index[: resumed[-1]]) if resumed.size else False
        own = own[~((own["kind"] == "unseen") & again)]
        found: dict[str, list[tuple[str, int, Any]]] = {}
        columns = (own[name] for name in ("object", "kind", "at_ns", "detail"))
        for name, kind, at_ns, detail in zip(*columns, strict=True):
            found.setdefault(str(name), []).append((kind, int(at_ns), detail))
        return cls(found)

    def concerning(self, pod: str, node: str) -> dict[str, Any]:
        """Give the incidents of a pod, as fields of `ConsumerSeries`."""
        names = {pod, f"pod/{pod}", node, f"node/{node}"}
        own = [event for name in names for event in self.by_object.get(name, ())]
        gaps = sorted(
            (detail["from_ns"], detail["to_ns"], name in {node, f"node/{node}"})
            for name in names
            for kind, _, detail in self.by_object.get(name, ())
            if kind == "gap"
            and isinstance(detail, dict)
            and {"from_ns", "to_ns"} <= set(detail)
        )
        return {
            "restarts_ns": np.array(
                sorted(at for kind, at, _ in own if kind != "gap"), dtype=np.int64
            ),
            "gaps_ns": np.array([gap[:2] for gap in gaps], np.int64).reshape(-1, 2),
            "of_node": np.array([gap[2] for gap in gaps], np.bool_),
            "gone_ns": min(
                (at for kind, at, _ in own if kind in {"gone", "unseen"}), default=NEVER
            ),
        }


@dataclass(frozen=True, slots=True, eq=False)
class NodeClock:
    """One node's clock against the collector's, in estimates over the run."""

    at_ns: Nanoseconds  # of the estimates, ascending, collector's clock; shape (n,)
    offset_ns: Floats  # node clock less collector's at each; shape (n,)
    bound_ns: Floats  # largest error of each offset; shape (n,)
    drift: float = DRIFT

    @classmethod
    def of(cls, meta: Mapping[str, Any], clock: pd.DataFrame, node: str) -> NodeClock:
        """Take a node's clock from run.json and clock.jsonl.

        On a testbed there is but one, whose steps `read_run` has undone: an estimate,
        whose error is that of the time a command takes in a pod, would make its stamps
        worse. The middle between bounds that allow for no offset, and are so loose that
        the run is invalid, is no knowledge: then there is none.
        """
        if has_one_clock(meta.get("target")):
            return cls(np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1), drift=0.0)
        own = clock[clock["node"] == node].sort_values("at_ns")
        offset = own["offset_ns"].to_numpy(dtype=np.float64)
        bound = own["bound_ns"].to_numpy(dtype=np.float64)
        loose = (bound > CLOCK_LIMIT_S * NS_PER_S) & (np.abs(offset) <= bound)
        return cls(
            at_ns=own["at_ns"].to_numpy(dtype=np.int64),
            offset_ns=np.where(loose, 0.0, offset),
            bound_ns=np.where(loose, bound + np.abs(offset), bound),
        )

    def offset_at(self, at_ns: Nanoseconds) -> tuple[Floats, Floats]:
        """Interpolate offset and bound, in ns, at instants of the collector's clock.

        Between two estimates both are interpolated (a steady drift then stays within
        the bound); for a drift that is not steady the bound grows with the distance to
        the nearest estimate, by `DRIFT`. Where two estimates differ by more than both
        bounds and a drift allow, the clock was set between them: the bound grows by
        their difference. NaN without any estimate; shaped as `at_ns`.
        """
        known = self.at_ns
        if not known.size:
            nothing = np.full(at_ns.shape, np.nan)
            return nothing, nothing
        # differences are exact in floats, the stamps themselves are not
        seconds = (known - known[0]) / NS_PER_S
        wanted = (at_ns - known[0]) / NS_PER_S
        offset = np.interp(wanted, seconds, self.offset_ns)
        bound = np.interp(wanted, seconds, self.bound_ns)
        after = np.searchsorted(seconds, wanted).clip(max=len(seconds) - 1)
        before = (after - 1).clip(min=0)
        nearest = np.minimum(
            np.abs(wanted - seconds[after]), np.abs(wanted - seconds[before])
        )
        allowed = self.bound_ns[before] + self.bound_ns[after]
        allowed += (seconds[after] - seconds[before]) * self.drift * NS_PER_S
        step = np.abs(self.offset_ns[after] - self.offset_ns[before])
        bound += np.where((step > allowed) & (wanted < seconds[after]), step, 0.0)
        return offset, bound + nearest * self.drift * NS_PER_S

    def to_collector(self, stamps_ns: Nanoseconds) -> tuple[Nanoseconds, Floats]:
        """Translate stamps of the node; also give their bound in seconds.

        Without an estimate they stay as they are, and the bound is NaN.
        """
        if not self.at_ns.size:
            return stamps_ns, np.full(stamps_ns.shape, np.nan)
        # estimates are placed on the collector's clock: look there, once more
        roughly, _ = self.offset_at(stamps_ns)
        offset, bound = self.offset_at(stamps_ns - _whole(roughly))
        return stamps_ns - _whole(offset), bound / NS_PER_S

    def to_node(self, at_ns: Nanoseconds) -> Nanoseconds:
        """Translate instants of the collector's clock to the node's."""
        if not self.at_ns.size:
            return at_ns
        return at_ns + _whole(self.offset_at(at_ns)[0])


def _whole(nanoseconds: Floats) -> Nanoseconds:
    return np.rint(nanoseconds).astype(np.int64)


def pool(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join `delays` or sync intervals of several runs, by run id.

    Pods and nodes are renamed to ``<run-id>/<name>``: those of different runs are
    different. Raises `UsageError` when there is no table.
    """
    if not tables:
        msg = "no table to pool: give those of one run at least"
        raise UsageError(msg)
    renamed = [
        table.assign(
            pod=_prefixed(table["pod"], run_id), node=_prefixed(table["node"], run_id)
        )
        for run_id, table in tables.items()
    ]
    joined: dict[str, Any] = {}
    for name in renamed[0]:
        columns = [table[name] for table in renamed]
        if len(columns) == 1:
            joined[str(name)] = columns[0]
        elif isinstance(columns[0].dtype, pd.CategoricalDtype):
            joined[str(name)] = _union(columns)
        else:
            joined[str(name)] = pd.concat(columns, ignore_index=True)
    return pd.DataFrame(joined, copy=False)


def _union(columns: Sequence[pd.Series[Any]]) -> pd.Categorical:
    """Join columns of categories, which may differ between them."""
    kinds = [pd.Categorical(column) for column in columns]
    names = pd.Index([name for one in kinds for name in one.categories]).unique()
    codes = [one.set_categories(names).codes for one in kinds]
    return pd.Categorical.from_codes(np.concatenate(codes), categories=names)


def _prefixed(column: pd.Series[Any], run_id: str) -> pd.Categorical:
    """Name a run's pods or nodes so that they differ from those of other runs."""
    kind = pd.Categorical(column)
    return kind.rename_categories({old: f"{run_id}/{old}" for old in kind.categories})
