"""How a run ends: what its records show, whether it may be believed, its tables.

A day of thousands of pods has millions of publications and tens of millions of
delays: both go by, a node and a piece at a time, and are counted on their way.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.collecting import checks, incidents
from cmhot.collecting.agenda import SCRAMBLE, TRIAL
from cmhot.collecting.extras import extra_syncs
from cmhot.collecting.provenance import utc_text
from cmhot.errors import RunError
from cmhot.law import reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.clocks import NodeClock
from cmhot.runs.delays import delays_in_chunks
from cmhot.runs.derived import DerivedWriter
from cmhot.runs.frames import frame
from cmhot.runs.meta import kubelet_version, setting_columns
from cmhot.runs.refreshes import refresh_intervals
from cmhot.runs.rundir import read_by_node, read_outline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cmhot.collecting.agenda import Agenda
    from cmhot.collecting.record import Record
    from cmhot.reader import ProbeLog
    from cmhot.runs.rundir import Run

FORCED_WITHIN_S = 1.5
"""An annotated pod publishes this soon: after 0.1 s, measured; one that was synced just
before waits for the next relist, a second and its work: 1.4 s on a busy machine."""
_NOTHING = np.array([], dtype=np.int64)


def close(
    record: Record,
    meta: dict[str, Any],
    agenda: Agenda,
    probes: Sequence[ProbeLog],
    *,
    unread: Sequence[ProbeLog],
    status: str,
    changed: Sequence[str],
    away_since_ns: int | None,
) -> None:
    """Judge what there is, and leave run.json and the tables that follow.

    Parameters
    ----------
    record
        The run.
    meta
        Its run.json; changed here.
    agenda
        What was to be done.
    probes
        What became of the pods.
    unread
        Those that live and whose logs were not read to their ends.
    status
        ``complete`` or ``interrupted``; a complete run may turn out ``invalid``.
    changed
        What of versions and settings changed between start and end.
    away_since_ns
        Since when the API server has been away, UTC epoch ns; None: it is there.
    """
    now = record.clock.utc_ns()
    meta["ended_utc"] = utc_text(now)
    meta["observed_until_ns"] = min(agenda.end_ns, now)
    for one in unread:
        record.add(incidents.unseen(one, since_ns=agenda.begin_ns))
    lost = {one.pod for one in probes if one.gone} | {one.pod for one in unread}
    outline = replace(read_outline(record.writer.path), meta=meta)
    to_scramble = sum(write.pod is not None for write in agenda.writes)
    own = outline.updates[outline.updates["purpose"] == SCRAMBLE]
    scrambled = int((own["status"] == "acked").sum())
    trials = outline.updates[outline.updates["purpose"] == TRIAL]
    evidence = _Evidence.of(outline, agenda, lost, away_since_ns)
    tally = checks.Tally()
    with (
        DerivedWriter(record.writer.path, schema.DELAYS) as rows,
        DerivedWriter(record.writer.path, schema.REFRESH) as refreshes,
    ):
        told = _keys(outline.events)
        for part in read_by_node(outline):
            whole = _tell(record, part, evidence.found_in(part), told)
            for piece in delays_in_chunks(whole):
                tally.count(piece)
                rows.add(piece)
            tally.look_at_phases(whole)
            refreshes.add(refresh_intervals(whole))
            del part, whole  # before the next node's are read
        missed = to_scramble - scrambled + evidence.unscrambled
        judged = checks.judge(
            outline, tally, changed=changed, scrambles=(to_scramble, missed)
        )
        meta["checks"] = {
            "phases_scrambled": scrambled,
            "phases_not_scrambled": missed,
            "pods_unsupported": sum(not one.supported for one in probes),
            "pods_lost": sum(one.gone for one in probes),
            "trials_planned": agenda.trials,
            "trials_sent": int(trials["sent_ns"].notna().sum()),
            "trials_left": agenda.trials - len(trials),
            **judged,
        }
        if status == "complete" and not checks.all_passed(judged):
            status = "invalid"
        meta["status"] = status
        record.writer.write_run(meta)
        # the disk is full: the run is whole without them, who reads it makes them anew
        with contextlib.suppress(RunError):
            rows.finish()
            refreshes.finish()


def _may_read_old(meta: Mapping[str, Any], node: str) -> bool:
    """Tell whether a sync on a node may read what a cache kept."""
    setting = schema.setting_of(setting_columns(meta, node))
    kubelet = kubelet_version(meta, node)
    return setting is not None and not reads_at_every_sync(setting, kubelet)


def _keys(events: pd.DataFrame) -> set[tuple[int, str, str]]:
    """Tell events apart."""
    return set(zip(events["at_ns"], events["kind"], events["object"], strict=True))


def _tell(
    record: Record,
    part: Run,
    found: Iterable[incidents.Incident],
    told: set[tuple[int, str, str]],
) -> Run:
    """Add incidents to the record, each once, and to the part that shows them."""
    new = []
    for incident in found:
        key = (incident.at_ns, incident.kind, incident.object)
        if key not in told:
            told.add(key)
            record.add(incident)
            new.append(incident.row())
    if not new:
        return part
    events = pd.concat([part.events, frame(new, schema.EVENTS)])
    return replace(part, events=events)


@dataclass(slots=True, eq=False)
class _Evidence:
    """What only the records of a node as a whole show.

    Attributes
    ----------
    agenda
        What was to be done.
    lost
        Pods of which nothing is known from some instant on.
    away_ns
        When the API server went away, each time, UTC epoch ns.
    scrambles
        By pod, the writes after which it was annotated: number, and when that was.
    unscrambled
        How many pods were annotated and did not publish at once, so far.
    """

    agenda: Agenda
    lost: set[str]
    away_ns: list[int]
    scrambles: dict[str, list[tuple[int, int]]]
    unscrambled: int = 0

    @classmethod
    def of(
        cls, outline: Run, agenda: Agenda, lost: set[str], away_since_ns: int | None
    ) -> _Evidence:
        """Take from a run's updates and events what is common to all nodes."""
        away_ns = incidents.outages(outline.events)
        if away_since_ns is not None:
            away_ns.append(away_since_ns)
        pods = {write.seq: write.pod for write in agenda.writes if write.pod}
        own = outline.updates[outline.updates["purpose"] == SCRAMBLE]
        acked = own[own["status"] == "acked"]
        scrambles: dict[str, list[tuple[int, int]]] = {}
        for seq, at_ns in zip(acked["seq"], acked["acked_ns"], strict=True):
            scrambles.setdefault(str(pods[int(seq)]), []).append((int(seq), int(at_ns)))
        return cls(agenda, lost, away_ns, scrambles)

    def found_in(self, part: Run) -> list[incidents.Incident]:
        """Find the incidents that the publications of a node show."""
        end_ns = part.meta["observed_until_ns"]
        found = extra_syncs(
            part.publications, part.meta, from_ns=self.agenda.measure_from_ns
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
