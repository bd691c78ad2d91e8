"""What the kubelet gives a container: every file and every variable, byte by byte.

From a pod's manifest and the objects that it names, by the kubelet's own rules. Each
value says where it comes from; what depends on something that is not known here (a
token, an object that may not be read) is there with unknown content; and where the
kubelet can give nothing, why.

Sources, of Kubernetes 1.37: ``pkg/volume/configmap`` and ``pkg/volume/secret``
(`MakePayload`), ``pkg/volume/projected`` (`collectData`: later sources win),
``pkg/volume/util/atomic_writer.go`` (paths are cleaned), ``pkg/volume/util/subpath``,
``pkg/kubelet/kubelet_pods.go`` (`makeMounts`, `makeEnvironmentVariables`),
``third_party/forked/golang/expansion``. `studies.containers` compares it with the
containers of a real kubelet.
"""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from cmhot.kubelet.uses import Object, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Absent(Enum):
    """What there is instead of an object."""

    MISSING = "there is none of its name"
    UNREAD = "it was not, or may not be, read"


Lookup = Callable[[Reference], Object | Absent]
"""Gives an object of the pod's namespace."""


@dataclass(frozen=True, slots=True)
class Given:
    """A file or a variable, as the kubelet makes it.

    Attributes
    ----------
    content
        What it holds; None: that cannot be known from here.
    source
        The object that it comes from; None: none (a literal, downward API, token).
    key
        The object's key.
    """

    content: bytes | None
    source: Reference | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """What a mounted volume shows, for as long as the container runs.

    Attributes
    ----------
    files
        By path below the mount; of a file that is mounted by itself, by ``""``.
        Of a volume that is blocked, those that it would have.
    is_whole
        Whether `files` are all: no source is unknown.
    renewed
        Whether updates reach it: not below a subPath, which stays bound to what was
        there when the container started.
    blocked
        Why the kubelet can neither set it up nor renew it; empty: it can.
    names_nothing
        Whether a subPath names nothing that is in the volume: the kubelet then makes an
        empty folder of that name in it, which keeps a later key of that name away.
    """

    files: Mapping[str, Given] = field(default_factory=dict)
    is_whole: bool = True
    renewed: bool = True
    blocked: str = ""
    names_nothing: bool = False

    def below(self, mount: str) -> dict[str, Given]:
        """Give the files by their path in the container."""
        return {
            posixpath.join(mount, path) if path else mount: given
            for path, given in self.files.items()
        }

    def listing(self) -> frozenset[str]:
        """Name what a listing shows, but for the kubelet's own ``..data``."""
        return frozenset(path.split("/", 1)[0] for path in self.files if path)


@dataclass(frozen=True, slots=True)
class ContainerView:
    """What a container that starts now would be given.

    Attributes
    ----------
    folders
        By the path of the mount: those of ConfigMaps, Secrets, projected and downward
        API volumes. A mount below another one hides what would be there.
    variables
        Those of the pod's specification: neither the image's nor the Services'.
    is_whole
        Whether `variables` are all: no source is unknown.
    blocked
        Why the container cannot start; empty: nothing of this keeps it from it.
    """

    folders: Mapping[str, Folder]
    variables: Mapping[str, Given]
    is_whole: bool = True
    blocked: str = ""

    def files(self) -> dict[str, Given]:
        """Give all files by their path in the container."""
        return {
            path: given
            for mount, folder in self.folders.items()
            if not folder.blocked
            for path, given in folder.below(mount).items()
        }


def view_of(pod: Object, container: str, lookup: Lookup) -> ContainerView:
    """Say what the kubelet gives a container that starts now.

    Parameters
    ----------
    pod
        Its manifest.
    container
        The name of one of its containers.
    lookup
        Gives the objects that it names.

    Raises
    ------
    KeyError
        The pod has no such container.
    """
    spec = pod["spec"]
    fields = ("initContainers", "containers", "ephemeralContainers")
    own: Object = {one["name"]: one for part in fields for one in spec.get(part) or ()}[
        container
    ]
    environment = _Environment(pod, lookup)
    environment.add(own)
    volumes = {
        volume["name"]: made
        for volume in spec.get("volumes") or ()
        if (made := _volume(volume, lookup)) is not None
    }
    mounted = {
        mount["name"]
        for part in fields
        for one in spec.get(part) or ()
        for mount in one.get("volumeMounts") or ()
    }
    # the kubelet sets up all volumes that any container mounts before it starts one
    reasons = [volumes[name].blocked for name in volumes if name in mounted]
    folders = {}
    mounts = list(own.get("volumeMounts") or ())
    paths = [absolute(mount["mountPath"]) for mount in mounts]
    for mount, path in zip(mounts, paths, strict=True):
        if mount["name"] in volumes:
            folder = _mounted(volumes[mount["name"]], mount, environment.variables)
            root = path.rstrip("/") + "/"
            inner = [one.removeprefix(root) for one in paths if one.startswith(root)]
            folders[path] = _without(folder, [one for one in inner if one])
    blocked = next(filter(None, [*reasons, environment.blocked]), "")
    return ContainerView(folders, environment.variables, environment.is_whole, blocked)


def absolute(path: str) -> str:
    """Clean a path in a container; a relative one is below the root."""
    return posixpath.normpath(posixpath.join("/", path)).replace("//", "/")


def _without(folder: Folder, hidden: Iterable[str]) -> Folder:
    """Leave out what other mounts hide."""
    files = dict(folder.files)
    whole = folder.is_whole
    for path in hidden:
        whole = False  # the mount itself is in the listing
        files = {
            name: given
            for name, given in files.items()
            if name != path and not name.startswith(path + "/")
        }
    if len(files) == len(folder.files) and whole == folder.is_whole:
        return folder
    return Folder(files, whole, folder.renewed, folder.blocked, folder.names_nothing)


def _mounted(volume: Folder, mount: Object, variables: Mapping[str, Given]) -> Folder:
    """Take of a volume what a mount shows."""
    sub_path = mount.get("subPath") or ""
    if expression := mount.get("subPathExpr"):
        expanded = _expand(expression, variables)
        if expanded is None:
            return Folder(is_whole=False, renewed=False)
        sub_path = expanded.decode()
    inner = posixpath.normpath(sub_path)
    if inner == ".":  # the volume itself, whose ..data is followed anew
        return volume
    if inner in volume.files:
        return Folder({"": volume.files[inner]}, renewed=False, blocked=volume.blocked)
    below = {
        path.removeprefix(inner + "/"): given
        for path, given in volume.files.items()
        if path.startswith(inner + "/")
    }
    return Folder(
        below,
        volume.is_whole,
        renewed=False,
        blocked=volume.blocked,
        names_nothing=not below and volume.is_whole and not volume.blocked,
    )


def _volume(volume: Object, lookup: Lookup) -> Folder | None:
    """Say what a volume holds; None: of another kind, which is not looked at."""
    if "projected" in volume:
        sources = (volume["projected"] or {}).get("sources") or ()
    elif any(kind in volume for kind in ("configMap", "secret", "downwardAPI")):
        sources = [volume]
    else:
        return None
    payload: dict[str, Given] = {}
    whole, blocked = True, ""
    for source in sources:
        for kind in source:
            if kind not in _SOURCES:
                continue
            found = _SOURCES[kind](source[kind] or {}, lookup)
            if not found.is_whole:  # it may set any of them again
                payload = {
                    path: replace(one, content=None) for path, one in payload.items()
                }
            payload |= found.files
            whole = whole and found.is_whole
            blocked = blocked or found.blocked
    files: dict[str, Given] = {}
    for raw, given in payload.items():
        path = posixpath.normpath(raw)
        # of two that are cleaned to one, the kubelet takes whichever comes last
        files[path] = given if path not in files else Given(None)
    return Folder(files, whole, blocked=blocked)


def _of_object(kind: str, name_field: str) -> Callable[[Object, Lookup], Folder]:
    def read(source: Object, lookup: Lookup) -> Folder:
        name = source.get(name_field) or source.get("name") or ""
        return _items(source, Reference(kind, name), lookup)

    return read


def _items(source: Object, reference: Reference, lookup: Lookup) -> Folder:
    """Read a source that takes all keys of an object, or those that it lists."""
    optional, items = bool(source.get("optional")), source.get("items")
    stored = lookup(reference)
    if stored is Absent.UNREAD:
        named = {one["path"]: Given(None, reference, one["key"]) for one in items or ()}
        return Folder(named, is_whole=bool(items) and not optional)
    if stored is Absent.MISSING:
        return Folder(blocked="" if optional else f"{reference} does not exist")
    content = content_of(stored)
    if not items:
        return Folder({key: Given(content[key], reference, key) for key in content})
    files = {}
    for one in items:
        if one["key"] in content:
            files[one["path"]] = Given(content[one["key"]], reference, one["key"])
        elif not optional:
            return Folder(blocked=f"{reference} has no key {one['key']!r}")
    return Folder(files)


def content_of(stored: Object | Absent) -> dict[str, bytes]:
    """Give an object's content, key by key, as a file would hold it."""
    if isinstance(stored, Absent):
        return {}
    plain = stored.get("data") or {}
    if stored.get("kind") == "Secret":
        return {key: base64.b64decode(text) for key, text in plain.items()}
    binary = stored.get("binaryData") or {}
    return {
        **{key: text.encode() for key, text in plain.items()},
        **{key: base64.b64decode(text) for key, text in binary.items()},
    }


def _unknown(*paths: str) -> Folder:
    return Folder({path: Given(None) for path in paths if path})


def _downward(source: Object, _: Lookup) -> Folder:
    return _unknown(*(one["path"] for one in source.get("items") or ()))


def _token(source: Object, _: Lookup) -> Folder:
    return _unknown(source["path"])


def _bundle(source: Object, _: Lookup) -> Folder:
    if source.get("optional"):
        return Folder(is_whole=False)
    return _unknown(source["path"])


def _certificate(source: Object, _: Lookup) -> Folder:
    names = ("credentialBundlePath", "keyPath", "certificateChainPath")
    return _unknown(*(source.get(name) or "" for name in names))


_SOURCES: Mapping[str, Callable[[Object, Lookup], Folder]] = {
    "configMap": _of_object("configmap", "name"),
    "secret": _of_object("secret", "secretName"),
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _bundle,
    "podCertificate": _certificate,
}

_OF_A_SERVICE = re.compile(r"[A-Z0-9_]*_(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]*)?")
_LABEL = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class _Environment:
    """Builds a container's variables in the kubelet's order."""

    def __init__(self, pod: Object, lookup: Lookup) -> None:
        self.pod = pod
        self.lookup = lookup
        self.variables: dict[str, Given] = {}
        self.is_whole = True
        self.blocked = ""

    def add(self, container: Object) -> None:
        """Add ``envFrom``, then ``env``, which may refer to all that came before."""
        for source in container.get("envFrom") or ():
            for name, given in self._all_of(source):
                self.variables[name] = given
        for one in container.get("env") or ():
            if (made := self._one(one)) is not None:
                self.variables[one["name"]] = made

    def _block(self, why: str) -> None:
        self.blocked = self.blocked or why

    def _all_of(self, source: Object) -> Iterator[tuple[str, Given]]:
        for field_name, kind in (
            ("configMapRef", "configmap"),
            ("secretRef", "secret"),
        ):
            named = source.get(field_name)
            if named is None:
                continue
            reference = Reference(kind, named.get("name") or "")
            stored = self.lookup(reference)
            if stored is Absent.UNREAD:
                self.is_whole = False
                # each of them that has its prefix may be set again by it
                for name, given in list(self.variables.items()):
                    if name.startswith(source.get("prefix") or ""):
                        yield name, replace(given, content=None)
            elif stored is Absent.MISSING:
                if not named.get("optional"):
                    self._block(f"{reference} does not exist")
            else:
                for key, value in _texts(stored).items():
                    name = f"{source.get('prefix') or ''}{key}"
                    if name not in {".", ".."} and not name.startswith(".."):
                        yield name, Given(value, reference, key)

    def _one(self, one: Object) -> Given | None:
        """Give a variable of ``env``; None: it is left as it was."""
        if one.get("value"):
            return Given(_expand(one["value"], self.variables))
        source = one.get("valueFrom")
        if source is None:
            return Given(b"")
        for field_name, kind in (
            ("configMapKeyRef", "configmap"),
            ("secretKeyRef", "secret"),
        ):
            if field_name in source:
                return self._key(source[field_name], kind, one["name"])
        if "fieldRef" in source:
            return Given(self._field(source["fieldRef"].get("fieldPath") or ""))
        return Given(None)

    def _key(self, named: Object, kind: str, variable: str) -> Given | None:
        reference, key = Reference(kind, named.get("name") or ""), named["key"]
        stored = self.lookup(reference)
        if stored is Absent.UNREAD:
            if named.get("optional"):
                self.is_whole = False
            return Given(None, reference, key)
        if stored is not Absent.MISSING and key in (texts := _texts(stored)):
            return Given(texts[key], reference, key)
        if not named.get("optional"):
            why = (
                "does not exist" if stored is Absent.MISSING else f"has no key {key!r}"
            )
            self._block(f"variable {variable} needs it: {reference} {why}")
        return None

    def _field(self, path: str) -> bytes | None:
        meta, spec = self.pod.get("metadata") or {}, self.pod["spec"]
        if found := _LABEL.fullmatch(path):
            value = (meta.get(found[1]) or {}).get(found[2], "")
        elif path in {"metadata.name", "metadata.namespace", "metadata.uid"}:
            value = meta.get(path.removeprefix("metadata."))
        elif path in {"spec.nodeName", "spec.serviceAccountName"}:
            value = spec.get(path.removeprefix("spec."))
        else:
            value = None
        return None if value is None else str(value).encode()


def _texts(stored: Object | Absent) -> dict[str, bytes]:
    """Give the keys that become variables: no ``binaryData``."""
    if isinstance(stored, Absent):
        return {}
    if stored.get("kind") == "Secret":
        return content_of(stored)
    return {key: text.encode() for key, text in (stored.get("data") or {}).items()}


def _expand(text: str, variables: Mapping[str, Given]) -> bytes | None:
    """Put variables in for ``$(NAME)``; None: one of them is not known.

    ``$$`` stands for a dollar, and a reference to what there is not stands for itself.
    """
    data, out, at = text.encode(), b"", 0
    while at < len(data):
        if data[at : at + 1] != b"$" or at + 1 == len(data):
            out += data[at : at + 1]
            at += 1
        elif data[at + 1 : at + 2] == b"(" and (end := data.find(b")", at)) > 0:
            name = data[at + 2 : end].decode()
            if name in variables:
                value = variables[name].content
                if value is None:
                    return None
                out += value
            elif _OF_A_SERVICE.fullmatch(name):
                return None
            else:
                out += data[at : end + 1]
            at = end + 1
        else:
            escaped = data[at + 1 : at + 2] == b"$"
            out += b"$" if escaped else data[at : at + 2]
            at += 2
    return out


def read_environ(block: bytes) -> dict[str, bytes]:
    """Read /proc/PID/environ."""
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {name.decode(errors="replace"): value for name, _, value in pairs}
