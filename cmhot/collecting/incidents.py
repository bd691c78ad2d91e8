"""What befell pods and kubelets while they were measured.

All of it becomes events: a trial that waited across a ``restart`` of its pod or
node is no observation, whichever way it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from cmhot.reader import ProbeLog
    from cmhot.runs.rundir import Run


@dataclass(frozen=True, slots=True)
class Incident:
    """A row of events.jsonl."""

    at_ns: int
    kind: str
    object: str
    detail: dict[str, Any]

    def row(self) -> dict[str, Any]:
        """Return it as the table has it."""
        return {
            "at_ns": self.at_ns,
            "kind": self.kind,
            "object": self.object,
            "detail": self.detail,
        }


def gone(
    probes: Iterable[ProbeLog], listed: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[ProbeLog, str]]:
    """Find the probes that are no more, and why.

    Parameters
    ----------
    probes
        Those that are measured.
    listed
        Pods as the API server has them now.
    """
    pods = {pod["metadata"]["uid"]: pod for pod in listed}
    for probe in probes:
        if probe.gone:
            continue
        pod = pods.get(probe.uid)
        if pod is None:
            yield probe, "it was deleted"
            continue
        status = pod.get("status") or {}
        if pod["metadata"].get("deletionTimestamp"):
            yield probe, "it is being deleted"
        elif status.get("phase") in {"Failed", "Succeeded"}:
            why = status.get("reason") or status["phase"]
            yield probe, f"it ended: {why}"


def strangers(
    probes: Iterable[ProbeLog], listed: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Name the pods that took a probe's place; they are not measured."""
    known = {probe.uid for probe in probes}
    return sorted(
        pod["metadata"]["name"] for pod in listed if pod["metadata"]["uid"] not in known
    )


def lost(probe: ProbeLog, why: str, *, since_ns: int) -> list[Incident]:
    """Tell of a pod of which nothing is known after its last look.

    Parameters
    ----------
    probe
        The pod.
    why
        In words.
    since_ns
        When observation began, for a pod that was never looked at.
    """
    name = f"pod/{probe.pod}"
    last_ns = probe.read_ns or since_ns
    return [
        Incident(last_ns, "gone", name, {"why": why}),
        Incident(last_ns, "restart", name, {"why": why}),
    ]


def unseen(probe: ProbeLog, *, since_ns: int) -> Incident:
    """Tell of a pod whose log was not read any more when the run ended.

    It holds until a collection is resumed, which reads the log.

    Parameters
    ----------
    probe
        The pod.
    since_ns
        When observation began, for a pod that was never looked at.
    """
    detail = {"why": "its log was not read after this"}
    at_ns = probe.read_ns or since_ns
    return Incident(at_ns, "unseen", f"pod/{probe.pod}", detail)


def boots(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Tell which boot each node is in, and whether its kubelet reports."""
    states = {}
    for node in nodes:
        status = node.get("status") or {}
        boot = (status.get("nodeInfo") or {}).get("bootID", "")
        ready = [
            condition["status"]
            for condition in status.get("conditions") or []
            if condition["type"] == "Ready"
        ]
        states[node["metadata"]["name"]] = f"{boot} {''.join(ready)}"
    return states


def node_changes(
    before: Mapping[str, str], now: Mapping[str, str], *, at_ns: int
) -> list[Incident]:
    """Tell of nodes that rebooted, went away, or no longer report."""
    found = []
    for node, old in before.items():
        new = now.get(node)
        name = f"node/{node}"
        if new is None:
            found.append(Incident(at_ns, "node_gone", name, {}))
        elif new.partition(" ")[0] != old.partition(" ")[0]:
            found.append(Incident(at_ns, "restart", name, {"why": "the node booted"}))
        elif new != old:
            ready = new.partition(" ")[2]
            found.append(Incident(at_ns, "node_ready", name, {"ready": ready}))
    return found


def outages(events: pd.DataFrame) -> list[int]:
    """List when the API server went away, from a run's events."""
    own = events.loc[events["kind"] == "reconnect", "detail"]
    return [int(detail["from_ns"]) for detail in own]


def lost_watches(run: Run, away_ns: Iterable[int], *, end_ns: int) -> list[Incident]:
    """Find how long kubelets knew nothing new after the API server was away.

    Its watches broke off, and a kubelet comes back when it tries again. Until one of
    its pods publishes a number written after that, its trials waited for the watch.

    Parameters
    ----------
    run
        What was recorded.
    away_ns
        When the API server went away, each time.
    end_ns
        When observation ends.
    """
    updates = run.updates[run.updates["status"] == "acked"]
    nodes = sorted({str(entry["node"]) for entry in run.meta["pods"]})
    found = []
    for since_ns in away_ns:
        later = updates.loc[updates["acked_ns"] > since_ns, "seq"]
        new = run.publications
        new = new[new["seq"] >= (later.min() if len(later) else np.inf)]
        first = new.groupby("node")["published_ns"].min()
        for node in nodes:
            back_ns = first.get(node)
            if back_ns is None:  # until a collection is resumed
                detail = {"why": "its watch is not back", "away_ns": since_ns}
                found.append(Incident(end_ns - 1, "unseen", f"node/{node}", detail))
            else:
                detail = {"why": "its watch came back", "away_ns": since_ns}
                at_ns = int(back_ns) - 1
                found.append(Incident(at_ns, "restart", f"node/{node}", detail))
    return found
