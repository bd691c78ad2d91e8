"""Whether a run may be believed: each check with its figure and its limit."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.collecting.settle import LATE_S
from cmhot.law import mean_interval_s, reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.meta import has_one_clock, kubelet_version
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


@dataclass(slots=True)
class Tally:
    """What the checks need of a run's delays and publications, counted piece by piece.

    Attributes
    ----------
    statuses
        How many delays came to what.
    clock_bound_s
        The largest error of a delay's clock; NaN: one of them has no bound.
    coherence
        The largest of a node's pods; None: it could be judged on no node.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    clock_bound_s: float = 0.0
    coherence: float | None = None

    def count(self, rows: pd.DataFrame) -> None:
        """Take note of some delays."""
        counts = rows["status"].value_counts()
        self.statuses.update({str(name): int(n) for name, n in counts.items()})
        bounds = rows["clock_bound_s"].to_numpy(dtype=float)
        self.clock_bound_s = float(np.max(bounds, initial=self.clock_bound_s))

    def look_at_phases(self, part: Run) -> None:
        """See whether pods of a node are in phase when trials begin to count.

        Parameters
        ----------
        part
            Publications of whole nodes.
        """
        pods = [part.publications["node"], part.publications["pod"]]
        at_ns = part.publications["published_ns"]
        counted = at_ns[at_ns >= part.meta["measure_from_ns"]]
        firsts = counted.groupby(pods).min().reset_index()
        for node, own in firsts.groupby("node"):
            known = part.meta["settings"].get(node)
            setting = None if known is None else schema.setting_of(known)
            version = kubelet_version(part.meta, str(node))
            if setting is None or not reads_at_every_sync(setting, version):
                continue
            table = coherence_by_sync(own, period_s=mean_interval_s(setting))
            seen = table.iloc[0]
            surely = float(seen["coherence"]) if seen["p_value"] < SURELY else 0.0
            self.coherence = max(self.coherence or 0.0, surely)

    def share(self, *names: str) -> float:
        """Give the share of the delays that came to one of these."""
        own = sum(self.statuses[name] for name in names)
        return own / max(self.statuses.total(), 1)


def judge(
    run: Run,
    tally: Tally,
    *,
    changed: Sequence[str],
    scrambles: tuple[int, int],
) -> dict[str, dict[str, Any]]:
    """Judge a run by its records.

    Parameters
    ----------
    run
        What was recorded; its publications are not looked at.
    tally
        Of all its delays and publications.
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
    to_scramble, missed = scrambles
    failed = float((sent["status"] == "failed").mean()) if len(sent) else 0.0
    return {
        "schedule": _at_most(float(late.mean()) if len(acked) else 0.0, LATE_SHARE),
        "clock": _clock(run, tally.clock_bound_s),
        "api_errors": _at_most(failed, FAILED_SHARE),
        "restarts": _at_most(tally.share("interrupted"), INTERRUPTED_SHARE),
        "missed": _at_most(tally.share("missed"), MISSED_SHARE),
        "settings": {"passed": not changed, "value": list(changed), "limit": []},
        "scrambled": _at_most(missed / max(to_scramble, 1), UNSCRAMBLED_SHARE),
        "phases": _phases(tally.coherence),
        "censoring": _at_most(tally.share(*schema.DEAD_ENDS), CENSORED_SHARE),
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


def _clock(run: Run, bound_s: float) -> dict[str, Any]:
    """Bound what two clocks may add to a delay, over all nodes and instants."""
    if run.meta.get("modelled") or has_one_clock(run.meta):
        return {"passed": True, "value": 0.0, "limit": CLOCK_LIMIT_S}
    if run.clock.empty or math.isnan(bound_s):
        return {"passed": None, "value": None, "limit": CLOCK_LIMIT_S}
    return _at_most(bound_s, CLOCK_LIMIT_S)


def _phases(coherence: float | None) -> dict[str, Any]:
    """See that the pods of no node were in phase."""
    if coherence is None:
        return {"passed": None, "value": None, "limit": COHERENCE}
    return _at_most(coherence, COHERENCE)
