"""A pod as the modelled API server shows it, and what its containers hold.

What a volume holds is what the modelled kubelet has published in it. An environment and
a subPath are made when their container starts, of what the kubelet has then; so they
stay what they were until it starts anew.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.consumers.uses import Role, containers_of, references_of, uses_of
from cmhot.model.kubelet import ns
from cmhot.model.store import stamp
from cmhot.port.cluster import Captured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.consumers.reference import Reference
    from cmhot.consumers.uses import Use
    from cmhot.model.nodes import ModelNode
    from cmhot.model.pods import ModelPod, Volume

    Content = Mapping[str, bytes]

START_S = 1.0
"""From a pod's creation to its start on an idle node, seconds."""
START_EVERY_S = 0.1
STOP_EVERY_S = 0.2
"""What a start and an end take of a node, which does one after the other. With these,
fifty pods take about what docs/studies/remedies.md has of the testbed."""
GRACE_S = 30.0
"""Until a process that does not listen is killed, unless its pod says otherwise."""
RESTART_S = 2.5
"""From a container's death, or its addition, to its start: a relist or two of 1 s find
it, and the sync that starts it has read the volumes before."""
NOT_FOUND = 1
"""Exit code of a program that does not find its file."""
LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(slots=True, eq=False)
class Running:
    """A pod on a node.

    Attributes
    ----------
    name, namespace, uid
        Of the pod.
    meta
        Labels, annotations and owner.
    spec
        Its specification.
    node
        Where it runs.
    inside
        The pod as its kubelet knows it.
    held
        By object that it refers to: what the kubelet has brought of it.
    born_ns, ready_ns
        When it was created, and when its containers ran.
    leaving_ns
        When its deletion began; None: it stays.
    started_ns
        When each container started last.
    restarts
        How often each was started again.
    services
        Variables of the namespace's Services, as of each container's start.
    """

    name: str
    namespace: str | None
    uid: str
    meta: dict[str, Any]
    spec: dict[str, Any]
    node: ModelNode
    inside: ModelPod
    held: dict[Reference, Volume]
    born_ns: int
    ready_ns: int
    leaving_ns: int | None = None
    started_ns: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    services: dict[str, dict[str, str]] = field(default_factory=dict)

    def is_ready(self, at_ns: int) -> bool:
        """Tell whether all its containers run, and it is not going away."""
        return self.leaving_ns is None and at_ns >= self.latest_start_ns

    @property
    def latest_start_ns(self) -> int:
        """When the last of its containers started, or will have."""
        return max([self.ready_ns, *self.started_ns.values()])

    @property
    def grace_s(self) -> float:
        """How long its end takes, seconds."""
        return float(self.spec.get("terminationGracePeriodSeconds", GRACE_S))

    def shown(self, at_ns: int, epoch_ns: int) -> dict[str, Any]:
        """Write it as the API server sends it.

        Parameters
        ----------
        at_ns
            Now, since the model's start.
        epoch_ns
            The model's start, UTC epoch nanoseconds.
        """
        ready = self.is_ready(at_ns)
        leaving = self.leaving_ns is not None
        return {
            "metadata": {
                **self.meta,
                "name": self.name,
                "namespace": self.namespace,
                "uid": self.uid,
                "creationTimestamp": stamp(epoch_ns + self.born_ns),
                **({"deletionTimestamp": stamp(epoch_ns + at_ns)} if leaving else {}),
            },
            "spec": {**self.spec, "nodeName": self.node.name},
            "status": {
                "phase": "Running" if at_ns >= self.ready_ns else "Pending",
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True" if ready or leaving else "False",
                        "lastTransitionTime": stamp(epoch_ns + self.latest_start_ns),
                    }
                ],
                **self._statuses(at_ns, epoch_ns),
            },
        }

    def _statuses(self, at_ns: int, epoch_ns: int) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        fields = {
            Role.CONTAINER: "containerStatuses",
            Role.INIT: "initContainerStatuses",
            Role.SIDECAR: "initContainerStatuses",
            Role.EPHEMERAL: "ephemeralContainerStatuses",
        }
        for one, role in containers_of(self.spec):
            name = one["name"]
            begun, again = self.started_ns[name], self.restarts[name]
            state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
            if at_ns >= begun and role is Role.INIT:
                state = {"terminated": {"exitCode": 0, "reason": "Completed"}}
            elif at_ns >= begun:
                state = {"running": {"startedAt": stamp(epoch_ns + begun)}}
            found.setdefault(fields[role], []).append(
                {
                    "name": name,
                    "state": state,
                    "restartCount": again,
                    "containerID": f"modelled://{self.uid}/{name}/{again}",
                }
            )
        return found

    def add(
        self,
        container: Mapping[str, Any],
        *,
        at_ns: int,
        services: dict[str, str],
        mount: Callable[[Reference], Volume],
    ) -> None:
        """Start an ephemeral container.

        Parameters
        ----------
        container
            Its specification.
        at_ns
            Now.
        services
            Variables of the namespace's Services.
        mount
            Brings an object that the pod did not refer to.
        """
        others = self.spec.get("ephemeralContainers") or []
        self.spec = {**self.spec, "ephemeralContainers": [*others, dict(container)]}
        for reference in references_of({"spec": self.spec}) - set(self.held):
            self.held[reference] = mount(reference)
        self.start(container["name"], at_ns=at_ns + ns(RESTART_S), services=services)

    def start(self, container: str, *, at_ns: int, services: dict[str, str]) -> None:
        """Let a container begin at an instant."""
        if container in self.started_ns:
            self.restarts[container] += 1
        else:
            self.restarts[container] = 0
        self.started_ns[container] = at_ns
        self.services[container] = services


class Inside:
    """What can be seen in a pod's container at an instant.

    Parameters
    ----------
    pod
        Whose.
    contents
        What each number of a publication stands for.
    at_ns
        Now.
    epoch_ns
        The model's start.
    """

    def __init__(
        self, pod: Running, contents: Sequence[Content], *, at_ns: int, epoch_ns: int
    ) -> None:
        self._pod = pod
        self._contents = contents
        self._at_ns = at_ns
        self._epoch_ns = epoch_ns

    def run(self, container: str, command: Sequence[str]) -> Captured | None:
        """Answer `cat`, `env` and `stat`; None: the model has no such program."""
        match list(command):
            case ["cat", *paths]:
                return self._cat(container, paths)
            case ["env"]:
                lines = [f"{k}={v}\n" for k, v in self._environment(container)]
                return Captured(0, "".join(lines).encode(), "")
            case ["stat", "-c", "%y", path]:
                return self._stat(container, path)
        return None

    def _cat(self, container: str, paths: Sequence[str]) -> Captured:
        found = b""
        for path in paths:
            if path == "/proc/1/environ":
                pairs = self._environment(container)
                found += "".join(f"{key}={value}\0" for key, value in pairs).encode()
                continue
            text = self._file(container, path)
            if text is None:
                complaint = f"cat: can't open '{path}': No such file or directory"
                return Captured(NOT_FOUND, found, complaint)
            found += text
        return Captured(0, found, "")

    def _file(self, container: str, path: str) -> bytes | None:
        """Read a file; None: it is not there."""
        for reference in self._pod.held:
            for use in self._uses(container, reference):
                content = self._content(reference, use)
                key = use.places(sorted(content)).get(path, "")
                if key in content and not use.way.is_environment:
                    return content[key]
        return self._copied(path)

    def _copied(self, path: str) -> bytes | None:
        """Read what an init container has copied at its start by ``cp FROM TO``."""
        for one, role in containers_of(self._pod.spec):
            words = " ".join(one.get("args") or []).split()
            if role is Role.INIT and words[:1] == ["cp"] and words[-1] == path:
                first = Inside(
                    self._pod,
                    self._contents,
                    at_ns=self._pod.started_ns[one["name"]],
                    epoch_ns=self._epoch_ns,
                )
                return first._file(one["name"], words[1])
        return None

    def _stat(self, container: str, path: str) -> Captured:
        """Say when a volume's ``..data`` was swapped last."""
        import numpy as np  # noqa: PLC0415 - for nanoseconds that datetime has not

        folder = path.removesuffix("/..data")
        for reference, volume in self._pod.held.items():
            for use in self._uses(container, reference):
                if use.way.is_fixed or use.where.rstrip("/") != folder:
                    continue
                shown = bisect_right(volume.instants_ns, self._at_ns)
                if shown and path != folder:
                    at = np.datetime64(
                        self._epoch_ns + volume.instants_ns[shown - 1], "ns"
                    )
                    text = str(at).replace("T", " ")
                    return Captured(0, f"{text} +0000\n".encode(), "")
        complaint = f"stat: can't stat '{path}': No such file or directory"
        return Captured(NOT_FOUND, b"", complaint)

    def _environment(self, container: str) -> list[tuple[str, str]]:
        """List a container's variables, as of its start; later ones count."""
        spec = next(
            one for one, _ in containers_of(self._pod.spec) if one["name"] == container
        )
        found = {"PATH": "/bin", "HOSTNAME": self._pod.name}
        if self._pod.spec.get("enableServiceLinks", True):
            found |= self._pod.services[container]
        taken: dict[str, str] = {}
        for reference in self._pod.held:
            for use in self._uses(container, reference):
                if use.way.is_environment:
                    content = self._content(reference, use)
                    for variable, key in use.places(sorted(content)).items():
                        if key in content:
                            taken[variable] = content[key].decode()
        given = {
            one["name"]: one["value"] for one in spec.get("env") or () if "value" in one
        }
        return list({**found, **taken, **given}.items())

    def _uses(self, container: str, reference: Reference) -> list[Use]:
        shown = {"spec": self._pod.spec, "metadata": {"name": self._pod.name}}
        return [use for use in uses_of(shown, reference) if use.container == container]

    def _content(self, reference: Reference, use: Use) -> Content:
        """Give what a container has of an object: now, or as of its start."""
        volume = self._pod.held[reference]
        at = self._pod.started_ns[use.container] if use.way.is_fixed else self._at_ns
        shown = bisect_right(volume.instants_ns, min(at, self._at_ns))
        return self._contents[volume.numbers[shown - 1]] if shown else {}
