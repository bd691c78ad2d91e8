"""How a run ends: what its records show, whether it may be believed, its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.collecting import checks, incidents
from cmhot.collecting.agenda import SCRAMBLE, TRIAL
from cmhot.collecting.extras import extra_syncs
from cmhot.collecting.provenance import utc_text
from cmhot.runs import schema
from cmhot.runs.delays import delays, refresh_intervals
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        Those whose logs could not be read to their ends.
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
    lost = [one for one in probes if one.gone or one in unread]
    for one in unread:
        if not one.gone:
            record.add(incidents.out_of_sight(one, since_ns=agenda.begin_ns))
    _note_what_the_records_show(record, meta, agenda, lost, away_since_ns)
    run = read_run(record.writer.path)
    rows = delays(run)
    to_scramble = sum(write.pod is not None for write in agenda.writes)
    own = run.updates[run.updates["purpose"] == SCRAMBLE]
    scrambled = int((own["status"] == "acked").sum())
    missed = to_scramble - scrambled + len(_unscrambled(run, agenda, lost))
    trials = run.updates[run.updates["purpose"] == TRIAL]
    judged = checks.judge(run, rows, changed=changed, scrambles=(to_scramble, missed))
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
    record.writer.write_derived(rows, schema.DELAYS)
    record.writer.write_derived(refresh_intervals(run), schema.REFRESH)


def _note_what_the_records_show(
    record: Record,
    meta: dict[str, Any],
    agenda: Agenda,
    lost: Iterable[ProbeLog],
    away_since_ns: int | None,
) -> None:
    """Add the incidents that only the whole record shows, each once."""
    run, end_ns = read_run(record.writer.path), meta["observed_until_ns"]
    found = extra_syncs(run.publications, meta, from_ns=agenda.measure_from_ns)
    away_ns = incidents.outages(run.events)
    if away_since_ns is not None:
        away_ns.append(away_since_ns)
    found += incidents.lost_watches(run, away_ns, end_ns=end_ns)
    found += [incidents.stayed_away(one, end_ns=end_ns) for one in lost]
    for pod, seq in _unscrambled(run, agenda, lost):
        detail = {"seq": seq, "why": "it published too late"}
        name = f"pod/{pod}"
        found.append(incidents.Incident(end_ns, "scramble_failed", name, detail))
    events = run.events
    told = set(zip(events["at_ns"], events["kind"], events["object"], strict=True))
    for incident in found:
        if (incident.at_ns, incident.kind, incident.object) not in told:
            record.add(incident)


def _unscrambled(
    run: Run, agenda: Agenda, lost: Iterable[ProbeLog]
) -> list[tuple[str, int]]:
    """Find the pods that were annotated and did not publish at once."""
    pods = {write.seq: write.pod for write in agenda.writes if write.pod}
    own = run.updates[run.updates["purpose"] == SCRAMBLE]
    acked = own[own["status"] == "acked"]
    published = {
        str(pod): rows["published_ns"].to_numpy(dtype="int64")
        for pod, rows in run.publications.groupby("pod")
    }
    gone = {one.pod for one in lost}
    found = []
    for seq, at_ns in zip(acked["seq"], acked["acked_ns"], strict=True):
        pod = str(pods[int(seq)])
        if pod in gone:
            continue  # what it published is lost
        late_s = (published.get(pod, _NOTHING) - int(at_ns)) / NS_PER_S
        if not ((late_s > -FORCED_WITHIN_S) & (late_s <= FORCED_WITHIN_S)).any():
            found.append((pod, int(seq)))
    return found
