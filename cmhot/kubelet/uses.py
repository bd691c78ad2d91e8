"""How the containers of a pod use an object, and whether an update reaches them.

Read from specifications. Whether an update arrives: docs of Kubernetes on ConfigMaps
("Mounted ConfigMaps are updated automatically"), and the kubelet's code:
``kubelet_pods.go`` makes the environment once, when a container is created;
``subpath_linux.go`` binds a subPath to the file of then; ``atomic_writer.go`` renews
the others. `tests/testbed/test_remedies.py` holds each cell against real kubelets
(docs/studies/consumers.md).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


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
    import difflib  # noqa: PLC0415 - who writes all names right needs none

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

    @property
    def key_or_path(self) -> str:
        """Name the place: a path, a variable, or all variables of a prefix."""
        return f"{self.where}*" if self.way is Way.ENV_FROM else self.where


@dataclass(frozen=True, slots=True)
class VolumeSource:
    """One source of a volume: files of an object's keys, or of something else."""

    reference: Reference | None
    """Of which object; None: of none (downward API, token, certificate)."""
    items: tuple[tuple[str, str], ...] | None
    """Keys that are taken, each with its path, as written; None: all keys."""
    optional: bool = False
    """It may be missing, or a key of it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One entry of ``env``, or a source of ``envFrom``."""

    name: str
    """Of the variable; of a source of ``envFrom``, the prefix of its variables."""
    text: str | None = None
    """Its value, as written."""
    reference: Reference | None = None
    """The object that it is of."""
    key: str | None = None
    """The object's key; None: all of them."""
    optional: bool = False
    """The object may be missing, or the key."""
    field: str = ""
    """The pod's field that it is of."""


_OBJECTS = (
    ("configMap", "configmap", "name"),
    ("secret", "secret", "secretName"),
)
"""Sources of a volume that are objects: their field, kind, and the name's field."""


def sources_of(volume: Object) -> tuple[VolumeSource, ...] | None:
    """List the sources of a volume, in order; None: it is of another kind."""
    if "projected" in volume:
        listed = (volume["projected"] or {}).get("sources") or ()
        return tuple(found for one in listed for found in _sources(one))
    if any(kind in volume for kind in ("configMap", "secret", "downwardAPI")):
        return tuple(_sources(volume))
    return None


def _sources(given: Object) -> Iterator[VolumeSource]:
    for field, kind, name_field in _OBJECTS:
        if (own := given.get(field)) is not None:
            name = own.get(name_field) or own.get("name") or ""
            items = tuple((one["key"], one["path"]) for one in own.get("items") or ())
            optional = bool(own.get("optional"))
            yield VolumeSource(Reference(kind, name), items or None, optional)
    paths: list[str] = []
    downward, token = given.get("downwardAPI"), given.get("serviceAccountToken")
    bundle = given.get("clusterTrustBundle")
    certificate = given.get("podCertificate") or {}
    if downward is not None:
        paths += [one["path"] for one in downward.get("items") or ()]
    if token is not None:
        paths.append(token["path"])
    if bundle is not None:
        yield VolumeSource(None, (("", bundle["path"]),), bool(bundle.get("optional")))
    for field in ("credentialBundlePath", "keyPath", "certificateChainPath"):
        if certificate.get(field):
            paths.append(certificate[field])
    if paths:
        yield VolumeSource(None, tuple(("", path) for path in paths))


def variables_of(container: Object) -> Iterator[Variable]:
    """Yield ``envFrom``, then ``env``, each in its order."""
    yield from _all_keys(container)
    for one in container.get("env") or ():
        yield _variable(one)


def _referring(container: Object) -> Iterator[Variable]:
    """Yield those that may be of an object, without the plain ones: there are many."""
    yield from _all_keys(container)
    for one in container.get("env") or ():
        if one.get("valueFrom") is not None:
            yield _variable(one)


def _all_keys(container: Object) -> Iterator[Variable]:
    for source in container.get("envFrom") or ():
        for field, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
            if (named := source.get(field)) is not None:
                yield Variable(
                    source.get("prefix") or "",
                    reference=Reference(kind, named.get("name") or ""),
                    optional=bool(named.get("optional")),
                )


def _variable(one: Object) -> Variable:
    source = one.get("valueFrom")
    if one.get("value") or source is None:
        return Variable(one["name"], one.get("value") or "")
    for field, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
        if (named := source.get(field)) is not None:
            return Variable(
                one["name"],
                reference=Reference(kind, named.get("name") or ""),
                key=named["key"],
                optional=bool(named.get("optional")),
            )
    path = (source.get("fieldRef") or {}).get("fieldPath") or ""
    named = source.get("fileKeyRef") or {}
    return Variable(one["name"], field=path, optional=bool(named.get("optional")))


def uses_of(pod: Object, reference: Reference) -> tuple[Use, ...]:
    """List how a pod, or a pod template, uses an object."""
    spec = pod["spec"]
    volumes = {
        volume["name"]: own
        for volume in spec.get("volumes") or ()
        if (own := _of(sources_of(volume), reference))
    }
    projected = {one["name"] for one in spec.get("volumes") or () if "projected" in one}
    return tuple(
        use
        for container, role in containers_of(spec)
        for use in (
            *_mounts(container, role, volumes, projected),
            *_environment(container, role, reference),
        )
    )


def _of(
    sources: Sequence[VolumeSource] | None, reference: Reference
) -> list[VolumeSource]:
    return [one for one in sources or () if one.reference == reference]


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
        if volume["name"] not in mounted and _of(sources_of(volume), reference)
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
    named = [
        source.reference
        for volume in spec.get("volumes") or ()
        for source in sources_of(volume) or ()
    ]
    named += [
        variable.reference
        for container, _ in containers_of(spec)
        for variable in _referring(container)
    ]
    return {one for one in named if one is not None}


def mentions_of(pod: Object, reference: Reference) -> set[str]:
    """Name the places where a pod names an object that its containers do not get.

    As what its image is pulled with, in a volume of another kind, or in the words of a
    container, which may read it through the API.
    """
    spec, name, found = pod["spec"], reference.name, set()
    if reference.is_secret:
        if any(one.get("name") == name for one in spec.get("imagePullSecrets") or ()):
            found.add("imagePullSecrets")
        found |= {
            f"the volume {volume['name']}"
            for volume in spec.get("volumes") or ()
            if sources_of(volume) is None and _has_secret(volume, name)
        }
    for container, _ in containers_of(spec):
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        texts = [("a command line", " ".join(words))]
        texts += [
            (f"the variable {one['name']}", one["value"])
            for one in container.get("env") or ()
            if name in (one.get("value") or "")
        ]
        found |= {
            f"{place} of container {container['name']}"
            for place, text in texts
            if name in text and re.search(_WORD.format(re.escape(name)), text)
        }
    return found


_WORD = r"(?<![A-Za-z0-9.-]){}(?![A-Za-z0-9-]|\.[A-Za-z0-9])"
"""A name of an object that is no part of a longer one."""


def _has_secret(volume: Object, name: str) -> bool:
    """Tell whether a volume's driver, such as csi or rbd, is given a Secret."""
    return any(
        source.get("secretName") == name
        or any(
            isinstance(value, Mapping) and value.get("name") == name
            for field, value in source.items()
            if field.lower().endswith("secretref")
        )
        for source in volume.values()
        if isinstance(source, Mapping)
    )


def _mounts(
    container: Object,
    role: Role,
    volumes: Mapping[str, Sequence[VolumeSource]],
    projected: Collection[str],
) -> Iterator[Use]:
    for mount in container.get("volumeMounts") or ():
        sources = volumes.get(mount["name"])
        if sources is None:
            continue
        way = Way.PROJECTED if mount["name"] in projected else Way.VOLUME
        sub_path = mount.get("subPathExpr") or ""
        if sub_path:
            way = Way.SUB_PATH_EXPR
        elif posixpath.normpath(mount.get("subPath") or ".") != ".":
            way, sub_path = Way.SUB_PATH, mount["subPath"]
        items = [one.items for one in sources]
        yield Use(
            container["name"],
            role,
            way,
            mount["mountPath"],
            items=None if None in items else tuple(chain(*filter(None, items))),
            sub_path=sub_path,
            optional=all(one.optional for one in sources),
        )


def _environment(container: Object, role: Role, reference: Reference) -> Iterator[Use]:
    for one in _referring(container):
        if one.reference == reference:
            yield Use(
                container["name"],
                role,
                Way.ENV_FROM if one.key is None else Way.ENV,
                one.name,
                items=None if one.key is None else ((one.key, one.name),),
                optional=one.optional,
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
INIT = "an init container reads the content once, when the pod starts"


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
