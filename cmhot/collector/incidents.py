"""Incidents of pods and kubelets during a measurement, as events of the run.

A trial that waited across a ``restart`` of its pod or node is no observation, whatever
its outcome.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy

from cmhot.clock import NS_PER_S, ns
from cmhot.law import mean_interval_s
from cmhot.runs.rundir import node_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from cmhot.cluster.probe import ProbeLog
    from cmhot.kubelet.settings import Setting
    from cmhot.runs.rundir import Run

    Nanoseconds = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

EARLY_S = 0.25
"""A sync comes at least `syncFrequency` after the one before, and its publication
some tenths of a second after it: nearer together by this, one was extra."""
AT_ONCE_S = 1.0
"""A kubelet that starts syncs all of its pods within this: 20 took 0.1 s, measured."""
ALLOWANCE_S = 0.3
"""The tick and the two volume loops let a healthy window of `AT_ONCE_S` hold the
publications of this much more."""
BY_CHANCE = 1e-4
"""Chance that a healthy node shows so many publications at once, in a whole run."""
SEVERAL = 2
"""So many pods synced too soon at the same time show a start of their kubelet."""
NOTICED_S = 0.5
"""A probe notices a publication within its pause of a quarter of a second, and writes
its line in as much: by any longer time its node is behind."""
BEHIND_S = 0.5
"""A publication of a node that is so far behind counts for no crowd."""
SHARE = 0.3
"""Least share of a node's pods that must be synced too soon."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A row of events.jsonl."""

    at_ns: int
    kind: str
    object: str
    detail: dict[str, Any]

    def row(self) -> dict[str, Any]:
        """Return the incident as a row of the table."""
        return asdict(self)


def gone_probes(
    probes: Iterable[ProbeLog], listed: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[ProbeLog, str]]:
    """Find the probes that are no more among the pods listed now, and why."""
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


def replacements(
    probes: Iterable[ProbeLog], listed: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Name the pods that took a probe's place; they are not measured."""
    known = {probe.uid for probe in probes}
    return sorted(
        pod["metadata"]["name"] for pod in listed if pod["metadata"]["uid"] not in known
    )


def lost_probe(probe: ProbeLog, why: str, *, since_ns: int) -> list[Incident]:
    """Give the incidents of a pod of which nothing is known after its last read.

    `since_ns` is when observation began, for a pod whose log was never read.
    """
    name = f"pod/{probe.pod}"
    last_ns = probe.read_ns or since_ns
    return [
        Incident(last_ns, "gone", name, {"why": why}),
        Incident(last_ns, "restart", name, {"why": why}),
    ]


def unread_probe(probe: ProbeLog, *, since_ns: int) -> Incident:
    """Give the incident of a pod whose log was not read any more when the run ended.

    It holds until the collection is resumed, which reads the log. `since_ns` is when
    observation began, for a pod whose log was never read.
    """
    detail = {"why": "its log was not read after this"}
    at_ns = probe.read_ns or since_ns
    return Incident(at_ns, "unseen", f"pod/{probe.pod}", detail)


def node_states(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Give each node's boot, and whether its kubelet is Ready."""
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
    """Give the incidents of nodes that booted, went away or changed readiness."""
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
    `away_ns` says when the API server went away, each time; observation ends at
    `end_ns`.
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


@dataclass(frozen=True, slots=True)
class _Node:
    """Publications of a node, in order."""

    name: str
    pods: pd.Index[Any]  # names of pods, of this node and of others
    code: Nanoseconds  # whose each is, a place in `pods`; this and the next: shape (n,)
    at_ns: Nanoseconds  # node clock, UTC epoch ns
    early: Flags  # whether it came too soon
    behind: Flags  # whether the node had too much to do
    crowd: int  # how many pods within `AT_ONCE_S` are too many
    enough: float  # how many publications that came too soon are


def extra_syncs(
    publications: pd.DataFrame, meta: Mapping[str, Any], *, from_ns: int
) -> list[Incident]:
    """Find syncs before their time: of all pods of a kubelet, or of a single one.

    A kubelet that starts syncs all of its pods, and an edited pod is synced: updates
    that waited then arrived early. Two signs in the publications show it: one that
    comes sooner after the one before than any sync can, and more pods that publish
    within a second than chance allows. On a node that has too much to do publications
    come late, and then together, and the next ones sooner after them; there the probes
    notice them late as well, by which it is known.

    `meta` is run.json: a node of unknown setting is passed over. Publications before
    `from_ns` are ignored: each pod was then synced on purpose. For a kubelet the result
    is a ``restart`` of the node just before the first of its publications, and of each
    other pod just before its own.
    """
    # a day of a node has a hundred thousand: numbers are sorted, not names
    noticed_s = (publications["read_ns"] - publications["published_ns"]) / NS_PER_S
    late_s = (noticed_s.astype("float64").fillna(0.0) - NOTICED_S).clip(lower=0.0)
    codes, names = pd.factorize(publications["pod"])
    numbers = pd.DataFrame(
        {
            "pod": codes,
            "published_ns": publications["published_ns"].to_numpy(dtype=np.int64),
            "late_s": late_s.to_numpy(),
        }
    )
    found: list[Incident] = []
    for name, places in publications.groupby("node").indices.items():
        setting = node_setting(meta, str(name))
        if setting is not None:
            node = _node(str(name), numbers.iloc[places], names, setting, from_ns)
            found += _classify(node)
    return found


def _node(
    name: str,
    own: pd.DataFrame,
    pods: pd.Index[Any],
    setting: Setting,
    from_ns: int,
) -> _Node:
    """Prepare a node's publications from an instant on."""
    ordered = own.sort_values("published_ns")
    of_pod = ordered.groupby("pod")
    before_s = of_pod["late_s"].shift(fill_value=0.0)
    least = (setting.sync_frequency_s - EARLY_S - before_s) * NS_PER_S
    early = of_pod["published_ns"].diff() < least
    ordered = ordered.assign(early=early, behind=ordered["late_s"] > BEHIND_S)
    counted = ordered[ordered["published_ns"] >= from_ns]
    at_ns = counted["published_ns"].to_numpy(dtype=np.int64)
    code = counted["pod"].to_numpy(dtype=np.int64)
    here = np.unique(code).size
    share = (AT_ONCE_S + ALLOWANCE_S) / mean_interval_s(setting)
    lasts_s = (at_ns[-1] - at_ns[0]) / NS_PER_S if len(at_ns) else 0.0
    each = BY_CHANCE / max(lasts_s / AT_ONCE_S, 1.0)
    sizes = np.arange(here + 1)
    # P(more than so many at once)
    beyond = scipy.special.bdtrc(sizes, sizes[-1], min(share, 1.0))
    crowd = int(np.argmax(beyond <= each)) + 1
    return _Node(
        name=name,
        pods=pods,
        code=code,
        at_ns=at_ns,
        early=counted["early"].to_numpy(dtype=np.bool_),
        behind=counted["behind"].to_numpy(dtype=np.bool_),
        crowd=max(crowd, SEVERAL + 1),
        enough=max(SEVERAL, SHARE * here),
    )


def _classify(node: _Node) -> Iterator[Incident]:
    """Separate starts of the kubelet from extra syncs of single pods."""
    at_once = ns(AT_ONCE_S)
    taken = -1
    for index, begin in enumerate(node.at_ns.tolist()):
        if begin <= taken:
            continue
        end = int(np.searchsorted(node.at_ns, begin + at_once, "right"))
        early = int(node.early[index:end].sum())
        together = np.unique(node.code[index:end][~node.behind[index:end]])
        if together.size >= node.crowd or early >= node.enough:
            taken = begin + at_once
            yield from _kubelet_start(node, index, end)
        elif node.early[index]:
            detail = {"why": "it was synced before its time"}
            name = f"pod/{node.pods[node.code[index]]}"
            yield Incident(begin - 1, "restart", name, detail)


def _kubelet_start(node: _Node, index: int, end: int) -> Iterator[Incident]:
    """Give the incidents of a kubelet that synced its pods at once."""
    why = "its kubelet synced its pods at once"
    detail: dict[str, Any] = {"why": why, "pods": end - index}
    at_ns = node.at_ns[index:end].tolist()
    yield Incident(at_ns[0] - 1, "restart", f"node/{node.name}", detail)
    for code, instant in zip(node.code[index + 1 : end], at_ns[1:], strict=True):
        yield Incident(instant - 1, "restart", f"pod/{node.pods[code]}", {"why": why})
