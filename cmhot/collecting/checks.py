"""Whether a run may be believed: each check with its figure and its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.collecting.nodeclock import clock_offset_at
from cmhot.collecting.settle import LATE_S
from cmhot.law import mean_interval_s, reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.delays import kubelet_version
from cmhot.statistics import coherence_by_sync

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from cmhot.runs.rundir import Run

LATE_SHARE = 0.1
"""Of the trials, sent late: their instants are still none that an outcome chose."""
CLOCK_LIMIT_S = 0.25
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


def judge(
    run: Run,
    rows: pd.DataFrame,
    *,
    changed: Sequence[str],
    scrambles: tuple[int, int],
) -> dict[str, dict[str, Any]]:
    """Judge a run by its records.

    Parameters
    ----------
    run
        What was recorded.
    rows
        Its delays.
    changed
        What of versions and settings changed between start and end.
    scrambles
        How many pods were to be synced at a random instant, and how many were not.

    Returns
    -------
    dict
        By name: ``passed`` (None: it cannot be said), ``value``, ``limit``.
    """
    trials = run.updates[run.updates["purpose"] == "trial"]
    sent = trials[trials["sent_ns"].notna()]
    acked = sent[sent["status"] == "acked"]
    late = (acked["sent_ns"] - acked["planned_ns"]) / NS_PER_S > LATE_S
    shares = rows["status"].value_counts(normalize=True)

    def share(*names: str) -> float:
        return float(sum(shares.get(name, 0.0) for name in names))

    to_scramble, missed = scrambles
    failed = float((sent["status"] == "failed").mean()) if len(sent) else 0.0
    return {
        "schedule": _at_most(float(late.mean()) if len(acked) else 0.0, LATE_SHARE),
        "clock": _clock(run),
        "api_errors": _at_most(failed, FAILED_SHARE),
        "restarts": _at_most(share("interrupted"), INTERRUPTED_SHARE),
        "missed": _at_most(share("missed"), MISSED_SHARE),
        "settings": {"passed": not changed, "value": list(changed), "limit": []},
        "scrambled": _at_most(missed / max(to_scramble, 1), UNSCRAMBLED_SHARE),
        "phases": _phases(run),
        "censoring": _at_most(share(*schema.DEAD_ENDS), CENSORED_SHARE),
    }


def all_passed(checks: Mapping[str, Any]) -> bool:
    """Tell whether no check failed; one that could not be made did not."""
    return all(
        check.get("passed") is not False
        for check in checks.values()
        if isinstance(check, dict)
    )


def _at_most(value: float, limit: float) -> dict[str, Any]:
    return {"passed": value <= limit, "value": round(value, 6), "limit": limit}


def _clock(run: Run) -> dict[str, Any]:
    """Bound what two clocks may add to a delay, over all nodes and instants."""
    answer = {"passed": None, "value": None, "limit": CLOCK_LIMIT_S}
    if run.meta.get("modelled"):
        return answer | {"passed": True, "value": 0.0}
    nodes = {entry["node"] for entry in run.meta.get("pods", [])}
    if run.clock.empty or not nodes <= set(run.clock["node"]):
        return answer
    acked = run.updates["acked_ns"].dropna().to_numpy(dtype="int64")
    worst = 0.0
    for node in nodes:
        offset, bound = clock_offset_at(run.clock, node, acked)
        if len(acked):
            worst = max(worst, float((abs(offset) + bound).max()) / NS_PER_S)
    return _at_most(worst, CLOCK_LIMIT_S)


def _phases(run: Run) -> dict[str, Any]:
    """See that the pods of no node are in phase when trials begin to count."""
    worst, judged = 0.0, False
    counted = run.publications
    counted = counted[counted["published_ns"] >= run.meta["measure_from_ns"]]
    for node, own in counted.groupby("node"):
        known = run.meta["settings"].get(node)
        setting = None if known is None else schema.setting_of(known)
        version = kubelet_version(run.meta, str(node))
        if setting is None or not reads_at_every_sync(setting, version):
            continue
        table = coherence_by_sync(own, period_s=mean_interval_s(setting))
        first = table[table["sync"] == 1].iloc[0]
        judged = True
        if first["p_value"] < SURELY:
            worst = max(worst, float(first["coherence"]))
    if not judged:
        return {"passed": None, "value": None, "limit": COHERENCE}
    return _at_most(worst, COHERENCE)
