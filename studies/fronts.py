"""What tests and studies put in front of a cluster: it notes or changes requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.cluster.probe import epoch_ns
from cmhot.kubelet.uses import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.port import Captured, Cluster
    from cmhot.kubelet.uses import Kind


class Front:
    """Passes every request on, after `passing`, and what was got, after `shown`.

    What the port does not have is the inner cluster's own.

    Parameters
    ----------
    inner
        The cluster behind.
    """

    def __init__(self, inner: Cluster) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the inner one has
        return getattr(self.inner, name)

    def until(self, instant_s: float | None) -> Self:  # noqa: ARG002
        """Stay in front."""
        return self

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Hear of a request, as RBAC names it; raise what shall become of it."""

    def shown(self, kind: Kind, one: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Give an object that was got as it shall be seen."""
        return one

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Pass it on."""
        self.passing("get", kind.plural, name)
        return self.shown(kind, self.inner.get(kind, name, namespace=namespace))

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Pass it on."""
        self.passing("list", kind.plural, None)
        found, version = self.inner.list(kind, namespace=namespace, labels=labels)
        return [self.shown(kind, one) for one in found], version

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """Pass it on: a page more is the same request."""
        self.passing("list", kind.plural, None)
        for page in self.inner.pages(kind, namespace=namespace, labels=labels):
            yield [self.shown(kind, one) for one in page]

    def names(self, kind: Kind, *, namespace: str) -> Sequence[str]:
        """Pass it on."""
        self.passing("list", kind.plural, None)
        return self.inner.names(kind, namespace=namespace)

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[dict[str, Any]]:
        """Pass it on."""
        self.passing("watch", kind.plural, None)
        return self.inner.watch(
            kind, namespace=namespace, labels=labels, resource_version=resource_version
        )

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Pass it on: server-side apply needs two verbs, the one without a name."""
        plural, name = f"{manifest['kind'].lower()}s", manifest["metadata"]["name"]
        self.passing("create", plural, None)
        self.passing("patch", plural, name)
        return self.inner.apply(manifest, namespace=namespace)

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Pass it on."""
        self.passing("create", f"{manifest['kind'].lower()}s", None)
        return self.inner.create(manifest)

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Pass it on."""
        self.passing("patch", kind.plural, name)
        return self.inner.patch(kind, name, body, namespace=namespace)

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Pass it on."""
        self.passing("delete", kind.plural, name)
        self.inner.delete(kind, name, namespace=namespace, uid=uid)

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Pass it on."""
        self.passing("get", "pods/log", pod)
        return self.inner.log(
            pod, namespace=namespace, container=container, since_ns=since_ns
        )

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """Pass it on: a WebSocket needs two verbs."""
        self.passing("get", "pods/exec", pod)
        self.passing("create", "pods/exec", pod)
        return self.inner.run_in(pod, command, namespace=namespace, container=container)

    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,
    ) -> Captured:
        """Pass it on, as `run_in`."""
        self.passing("get", "pods/exec", pod)
        self.passing("create", "pods/exec", pod)
        return self.inner.capture(
            pod, command, namespace=namespace, container=container, timeout_s=timeout_s
        )

    def events(self, pod: str, *, namespace: str) -> Sequence[dict[str, Any]]:
        """Pass it on."""
        self.passing("list", "events", pod)
        return self.inner.events(pod, namespace=namespace)

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Pass it on."""
        self.passing("patch", "pods/ephemeralcontainers", pod)
        self.inner.add_ephemeral(pod, container, namespace=namespace)

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Pass it on."""
        self.passing("get", "nodes/proxy", node)
        return self.inner.kubelet_configuration(node)


class Telling(Front):
    """Says when a collection writes its first number, and when it removes its objects.

    Parameters
    ----------
    inner
        The cluster behind.
    begun, ended
        Called once each: before the first number is written, and before anything is
        deleted after that.
    """

    def __init__(
        self,
        inner: Cluster,
        begun: Callable[[], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(inner)
        self._due = [ended, begun]

    def passing(self, verb: str, resource: str, name: str | None) -> None:  # noqa: ARG002
        """Call what is due."""
        is_written = (verb, resource) == ("patch", CONFIG_MAP.plural)
        if is_written and len(self._due) == 2:  # noqa: PLR2004 - neither was
            self._due.pop()()
        if verb == "delete" and len(self._due) == 1:
            self._due.pop()()


class Stepped:
    """A clock that somebody sets, in front of a real one.

    Parameters
    ----------
    inner
        The clock beneath, which nobody touches.
    """

    def __init__(self, inner: Clock) -> None:
        self._inner = inner
        self._steps: list[tuple[int, int]] = []

    def step(self, by_ns: int, *, at_ns: int | None = None) -> None:
        """Set it forward, or back, nanoseconds: now, or at an instant of the inner."""
        self._steps.append((self._inner.utc_ns() if at_ns is None else at_ns, by_ns))

    @property
    def is_set(self) -> bool:
        """Whether anybody has set it, or will."""
        return bool(self._steps)

    def shown_ns(self, at_ns: int) -> int:
        """Say what it showed, or will show, at an instant of the inner clock."""
        return at_ns + sum(by for since, by in self._steps if since <= at_ns)

    def utc_ns(self) -> int:
        """Return what the clock on the wall shows."""
        return self.shown_ns(self._inner.utc_ns())

    def monotonic(self) -> float:
        """Return seconds that nobody can set."""
        return self._inner.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._inner.sleep(seconds)


class OneMachine(Front):
    """A cluster on one machine, whose clock somebody sets: the nodes stamp by it.

    Parameters
    ----------
    inner
        The cluster behind, whose clock nobody touches.
    clock
        That of the machine, in front of the same one.
    """

    def __init__(self, inner: Cluster, clock: Stepped) -> None:
        super().__init__(inner)
        self.clock = clock

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Stamp as the machine did, and leave out the lines before, as a kubelet."""
        if not self.clock.is_set:
            return super().log(
                pod, namespace=namespace, container=container, since_ns=since_ns
            )
        text = super().log(pod, namespace=namespace, container=container)
        lines = []
        for line in text.splitlines(keepends=True):
            shown = _STAMP.sub(self._shown, line)
            at_ns = epoch_ns(shown.partition(" ")[0])
            if since_ns is None or at_ns // NS_PER_S >= since_ns // NS_PER_S:
                lines.append(shown)
        return "".join(lines)

    def _shown(self, found: re.Match[str]) -> str:
        """Write a stamp as the clock showed it, in the same form."""
        day, between, time, zone = found.groups()
        at_ns = self.clock.shown_ns(epoch_ns(f"{day}T{time}Z"))
        shown = str(np.datetime64(at_ns, "ns"))
        return shown.replace("T", between) + zone


_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)([T ])(\d\d:\d\d:\d\d(?:\.\d+)?)(Z| \+0000)")
