"""A cluster seen through an account of what is asked of it, and of who is Ready.

A remedy waits most of its time. `Attended` is the cluster that a remedy is given: it
counts the requests, and its clock looks at the pods while it sleeps, so that no second
thread is needed and it works in virtual time as well. Its own looks are not counted.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.pods import is_pod_ready
from cmhot.port.cluster import POD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.port.cluster import Captured, Cluster, Inspectable, Kind

LOOK_EVERY_S = 0.2
"""Between two looks, seconds: as well as an instant of readiness is known."""


@dataclass(frozen=True, slots=True)
class Look:
    """Who was Ready at one instant.

    Attributes
    ----------
    at_s
        Of the monotonic clock, when the answer was there.
    ready
        Uids of the pods that were Ready and not going.
    """

    at_s: float
    ready: frozenset[str]


class Attended:
    """A cluster whose requests are counted and whose pods are looked at.

    Parameters
    ----------
    cluster, door
        Behind it.
    namespace, labels
        Of the pods.
    every_s
        Between two looks.

    Attributes
    ----------
    requests
        That were asked for, lists of several pages once; looks at pods are left out.
    looks
        In order.
    """

    def __init__(
        self,
        cluster: Cluster,
        door: Inspectable,
        *,
        namespace: str,
        labels: Mapping[str, str],
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.target, self.modelled = cluster.target, cluster.modelled
        self.local_image = cluster.local_image
        self.requests = 0
        self.looks: list[Look] = []
        self.clock: Clock = _AttendingClock(self, cluster.clock, every_s)
        self._cluster, self._door = cluster, door
        self._namespace, self._labels = namespace, dict(labels)
        self._lock = threading.Lock()

    def look(self) -> None:
        """See who is Ready."""
        pods, _ = self._cluster.list(
            POD, namespace=self._namespace, labels=self._labels
        )
        ready = frozenset(one["metadata"]["uid"] for one in pods if is_pod_ready(one))
        at_s = self._cluster.clock.monotonic()
        with self._lock:
            self.looks.append(Look(at_s, ready))

    def _count(self) -> None:
        with self._lock:
            self.requests += 1

    def version(self) -> str:
        """As behind it."""
        self._count()
        return self._cluster.version()

    def sources(self) -> dict[str, Any] | None:
        """As behind it."""
        return self._cluster.sources()

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.get(kind, name, namespace=namespace)

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """As behind it."""
        self._count()
        return self._cluster.list(kind, namespace=namespace, labels=labels)

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """As behind it."""
        self._count()
        return self._door.pages(kind, namespace=namespace, labels=labels)

    def names(self, kind: Kind, *, namespace: str) -> Sequence[str]:
        """As behind it."""
        self._count()
        return self._door.names(kind, namespace=namespace)

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[dict[str, Any]]:
        """As behind it."""
        self._count()
        return self._cluster.watch(
            kind, namespace=namespace, labels=labels, resource_version=resource_version
        )

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.apply(manifest, namespace=namespace)

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.patch(kind, name, body, namespace=namespace)

    def delete(self, kind: Kind, name: str, *, namespace: str | None = None) -> None:
        """As behind it."""
        self._count()
        self._cluster.delete(kind, name, namespace=namespace)

    def log(
        self, pod: str, *, namespace: str, container: str, since_ns: int | None = None
    ) -> str:
        """As behind it."""
        self._count()
        return self._cluster.log(
            pod, namespace=namespace, container=container, since_ns=since_ns
        )

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """As behind it."""
        self._count()
        return self._cluster.run_in(
            pod, command, namespace=namespace, container=container
        )

    def capture(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> Captured:
        """As behind it."""
        self._count()
        return self._door.capture(
            pod, command, namespace=namespace, container=container
        )

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """As behind it."""
        self._count()
        self._door.add_ephemeral(pod, container, namespace=namespace)

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """As behind it."""
        self._count()
        return self._cluster.kubelet_configuration(node)


class _AttendingClock:
    """A clock that looks at the pods while somebody sleeps on it."""

    def __init__(self, attended: Attended, clock: Clock, every_s: float) -> None:
        self._attended, self._clock, self._every_s = attended, clock, every_s

    def utc_ns(self) -> int:
        """As behind it."""
        return self._clock.utc_ns()

    def monotonic(self) -> float:
        """As behind it."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep, and look again and again; a look may end it a little late."""
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, self._every_s))
            self._attended.look()
