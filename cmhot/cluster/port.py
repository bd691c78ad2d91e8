"""The port through which everything reaches a cluster.

Objects are plain dicts, as the API server sends them.
`cmhot.cluster.client` stands behind it with the official client,
`cmhot.cluster.model` with virtual kubelets; callers cannot tell which.
One thing passes it by: a testbed that starts asks its own API server whether it is
ready (`cmhot.cluster.testbed.status.Api`); no measurement goes that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cmhot.kubelet.uses import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.rights import Right


LEAST_S = 1.0
"""Time that a request has at least, however late it is begun: a last look is one."""
CONFLICT = 409
"""HTTP status of what contradicts what is there."""
FIELD_MANAGER = "cmhot"
"""Who owns the fields that server-side apply and patch write."""
MANAGED_BY = {"app.kubernetes.io/managed-by": "cmhot"}
"""On everything that we create, so that it can be found and removed."""
POD = Kind("v1", "pods")
EVENT = Kind("v1", "events")
NAMESPACE = Kind("v1", "namespaces", namespaced=False)
NODE = Kind("v1", "nodes", namespaced=False)
DEPLOYMENT = Kind("apps/v1", "deployments")
SERVICE = Kind("v1", "services")
SERVICE_ACCOUNT = Kind("v1", "serviceaccounts")


@dataclass(frozen=True, slots=True)
class Captured:
    """The outcome of a command in a container."""

    code: int | None  # None: it could not be started, or did not end in time
    output: bytes
    complaint: str  # standard error, or why it could not be started


class Cluster(Protocol):
    """All that `cmhot` asks of a cluster.

    Every method raises a `ClusterError` (see `cmhot.errors`)
    when the API server refuses or does not answer.
    """

    @property
    def target(self) -> str:
        """The user's name for the cluster: ``testbed``, ``context:NAME``, ``model``."""

    @property
    def modelled(self) -> bool:
        """Whether its delays come from a model, which results must say."""

    @property
    def clock(self) -> Clock:
        """The clock by which its delays are measured."""

    @property
    def local_image(self) -> str | None:
        """An image that is on every node without a registry; None: there is none."""

    @property
    def namespace(self) -> str:
        """The namespace that its context names, as `kubectl` takes it; ``default``."""

    def until(self, instant_s: float | None) -> Cluster:
        """Give the same cluster, whose requests are given up at an instant at latest.

        It is of `clock.monotonic`; None: each request has its own longest time. One
        that is begun later has `LEAST_S`.
        """

    def version(self) -> str:
        """Return the API server's version, such as ``v1.37.1``."""

    def sources(self) -> dict[str, Any] | None:
        """Return where each of its programs came from; None: we did not start them."""

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Return one object."""

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Return all objects with the labels, and the list's resource version."""

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects that change from that version on, for a minute at most.

        The iterator ends by itself; a caller that needs more lists and watches again.
        """

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create one object outside namespaces; return it as stored.

        Raises a `ClusterError` with the status `CONFLICT` when one of its name exists.
        """

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Server-side apply one object; return it as stored."""

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Merge-patch one object; return it as stored."""

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Delete one object; one that does not exist is deleted already.

        With a `uid` only that very object: another one of its name stays.
        """

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Return a container's log, each line with its RFC 3339 time stamp before it.

        ``since_ns`` leaves out older lines, to the second below. A log that is too
        long, or does not end, is an error.
        """

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """Run a command in a container; return what it printed."""

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Return the configuration that a kubelet itself reports (/configz)."""

    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,
    ) -> Captured:
        """Run a command in a container; its failure is an answer, not an error.

        It has so many seconds from the request to its end; None: half a minute.
        """

    def events(self, pod: str, *, namespace: str) -> Sequence[dict[str, Any]]:
        """Return the events about a pod, the latest last."""

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield all objects page by page: no more than one page need be kept."""

    def names(self, kind: Kind, *, namespace: str) -> Sequence[str]:
        """Return the names of a kind's objects, without asking for their content."""

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Start an ephemeral container in a pod; it stays until the pod goes."""


@runtime_checkable
class Authorising(Protocol):
    """A cluster that can be asked what its user may do; the model cannot."""

    def may(self, right: Right, *, namespace: str | None = None) -> bool:
        """Ask whether the user has a right, in a namespace or in every one (None)."""
