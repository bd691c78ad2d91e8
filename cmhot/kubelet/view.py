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

from cmhot.kubelet.uses import (
    Object,
    Reference,
    Role,
    Way,
    containers_of,
    sources_of,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cmhot.kubelet.uses import Use, Variable, VolumeSource


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
    covers
        Keys of objects that would be here, but for this, which comes later.
    """

    content: bytes | None
    source: Reference | None = None
    key: str = ""
    covers: tuple[tuple[Reference, str], ...] = ()

    def over(self, other: Given | None) -> Given:
        """Put it in the place of another one."""
        if other is None:
            return self
        own = () if other.source is None else ((other.source, other.key),)
        return replace(self, covers=(*other.covers, *own))


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
    emptied
        Whether an update empties it, for good: a subPath that is a folder stays bound
        to the folder of the container's start, which the kubelet removes when it has
        written another.
    blocked
        Why the kubelet can neither set it up nor renew it; empty: it can.
    names_nothing
        Whether a subPath names nothing that is in the volume: the kubelet then makes an
        empty folder of that name in it, which keeps a later key of that name away.
    """

    files: Mapping[str, Given] = field(default_factory=dict)
    is_whole: bool = True
    renewed: bool = True
    emptied: bool = False
    blocked: str = ""
    names_nothing: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether which of the volume's files it shows is not known."""
        return not self.files and not self.is_whole and not self.renewed

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
    stuck
        Why no sync of the pod comes to its end: a volume cannot be set up or renewed,
        and the kubelet waits two minutes for it each time; empty: nothing of this.
    blocked
        Why the container cannot start; empty: nothing of this keeps it from it.
    """

    folders: Mapping[str, Folder]
    variables: Mapping[str, Given]
    is_whole: bool = True
    stuck: str = ""
    blocked: str = ""

    def files(self) -> dict[str, Given]:
        """Give all files by their path in the container."""
        return {
            path: given
            for mount, folder in self.folders.items()
            if not folder.blocked
            for path, given in folder.below(mount).items()
        }

    def folder(self, use: Use) -> Folder:
        """Give what the mount of a use shows."""
        return self.folders[absolute(use.where)]

    def of(self, use: Use) -> dict[str, Given]:
        """Give the files or variables of the places to which a use leads."""
        if not use.way.is_environment:
            return self.folder(use).below(absolute(use.where))
        named = self.variables.items()
        if use.way is Way.ENV:
            return {name: given for name, given in named if name == use.where}
        return {
            name: given
            for name, given in named
            if name.startswith(use.where) and name != use.where
        }


def view_of(
    pod: Object, container: str, lookup: Lookup, *, kubernetes: str | None = None
) -> ContainerView:
    """Say what the kubelet gives a container that starts now.

    Parameters
    ----------
    pod
        Its manifest, or a pod template.
    container
        The name of one of its containers.
    lookup
        Gives the objects that it names.
    kubernetes
        Version of the kubelet, such as ``v1.28.15``; None: current.

    Raises
    ------
    KeyError
        The pod has no such container.
    """
    spec = pod["spec"]
    containers = {one["name"]: one for one, _ in containers_of(spec)}
    own = containers[container]
    environment = _Environment(pod, lookup, _names_of(kubernetes))
    environment.add(own)
    volumes = {
        volume["name"]: _volume(sources, lookup)
        for volume in spec.get("volumes") or ()
        if (sources := sources_of(volume)) is not None
    }
    mounted = {
        mount["name"]
        for one in containers.values()
        for mount in one.get("volumeMounts") or ()
    }
    # the kubelet sets up all volumes that any container mounts before it starts one
    reasons = [volumes[name].blocked for name in volumes if name in mounted]
    stuck = next(filter(None, reasons), "")
    folders = {}
    mounts = list(own.get("volumeMounts") or ())
    paths = [absolute(mount["mountPath"]) for mount in mounts]
    for mount, path in zip(mounts, paths, strict=True):
        if mount["name"] in volumes:
            folder = _mounted(volumes[mount["name"]], mount, environment)
            root = path.rstrip("/") + "/"
            inner = [one.removeprefix(root) for one in paths if one.startswith(root)]
            folders[path] = _without(folder, [one for one in inner if one])
    return ContainerView(
        folders,
        environment.variables,
        environment.is_whole,
        stuck=stuck,
        blocked=stuck or environment.blocked,
    )


def obstacle_to(pod: Object, lookup: Lookup, *, starts: bool = True) -> str:
    """Say why a pod that is made now would not start; empty: nothing of this.

    Parameters
    ----------
    pod
        Its manifest, or a pod template.
    lookup
        Gives the objects that it names.
    starts
        False: why, while it runs, the kubelet can renew no volume of it.
    """
    for one, role in containers_of(pod["spec"]):
        if role is Role.EPHEMERAL:
            continue  # no new pod has it
        view = view_of(pod, one["name"], lookup)
        if view.stuck:  # for the whole pod
            return view.stuck
        if starts and view.blocked:
            return f"{view.blocked} (container {one['name']})"
    return ""


def absolute(path: str) -> str:
    """Clean a path in a container; a relative one is below the root."""
    return posixpath.normpath(posixpath.join("/", path)).replace("//", "/")


def _without(folder: Folder, hidden: Sequence[str]) -> Folder:
    """Leave out what other mounts hide."""
    if not hidden:
        return folder
    files = {
        name: given
        for name, given in folder.files.items()
        if not any(name == path or name.startswith(path + "/") for path in hidden)
    }
    # the mounts themselves are in the listing
    return replace(folder, files=files, is_whole=False)


def _mounted(volume: Folder, mount: Object, environment: _Environment) -> Folder:
    """Take of a volume what a mount shows."""
    sub_path = mount.get("subPath") or ""
    if expression := mount.get("subPathExpr"):
        expanded = environment.path(expression, mount["mountPath"])
        if expanded is None:
            return Folder(is_whole=False, renewed=False, blocked=volume.blocked)
        sub_path = expanded
    inner = posixpath.normpath(sub_path)
    if inner == ".":  # the volume itself, whose ..data is followed anew
        return volume
    # what ..data leads to is bound, as of then
    inner = inner.removeprefix(_DATA).lstrip("/") if _is_data(inner) else inner
    if inner in volume.files:
        return Folder({"": volume.files[inner]}, renewed=False, blocked=volume.blocked)
    below = {
        path.removeprefix(inner + "/") if inner else path: given
        for path, given in volume.files.items()
        if not inner or path.startswith(inner + "/")
    }
    return replace(
        volume,
        files=below,
        renewed=False,
        emptied=bool(below),
        names_nothing=not below and volume.is_whole and not volume.blocked,
    )


_DATA = "..data"
"""The link to the folder that has the files of a volume."""


def _is_data(path: str) -> bool:
    return path == _DATA or path.startswith(f"{_DATA}/")


def _volume(sources: Iterable[VolumeSource], lookup: Lookup) -> Folder:
    """Say what a volume holds."""
    payload: dict[str, Given] = {}
    whole, blocked = True, ""
    for source in sources:
        found = _files(source, lookup)
        if not found.is_whole:  # it may set any of them again
            payload = {
                path: replace(one, content=None) for path, one in payload.items()
            }
        for path, given in found.files.items():
            payload[path] = given.over(payload.get(path))
        whole = whole and found.is_whole
        blocked = blocked or found.blocked
    files: dict[str, Given] = {}
    for raw, given in payload.items():
        path = posixpath.normpath(raw)
        # of two that are cleaned to one, the kubelet takes whichever comes last
        files[path] = given if path not in files else Given(None)
    return Folder(files, whole, blocked=blocked)


def _files(source: VolumeSource, lookup: Lookup) -> Folder:
    """Read a source that takes all keys of an object, or those that it lists."""
    reference, items = source.reference, source.items
    if reference is None:  # one that is optional may give nothing
        unknown = (
            {} if source.optional else {path: Given(None) for _, path in items or ()}
        )
        return Folder(unknown, is_whole=not source.optional)
    stored = lookup(reference)
    if stored is Absent.UNREAD:
        named = {path: Given(None, reference, key) for key, path in items or ()}
        return Folder(named, is_whole=bool(items) and not source.optional)
    if stored is Absent.MISSING:
        return Folder(blocked="" if source.optional else f"{reference} does not exist")
    content = content_of(stored)
    files, missing = {}, ""
    for key, path in [(key, key) for key in content] if items is None else items:
        if key in content:
            files[path] = Given(content[key], reference, key)
        elif not source.optional:
            missing = missing or f"{reference} has no key {key!r}"
    return Folder({} if missing else files, blocked=missing)


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


_OF_A_SERVICE = re.compile(r"[A-Z0-9_]*_(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]*)?")
_LABEL = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_ANY_NAME = re.compile(r".*", re.DOTALL)
_STRICT_NAME = re.compile(r"(?!\.$|\.\.)[-._a-zA-Z][-._a-zA-Z0-9]*")
_ANY_NAME_SINCE = 30
"""Minor version from which a kubelet takes every key of ``envFrom`` for a variable;
before, it leaves out those that are no names, such as ``9lives`` (`IsEnvVarName`)."""


def _names_of(kubernetes: str | None) -> re.Pattern[str]:
    """Give the names that a kubelet takes of ``envFrom``."""
    from cmhot.kubelet.eras import minor_of  # noqa: PLC0415 - few use envFrom

    minor = minor_of(kubernetes)
    return _ANY_NAME if minor is None or minor >= _ANY_NAME_SINCE else _STRICT_NAME


class _Environment:
    """Builds a container's variables in the kubelet's order."""

    def __init__(self, pod: Object, lookup: Lookup, names: re.Pattern[str]) -> None:
        self.pod = pod
        self.lookup = lookup
        self.names = names
        self.variables: dict[str, Given] = {}
        self.is_whole = True
        self.blocked = ""

    def add(self, container: Object) -> None:
        """Add ``envFrom``, then ``env``, which may refer to all that came before."""
        for one in variables_of(container):
            if one.reference is None:
                self._set(one.name, Given(self._literal(one)))
            elif one.key is None:
                self._all_of(one, one.reference)
            else:
                self._key(one, one.reference, one.key)

    def path(self, expression: str, mount: str) -> str | None:
        """Expand a ``subPathExpr``; None: it cannot be known from here, or made."""
        for _, name in _parts(expression):
            given = None if name is None else self.variables.get(name)
            is_none = given is None and self.is_whole and name is not None
            if given is not None and given.content == b"":
                is_none = True
            if is_none and not _OF_A_SERVICE.fullmatch(name or ""):
                self._block(f"the subPathExpr of {mount} needs the variable {name}")
                return None
        expanded = _expand(expression, self.variables)
        if expanded is None:
            return None
        path = expanded.decode(errors="replace")
        if path.startswith("/") or ".." in path.split("/"):
            self._block(f"the subPathExpr of {mount} leads out of its volume: {path}")
            return None
        return path

    def _set(self, name: str, given: Given) -> None:
        self.variables[name] = given.over(self.variables.get(name))

    def _block(self, why: str) -> None:
        self.blocked = self.blocked or why

    def _all_of(self, one: Variable, reference: Reference) -> None:
        stored = self.lookup(reference)
        if stored is Absent.UNREAD:
            self.is_whole = False
            # each of them that has its prefix may be set again by it
            for name, given in self.variables.items():
                if name.startswith(one.name):
                    self.variables[name] = replace(given, content=None)
        elif stored is Absent.MISSING:
            if not one.optional:
                self._block(f"{reference} does not exist")
        else:
            for key, value in texts_of(stored).items():
                if self.names.fullmatch(f"{one.name}{key}"):
                    self._set(f"{one.name}{key}", Given(value, reference, key))

    def _literal(self, one: Variable) -> bytes | None:
        if one.text is not None:
            return _expand(one.text, self.variables)
        if one.optional:  # of a file, whose key may be missing
            self.is_whole = False
        return self._field(one.field)

    def _key(self, one: Variable, reference: Reference, key: str) -> None:
        """Set a variable; one whose optional key is missing is left as it was."""
        stored = self.lookup(reference)
        if stored is Absent.UNREAD:
            if one.optional:
                self.is_whole = False
            self._set(one.name, Given(None, reference, key))
        elif key in (texts := texts_of(stored)):
            self._set(one.name, Given(texts[key], reference, key))
        elif not one.optional:
            is_missing = stored is Absent.MISSING
            why = "does not exist" if is_missing else f"has no key {key!r}"
            self._block(f"variable {one.name} needs it: {reference} {why}")

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


def texts_of(stored: Object | Absent) -> dict[str, bytes]:
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
    out = b""
    for plain, name in _parts(text):
        out += plain
        if name is None:
            continue
        given = variables.get(name)
        if given is None and not _OF_A_SERVICE.fullmatch(name):
            out += f"$({name})".encode()
        elif given is None or given.content is None:
            return None
        else:
            out += given.content
    return out


def _parts(text: str) -> Iterator[tuple[bytes, str | None]]:
    """Cut a text after each ``$(NAME)``; the last part has no name."""
    data, plain, at = text.encode(), b"", 0
    while at < len(data):
        if data[at : at + 1] != b"$" or at + 1 == len(data):
            plain += data[at : at + 1]
            at += 1
        elif data[at + 1 : at + 2] == b"(" and (end := data.find(b")", at)) > 0:
            yield plain, data[at + 2 : end].decode()
            plain, at = b"", end + 1
        else:
            escaped = data[at + 1 : at + 2] == b"$"
            plain += b"$" if escaped else data[at : at + 2]
            at += 2
    yield plain, None


def read_environ(block: bytes) -> dict[str, bytes]:
    """Read /proc/PID/environ."""
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {name.decode(errors="replace"): value for name, _, value in pairs}
