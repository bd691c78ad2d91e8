"""What goes on in the model by itself: pods start, end and are replaced.

The kubelets of `cmhot.model.kubelet` bring content into the pods; here is what stands
around them. Nobody checks whether a pod may start: one whose ConfigMap does not exist
yet starts without it, as if it were optional.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

from cmhot.consumers.contents import content_of
from cmhot.consumers.uses import containers_of, references_of
from cmhot.model.contents import History
from cmhot.model.deployments import HASH, next_steps, template_hash
from cmhot.model.kubelet import ns
from cmhot.model.running import (
    RESTART_S,
    START_EVERY_S,
    START_S,
    STOP_EVERY_S,
    Running,
)
from cmhot.model.services import API_SERVER, variables_of
from cmhot.port.cluster import DEPLOYMENT, SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.consumers.reference import Reference
    from cmhot.model.nodes import ModelNode
    from cmhot.model.pods import Volume
    from cmhot.model.store import Store

    Object = Mapping[str, Any]


class World:
    """Pods, what they use, and when something happens next.

    Every instant is in nanoseconds since the model's start.

    Parameters
    ----------
    nodes
        Where pods run.
    store
        Objects of the API server.

    Attributes
    ----------
    pods
        By namespace and name, in the order of their creation.
    contents
        What each number of a `History` stands for.
    """

    def __init__(self, nodes: Sequence[ModelNode], store: Store) -> None:
        self.pods: dict[tuple[str | None, str], Running] = {}
        self.contents: list[Mapping[str, bytes]] = []
        self._nodes = nodes
        self._store = store
        self._numbers: dict[tuple[tuple[str, bytes], ...], int] = {}
        self._histories: dict[tuple[Reference, str | None], History] = {}
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self._born: dict[str, int] = {}
        self._heard: set[tuple[str | None, str | None, int]] = set()
        self._variables: dict[str | None, dict[str, str]] = {}
        self._busy_ns = dict.fromkeys([node.name for node in nodes], 0)

    # time

    def run(self, until_ns: int) -> None:
        """Let happen what is due, up to and including an instant."""
        while self._agenda and self._agenda[0][0] <= until_ns:
            at, _, act = heapq.heappop(self._agenda)
            act(at)

    def _put(self, at_ns: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._agenda, (at_ns, next(self._order), act))

    # content

    def write(
        self, reference: Reference, namespace: str | None, stored: Object, *, at_ns: int
    ) -> None:
        """Note what an object contains from now on."""
        content = content_of(stored)
        key = tuple(sorted(content.items()))
        number = self._numbers.setdefault(key, len(self.contents))
        if number == len(self.contents):
            self.contents.append(content)
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
        """Find what an object contained; one that is mounted may come later."""
        return self._histories.setdefault((reference, namespace), History())

    # pods

    def start(
        self,
        template: Object,
        names: Sequence[str],
        namespace: str | None,
        *,
        meta: Mapping[str, Any],
        at_ns: int,
    ) -> None:
        """Make pods of a template, spread over the nodes that it allows."""
        spec = dict(template["spec"])
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
                self._hear_of(made, begun)

    def _work(self, node: ModelNode, at_ns: int, takes_s: float) -> int:
        """Let a node do something when it is free; give when that is."""
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
        gone = self._work(pod.node, at_ns + ns(pod.grace_s), STOP_EVERY_S)
        self._put(gone, lambda at: self._leave(pod, at))

    def _leave(self, pod: Running, at: int) -> None:
        pod.node.kubelet.remove(pod.inside, at_ns=at)
        if self.pods.get((pod.namespace, pod.name)) is pod:
            del self.pods[pod.namespace, pod.name]
        self._reconcile_owner(pod, at)

    def touch(self, pod: Running, meta: Mapping[str, Any], *, at_ns: int) -> None:
        """Change a pod's metadata, which syncs it."""
        pod.meta = {**pod.meta, **meta}
        pod.node.kubelet.update(pod.inside, at_ns=at_ns)

    def restart(self, pod: Running, container: str, *, at_ns: int) -> None:
        """Let a container die; it is started again."""
        pod.node.kubelet.restart_container(pod.inside, at_ns=at_ns)
        begun = at_ns + ns(RESTART_S)
        pod.start(container, at_ns=begun, services=self.services(pod.namespace))
        self._hear_of(pod, begun)

    def add_ephemeral(self, pod: Running, container: Object, *, at_ns: int) -> None:
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
        if known == found:  # thousands of pods share what they all have
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
            told = template.get("metadata") or {}
            replica_set = {
                "kind": "ReplicaSet",
                "name": f"{name}-{own}",
                "controller": True,
            }
            meta = {
                **told,
                "labels": {**(told.get("labels") or {}), HASH: own},
                "ownerReferences": [replica_set],
            }
            first = self._born.get(name, 0)
            self._born[name] = first + steps.make
            names = [f"{name}-{number}" for number in range(first, self._born[name])]
            self.start(template, names, namespace, meta=meta, at_ns=at_ns)
        for pod in steps.end:
            self.end(pod, at_ns=at_ns)

    def _hear_of(self, pod: Running, at_ns: int) -> None:
        """Let the controller act when a pod has become Ready.

        It acts once for all that become so at the same time: thousands do.
        """
        key = (pod.namespace, _maker(pod), at_ns)
        if key[1] is not None and key not in self._heard:
            self._heard.add(key)
            self._put(at_ns, lambda at: self._reconcile_owner(pod, at))

    def _reconcile_owner(self, pod: Running, at: int) -> None:
        owner = _maker(pod)
        if owner is not None:
            self.reconcile(pod.namespace, owner, at_ns=at)


def _maker(pod: Running) -> str | None:
    """Name the Deployment of a pod; None: nobody made it."""
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
