"""How the containers of a pod use an object, and whether an update reaches them.

Read from specifications. Whether an update arrives: docs of Kubernetes on ConfigMaps
("Mounted ConfigMaps are updated automatically"), and the kubelet's code:
``kubelet_pods.go`` makes the environment once, when a container is created;
``subpath_linux.go`` binds a subPath to the file of then; ``atomic_writer.go`` renews
the others. `tests/testbed/test_remedies.py` holds each cell against real kubelets
(docs/studies/consumers.md).
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, by its place in the API."""

    api_version: str  # group and version: v1, apps/v1
    plural: str  # name in paths: configmaps
    namespaced: bool = True


CONFIG_MAP = Kind("v1", "configmaps")
SECRET = Kind("v1", "secrets")
_KINDS = {
    **dict.fromkeys(["configmap", "configmaps", "cm"], "configmap"),
    **dict.fromkeys(["secret", "secrets"], "secret"),
}


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A ConfigMap or a Secret, by its name."""

    kind: str  # configmap or secret
    name: str

    def __str__(self) -> str:
        """Say it as `kubectl` does: ``configmap/special-config``."""
        return f"{self.kind}/{self.name}"

    @property
    def is_secret(self) -> bool:
        """Whether its content must not be shown."""
        return self.kind == "secret"

    @property
    def place(self) -> Kind:
        """Where in the API it is."""
        return SECRET if self.is_secret else CONFIG_MAP


def parse_reference(text: str) -> Reference:
    """Read ``configmap/NAME`` or ``secret/NAME``, short forms as `kubectl` knows them.

    Raises
    ------
    UsageError
        For anything else.
    """
    kind, _, name = text.strip().partition("/")
    if kind.lower() in _KINDS and name and "/" not in name:
        return Reference(_KINDS[kind.lower()], name)
    msg = f"{text!r} names no object: write configmap/NAME or secret/NAME"
    raise UsageError(msg)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the name that somebody may have meant; None: there is none like it."""
    others = sorted({one for one in known if one != name})
    found = difflib.get_close_matches(name, others, n=1, cutoff=0.7)
    return found[0] if found else None


Object = Mapping[str, Any]
"""An object, or a part of one, as the API server sends it."""


class Way(StrEnum):
    """The way into a container."""

    VOLUME = "volume"
    PROJECTED = "projected"
    SUB_PATH = "subPath"
    SUB_PATH_EXPR = "subPathExpr"
    ENV = "env"
    ENV_FROM = "envFrom"

    @property
    def is_environment(self) -> bool:
        """Whether it becomes variables, and no files."""
        return self in {Way.ENV, Way.ENV_FROM}

    @property
    def is_fixed(self) -> bool:
        """Whether a running container keeps what it was started with."""
        return self not in {Way.VOLUME, Way.PROJECTED}


class Role(StrEnum):
    """What a container is to its pod."""

    CONTAINER = "container"
    INIT = "init"
    SIDECAR = "sidecar"
    """An init container with ``restartPolicy: Always``: it keeps running."""
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True, slots=True)
class Use:
    """One way in which one container uses the object."""

    container: str
    role: Role
    way: Way
    where: str
    """Path of the mount, name of the variable, or prefix of the variables."""
    items: tuple[tuple[str, str], ...] | None = None
    """Keys that are taken, each with its path in the volume, or its variable;
    None: all keys, by their own names."""
    sub_path: str = ""
    """What of the volume is mounted, for `Way.SUB_PATH` and `Way.SUB_PATH_EXPR`."""
    optional: bool = False
    """The pod starts without the object, or without the key."""
    """Prefixes of later sources in ``envFrom``, of other objects: of variables that
    both have, the later wins."""

    @property
    def key_or_path(self) -> str:
        """Name the place: a path, a variable, or all variables of a prefix."""
        return f"{self.where}*" if self.way is Way.ENV_FROM else self.where

    def places(self, keys: Sequence[str]) -> dict[str, str]:
        """Give for each variable or path in the container the key that it shows."""
        if self.way is Way.ENV:
            return {variable: key for key, variable in self.items or ()}
        pairs = self.items if self.items is not None else [(k, k) for k in keys]
        if self.way is Way.ENV_FROM:
            return {f"{self.where}{key}": key for key, _ in pairs}
        root = posixpath.normpath(posixpath.join("/", self.where))
        inner = posixpath.normpath(self.sub_path)
        found = {}
        for key, raw in pairs:
            path = posixpath.normpath(raw)
            if inner == ".":
                found[posixpath.join(root, path)] = key
            elif path == inner:
                found[root] = key
            elif path.startswith(inner + "/"):
                found[posixpath.join(root, path.removeprefix(inner + "/"))] = key
        return found


_VOLUME = {"configmap": ("configMap", "name"), "secret": ("secret", "secretName")}
_SOURCE = {"configmap": "configMap", "secret": "secret"}
_KEY_REF = {"configmap": "configMapKeyRef", "secret": "secretKeyRef"}
_ALL_REF = {"configmap": "configMapRef", "secret": "secretRef"}


@dataclass(frozen=True, slots=True)
class _Volume:
    way: Way
    items: tuple[tuple[str, str], ...] | None
    optional: bool


def uses_of(pod: Object, reference: Reference) -> tuple[Use, ...]:
    """List how a pod, or a pod template, uses an object."""
    spec = pod["spec"]
    volumes = {
        volume["name"]: found
        for volume in spec.get("volumes") or ()
        if (found := _volume(volume, reference)) is not None
    }
    return tuple(
        use
        for container, role in containers_of(spec)
        for use in (
            *_mounts(container, role, volumes, pod),
            *_variables(container, role, reference),
        )
    )


def unmounted(pod: Object, reference: Reference) -> list[str]:
    """List volumes of the object that no container mounts."""
    spec = pod["spec"]
    mounted = {
        mount["name"]
        for container, _ in containers_of(spec)
        for mount in container.get("volumeMounts") or ()
    }
    return [
        volume["name"]
        for volume in spec.get("volumes") or ()
        if volume["name"] not in mounted and _volume(volume, reference) is not None
    ]


def containers_of(spec: Object) -> Iterator[tuple[Object, Role]]:
    """Yield every container of a pod's specification, and what it is."""
    for one in spec.get("initContainers") or ():
        keeps_running = one.get("restartPolicy") == "Always"
        yield one, Role.SIDECAR if keeps_running else Role.INIT
    for one in spec.get("containers") or ():
        yield one, Role.CONTAINER
    for one in spec.get("ephemeralContainers") or ():
        yield one, Role.EPHEMERAL


def references_of(pod: Object) -> set[Reference]:
    """List every ConfigMap and Secret that a pod's containers may get."""
    spec = pod["spec"]
    found = set()
    for volume in spec.get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        for kind, (field, name) in _VOLUME.items():
            if field in volume:
                found.add(Reference(kind, volume[field].get(name, "")))
            found |= {
                Reference(kind, source[_SOURCE[kind]].get("name", ""))
                for source in sources
                if _SOURCE[kind] in source
            }
    for container, _ in containers_of(spec):
        for kind in _VOLUME:
            found |= {
                Reference(kind, source[_ALL_REF[kind]].get("name", ""))
                for source in container.get("envFrom") or ()
                if _ALL_REF[kind] in source
            }
            found |= {
                Reference(kind, variable["valueFrom"][_KEY_REF[kind]].get("name", ""))
                for variable in container.get("env") or ()
                if _KEY_REF[kind] in (variable.get("valueFrom") or ())
            }
    return found


def _volume(volume: Object, reference: Reference) -> _Volume | None:
    """Read a volume's sources; None: it is of something else."""
    field, name = _VOLUME[reference.kind]
    own = volume.get(field)
    if own is not None:
        if own.get(name) != reference.name:
            return None
        return _Volume(Way.VOLUME, _pairs(own), bool(own.get("optional")))
    sources = [
        source[_SOURCE[reference.kind]]
        for source in (volume.get("projected") or {}).get("sources") or ()
        if (source.get(_SOURCE[reference.kind]) or {}).get("name") == reference.name
    ]
    if not sources:
        return None
    chosen = [_pairs(source) for source in sources]
    items = None
    if None not in chosen:
        items = tuple(pair for pairs in chosen for pair in pairs or ())
    optional = all(bool(source.get("optional")) for source in sources)
    return _Volume(Way.PROJECTED, items, optional)


def _pairs(source: Object) -> tuple[tuple[str, str], ...] | None:
    items = source.get("items")
    return tuple((one["key"], one["path"]) for one in items) if items else None


def _mounts(
    container: Object, role: Role, volumes: Mapping[str, _Volume], pod: Object
) -> Iterator[Use]:
    for mount in container.get("volumeMounts") or ():
        volume = volumes.get(mount["name"])
        if volume is None:
            continue
        way, sub_path = volume.way, ""
        if mount.get("subPathExpr"):
            way = Way.SUB_PATH_EXPR
            sub_path = _expand(mount["subPathExpr"], container, pod)
        elif posixpath.normpath(mount.get("subPath") or ".") != ".":
            way, sub_path = Way.SUB_PATH, mount["subPath"]
        yield Use(
            container["name"],
            role,
            way,
            mount["mountPath"],
            items=volume.items,
            sub_path=sub_path,
            optional=volume.optional,
        )


def _expand(expression: str, container: Object, pod: Object) -> str:
    """Put in the variables that the specification itself gives; others stay."""
    meta, spec = pod.get("metadata") or {}, pod["spec"]
    fields = {
        "metadata.name": meta.get("name"),
        "metadata.namespace": meta.get("namespace"),
        "metadata.uid": meta.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
    }
    known: dict[str, str] = {}
    for one in container.get("env") or ():
        path = ((one.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath")
        value = one.get("value") or fields.get(path or "")
        if value:
            known[one["name"]] = value
    return re.sub(r"\$\(([^)]+)\)", lambda m: known.get(m[1], m[0]), expression)


def _variables(container: Object, role: Role, reference: Reference) -> Iterator[Use]:
    for source in container.get("envFrom") or ():
        all_keys = source.get(_ALL_REF[reference.kind]) or {}
        if all_keys.get("name") == reference.name:
            yield Use(
                container["name"],
                role,
                Way.ENV_FROM,
                source.get("prefix") or "",
                optional=bool(all_keys.get("optional")),
            )
    for variable in container.get("env") or ():
        one_key = (variable.get("valueFrom") or {}).get(_KEY_REF[reference.kind]) or {}
        if one_key.get("name") == reference.name:
            yield Use(
                container["name"],
                role,
                Way.ENV,
                variable["name"],
                items=((one_key["key"], variable["name"]),),
                optional=bool(one_key.get("optional")),
            )


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an update in one container."""

    update: bool  # it arrives by itself, while the container runs
    container_restart: bool | None
    """It is there after the container was restarted in its pod;
    None: such a container never is."""
    pod_restart: bool | None
    """It is there in the pod's successor; None: that has no such container."""
    why: str  # for people


_WHY = {
    Way.VOLUME: "the kubelet renews the files when it next syncs the pod",
    Way.PROJECTED: "the kubelet renews the files when it next syncs the pod",
    Way.SUB_PATH: "a subPath stays bound to the file of the container's start",
    Way.SUB_PATH_EXPR: "a subPathExpr stays bound to the file of the container's start",
    Way.ENV: "a process keeps the environment that it was started with",
    Way.ENV_FROM: "a process keeps the environment that it was started with",
}
IMMUTABLE = (
    "the object is immutable: its content cannot change, and under Watch the kubelet "
    "does not look for another one of its name while a pod of the node uses it"
)
INIT = "an init container has ended; it reads the content once, when the pod starts"


def fate_of(use: Use, *, immutable: bool) -> Fate:
    """Say what becomes of an update in a container that uses the object.

    An update of an ``immutable`` object is its removal, and another one of its name.
    """
    ephemeral = use.role is Role.EPHEMERAL
    if immutable:
        return Fate(
            update=False,
            container_restart=None if ephemeral else False,
            pod_restart=None if ephemeral else True,
            why=IMMUTABLE,
        )
    if use.role is Role.INIT:
        return Fate(update=False, container_restart=False, pod_restart=True, why=INIT)
    return Fate(
        update=not use.way.is_fixed,
        container_restart=None if ephemeral else True,
        pod_restart=None if ephemeral else True,
        why=_WHY[use.way],
    )
