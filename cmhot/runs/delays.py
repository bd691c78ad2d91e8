"""From what was recorded to what is asked: delays, and the refreshes behind them.

Both tables are pure functions of a run, so they can be made again at any time.
Names (of pods, nodes, settings …) are categories in them, since a table of
ten million rows has few different ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.law import law_for, reads_at_every_sync
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from cmhot.runs.rundir import Run

    Nanoseconds = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Names = Sequence[str | None]

_NEVER = np.iinfo(np.int64).max
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
            seq=_integers(updates["seq"]),
            sent_ns=_integers(updates["sent_ns"].fillna(0)),
            acked_ns=_integers(updates["acked_ns"].fillna(0)),
            unsent=_flags((status == "not_sent") | updates["sent_ns"].isna()),
            unanswered=_flags(
                updates["acked_ns"].isna() | status.isin(["not_sent", "failed"])
            ),
            no_sent=_flags(updates["sent_ns"].isna()),
            no_acked=_flags(updates["acked_ns"].isna()),
            configmap=_integers(updates["map_code"]),
        )


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
        One row per update, pod and consumer, with the columns of `schema.DELAYS`;
        those that the schema has as text are categories here.
    """
    updates = run.updates[run.updates["purpose"] == "trial"].sort_values("seq")
    codes, maps = pd.factorize(updates["configmap"])
    updates = updates.assign(map_code=codes)
    end_ns = observed_until_ns(run)
    trials: dict[str | None, _Trials] = {}
    all_series = _all_series(run)
    parts = []
    for series in all_series:
        if series.configmap not in trials:
            trials[series.configmap] = _Trials.of(_of_map(updates, series.configmap))
        parts.append(_outcomes(trials[series.configmap], series, end_ns))
    nodes = [one.node for one in all_series]
    bounds = {node: _clock_bound_s(run.clock, node) for node in set(nodes)}
    sizes = np.array([len(part["seq"]) for part in parts], dtype=np.int64)
    columns: dict[str, Any] = {
        **_names_of(run.meta, all_series, sizes),
        "configmap": pd.Categorical.from_codes(
            _joined(parts, "configmap", np.int32), categories=maps
        ),
        "clock_bound_s": np.repeat(
            np.array([bounds[node] for node in nodes], np.float64), sizes
        ),
    }
    typed = (
        ("sent_ns", "no_sent"),
        ("acked_ns", "no_acked"),
        ("published_ns", None),
        ("sync", None),
    )
    unseen = _joined(parts, "unseen", np.bool_)
    for name, absent in typed:
        values = _joined(parts, name, np.int64)
        null = unseen if absent is None else _joined(parts, absent, np.bool_)
        columns[name] = pd.arrays.IntegerArray(values, null.copy())
    for name, dtype in (("seq", np.int64), ("delay_s", float), ("waited_s", float)):
        columns[name] = _joined(parts, name, dtype)
    columns["status"] = pd.Categorical.from_codes(
        _joined(parts, "status", np.int8), categories=pd.Index(schema.STATUSES)
    )
    return pd.DataFrame(
        {column.name: columns[column.name] for column in schema.DELAYS.columns}
    )


def refresh_intervals(run: Run) -> pd.DataFrame:
    """Compute which updates each publication brought, and how late.

    With P the instant of a publication and G one at which its content was current,
    the updates that publication k of a pod brought were made in (Gₖ₋₁, Gₖ].
    Any instant there was as likely, so their delays are spread evenly over
    ``least_s`` = Pₖ - Gₖ to ``most_s`` = Pₖ - Gₖ₋₁.

    Where each sync reads what there is (Watch, Get, Cache without an effective TTL),
    G = P: ``least_s`` is 0 and ``most_s`` the interval between two syncs,
    as long as an update comes between any two of them.
    Under Cache with a TTL the node's pods share what one of them fetched,
    and the first to publish a number is the one that fetched it: G is that
    publication (of any probe on the node with the same ConfigMap).
    If it came after the next update was sent, something else had fetched it before:
    then G is the middle between the number's acknowledgement and the next's sending,
    wrong by half the gap between two updates at most, to either side alike.

    An interval counts if it begins (Gₖ₋₁) in the measuring window,
    if b, the end of the law's support, passed before the end of observation and
    before any break in the pod's records, so that long ones have the same chance as
    short ones, and if an update was acknowledged so soon after its beginning
    (within S, or the TTL where sharers may fetch sooner)
    that the next fetch had something to bring.
    A gap of up to S is no break: it cannot hide a sync, as two are further apart.
    None of this depends on how long the interval then was.

    Nodes whose law is not known (an unknown setting or TTL) have none.

    Returns
    -------
    DataFrame
        One row per publication that counts: `REFRESH_COLUMNS`,
        with ``start_ns`` for Gₖ₋₁ and ``published_ns`` for Pₖ, both node clock;
        names are categories.
    """
    window = _window_ns(run)
    entries: dict[tuple[str, str | None], list[_Series]] = {}
    for series in _all_series(run):
        if series.consumer not in _NOT_READ_AGAIN:
            entries.setdefault((series.node, series.configmap), []).append(series)
    kept: list[_Series] = []
    parts: list[dict[str, Any]] = []
    for sharing in entries.values():
        found = _of_entry(run, sharing, window)
        if found is not None:
            kept += sharing
            parts += found
    sizes = np.array([len(part["start_ns"]) for part in parts], dtype=np.int64)
    columns: dict[str, Any] = _names_of(run.meta, kept, sizes)
    columns["configmap"] = _repeated([one.configmap for one in kept], sizes)
    for name in ("start_ns", "published_ns", "current_ns"):
        columns[name] = _joined(parts, name, np.int64)
    late = columns["published_ns"]
    columns["least_s"] = (late - columns.pop("current_ns")) / NS_PER_S
    columns["most_s"] = (late - columns["start_ns"]) / NS_PER_S
    return pd.DataFrame({name: columns[name] for name in REFRESH_COLUMNS})


def pool(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several runs; pods and nodes of different runs are different.

    Parameters
    ----------
    tables
        By run id; all from `delays`, or all from `refresh_intervals`.

    Returns
    -------
    DataFrame
        Their rows, with pods and nodes named ``<run-id>/<name>``.

    Raises
    ------
    UsageError
        When there is no table.
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


def kubelet_version(meta: dict[str, Any], node: str) -> str | None:
    """Find the version of a node's kubelet, else the cluster's; None: not known."""
    own = (meta.get("kubelets") or {}).get(node) or meta.get("kubernetes")
    return own if isinstance(own, str) else None


@dataclass(frozen=True, slots=True)
class _Fetches:
    """When the content that a node's cache entry held was current, by number.

    Attributes
    ----------
    seq
        Numbers that were published on the node, ascending; shape (n,).
    current_ns
        G of each; shape (n,).
    known
        Whether it can be said; shape (n,).
    """

    seq: Nanoseconds
    current_ns: Nanoseconds
    known: Flags

    @classmethod
    def of(cls, updates: pd.DataFrame, sharing: Sequence[_Series]) -> _Fetches:
        """Find the first publication of each number, and whether it can be the fetch.

        Parameters
        ----------
        updates
            All of the ConfigMap, ascending in number.
        sharing
            The node's consumers of it.
        """
        published = np.concatenate([one.published_ns for one in sharing])
        numbers = np.concatenate([one.seq for one in sharing])
        order = np.argsort(published, kind="stable")
        seq, first = np.unique(numbers[order], return_index=True)
        earliest = published[order][first]
        sent = updates[updates["sent_ns"].notna()]
        sent_seq, sent_ns = _integers(sent["seq"]), _integers(sent["sent_ns"])
        after = np.searchsorted(sent_seq, seq, "right")
        next_ns = np.append(sent_ns, _NEVER)[after]
        acked_ns = np.append(
            _integers(sent["acked_ns"].fillna(sent["sent_ns"])), _NEVER
        )[after - 1]
        recorded = (after > 0) & (np.append(sent_seq, -1)[after - 1] == seq)
        itself = earliest <= next_ns
        middle = acked_ns + (next_ns - acked_ns) // 2
        return cls(seq, np.where(itself, earliest, middle), itself | recorded)

    def at(self, seq: Nanoseconds) -> tuple[Nanoseconds, Flags]:
        """Look numbers up; each was published."""
        index = np.searchsorted(self.seq, seq)
        return self.current_ns[index], self.known[index]


def _of_entry(
    run: Run, sharing: Sequence[_Series], window: tuple[int, int, int]
) -> list[dict[str, Any]] | None:
    """Give the refreshes that count, per consumer of one ConfigMap on one node.

    None where no law is known.
    """
    node, configmap = sharing[0].node, sharing[0].configmap
    setting = schema.setting_of(setting_columns(run.meta, node))
    if setting is None:
        return None
    version = kubelet_version(run.meta, node)
    sharers = len({series.pod for series in sharing})
    law = law_for(setting, sharers=sharers, kubernetes=version)
    if law is None:
        return None
    every = reads_at_every_sync(setting, version)
    updates = _of_map(run.updates, configmap).sort_values("seq")
    fetches = None if every else _Fetches.of(updates, sharing)
    soon = sync = setting.sync_frequency_s
    if not every and sharers > 1:
        soon = min(sync, setting.ttl_s or sync)
    parts = []
    for series in sharing:
        part = _refreshes(series, fetches)
        counts = _counts(part["start_ns"], series, window, law.max_s, sync)
        counts &= _followed(part["start_ns"], updates["acked_ns"], soon)
        counts &= part.pop("known")
        parts.append({name: column[counts] for name, column in part.items()})
    return parts


def _refreshes(series: _Series, fetches: _Fetches | None) -> dict[str, Any]:
    """Give start, publication and currency of what each publication brought.

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
    series: _Series,
    window: tuple[int, int, int],
    max_s: float,
    sync_frequency_s: float,
) -> Flags:
    """Tell which beginnings lie in the window, with time b to come and unbroken."""
    from_ns, until_ns, end_ns = window
    drained = start + _ns(max_s)
    counts = (start >= from_ns) & (start <= until_ns) & (drained <= end_ns)
    long = np.diff(series.gaps_ns)[:, 0] > _ns(sync_frequency_s)
    breaks = [*zip(series.restarts_ns, series.restarts_ns, strict=True)]
    for break_from, break_to in [*breaks, *series.gaps_ns[long]]:
        counts &= (start > break_to) | (drained < break_from)
    return np.asarray(counts)


def _followed(start: Nanoseconds, acked: pd.Series[Any], within_s: float) -> Flags:
    """Tell which beginnings an acknowledged update followed soon enough."""
    acked_ns = np.append(np.sort(_integers(acked.dropna())), _NEVER)
    coming = acked_ns[np.searchsorted(acked_ns[:-1], start, "right")]
    return np.asarray(coming - start <= _ns(within_s))


def _window_ns(run: Run) -> tuple[int, int, int]:
    """Find the measuring window, and the end of observation."""
    end_ns = observed_until_ns(run)
    from_ns = run.meta.get("measure_from_ns")
    if from_ns is None:
        sent = run.updates.loc[run.updates["purpose"] == "trial", "sent_ns"].dropna()
        from_ns = 0 if sent.empty else int(sent.min())
    return from_ns, run.meta.get("measure_until_ns") or end_ns, end_ns


def _outcomes(trials: _Trials, series: _Series, end_ns: int) -> dict[str, Any]:
    """Match updates with the publications of one consumer in one pod."""
    acked = trials.acked_ns
    index = np.searchsorted(series.seq, trials.seq, "left")
    found = index < len(series.seq)
    published = np.append(series.published_ns, _NEVER)[index]
    restart = np.append(series.restarts_ns, _NEVER)[
        np.searchsorted(series.restarts_ns, acked, "right")
    ]
    gap = np.full(len(acked), _NEVER)
    for gap_from, gap_to in series.gaps_ns:
        hidden = (acked < gap_to) & (gap_from < published) & (published <= gap_to)
        gap = np.where(hidden, np.minimum(gap, np.maximum(acked, gap_from)), gap)
    numbers = {name: number for number, name in enumerate(schema.STATUSES)}
    cases = {
        "not_sent": trials.unsent,
        "failed": trials.unanswered,
        "missed": (gap < published) & (gap <= restart),
        "interrupted": restart < published,
        "observed": found,
    }
    status = np.select(
        [*cases.values()], [numbers[name] for name in cases], numbers["timeout"]
    ).astype(np.int8)
    ends = {"missed": gap, "interrupted": restart, "observed": published}
    until = np.select(
        [status == numbers[name] for name in ends], [*ends.values()], end_ns
    )
    waited = np.where(trials.unanswered, np.nan, (until - acked) / NS_PER_S)
    observed = status == numbers["observed"]
    unseen = ~(found & (observed | (status == numbers["missed"])))
    return {
        "seq": trials.seq,
        "configmap": trials.configmap.astype(np.int32),
        "sent_ns": trials.sent_ns,
        "acked_ns": acked,
        "no_sent": trials.no_sent,
        "no_acked": trials.no_acked,
        "published_ns": published,
        "sync": index + 1,
        "unseen": unseen,
        "delay_s": np.where(observed, waited, np.nan),
        "waited_s": waited,
        "status": status,
    }


def _all_series(run: Run) -> list[_Series]:
    """List the consumers in pods: those that run.json lists, or all seen."""
    keys = ["pod", "container", "consumer"]
    published = run.publications.sort_values(["published_ns", "seq"])
    published = published.assign(container=published["container"].fillna(""))
    where = published.groupby(keys).indices
    seq = _integers(published["seq"])
    at_ns = _integers(published["published_ns"])
    listed = run.meta.get("pods")
    if listed is None:
        listed = published.drop_duplicates(keys).to_dict("records")
    found = []
    for entry in listed:
        key = (entry["pod"], entry.get("container") or "", entry["consumer"])
        own = where.get(key, np.array([], dtype=np.int64))
        configmap = entry.get("configmap")
        pod, node = str(entry["pod"]), str(entry["node"])
        found.append(
            _Series(
                node=node,
                pod=pod,
                consumer=str(entry["consumer"]),
                configmap=configmap if isinstance(configmap, str) else None,
                seq=np.maximum.accumulate(seq[own]),
                published_ns=at_ns[own],
                **_incidents(run.events, {pod, f"pod/{pod}", node, f"node/{node}"}),
            )
        )
    return found


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


def _of_map(updates: pd.DataFrame, configmap: str | None) -> pd.DataFrame:
    """Pick the updates of one ConfigMap; what names none is of any."""
    if configmap is None:
        return updates
    return updates[updates["configmap"].fillna(configmap) == configmap]


def _clock_bound_s(clock: pd.DataFrame, node: str) -> float:
    """Bound what two clocks add to a delay: the worst |offset| + bound of the node."""
    own = clock[clock["node"] == node]
    return float((own["offset_ns"].abs() + own["bound_ns"]).max() / NS_PER_S)


def _names_of(
    meta: dict[str, Any], all_series: Sequence[_Series], sizes: Nanoseconds
) -> dict[str, Any]:
    """Say of each row whose it is and at which setting."""
    settings = [setting_columns(meta, one.node) for one in all_series]
    return {
        **{
            name: np.repeat(np.array([one[name] for one in settings], float), sizes)
            for name in ("sync_frequency_s", "ttl_s")
        },
        "strategy": _repeated([one["strategy"] for one in settings], sizes),
        "consumer": _repeated([one.consumer for one in all_series], sizes),
        "node": _repeated([one.node for one in all_series], sizes),
        "pod": _repeated([one.pod for one in all_series], sizes),
    }


def _repeated(names: Names, sizes: Nanoseconds) -> pd.Categorical:
    """Repeat names, each as often as its size says."""
    short = pd.Categorical(list(names))
    return pd.Categorical.from_codes(np.repeat(short.codes, sizes), dtype=short.dtype)


def _joined(parts: Iterable[dict[str, Any]], name: str, dtype: Any) -> Any:  # noqa: ANN401
    """Join one column of all parts, and take it out of them: there may be many rows."""
    columns = [part.pop(name) for part in parts]
    return np.concatenate([np.array([], dtype=dtype), *columns], dtype=dtype)


def _union(columns: Sequence[pd.Series[Any]]) -> pd.Categorical:
    """Join columns of categories, whatever those of each are."""
    kinds = [pd.Categorical(column) for column in columns]
    names = pd.Index([name for one in kinds for name in one.categories]).unique()
    codes = [one.set_categories(names).codes for one in kinds]
    return pd.Categorical.from_codes(np.concatenate(codes), categories=names)


def _prefixed(column: pd.Series[Any], run_id: str) -> pd.Categorical:
    """Name a run's pods or nodes so that they differ from those of other runs."""
    kind = pd.Categorical(column)
    return kind.rename_categories({old: f"{run_id}/{old}" for old in kind.categories})


def _flags(column: pd.Series[Any]) -> Flags:
    return column.to_numpy(dtype=np.bool_)


def _integers(column: pd.Series[Any]) -> Nanoseconds:
    return column.to_numpy(dtype=np.int64)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
