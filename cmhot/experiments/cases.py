"""The ways in which a container can use a ConfigMap or a Secret, a pod for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.experiments.stage import EXPERIMENT_LABEL, LEAST, config_map
from cmhot.port.cluster import CONFIG_MAP, MANAGED_BY, SECRET

if TYPE_CHECKING:
    from cmhot.experiments.stage import Stage

PART = "consumers"
MAP, LATER, FIXED, HIDDEN = "matrix", "matrix-later", "matrix-fixed", "matrix-secret"
KEY = "log-level"
"""A name that a shell would hide from `env`."""
MAIN, OTHER = "main", "other"
FOREVER = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
"""Ends when it is told to, as PID 1 does only if it listens."""
ENVIRON = "/proc/1/environ"
OUT = [{"name": "out", "mountPath": "/out"}]


@dataclass(frozen=True, slots=True)
class Case:
    """One way to use an object, in a pod of its own.

    Attributes
    ----------
    name
        Of its pods, before their number.
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

    @property
    def seen_in(self) -> str:
        """Name the container that is looked into."""
        beside = self.ephemeral is not None or self.name == "sidecar"
        return OTHER if beside else MAIN

    def pod_name(self, number: int) -> str:
        """Name one of its pods."""
        return f"{self.name}-{number}"


def _mounted(source: dict[str, Any], **mount: object) -> dict[str, Any]:
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
    projected = {"projected": {"sources": [_map(), _map(LATER, optional=True)]}}
    hidden = {"secret": {"secretName": HIDDEN}}
    own = _mounted(_map())
    one = _mounted(_map(), subPath=KEY, mountPath="/etc/f")
    by_name = _mounted(_map(), subPathExpr="$(KEY)", mountPath="/etc/f")
    by_name["env"] = [{"name": "KEY", "value": KEY}]
    copied = {"name": OTHER, "args": [f"cp {file} /out/copy"], **own}
    beside = {"name": OTHER, "restartPolicy": "Always", **own}
    late = {"name": OTHER, **_variable("configMap", MAP)}
    made = {"sharedVolumes": [{"name": "out", "emptyDir": {}}], "mounts": OUT}
    return [
        Case("volume", "volume", of, MAIN, file, own),
        Case(
            *("items", "volume with items", of, MAIN, "/etc/v/d/f"),
            _mounted(_map(items=items)),
        ),
        Case("projected", "projected volume", of, MAIN, file, _mounted(projected)),
        Case("subpath", "subPath", of, MAIN, "/etc/f", one),
        Case("subpathexpr", "subPathExpr", of, MAIN, "/etc/f", by_name),
        Case("env", "env", of, MAIN, ENVIRON, _variable("configMap", MAP)),
        Case(
            *("envfrom", "envFrom", of, MAIN, ENVIRON),
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
            *("init", "init container", of, OTHER, "/out/copy"),
            {"init": copied, **made},
        ),
        Case("sidecar", "sidecar's volume", of, OTHER, file, {"init": beside}),
        Case(
            *("ephemeral", "ephemeral container's env", of, OTHER, ENVIRON),
            *({}, late),
        ),
        Case(
            *("secret", "volume of a Secret", f"secret/{HIDDEN}", MAIN, file),
            _mounted(hidden),
        ),
        Case(
            *("secretenv", "env of a Secret", f"secret/{HIDDEN}", MAIN, ENVIRON),
            _variable("secret", HIDDEN),
        ),
    ]


def container_of(stage: Stage, given: dict[str, Any]) -> dict[str, Any]:
    """Describe a container of what a case says."""
    mounts = given.get("mounts", [])
    if given.get("name") == OTHER and "args" in given:
        mounts = [*mounts, *OUT]
    taken: dict[str, Any] = {
        key: given[key] for key in ("env", "envFrom", "restartPolicy") if key in given
    }
    return {
        "name": given.get("name", MAIN),
        "image": stage.image,
        "imagePullPolicy": stage.pull_policy,
        "command": ["sh", "-c"],
        "args": given.get("args", [FOREVER]),
        "securityContext": dict(LEAST),
        **({"volumeMounts": mounts} if mounts else {}),
        **taken,
    }


def pod_of(stage: Stage, case: Case, number: int) -> dict[str, Any]:
    """Describe one of the pods of a case."""
    spec = case.spec
    init = spec.get("init")
    volumes = [
        *spec.get("volumes", []),
        *(init or {}).get("volumes", []),
        *spec.get("sharedVolumes", []),
    ]
    more = {"initContainers": [container_of(stage, init)]} if init else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": case.pod_name(number),
            "labels": {**MANAGED_BY, EXPERIMENT_LABEL: PART},
        },
        "spec": stage.pod_spec(container_of(stage, spec), volumes=volumes, **more),
    }


def write_objects(stage: Stage, value: str, *, first: bool) -> None:
    """Write a value into all objects; the immutable one is removed and made anew.

    Parameters
    ----------
    stage
        Where.
    value
        Of the one key of each.
    first
        Whether this is before there are pods: then the optional one is not made.

    Raises
    ------
    UsageError
        One is there already, and not the experiment's: before any is made.
    """
    if first:
        stage.refuse_taken(SECRET, HIDDEN)
        for name in (MAP, LATER, FIXED):
            stage.refuse_taken(CONFIG_MAP, name)
    names = [MAP] if first else [MAP, LATER]
    stage.apply(*(config_map(name, **{KEY: value}) for name in names))
    if not first:
        stage.cluster.delete(CONFIG_MAP, FIXED, namespace=stage.namespace)
    secret = {**config_map(HIDDEN), "kind": "Secret", "stringData": {KEY: value}}
    del secret["data"]
    fixed = {**config_map(FIXED, **{KEY: value}), "immutable": True}
    stage.apply(fixed, secret)
