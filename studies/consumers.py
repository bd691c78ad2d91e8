"""What `cmhot explain` predicts beside what real pods show, consumer by consumer.

``python -m studies.consumers --target testbed`` writes docs/studies/consumers.md:
each way to use a ConfigMap or a Secret, against an update, a restart of the container
and a restart of the pod. `tests/testbed/test_remedies.py` asserts each cell.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from benchmarks.common import CLOCK, await_ready, fresh_namespace, wait_until
from cmhot.errors import ClusterError
from cmhot.explaining import explain, inspectable
from cmhot.nodes import observe_settings, probe_image
from cmhot.port.cluster import CONFIG_MAP, POD
from cmhot.settings import Setting
from cmhot.targets import connect
from studies import pages

if TYPE_CHECKING:
    from cmhot.port.cluster import Cluster, Inspectable

MAP, LATER, FIXED, HIDDEN = "matrix", "matrix-later", "matrix-fixed", "matrix-secret"
KEY = "log-level"
"""A name that a shell would hide from `env`."""
MAIN, OTHER = "main", "other"
FOREVER = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
"""Ends when it is told to, as PID 1 does only if it listens."""
SLACK_S = 3.0
"""Beyond the longest delay of the law: an exec, and a busy machine."""
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One way to use an object, in a pod of its own.

    Attributes
    ----------
    name
        Of the pod.
    title
        For people.
    reference
        The object.
    container
        Which container uses it.
    look
        What is read in the main container (in the ephemeral one for its own).
    spec
        Of the pod, over the common one.
    ephemeral
        A container that is added to the running pod.
    """

    name: str
    title: str
    reference: str
    container: str
    look: str
    spec: dict[str, Any]
    ephemeral: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What was predicted of a case, and what was seen.

    Attributes
    ----------
    case
        Which.
    event
        ``update``, ``container restart`` or ``pod restart``.
    predicted, observed
        Whether the container holds the new content; None: there is none such.
    """

    case: Case
    event: str
    predicted: bool | None
    observed: bool | None


EVENTS = {
    "update": "updates",
    "container restart": "after_container_restart",
    "pod restart": "after_pod_restart",
}
"""Each with its key in ``explain --json``."""


def _mounted(source: dict[str, Any], **mount: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a mount
    """Mount a volume in the main container."""
    return {
        "volumes": [{"name": "v", **source}],
        "mounts": [{"name": "v", "mountPath": "/etc/v", **mount}],
    }


def _map(name: str = MAP, **more: object) -> dict[str, Any]:
    return {"configMap": {"name": name, **more}}


def _variable(kind: str, name: str) -> dict[str, Any]:
    ref = {f"{kind}KeyRef": {"name": name, "key": KEY}}
    return {"env": [{"name": KEY, "valueFrom": ref}]}


def cases() -> list[Case]:
    """List the ways."""
    of, file, items = f"configmap/{MAP}", f"/etc/v/{KEY}", [{"key": KEY, "path": "d/f"}]
    environ = "/proc/1/environ"
    projected = {"projected": {"sources": [_map(), _map(LATER, optional=True)]}}
    hidden = {"secret": {"secretName": HIDDEN}}
    own = _mounted(_map())
    one = _mounted(_map(), subPath=KEY, mountPath="/etc/f")
    by_name = _mounted(_map(), subPathExpr="$(KEY)", mountPath="/etc/f")
    by_name["env"] = [{"name": "KEY", "value": KEY}]
    copied = {"name": OTHER, "args": [f"cp {file} /out/copy"], **own}
    beside = {"name": OTHER, "restartPolicy": "Always", **own}
    late = {"name": OTHER, **_variable("configMap", MAP)}
    made = {"sharedVolumes": [{"name": "out", "emptyDir": {}}], "mounts": _OUT}
    return [
        Case("volume", "volume", of, MAIN, file, own),
        Case(
            *("items", "volume with items", of, MAIN, "/etc/v/d/f"),
            _mounted(_map(items=items)),
        ),
        Case("projected", "projected volume", of, MAIN, file, _mounted(projected)),
        Case("subpath", "subPath", of, MAIN, "/etc/f", one),
        Case("subpathexpr", "subPathExpr", of, MAIN, "/etc/f", by_name),
        Case("env", "env", of, MAIN, environ, _variable("configMap", MAP)),
        Case(
            *("envfrom", "envFrom", of, MAIN, environ),
            {"envFrom": [{"configMapRef": {"name": MAP}}]},
        ),
        Case(
            *("optional", "optional volume, made later", f"configmap/{LATER}"),
            *(MAIN, file, _mounted(_map(LATER, optional=True))),
        ),
        Case(
            *("immutable", "volume, immutable", f"configmap/{FIXED}", MAIN, file),
            _mounted(_map(FIXED)),
        ),
        Case(
            "init", "init container", of, OTHER, "/out/copy", {"init": copied, **made}
        ),
        Case("sidecar", "sidecar's volume", of, OTHER, file, {"init": beside}),
        Case(
            *("ephemeral", "ephemeral container's env", of, OTHER, environ),
            *({}, late),
        ),
        Case(
            *("secret", "volume of a Secret", f"secret/{HIDDEN}", MAIN, file),
            _mounted(hidden),
        ),
        Case(
            *("secretenv", "env of a Secret", f"secret/{HIDDEN}", MAIN, environ),
            _variable("secret", HIDDEN),
        ),
    ]


_OUT = [{"name": "out", "mountPath": "/out"}]


def _container(image: str, policy: str, given: dict[str, Any]) -> dict[str, Any]:
    """Make a container of what a case says."""
    mounts = given.get("mounts", [])
    if given.get("name") == OTHER and "args" in given:
        mounts = [*mounts, *_OUT]
    taken: dict[str, Any] = {
        key: given[key] for key in ("env", "envFrom", "restartPolicy") if key in given
    }
    return {
        "name": given.get("name", MAIN),
        "image": image,
        "imagePullPolicy": policy,
        "command": ["sh", "-c"],
        "args": given.get("args", [FOREVER]),
        **({"volumeMounts": mounts} if mounts else {}),
        **taken,
    }


def pod_of(case: Case, node: str, image: str, policy: str) -> dict[str, Any]:
    """Make the pod of a case."""
    spec = case.spec
    init = spec.get("init")
    volumes = [
        *spec.get("volumes", []),
        *(init or {}).get("volumes", []),
        *spec.get("sharedVolumes", []),
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": case.name, "labels": {"study": "consumers"}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            "volumes": volumes,
            "containers": [_container(image, policy, spec)],
            **({"initContainers": [_container(image, policy, init)]} if init else {}),
        },
    }


def write_objects(cluster: Cluster, namespace: str, value: str) -> None:
    """Write a value into all objects; the immutable one is removed and made anew."""
    later = [LATER] if value != "one" else []
    for name in [MAP, *later]:
        cluster.apply(_config_map(name, value), namespace=namespace)
    cluster.delete(CONFIG_MAP, FIXED, namespace=namespace)
    fixed = {**_config_map(FIXED, value), "immutable": True}
    cluster.apply(fixed, namespace=namespace)
    secret = {**_config_map(HIDDEN, value), "kind": "Secret"}
    del secret["data"]
    cluster.apply({**secret, "stringData": {KEY: value}}, namespace=namespace)


def _config_map(name: str, value: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {KEY: value},
    }


class Matrix:
    """All cases on one node, and what is done to them.

    Parameters
    ----------
    cluster, namespace
        Where.
    node
        On which all pods run.
    setting
        Of its kubelet.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, *, node: str, setting: Setting
    ) -> None:
        self.cluster = cluster
        self.door: Inspectable = inspectable(cluster)
        self.namespace = namespace
        self.node = node
        self.setting = setting
        self.cases = cases()

    def start(self, some: list[Case]) -> None:
        """Make pods, and wait until they are Ready."""
        image, policy = probe_image(self.cluster, None)
        for case in some:
            pod = pod_of(case, self.node, image, policy)
            self.cluster.apply(pod, namespace=self.namespace)
        await_ready(
            self.cluster,
            self.namespace,
            count=len(self.cases),
            deadline_s=DEADLINE_S,
            labels={"study": "consumers"},
        )

    def add_ephemeral(self) -> None:
        """Add the ephemeral containers, and wait until they run."""
        image, policy = probe_image(self.cluster, None)
        for case in self.cases:
            if case.ephemeral is not None:
                container = _container(image, policy, case.ephemeral)
                self.door.add_ephemeral(case.name, container, namespace=self.namespace)
                self._until(lambda case=case: self._runs(case))

    def _runs(self, case: Case) -> bool:
        pod = self.cluster.get(POD, case.name, namespace=self.namespace)
        seen = pod["status"].get("ephemeralContainerStatuses") or []
        return any("running" in one["state"] for one in seen)

    def _until(self, condition: Any) -> None:  # noqa: ANN401 - a callable
        if not wait_until(condition, deadline_s=DEADLINE_S, poll_s=0.25):
            msg = f"something of the matrix did not happen within {DEADLINE_S:g} s"
            raise TimeoutError(msg)

    def predictions(self) -> dict[tuple[str, str], bool | None]:
        """Ask `explain` of each case and event."""
        told = {
            reference: explain(self.cluster, reference, namespace=self.namespace)
            for reference in {case.reference for case in self.cases}
        }
        found: dict[tuple[str, str], bool | None] = {}
        for case in self.cases:
            (row,) = [
                row.to_dict(self.namespace)
                for row in told[case.reference].rows
                if case.name in row.pods and row.use.container == case.container
            ]
            for event, key in EVENTS.items():
                found[case.name, event] = row[key]
        return found

    def holds(self, case: Case, value: str) -> bool:
        """Look into a container."""
        container = OTHER if case.ephemeral is not None else MAIN
        if case.name == "sidecar":
            container = OTHER
        answer = self.door.capture(
            case.name,
            ["cat", case.look],
            namespace=self.namespace,
            container=container,
        )
        if case.look.endswith("environ"):
            return f"{KEY}={value}".encode() in answer.output.split(b"\0")
        return answer.output == value.encode()

    def restart_containers(self) -> None:
        """End the container of each case that can be started again."""
        before = {case.name: self._restarts(case) for case in self._restartable()}
        for case in self._restartable():
            container = OTHER if case.name == "sidecar" else MAIN
            self.door.capture(
                case.name,
                ["kill", "1"],
                namespace=self.namespace,
                container=container,
            )
        self._until(
            lambda: all(
                self._restarts(case) > before[case.name] and self._is_running(case)
                for case in self._restartable()
            )
        )

    def _restartable(self) -> list[Case]:
        return [case for case in self.cases if case.ephemeral is None]

    def _statuses(self, case: Case) -> list[dict[str, Any]]:
        pod = self.cluster.get(POD, case.name, namespace=self.namespace)
        status = pod["status"]
        return [
            one
            for one in [
                *(status.get("containerStatuses") or []),
                *(status.get("initContainerStatuses") or []),
            ]
            if one["name"] == (OTHER if case.name == "sidecar" else MAIN)
        ]

    def _restarts(self, case: Case) -> int:
        return sum(one["restartCount"] for one in self._statuses(case))

    def _is_running(self, case: Case) -> bool:
        return all("running" in one["state"] for one in self._statuses(case))

    def restart_pods(self) -> None:
        """Delete each pod, wait until it has gone, and make it again."""
        for case in self.cases:
            self.cluster.delete(POD, case.name, namespace=self.namespace)
        self._until(lambda: not self.cluster.list(POD, namespace=self.namespace)[0])
        self.start(self.cases)

    def run(self) -> list[Cell]:
        """Go through all events, and compare."""
        write_objects(self.cluster, self.namespace, "one")
        self.start(self.cases)
        self.add_ephemeral()
        predicted = self.predictions()
        refused = not self._can_patch_immutable()
        cells = []
        write_objects(self.cluster, self.namespace, "two")
        CLOCK.sleep(1.5 * self.setting.sync_frequency_s + 1 + SLACK_S)
        for event in EVENTS:
            if event == "container restart":
                self.restart_containers()
            elif event == "pod restart":
                self.restart_pods()
            for case in self.cases:
                expected = predicted[case.name, event]
                seen = None if expected is None else self.holds(case, "two")
                cells.append(Cell(case, event, expected, seen))
        if not refused:
            msg = "the API server let an immutable object be changed"
            raise AssertionError(msg)
        return cells

    def _can_patch_immutable(self) -> bool:
        try:
            self.cluster.patch(
                CONFIG_MAP, FIXED, {"data": {KEY: "two"}}, namespace=self.namespace
            )
        except ClusterError:
            return False
        return True


def page(cells: list[Cell], kubernetes: str, setting: Setting) -> str:
    """Write the page."""
    names = list(dict.fromkeys(cell.case.title for cell in cells))
    by = {(cell.case.title, cell.event): cell for cell in cells}
    rows = [[name, *(_said(by[name, event]) for event in EVENTS)] for name in names]
    agree = sum(cell.predicted == cell.observed for cell in cells)
    return f"""# Which containers see an update

Made by `python -m studies.consumers` on Kubernetes {kubernetes}, a node of {setting}.
Each way to use a ConfigMap or a Secret has a pod of its own. After the update and the
longest delay of the law, after a restart of the container in its pod, and after the pod
was deleted and made again: does the container hold the new content, seen from inside?
The immutable object cannot be updated (the API server refuses, seen here too): it is
removed and made anew. An ephemeral container is never started again.

{agree} of {len(cells)} cells are as `cmhot explain` predicts; **bold** are those that
are not.

{pages.table(["consumer", *EVENTS], rows)}
"""


def _said(cell: Cell) -> str:
    word = {True: "yes", False: "no", None: "none such"}[cell.observed]
    return word if cell.predicted == cell.observed else f"**{word}**"


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
def main(target: str) -> None:
    """Fill the matrix on the node of the smallest syncFrequency, and write the page."""
    cluster = connect(target)
    nodes = [node for node in observe_settings(cluster) if node.setting is not None]
    node = min(nodes, key=lambda one: one.setting or Setting())
    setting = node.setting or Setting()
    with fresh_namespace(cluster, "cmhot-study") as namespace:
        cells = Matrix(cluster, namespace, node=node.name, setting=setting).run()
    holds = all(cell.predicted == cell.observed for cell in cells)
    numbers = {
        "kubernetes": cluster.version(),
        "holds": holds,
        "cells": [
            {
                "consumer": cell.case.title,
                "event": cell.event,
                "predicted": cell.predicted,
                "observed": cell.observed,
            }
            for cell in cells
        ],
    }
    text = page(cells, cluster.version(), setting)
    sys.exit(not pages.write("consumers", text=text, numbers=numbers))


if __name__ == "__main__":
    main()
