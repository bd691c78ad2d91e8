"""How a run ends: its last incidents, whether it may be believed, its tables.

A day of thousands of pods has millions of publications and tens of millions of delays:
both are read a node and a piece at a time, and counted on the way.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import CLOCK_LIMIT_S, NS_PER_S, has_one_clock
from cmhot.collector import incidents
from cmhot.collector.circumstances import utc_text
from cmhot.collector.incidents import extra_syncs
from cmhot.collector.schedule import SCRAMBLE, TRIAL
from cmhot.collector.writer import LATE_S
from cmhot.errors import RunError
from cmhot.law import mean_interval_s, reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.delays import NodeClock, delays_in_chunks
from cmhot.runs.rundir import (
    kubelet_version,
    node_setting,
    read_by_node,
    read_outline,
)
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.runs.tables import DerivedWriter, frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cmhot.cluster.probe import ProbeLog
    from cmhot.collector.monitoring import Record
    from cmhot.collector.schedule import Schedule
    from cmhot.runs.rundir import OwnClock, Run


LATE_SHARE = 0.1
"""Of the trials, sent late: their instants are still none that an outcome chose."""
FAILED_SHARE = 0.1
INTERRUPTED_SHARE = 0.1
MISSED_SHARE = 0.05
CENSORED_SHARE = 0.1
"""Of the delays: above it, what was not seen might have been another distribution."""
UNSCRAMBLED_SHARE = 0.25
"""Of the pods, seen to be synced later than at once: they may have kept the phase of
their start, with a coherence of 0.7; `COHERENCE` bounds what they do to a node."""
COHERENCE = 0.3
"""Of a node's pods at their first publication in the window: pods created together have
0.7, scrambled ones none but the lattice of the tick."""
SURELY = 1e-4
"""p-value below which a coherence is none by chance."""
FORCED_WITHIN_S = 1.5
"""An annotated pod publishes this soon: after 0.1 s, measured; one that was synced just
before waits for the next relist, a second and its work: 1.4 s on a busy machine."""
_NOTHING = np.array([], dtype=np.int64)


def close(
    record: Record,
    meta: dict[str, Any],
    schedule: Schedule,
    probes: Sequence[ProbeLog],
    *,
    unread: Sequence[ProbeLog],
    status: str,
    changed: Sequence[str],
    away_since_ns: int | None,
) -> None:
    """Judge what there is, and leave run.json and the tables derived from the records.

    Changes `meta`, the run.json. `unread` are the pods that live and whose logs were
    not read to their ends; `changed` names the versions and settings that changed since
    the start; the API server has been away since `away_since_ns` (None: it is there). A
    run whose `status` is ``complete`` may turn out ``invalid``.
    """
    now = record.clock.utc_ns()
    meta["ended_utc"] = utc_text(now)
    meta["observed_until_ns"] = min(schedule.end_ns, now)
    for one in unread:
        record.add(incidents.unread_probe(one, since_ns=schedule.begin_ns))
    lost = {one.pod for one in probes if one.gone} | {one.pod for one in unread}
    outline = replace(read_outline(record.writer.path), meta=meta)
    to_scramble = sum(write.pod is not None for write in schedule.writes)
    own = outline.updates[outline.updates["purpose"] == SCRAMBLE]
    scrambled = int((own["status"] == "acked").sum())
    trials = outline.updates[outline.updates["purpose"] == TRIAL]
    evidence = _Evidence.of(outline, schedule, lost, away_since_ns)
    tally = Tally()
    with (
        DerivedWriter(record.writer.path, schema.DELAYS) as rows,
        DerivedWriter(record.writer.path, schema.REFRESH) as intervals,
    ):
        columns = (outline.events[name] for name in ("at_ns", "kind", "object"))
        known = set(zip(*columns, strict=True))
        for part in read_by_node(outline):
            whole = _record_incidents(record, part, evidence.found_in(part), known)
            for piece in delays_in_chunks(whole):
                tally.count(piece)
                rows.add(piece)
            tally.count_phases(whole)
            intervals.add(refresh_intervals(whole))
            del part, whole  # before the next node's are read
        missed = to_scramble - scrambled + evidence.unscrambled
        judged = judge(outline, tally, changed=changed, scrambles=(to_scramble, missed))
        meta["checks"] = {
            "phases_scrambled": scrambled,
            "phases_not_scrambled": missed,
            "pods_unsupported": sum(not one.supported for one in probes),
            "pods_lost": sum(one.gone for one in probes),
            "trials_planned": schedule.trials,
            "trials_sent": int(trials["sent_ns"].notna().sum()),
            "trials_left": schedule.trials - len(trials),
            **judged,
        }
        if status == "complete" and not all_passed(judged):
            status = "invalid"
        meta["status"] = status
        meta["rows"] = record.writer.rows()
        record.writer.write_run(meta)
        # the disk is full: the run is whole without them, who reads it makes them anew
        with contextlib.suppress(RunError):
            rows.finish()
            intervals.finish()


def _record_incidents(
    record: Record,
    part: Run,
    found: Iterable[incidents.Incident],
    known: set[tuple[int, str, str]],
) -> Run:
    """Add incidents to the record, each once, and to the part that shows them."""
    new = []
    for incident in found:
        key = (incident.at_ns, incident.kind, incident.object)
        if key not in known:
            known.add(key)
            record.add(incident)
            new.append(incident.row())
    if not new:
        return part
    events = pd.concat([part.events, frame(new, schema.EVENTS)])
    return replace(part, events=events)


@dataclass(slots=True, eq=False)
class _Evidence:
    """What only the records of a node as a whole show."""

    schedule: Schedule
    lost: set[str]  # pods of which nothing is known from some instant on
    away_ns: list[int]  # when the API server went away, each time, UTC epoch ns
    scrambles: dict[str, list[tuple[int, int]]]  # by pod: write's number, and when, ns
    unscrambled: int = 0  # pods that were annotated and did not publish at once, so far

    @classmethod
    def of(
        cls, outline: Run, schedule: Schedule, lost: set[str], away_since_ns: int | None
    ) -> _Evidence:
        """Take from a run's updates and events what is common to all nodes."""
        away_ns = incidents.outages(outline.events)
        if away_since_ns is not None:
            away_ns.append(away_since_ns)
        pods = {write.seq: write.pod for write in schedule.writes if write.pod}
        own = outline.updates[outline.updates["purpose"] == SCRAMBLE]
        acked = own[own["status"] == "acked"]
        scrambles: dict[str, list[tuple[int, int]]] = {}
        for seq, at_ns in zip(acked["seq"], acked["acked_ns"], strict=True):
            scrambles.setdefault(str(pods[int(seq)]), []).append((int(seq), int(at_ns)))
        return cls(schedule, lost, away_ns, scrambles)

    def found_in(self, part: Run) -> list[incidents.Incident]:
        """Find the incidents that the publications of a node show."""
        end_ns = part.meta["observed_until_ns"]
        publications = part.publications
        if part.own_clock is not None:
            # of those that may be of another time none tells what came too soon
            for from_ns, to_ns in part.own_clock.unclear_ns():
                unclear = publications["published_ns"].between(from_ns, to_ns)
                publications = publications[~unclear]
        found = extra_syncs(
            publications, part.meta, from_ns=self.schedule.measure_from_ns
        )
        found += incidents.lost_watches(part, self.away_ns, end_ns=end_ns)
        for pod, seq in self._unscrambled(part):
            self.unscrambled += 1
            detail = {"seq": seq, "why": "it published too late"}
            name = f"pod/{pod}"
            found.append(incidents.Incident(end_ns, "scramble_failed", name, detail))
        return found

    def _unscrambled(self, part: Run) -> Iterator[tuple[str, int]]:
        """Find the pods that were annotated and did not publish at once."""
        published = {
            str(pod): rows["published_ns"].to_numpy(dtype="int64")
            for pod, rows in part.publications.groupby("pod")
        }
        clocks: dict[str, NodeClock] = {}
        for entry in part.meta["pods"]:
            pod, node = str(entry["pod"]), str(entry["node"])
            if pod in self.lost:
                continue  # what it published is lost
            if _may_read_old(part.meta, node):
                continue  # it was synced, and had nothing new to show
            if node not in clocks:
                clocks[node] = NodeClock.of(part.meta, part.clock, node)
            stamps, _ = clocks[node].to_collector(published.get(pod, _NOTHING))
            for seq, at_ns in self.scrambles.get(pod, ()):
                late_s = (stamps - at_ns) / NS_PER_S
                if not (
                    (late_s > -FORCED_WITHIN_S) & (late_s <= FORCED_WITHIN_S)
                ).any():
                    yield pod, seq


def _may_read_old(meta: Mapping[str, Any], node: str) -> bool:
    """Say whether a sync on a node may read what a cache kept."""
    setting, kubelet = node_setting(meta, node), kubelet_version(meta, node)
    return setting is not None and not reads_at_every_sync(setting, kubelet)


@dataclass(slots=True)
class Tally:
    """What the checks need of delays and publications, counted piece by piece."""

    statuses: Counter[str] = field(default_factory=Counter)
    clock_bound_s: float = 0.0  # the largest of a delay; NaN: one has no bound
    coherence: float | None = None  # the largest of a node's pods; None: no node judged

    def count(self, rows: pd.DataFrame) -> None:
        """Count some delays."""
        counts = rows["status"].value_counts()
        self.statuses.update({str(name): int(n) for name, n in counts.items()})
        bounds = rows["clock_bound_s"].to_numpy(dtype=float)
        self.clock_bound_s = float(np.max(bounds, initial=self.clock_bound_s))

    def count_phases(self, part: Run) -> None:
        """See whether pods of a node are in phase when trials begin to count.

        `part` has the publications of whole nodes.
        """
        from cmhot.statistics import coherence_by_sync  # noqa: PLC0415 - at the end alone

        pods = [part.publications["node"], part.publications["pod"]]
        at_ns = part.publications["published_ns"]
        counted = at_ns[at_ns >= part.meta["measure_from_ns"]]
        firsts = counted.groupby(pods).min().reset_index()
        for node, own in firsts.groupby("node"):
            setting = node_setting(part.meta, str(node))
            version = kubelet_version(part.meta, str(node))
            if setting is None or not reads_at_every_sync(setting, version):
                continue
            table = coherence_by_sync(own, period_s=mean_interval_s(setting))
            seen = table.iloc[0]
            surely = float(seen["coherence"]) if seen["p_value"] < SURELY else 0.0
            self.coherence = max(self.coherence or 0.0, surely)

    def share(self, *names: str) -> float:
        """Give the share of the delays that ended in one of these statuses."""
        own = sum(self.statuses[name] for name in names)
        return own / max(self.statuses.total(), 1)


def judge(
    run: Run,
    tally: Tally,
    *,
    changed: Sequence[str],
    scrambles: tuple[int, int],
) -> dict[str, dict[str, Any]]:
    """Judge a run by its records: by name ``passed``, ``value`` and ``limit``.

    A check that could not be made has ``passed`` None. The run's publications are not
    looked at: the `tally` has them. `changed` names what changed of versions and
    settings; `scrambles` says how many pods were to be synced at a random instant, and
    how many were not.
    """
    trials = run.updates[run.updates["purpose"] == "trial"]
    sent = trials[trials["sent_ns"].notna()]
    acked = sent[sent["status"] == "acked"]
    late = (acked["sent_ns"] - acked["planned_ns"]) / NS_PER_S > LATE_S
    to_scramble, missed = scrambles
    failed = float((sent["status"] == "failed").mean()) if len(sent) else 0.0
    return {
        "schedule": _at_most(float(late.mean()) if len(acked) else 0.0, LATE_SHARE),
        "clock": _clock_check(run, tally.clock_bound_s),
        "api_errors": _at_most(failed, FAILED_SHARE),
        "restarts": _at_most(tally.share("interrupted"), INTERRUPTED_SHARE),
        "missed": _at_most(tally.share("missed"), MISSED_SHARE),
        "settings": {"passed": not changed, "value": list(changed), "limit": []},
        "scrambled": _at_most(missed / max(to_scramble, 1), UNSCRAMBLED_SHARE),
        "phases": _phases_check(tally.coherence),
        "censoring": _at_most(tally.share(*schema.DEAD_ENDS), CENSORED_SHARE),
    }


def all_passed(checks: Mapping[str, Any]) -> bool:
    """Say whether no check failed; one that could not be made did not."""
    return all(
        check.get("passed") is not False
        for check in checks.values()
        if isinstance(check, dict)
    )


def _at_most(value: float, limit: float) -> dict[str, Any]:
    return {"passed": value <= limit, "value": round(value, 6), "limit": limit}


def _clock_check(run: Run, bound_s: float) -> dict[str, Any]:
    """Bound what two clocks may add to a delay, over all nodes and instants.

    A single one may have been set. That is undone, but for the time in which stamps
    may be of two instants: if it is too long, the step is what a delay may be wrong by.
    """
    if run.meta.get("modelled") or has_one_clock(run.meta.get("target")):
        own = run.own_clock
        lost = 0.0 if own is None else _share_unclear(own, run.meta)
        steps_ns = np.zeros(1) if own is None else np.abs(np.diff(own.ahead_ns))
        wrong_s = float(steps_ns.max()) / NS_PER_S if lost > MISSED_SHARE else 0.0
        return _at_most(wrong_s, CLOCK_LIMIT_S)
    if run.clock.empty or math.isnan(bound_s):
        return {"passed": None, "value": None, "limit": CLOCK_LIMIT_S}
    return _at_most(bound_s, CLOCK_LIMIT_S)


def _share_unclear(clock: OwnClock, meta: Mapping[str, Any]) -> float:
    """Give the share of the time observed in which stamps may be of two instants."""
    begin, end = int(meta["begin_ns"]), int(meta["observed_until_ns"])
    from_ns, to_ns = clock.unclear_ns().T
    seen = np.minimum(to_ns, end) - np.maximum(from_ns, begin)
    return float(np.maximum(seen, 0).sum()) / max(end - begin, 1)


def _phases_check(coherence: float | None) -> dict[str, Any]:
    """Check that the pods of no node were in phase."""
    if coherence is None:
        return {"passed": None, "value": None, "limit": COHERENCE}
    return _at_most(coherence, COHERENCE)
