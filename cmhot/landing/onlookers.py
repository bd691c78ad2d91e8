"""Ephemeral containers, by which one looks into containers that have no `cat`.

Each changes its pod: that syncs it, and the container stays until the pod goes.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.consumers.uses import containers_of
from cmhot.errors import NotFoundError
from cmhot.landing.looking import unasked
from cmhot.nodes import probe_image
from cmhot.port.cluster import POD

if TYPE_CHECKING:
    from cmhot.landing.looking import Look, Part
    from cmhot.port.cluster import Cluster, Inspectable

START_S = 30.0
"""Longest time for an ephemeral container to start: its image may be pulled."""
POLL_S = 0.5
MOST_IN_VAIN = 3
"""Containers that did not start, after which no more are made."""


@dataclass(slots=True)
class Onlookers:
    """Makes ephemeral containers, one beside each container that needs one.

    Attributes
    ----------
    cluster, door
        Where.
    namespace
        Of the pods.
    """

    cluster: Cluster
    door: Inspectable
    namespace: str
    _made: dict[tuple[str, str], str] = field(default_factory=dict)
    _in_vain: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def changed(self) -> tuple[str, ...]:
        """Name the pods that have been changed."""
        return tuple(sorted({pod for pod, _ in self._made}))

    def beside(self, part: Part, *, until_s: float) -> str | Look | None:
        """Give a running ephemeral container beside another.

        Parameters
        ----------
        part
            The container, which it shares processes with.
        until_s
            Instant of the cluster's monotonic clock at which to give up, seconds.

        Returns
        -------
        str or Look or None
            Its name; what is known where the pod has gone meanwhile;
            None: it did not start, or others like it did not.
        """
        place = part.name, part.container
        try:
            with self._lock:
                name = self._made.get(place)
                if name is None:
                    if self._in_vain >= MOST_IN_VAIN:
                        return None
                    name = self._add(part)
                    self._made[place] = name
            if self._starts(part.name, name, until_s):
                return name
        except NotFoundError as error:
            return unasked(error)
        with self._lock:
            self._in_vain += 1
        return None

    def _add(self, part: Part) -> str:
        """Start one, or find that of an earlier call."""
        name = f"cmhot-look-{part.container}"[:63].rstrip("-")
        present = {one["name"] for one, _ in containers_of(part.pod["spec"])}
        if name not in present:
            image, policy = probe_image(self.cluster, None)
            self.door.add_ephemeral(
                part.name,
                {
                    "name": name,
                    "image": image,
                    "imagePullPolicy": policy,
                    "command": ["sleep", "86400"],
                    "targetContainerName": part.container,
                    "securityContext": _user_of(part),
                },
                namespace=self.namespace,
            )
        return name

    def _starts(self, pod: str, name: str, until_s: float) -> bool:
        clock = self.cluster.clock
        until_s = min(until_s, clock.monotonic() + START_S)
        while clock.monotonic() < until_s:
            found = self.cluster.get(POD, pod, namespace=self.namespace)
            status = found.get("status") or {}
            for one in status.get("ephemeralContainerStatuses") or ():
                if one["name"] == name and "running" in (one.get("state") or {}):
                    return True
            clock.sleep(POLL_S)
        return False


def _user_of(part: Part) -> dict[str, Any]:
    """Be whoever the other container is: the kernel lets only them see its files."""
    for one, _ in containers_of(part.pod["spec"]):
        if one["name"] == part.container:
            return dict(one.get("securityContext") or {})
    return {}
