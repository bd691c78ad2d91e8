"""The world of the modelled kubelets: stored objects, running pods, Deployments.

A write changes an object in `Store`; `World` then starts, ends and replaces pods, as
the Deployment's controller decides (`next_steps`). A container's volume holds the last
publication of its kubelet; environment and subPath are made when the container starts,
and stay. Whether a pod may start is not checked: one whose ConfigMap does not exist yet
starts without it, as if it were optional.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import heapq
import json
import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S, ns
from cmhot.cluster.model.virtual_kubelet import History
from cmhot.cluster.port import (
    CONFLICT,
    DEPLOYMENT,
    FIELD_MANAGER,
    NAMESPACE,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    Captured,
)
from cmhot.errors import ClusterError, UsageError
from cmhot.kubelet.uses import (
    CONFIG_MAP,
    SECRET,
    Role,
    containers_of,
    references_of,
)
from cmhot.kubelet.view import Absent, absolute, content_of, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from cmhot.cluster.model.virtual_kubelet import ModelNode, ModelPod, Volume
    from cmhot.kubelet.uses import Kind, Reference
    from cmhot.kubelet.view import ContainerView, Folder, Given

Object = dict[str, Any]
KINDS = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Namespace": NAMESPACE,
    "Pod": POD,
    "Secret": SECRET,
    "Service": SERVICE,
    "ServiceAccount": SERVICE_ACCOUNT,
}
"""What can be applied, by the manifest's kind."""
UNPROCESSABLE = 422
"""HTTP status of a change that an object does not allow."""
FIRST_ADDRESS = 2
"""Last number of the first Service's address; the first is the API server's."""


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Find the kind of a manifest; the model has no others than `KINDS`."""
    try:
        return KINDS[manifest["kind"]]
    except KeyError:
        known = ", ".join(KINDS)
        msg = f"the model knows no {manifest['kind']}: it has {known}"
        raise UsageError(msg) from None


def stamp(at_ns: int) -> str:
    """Write an instant as the API does: in UTC, to the second."""
    second = dt.datetime.fromtimestamp(at_ns // NS_PER_S, dt.UTC)
    return second.strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(old: Any, new: Any) -> Any:  # noqa: ANN401 - JSON values
    """Apply a JSON merge patch (RFC 7386); None removes a key."""
    if not isinstance(new, dict):
        return new
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


class Store:
    """Objects by kind, namespace and name; pods are not among them."""

    def __init__(self) -> None:
        self.version = 1  # of the last write; each has its own
        self._objects: dict[Kind, dict[tuple[str | None, str], Object]] = {}
        self._born = 0

    def find(self, kind: Kind, name: str, namespace: str | None) -> Object | None:
        """Return an object; None: there is none."""
        where = namespace if kind.namespaced else None
        return self._objects.get(kind, {}).get((where, name))

    def select(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Object]:
        """Yield objects of a namespace, or of all (None), with the labels."""
        wanted = (labels or {}).items()
        for (where, _), found in self._objects.get(kind, {}).items():
            own = found["metadata"].get("labels") or {}
            if namespace in {None, where} and wanted <= own.items():
                yield found

    def apply(
        self, manifest: Mapping[str, Any], namespace: str | None, *, at_ns: int
    ) -> Object:
        """Make an object, or replace the fields that the manifest has; others stay."""
        kind = kind_of(manifest)
        made = copy.deepcopy(dict(manifest))
        meta = made["metadata"]
        where = (meta.get("namespace") or namespace) if kind.namespaced else None
        if where is not None:
            meta["namespace"] = where
        if kind == SECRET and "stringData" in made:
            plain = made.pop("stringData")
            coded = {key: _base64(text) for key, text in plain.items()}
            made["data"] = {**made.get("data", {}), **coded}
        old = self.find(kind, meta["name"], where)
        if old is None:
            self._born += 1
            meta.setdefault("uid", f"uid-{self._born}")
            meta["creationTimestamp"] = stamp(at_ns)
            if kind == SERVICE:
                last = FIRST_ADDRESS + self._born
                made["spec"] = {"clusterIP": f"10.96.0.{last}", **made["spec"]}
        else:
            made = merged(old, made) if kind == DEPLOYMENT else {**old, **made}
            made["metadata"] = {**old["metadata"], **meta}
        return self._put(kind, where, made, old, at_ns)

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None,
        *,
        at_ns: int,
    ) -> Object | None:
        """Merge-patch an object; None: there is none.

        Raises an error when its content cannot change (422), or it has another version
        (409).
        """
        old = self.find(kind, name, namespace)
        if old is None:
            return None
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted not in {None, old["metadata"]["resourceVersion"]}:
            msg = f"{kind.plural}/{name} has been modified (the model)"
            raise ClusterError(msg, status=CONFLICT)
        where = namespace if kind.namespaced else None
        return self._put(kind, where, merged(old, dict(body)), old, at_ns)

    def _put(
        self,
        kind: Kind,
        namespace: str | None,
        made: Object,
        old: Object | None,
        at_ns: int,
    ) -> Object:
        if kind == DEPLOYMENT and old is not None:
            before, after = (one["spec"].get("selector") for one in (old, made))
            if before != after:
                name = made["metadata"]["name"]
                msg = f"deployments/{name}: its selector is immutable (the model)"
                raise ClusterError(msg, status=UNPROCESSABLE)
        same = old is not None and old.get("data") == made.get("data")
        if old is not None and old.get("immutable") and not same:
            msg = f"{kind.plural}/{made['metadata']['name']} is immutable (the model)"
            raise ClusterError(msg, status=UNPROCESSABLE)
        self.version += 1
        meta = made["metadata"]
        if old is None:
            meta["generation"] = 1
        elif old.get("spec") != made.get("spec"):
            meta["generation"] = old["metadata"]["generation"] + 1
        meta["resourceVersion"] = str(self.version)
        meta["managedFields"] = [{"manager": FIELD_MANAGER, "time": stamp(at_ns)}]
        self._objects.setdefault(kind, {})[namespace, meta["name"]] = made
        return made

    def remove(self, kind: Kind, name: str, namespace: str | None) -> Object | None:
        """Forget an object; return it, or None where there was none."""
        where = namespace if kind.namespaced else None
        return self._objects.get(kind, {}).pop((where, name), None)

    def remove_all(self, namespace: str) -> None:
        """Forget all objects of a namespace."""
        for objects in self._objects.values():
            for where, name in list(objects):
                if where == namespace:
                    del objects[where, name]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


API_SERVER: dict[str, Any] = {
    "metadata": {"name": "kubernetes"},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
}
"""Variables of the Service that every cluster has, in all pods."""


def variables_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Give the variables that a Service puts into its namespace's containers.

    As upstream's `envvars.FromServices` (pkg/kubelet/envvars/envvars.go) makes them, in
    the form of Docker's links. A Service without an address has none.
    """
    spec = service["spec"]
    address, ports = spec.get("clusterIP"), spec.get("ports") or []
    if address in {None, "", "None"} or not ports:
        return {}
    name = service["metadata"]["name"].upper().replace("-", "_")
    found = {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(ports[0]["port"]),
    }
    for one in ports:
        if one.get("name"):
            part = one["name"].upper().replace("-", "_")
            found[f"{name}_SERVICE_PORT_{part}"] = str(one["port"])
    for number, one in enumerate(ports):
        protocol, port = one.get("protocol", "TCP"), one["port"]
        url = f"{protocol.lower()}://{address}:{port}"
        if number == 0:
            found[f"{name}_PORT"] = url
        link = f"{name}_PORT_{port}_{protocol}"
        found |= {
            link: url,
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port),
            f"{link}_ADDR": address,
        }
    return found


START_S = 1.0
"""From a pod's creation to its start on an idle node, seconds."""
START_EVERY_S = 0.1
STOP_EVERY_S = 0.2
"""Seconds of a node for a pod's start and end, one after the other. With these, fifty
pods take about as long as on the testbed (docs/studies/remedies.md)."""
GRACE_S = 30.0
"""Seconds until a process that ignores SIGTERM is killed, unless its pod sets them."""
RESTART_S = 2.5
"""From a container's death, or its addition, to its start: a relist or two of 1 s find
it, and the sync that starts it has read the volumes before."""
OS_TYPE = {"/proc/sys/kernel/ostype": b"Linux\n"}
"""A file of the kernel's."""
NOT_FOUND = 1
"""Exit code of a program whose file is missing."""


@dataclass(slots=True, eq=False)
class Running:
    """A pod on a node; instants are since the model's start."""

    name: str
    namespace: str | None
    uid: str
    meta: dict[str, Any]  # labels, annotations and owner
    spec: dict[str, Any]
    node: ModelNode
    inside: ModelPod  # the pod as its kubelet knows it
    held: dict[Reference, Volume]  # what the kubelet has brought of it
    born_ns: int  # when it was created
    ready_ns: int  # when its containers ran
    leaving_ns: int | None = None  # when its deletion began; None: it stays
    started_ns: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    """How often each container was started again."""
    services: dict[str, dict[str, str]] = field(default_factory=dict)
    """Variables of the namespace's Services, as of each container's start."""

    def is_ready(self, at_ns: int) -> bool:
        """Whether all its containers run, and it is not being deleted."""
        return self.leaving_ns is None and at_ns >= self.latest_start_ns

    @property
    def latest_start_ns(self) -> int:
        """When the last of its containers started, or will start."""
        return max([self.ready_ns, *self.started_ns.values()])

    @property
    def grace_s(self) -> float:
        """How long its end takes, seconds."""
        return float(self.spec.get("terminationGracePeriodSeconds", GRACE_S))

    def manifest(self) -> dict[str, Any]:
        """Write what it was made of; its parts are not to be changed."""
        names = {"name": self.name, "namespace": self.namespace, "uid": self.uid}
        return {
            "metadata": {**self.meta, **names},
            "spec": {**self.spec, "nodeName": self.node.name},
        }

    def shown(self, at_ns: int, epoch_ns: int) -> dict[str, Any]:
        """Write it as the API server sends it; the model began at ``epoch_ns``, UTC."""
        ready = self.is_ready(at_ns)
        leaving = self.leaving_ns is not None
        own = copy.deepcopy(self.manifest())
        return {
            "metadata": {
                **own["metadata"],
                "creationTimestamp": stamp(epoch_ns + self.born_ns),
                **({"deletionTimestamp": stamp(epoch_ns + at_ns)} if leaving else {}),
            },
            "spec": own["spec"],
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
                ended = {"exitCode": 0, "reason": "Completed"}
                state = {"terminated": {**ended, "startedAt": stamp(epoch_ns + begun)}}
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
        """Start an ephemeral container; ``mount`` adds objects new to the pod."""
        others = self.spec.get("ephemeralContainers") or []
        self.spec = {**self.spec, "ephemeralContainers": [*others, dict(container)]}
        for reference in references_of({"spec": self.spec}) - set(self.held):
            self.held[reference] = mount(reference)
        self.start(container["name"], at_ns=at_ns + ns(RESTART_S), services=services)

    def start(self, container: str, *, at_ns: int, services: dict[str, str]) -> None:
        """Let a container begin at an instant."""
        self.restarts[container] = self.restarts.get(container, -1) + 1
        self.started_ns[container] = at_ns
        self.services[container] = services


@dataclass(frozen=True, slots=True)
class Inside:
    """The inside of a pod's containers, at an instant since the model's start.

    What each would hold says `cmhot.kubelet.view`, of the objects as its kubelet has
    brought them until then.
    """

    pod: Running
    objects: Sequence[Object]  # by numbers of publications
    kubernetes: str | None  # version of the kubelet
    at_ns: int
    epoch_ns: int  # the model's start, UTC

    def run(self, container: str, command: Sequence[str]) -> Captured | None:
        """Answer `cat`, `ls`, `env` and `stat`; None: the model has no such program."""
        match list(command):
            case ["cat", *paths]:
                return self._cat(container, paths)
            case ["ls", "-Ap", folder]:
                return self._list(*self._seen_from(container, folder))
            case ["sh", "-c", 'cat "$@" && ls -Ap "$0"', folder, *paths]:
                read = self._cat(container, paths)
                listed = self._list(*self._seen_from(container, folder))
                both = read.output + listed.output
                return read if read.code else replace(listed, output=both)
            case ["env"]:
                lines = [f"{k}={v}\n" for k, v in self._environment(container)]
                return Captured(0, "".join(lines).encode(), "")
            case ["stat", "-c", "%y", path]:
                return self._stat(container, path)
        return None

    def _seen_from(self, container: str, path: str) -> tuple[str, str]:
        """Follow a path into the container whose processes an ephemeral one sees."""
        target = self._spec(container).get("targetContainerName")
        if target is None or not path.startswith(BESIDE):
            return container, path
        return target, path.removeprefix(BESIDE)

    def _cat(self, container: str, paths: Sequence[str]) -> Captured:
        found = b""
        for path in paths:
            if path in {"/proc/1/environ", "/proc/self/environ"}:
                own = self._spec(container)
                beside = own.get("targetContainerName") if "/1/" in path else None
                pairs = self._environment(beside or container)
                found += "".join(f"{key}={value}\0" for key, value in pairs).encode()
                continue
            seen = self._seen_from(container, path)
            text = OS_TYPE.get(path) or self.file(*seen)
            if text is None:
                complaint = f"cat: can't open '{path}': No such file or directory"
                return Captured(NOT_FOUND, found, complaint)
            found += text
        return Captured(0, found, "")

    def _list(self, container: str, folder: str) -> Captured:
        """List a folder, without what is the kubelet's own in it; or name a file."""
        root, files = folder.rstrip("/") + "/", self._files(container)
        names = {
            path.removeprefix(root).split("/")[0]
            for path in files
            if path.startswith(root)
        } | {path for path in files if path == folder}
        return Captured(0, "".join(f"{name}\n" for name in sorted(names)).encode(), "")

    def file(self, container: str, path: str) -> bytes | None:
        """Read a file; None: it is not there."""
        given = self._files(container).get(path)
        return self._copied(path) if given is None else given.content

    def _copied(self, path: str) -> bytes | None:
        """Read a file that an init container copied at its start by ``cp FROM TO``."""
        for one, role in containers_of(self.pod.spec):
            words = " ".join(one.get("args") or []).split()
            if role is Role.INIT and words[:1] == ["cp"] and words[-1] == path:
                first = replace(self, at_ns=self.pod.started_ns[one["name"]])
                return first.file(one["name"], words[1])
        return None

    def _stat(self, container: str, path: str) -> Captured:
        """Give the instant at which a volume's ``..data`` was last swapped."""
        import numpy as np  # noqa: PLC0415 - for nanoseconds that datetime has not

        mount = path.removesuffix("/..data")
        instants = self._instants() if path != mount else ()
        now = self._folder(container, mount, self.at_ns)
        for instant, before in pairwise([*instants, None]):
            old = None if before is None else self._folder(container, mount, before)
            if instant is not None and now is not None and now.renewed and now != old:
                at = np.datetime64(self.epoch_ns + instant, "ns")
                text = str(at).replace("T", " ")
                return Captured(0, f"{text} +0000\n".encode(), "")
        complaint = f"stat: can't stat '{path}': No such file or directory"
        return Captured(NOT_FOUND, b"", complaint)

    def _environment(self, container: str) -> list[tuple[str, str]]:
        """List a container's variables, as of its start; later ones count."""
        found = {"PATH": "/bin", "HOSTNAME": self.pod.name}
        if self.pod.spec.get("enableServiceLinks", True):
            found |= self.pod.services[container]
        view = self._view(container, self.pod.started_ns[container])
        given = {
            name: one.content.decode()
            for name, one in view.variables.items()
            if one.content is not None
        }
        return list({**found, **given}.items())

    def _spec(self, container: str) -> Mapping[str, Any]:
        return next(
            one for one, _ in containers_of(self.pod.spec) if one["name"] == container
        )

    def _files(self, container: str) -> dict[str, Given]:
        """Give the files that a container sees, by their path."""
        return {
            path: given
            for one in self._spec(container).get("volumeMounts") or ()
            if (folder := self._folder(container, one["mountPath"], self.at_ns))
            for path, given in folder.below(absolute(one["mountPath"])).items()
        }

    def _folder(self, container: str, mount: str, at_ns: int) -> Folder | None:
        """Give what a mount shows at an instant; None: it is of another kind.

        What updates do not reach is as of the container's start, and a volume that is
        blocked stays as it was.
        """
        started_ns, mount = self.pod.started_ns[container], absolute(mount)
        first = self._view(container, started_ns).folders.get(mount)
        if first is None:
            return None
        earlier = [one for one in self._instants() if started_ns < one <= at_ns]
        for instant in (at_ns, *earlier):
            folder = self._view(container, instant).folders[mount]
            if not folder.blocked:
                break
        else:
            return first
        if first.renewed:
            return folder
        is_emptied = first.emptied and folder != first
        return replace(first, files={}) if is_emptied else first

    def _instants(self) -> list[int]:
        """List the instants until now at which the kubelet brought news, latest first.

        They are of all objects of the pod.
        """
        found = {
            instant for one in self.pod.held.values() for instant in one.instants_ns
        }
        return sorted((one for one in found if one <= self.at_ns), reverse=True)

    def _view(self, container: str, at_ns: int) -> ContainerView:
        def lookup(reference: Reference) -> Object | Absent:
            volume = self.pod.held[reference]
            shown = bisect_right(volume.instants_ns, min(at_ns, self.at_ns))
            return self.objects[volume.numbers[shown - 1]] if shown else Absent.MISSING

        pod = self.pod.manifest()
        return view_of(pod, container, lookup, kubernetes=self.kubernetes)


BESIDE = "/proc/1/root"
"""Where an ephemeral container sees the files of the one that it is beside."""
HASH = "pod-template-hash"
"""Label that distinguishes pods of different templates."""
QUARTER = "25%"
"""Default of maxSurge and maxUnavailable."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How many pods of the present template to make now, and which to end."""

    make: int
    end: tuple[Running, ...]


def template_hash(template: Mapping[str, Any]) -> str:
    """Name a pod template by its content."""
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def next_steps(
    deployment: Mapping[str, Any], pods: Sequence[Running], *, at_ns: int
) -> Steps:
    """Decide as the controller would, by the pods that are Ready, so available, now.

    As upstream's `rolling.go` and `recreate.go` do (pkg/controller/deployment), with
    one ReplicaSet for each template. Pods that are ending count as well.
    """
    spec = deployment["spec"]
    wanted = int(spec.get("replicas", 1))
    own = template_hash(spec["template"])
    stay = [pod for pod in pods if pod.leaving_ns is None]
    new = [pod for pod in stay if pod.meta["labels"][HASH] == own]
    old = [pod for pod in stay if pod.meta["labels"][HASH] != own]
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        # the last old one has ended
        gone = all(pod.meta["labels"][HASH] == own for pod in pods)
        return Steps(
            make=max(wanted - len(new), 0) if gone else 0,
            end=(*old, *_surplus(new, wanted, at_ns)),
        )
    surge, missing = _limits(spec, wanted)
    make = min(wanted - len(new), wanted + surge - len(stay))
    if not old:
        return Steps(make=max(wanted - len(new), 0), end=_surplus(new, wanted, at_ns))
    available = sum(pod.is_ready(at_ns) for pod in stay)
    unready = [pod for pod in old if not pod.is_ready(at_ns)]
    ready = [pod for pod in old if pod.is_ready(at_ns)]
    spare = max(available - (wanted - missing), 0)
    return Steps(make=max(make, 0), end=(*unready, *ready[:spare]))


def status_of(
    deployment: Mapping[str, Any], pods: Sequence[Running], *, at_ns: int
) -> dict[str, int]:
    """Write a Deployment's status, without the pods that are ending."""
    own = template_hash(deployment["spec"]["template"])
    stay = [pod for pod in pods if pod.leaving_ns is None]
    ready = sum(pod.is_ready(at_ns) for pod in stay)
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(stay),
        "updatedReplicas": sum(pod.meta["labels"][HASH] == own for pod in stay),
        "readyReplicas": ready,
        "availableReplicas": ready,
    }


def _surplus(pods: Sequence[Running], wanted: int, at_ns: int) -> tuple[Running, ...]:
    """Choose the surplus pods to delete: those that are not Ready first."""
    ordered = sorted(pods, key=lambda pod: pod.is_ready(at_ns))
    return tuple(ordered[: max(len(pods) - wanted, 0)])


def _limits(spec: Mapping[str, Any], wanted: int) -> tuple[int, int]:
    """Give maxSurge, rounded up, and maxUnavailable, rounded down; never both 0."""
    update = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = math.ceil(_share(update.get("maxSurge", QUARTER), wanted))
    missing = math.floor(_share(update.get("maxUnavailable", QUARTER), wanted))
    return surge, missing if surge or missing else 1


def _share(limit: int | str, wanted: int) -> float:
    if isinstance(limit, str):
        return int(limit.removesuffix("%")) * wanted / 100
    return limit


class World:
    """The pods, the objects that they use, and the schedule of events."""

    def __init__(self, nodes: Sequence[ModelNode], store: Store) -> None:
        self.pods: dict[tuple[str | None, str], Running] = {}
        self.contents: list[Mapping[str, bytes]] = []  # by numbers of a `History`
        self.objects: list[Object] = []  # by the same: what had that content
        self._nodes = nodes
        self._store = store
        self._numbers: dict[Hashable, int] = {}
        self._histories: dict[tuple[Reference, str | None], History] = {}
        self._schedule: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self._born: dict[str, int] = {}
        self._heard: set[tuple[str | None, str | None, int]] = set()
        self._variables: dict[str | None, dict[str, str]] = {}
        self._busy_ns = dict.fromkeys([node.name for node in nodes], 0)

    # time

    def run(self, until_ns: int) -> None:
        """Let time pass: all events up to and including an instant."""
        while self._schedule and self._schedule[0][0] <= until_ns:
            at, _, act = heapq.heappop(self._schedule)
            act(at)

    def _put(self, at_ns: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._schedule, (at_ns, next(self._order), act))

    # content

    def write(
        self, reference: Reference, namespace: str | None, stored: Object, *, at_ns: int
    ) -> None:
        """Note the content of an object from now on."""
        content = content_of(stored)
        binary = frozenset(stored.get("binaryData") or ())
        key = (reference.kind, binary, *sorted(content.items()))
        number = self._numbers.setdefault(key, len(self.contents))
        if number == len(self.contents):
            self.contents.append(content)
            kind = "Secret" if reference.is_secret else "ConfigMap"
            parts = {part: stored.get(part) for part in ("data", "binaryData")}
            self.objects.append({"kind": kind, **parts})
        self._history(reference, namespace).write(number, at_ns=at_ns)

    def forget(
        self, reference: Reference, namespace: str | None, *, immutable: bool
    ) -> None:
        """Delete an object: its files stay in the pods.

        Of an immutable one they stay even when another of its name is made.
        """
        if immutable:
            self._histories.pop((reference, namespace), None)

    def _history(self, reference: Reference, namespace: str | None) -> History:
        """Find the history of an object; a mounted one may be created later."""
        return self._histories.setdefault((reference, namespace), History())

    # pods

    def start(
        self,
        template: Mapping[str, Any],
        names: Sequence[str],
        namespace: str | None,
        *,
        meta: Mapping[str, Any],
        at_ns: int,
    ) -> None:
        """Make pods of a template, spread over the nodes that it allows."""
        spec = copy.deepcopy(template["spec"])
        nodes = sorted(_allowed(self._nodes, spec), key=self._load_of)
        references = sorted(references_of({"spec": spec}), key=_first_of(spec))
        mounts = [self._history(one, namespace) for one in references]
        for turn, node in enumerate(nodes):
            own = names[turn :: len(nodes)]
            inside = node.kubelet.add([mounts] * len(own), at_ns=at_ns)
            for name, pod in zip(own, inside, strict=True):
                begun = self._work(node, at_ns + ns(START_S), START_EVERY_S)
                made = Running(
                    name=name,
                    namespace=namespace,
                    uid=f"uid-{name}-{next(self._order)}",
                    meta=dict(meta),
                    spec=spec,
                    node=node,
                    inside=pod,
                    held=dict(zip(references, pod.volumes, strict=True)),
                    born_ns=at_ns,
                    ready_ns=begun,
                )
                for container, _ in containers_of(spec):
                    made.start(
                        container["name"],
                        at_ns=begun,
                        services=self.services(namespace),
                    )
                self.pods[namespace, name] = made
                self._notice(made, begun)

    def _work(self, node: ModelNode, at_ns: int, takes_s: float) -> int:
        """Give a node work for when it is free; return when it begins."""
        begun = max(at_ns, self._busy_ns[node.name])
        self._busy_ns[node.name] = begun + ns(takes_s)
        return begun

    def _load_of(self, node: ModelNode) -> int:
        return sum(one.node is node for one in self.pods.values())

    def end(self, pod: Running, *, at_ns: int) -> None:
        """Begin to end a pod; it goes when its processes have ended."""
        if pod.leaving_ns is not None:
            return
        pod.leaving_ns = at_ns
        self._put(at_ns + ns(pod.grace_s), lambda at: self._stop(pod, at))

    def _stop(self, pod: Running, at: int) -> None:
        """Let the node take a pod away, once it has nothing else to do."""
        gone = self._work(pod.node, at, STOP_EVERY_S)
        self._put(gone, lambda at: self._leave(pod, at))

    def _leave(self, pod: Running, at: int) -> None:
        pod.node.kubelet.remove(pod.inside, at_ns=at)
        if self.pods.get((pod.namespace, pod.name)) is pod:
            del self.pods[pod.namespace, pod.name]
        self.reconcile_owner(pod, at)

    def touch(self, pod: Running, meta: Mapping[str, Any], *, at_ns: int) -> None:
        """Change a pod's metadata, which syncs it."""
        pod.meta = merged(pod.meta, dict(meta))
        pod.node.kubelet.update(pod.inside, at_ns=at_ns)

    def restart(self, pod: Running, container: str, *, at_ns: int) -> None:
        """Let a container die; it is started again."""
        pod.node.kubelet.restart_container(pod.inside, at_ns=at_ns)
        begun = at_ns + ns(RESTART_S)
        pod.start(container, at_ns=begun, services=self.services(pod.namespace))
        self._notice(pod, begun)

    def add_ephemeral(
        self, pod: Running, container: Mapping[str, Any], *, at_ns: int
    ) -> None:
        """Start an ephemeral container, which syncs the pod."""

        def mount(reference: Reference) -> Volume:
            history = self._history(reference, pod.namespace)
            return pod.node.kubelet.mount(pod.inside, history)

        pod.add(
            container,
            at_ns=at_ns,
            services=self.services(pod.namespace),
            mount=mount,
        )
        pod.node.kubelet.update(pod.inside, at_ns=at_ns)

    def services(self, namespace: str | None) -> dict[str, str]:
        """Give the variables of a namespace's Services, as they are now."""
        found = variables_of(API_SERVER)
        for service in self._store.select(SERVICE, namespace):
            found |= variables_of(service)
        known = self._variables.get(namespace)
        if known == found:  # thousands of pods share one mapping
            return known
        self._variables[namespace] = found
        return found

    # Deployments

    def of(self, namespace: str | None, deployment: str) -> list[Running]:
        """List the pods of a Deployment."""
        return [
            pod
            for (where, _), pod in self.pods.items()
            if where == namespace and _maker(pod) == deployment
        ]

    def reconcile(self, namespace: str | None, name: str, *, at_ns: int) -> None:
        """Let a Deployment's controller act."""
        deployment = self._store.find(DEPLOYMENT, name, namespace)
        pods = self.of(namespace, name)
        if deployment is None:
            for pod in pods:
                self.end(pod, at_ns=at_ns)
            return
        template = deployment["spec"]["template"]
        steps = next_steps(deployment, pods, at_ns=at_ns)
        if steps.make:
            own = template_hash(template)
            own_meta = template.get("metadata") or {}
            replica_set = {
                "apiVersion": DEPLOYMENT.api_version,
                "kind": "ReplicaSet",
                "name": f"{name}-{own}",
                "controller": True,
            }
            meta = {
                **own_meta,
                "labels": {**(own_meta.get("labels") or {}), HASH: own},
                "ownerReferences": [replica_set],
            }
            first = self._born.get(name, 0)
            self._born[name] = first + steps.make
            names = [f"{name}-{number}" for number in range(first, self._born[name])]
            self.start(template, names, namespace, meta=meta, at_ns=at_ns)
        for pod in steps.end:
            self.end(pod, at_ns=at_ns)

    def _notice(self, pod: Running, at_ns: int) -> None:
        """Let the controller act when a pod has become Ready.

        It acts once for all pods that become Ready at one instant: thousands do.
        """
        key = (pod.namespace, _maker(pod), at_ns)
        if key[1] is not None and key not in self._heard:
            self._heard.add(key)
            self._put(at_ns, lambda at: self.reconcile_owner(pod, at))

    def reconcile_owner(self, pod: Running, at_ns: int) -> None:
        """Let the controller of a pod act, if it has one."""
        owner = _maker(pod)
        if owner is not None:
            self.reconcile(pod.namespace, owner, at_ns=at_ns)


def _maker(pod: Running) -> str | None:
    """Name the Deployment of a pod; None: it has none."""
    owners = pod.meta.get("ownerReferences")
    if not owners:
        return None
    name: str = owners[0]["name"]
    return name.removesuffix(f"-{pod.meta['labels'][HASH]}")


def _allowed(nodes: Sequence[ModelNode], spec: Object) -> list[ModelNode]:
    """Find the nodes on which a pod may run, by name or by a required affinity."""
    if spec.get("nodeName"):
        return [node for node in nodes if node.name == spec["nodeName"]]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return list(nodes)
    hosts = required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
    return [node for node in nodes if node.name in hosts]


def _first_of(spec: Object) -> Callable[[Reference], tuple[int, Reference]]:
    """Sort objects by the first volume that shows them; variables come last."""
    places: dict[str, int] = {}
    for number, volume in enumerate(spec.get("volumes") or ()):
        name = (volume.get("configMap") or {}).get("name")
        if name is not None:
            places.setdefault(name, number)
    last = len(places)
    return lambda one: (last if one.is_secret else places.get(one.name, last), one)
