"""Touch each pod: a change of its annotation syncs it, and a sync reads its volumes.

See "When a Pod's annotation changes" in docs of Kubernetes on ConfigMaps, and
docs/studies/remedies.md for how quick it is.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cmhot.consumers.contents import content_of
from cmhot.consumers.uses import Role, uses_of
from cmhot.errors import NotFoundError, UsageError
from cmhot.explaining import node_facts
from cmhot.landing.looking import State, look, parts_of
from cmhot.port.cluster import POD
from cmhot.refreshing.circumstances import TOUCHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.clock import Clock
    from cmhot.consumers.reference import Reference
    from cmhot.landing.looking import Part
    from cmhot.refreshing.session import Session

AT_ONCE = 8
"""Requests at the same time."""
SETTLE_S = 1.2
"""From a touch to the look whether it helped: a sync that follows another one waits for
the next relist (1 s), and the two volume loops take 0.2 s."""
TRIES = 5
IN_PHASE = (
    "these pods were synced at the same time, and will be so again: the next updates "
    "reach them together, until their jitter has spread them (some five syncs)"
)


def to_touch(
    pods: Sequence[dict[str, Any]], references: Sequence[Reference]
) -> list[dict[str, Any]]:
    """Choose the pods to which a sync brings something.

    A pod that is on no node yet reads for itself once it is; what an init container
    has read, no sync reads again.

    Parameters
    ----------
    pods
        Of the workload.
    references
        Objects that matter.
    """
    return [
        pod
        for pod in pods
        if pod["spec"].get("nodeName")
        and any(
            not use.way.is_fixed and use.role is not Role.INIT
            for reference in references
            for use in uses_of(pod, reference)
        )
    ]


def deaf_nodes(session: Session, pods: Sequence[dict[str, Any]]) -> set[str]:
    """List nodes where a sync does not ask again for what the kubelet keeps; say so."""
    nodes = sorted({pod["spec"].get("nodeName") for pod in pods} - {None})
    facts = node_facts(session.cluster, nodes)
    deaf = [fact for fact in facts.values() if not fact.annotate_reads]
    if deaf:
        longest = max(fact.setting.ttl_s or 0.0 for fact in deaf if fact.setting)
        session.warnings.append(
            f"{len(deaf)} of {len(nodes)} nodes keep what they have read for up to "
            f"{longest:g} s (strategy Cache): a sync there does not ask again, so this "
            "cannot force it; use --method rollout"
        )
    return {fact.name for fact in deaf}


def touch_and_verify(
    session: Session,
    pods: Sequence[dict[str, Any]],
    references: Sequence[Reference],
    *,
    rate_per_s: float,
) -> int:
    """Touch pods, and touch again those that have read old content.

    Parameters
    ----------
    session
        The refresh.
    pods
        Which.
    references
        What they should hold afterwards.
    rate_per_s
        Most writes a second.

    Returns
    -------
    int
        Pods that had to be touched again.

    Raises
    ------
    UsageError
        No pod gets anything by a sync.
    """
    if not pods:
        msg = (
            f"no pod of {session.owner} that is on a node mounts the object in a way "
            "that updates: use --method rollout"
        )
        raise UsageError(msg)
    due, again = list(pods), 0
    pace = _Pace(session.cluster.clock, rate_per_s)
    contents = {
        reference: content_of(
            session.cluster.get(
                reference.place, reference.name, namespace=session.namespace
            )
        )
        for reference in references
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for turn in range(TRIES):
            list(pool.map(lambda pod: _touch(session, pod, pace), due))
            session.writes += len(due)
            if turn == 0:
                session.tell(f"touched {len(due)} pods")
            else:
                again += len(due)
                session.tell(f"touched {len(due)} pods again: they had read too early")
            session.cluster.clock.sleep(SETTLE_S)
            due = [one for one in due if one["spec"]["nodeName"] not in session.deaf]
            due = _stale(session, due, contents, pool)
            if not due or not session.left_s:
                break
    return again


def _stale(
    session: Session,
    pods: Sequence[dict[str, Any]],
    contents: dict[Reference, dict[str, bytes]],
    pool: ThreadPoolExecutor,
) -> list[dict[str, Any]]:
    """List the pods that hold other content."""
    parts: list[tuple[Part, Reference]] = [
        (part, reference)
        for pod in pods
        for reference in contents
        for part in parts_of(pod, uses_of(pod, reference), immutable=False)
        if part.updates
    ]

    def is_stale(one: tuple[Part, Reference]) -> bool:
        part, reference = one
        seen = look(
            session.door, part, contents[reference], namespace=session.namespace
        )
        return seen.state is State.STALE

    verdicts = pool.map(is_stale, parts)
    stale = {
        part.name for (part, _), is_so in zip(parts, verdicts, strict=True) if is_so
    }
    return [pod for pod in pods if pod["metadata"]["name"] in stale]


def _touch(session: Session, pod: dict[str, Any], pace: _Pace) -> None:
    pace.wait()
    stamp = str(session.cluster.clock.utc_ns())
    try:
        session.cluster.patch(
            POD,
            pod["metadata"]["name"],
            {"metadata": {"annotations": {TOUCHED: stamp}}},
            namespace=session.namespace,
        )
    except NotFoundError:
        return  # it has gone meanwhile, and its successor reads for itself


class _Pace:
    """Lets so many through a second; the first second's worth may pass at once."""

    def __init__(self, clock: Clock, per_s: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._begin = clock.monotonic()
        self._passed = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            due = (self._passed - self._per_s) / self._per_s
            self._passed += 1
            self._clock.sleep(self._begin + due - self._clock.monotonic())
