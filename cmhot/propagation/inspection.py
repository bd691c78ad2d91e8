"""Does a container hold an object's content? Looked at from inside, byte by byte.

What it should hold, `cmhot.kubelet.view` says. Files are read by `cat`, which runs
without a shell, and folders listed by `ls`, since the file of a removed key must go.
Variables are those that the runtime gives to `cat` itself, as to the container's first
process: that one may have changed or cleared them since.
The content of a Secret is compared by its hash. A container without `cat` can be read
through an ephemeral container, which changes the pod.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import POD
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UnreachableError
from cmhot.kubelet.uses import Role, containers_of, fate_of
from cmhot.kubelet.view import (
    Absent,
    absolute,
    content_of,
    read_environ,
    texts_of,
    view_of,
)
from cmhot.propagation.objects import is_written_after, last_update_ns, second_ns
from cmhot.propagation.remedies import PUT_BACK, REPLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.cluster.port import Captured, Cluster
    from cmhot.kubelet.uses import Object, Reference, Use
    from cmhot.kubelet.view import Folder, Given
    from cmhot.propagation.objects import Objects

    Run = Callable[[Sequence[str]], Captured]


AT_ONCE = 8
"""Requests at the same time: an inspection is a process started by a kubelet."""
ENVIRON = "/proc/self/environ"
"""Of `cat` itself: the runtime gives it what it gives to the container's processes."""
FIRST_ENVIRON = "/proc/1/environ"
"""Of the first process, which may have changed or dropped what it was given."""
BETWEEN, _LINE_BETWEEN = "/proc/sys/kernel/ostype", b"Linux\n"
"""A file with a line that no block of variables contains, and that line; it also stands
between files, whose number tells whether one of them contains it."""
_BOTH = 'cat "$@" && ls -Ap "$0"'
"""Reads files, and lists a folder behind them."""
_WRITTEN_AT = re.compile(r"\.\.\d{4}(_\d\d){5}\.\d+/")
"""The folder to which ``..data`` points (pkg/volume/util/atomic_writer.go)."""
_OWN_ENTRIES = 2
"""Of the kubelet in a volume: ``..data``, and that folder."""
FILES_AT_ONCE = 100
"""Paths on one command line."""
READ_AT_ONCE = 300
"""The same, where all have to be of one update: each twice, with a path between."""
READINGS = 3
"""Updates that come while files are read are seldom."""
BYTES_AT_ONCE = 8 * 2**20
"""Of the files that one command reads."""
LOOK_S = 10.0
"""Longest time for one command."""
START_S = 30.0
"""Longest time for an ephemeral container to start: its image may be pulled."""
POLL_S = 0.5
MOST_IN_VAIN = 3
"""Ephemeral containers that did not start, after which no more are made."""
_BY_HAND = "see for yourself in the app"
_LATER = "see whether the later source has them: then its value counts, and not this"
_SUB_PATH = "name a key of the object in its subPath: new pods have it then"
_BLOCKED = (
    f"{PUT_BACK}: then all keys are renewed, within two minutes or so, since the "
    "kubelet tries a blocked volume more and more seldom"
)
_EVERYWHERE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""Names that every kubelet puts into an environment; from 1.30 on any without =."""
_OF_THE_RUNTIME = re.compile(
    r"PATH|HOSTNAME|HOME|TERM|PWD|SHLVL|_|LANG|LC_[A-Z]+|[A-Z0-9_]+_SERVICE_(HOST|PORT.*)"
    r"|[A-Z0-9_]+_PORT(_\d+_(TCP|UDP|SCTP).*)?"
)
"""Variables that runtimes and Services give to every container."""
_DENIED = re.compile(r"cat: .+?ermission denied")
_MODE = (
    "the app itself cannot read it either: give the volume a defaultMode, or the pod "
    "an fsGroup, by which its user may"
)
_DROPPED = "see in the app itself what it has made of its environment"
_BLOCKS = (ENVIRON, BETWEEN, FIRST_ENVIRON)
_BESIDE = (FIRST_ENVIRON,)
_REFUSES = re.compile(r"denied (the )?request")
"""In the words of what refuses a command in one pod; a missing right is one in all."""
_REFUSED = "ask who refuses it, or see for yourself in the app"
SHORTEST_S = 0.1
"""Time for a command that is begun just before the end."""
_NOT_RUN = {126, 127}
"""Exit codes by which a runtime says that there is no such program."""
_MISSING = re.compile(
    r"executable file|not found in \$PATH|no such file|cannot find the file",
    re.IGNORECASE,
)
"""How runtimes complain of a program that is not there."""


class ContentState(Enum):
    """What an inspection found."""

    FRESH = "holds the current content"
    STALE = "holds other content"
    PENDING = "is not running, or gave no answer"
    UNREADABLE = "cannot be read from inside"


@dataclass(frozen=True, slots=True)
class ContainerUses:
    """Uses of one container that one inspection covers: either files or variables.

    ``updates``: an update reaches them while the container runs.
    """

    pod: Object
    container: str
    uses: tuple[Use, ...]
    updates: bool

    @property
    def name(self) -> str:
        """Name the pod."""
        return str(self.pod["metadata"]["name"])

    @property
    def node(self) -> str | None:
        """Name the pod's node; None: it is not scheduled."""
        node: str | None = self.pod["spec"].get("nodeName")
        return node

    @property
    def key(self) -> tuple[str, str, tuple[Use, ...]]:
        """Identify it, also against the same container after a restart."""
        state = _status(self.pod, self.container)
        instance = state.get("containerID") or self.pod["metadata"].get("uid", "")
        return str(instance), self.container, self.uses


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a container."""

    state: ContentState
    why: str = ""  # in words, for all but FRESH
    remedy: str = ""  # empty: what helps all in this state
    note: str = ""  # what else was seen of one that is FRESH
    in_vain: bool = False  # no sync of the pod changes it
    held: Mapping[str, str | None] = field(default_factory=dict)
    """From the object's keys to what was there, where content was asked for;
    None: nothing was, or it could not be read."""
    places: tuple[str, ...] = ()  # files or variables, where content was asked for
    began_s: float = 0.0  # by the cluster's monotonic clock
    ended_s: float = 0.0


def container_uses(
    pod: Object, uses: Sequence[Use], *, immutable: bool, by_way: bool = False
) -> list[ContainerUses]:
    """Divide a pod's uses into what one inspection covers, or further by their way.

    Init containers and others that have ended for good cannot be inspected.
    """
    found: dict[tuple[Any, ...], list[Use]] = {}
    for use in uses:
        if use.role is Role.INIT or _has_ended(pod, use):
            continue
        updates = fate_of(use, immutable=immutable).update
        kind = use.way if by_way else use.way.is_environment
        found.setdefault((use.container, updates, kind), []).append(use)
    return [
        ContainerUses(pod, container, tuple(own), updates)
        for (container, updates, _), own in found.items()
    ]


def _has_ended(pod: Object, use: Use) -> bool:
    """Tell whether a container is over and will not be started again."""
    state = _status(pod, use.container).get("state") or {}
    if "terminated" not in state or use.role is Role.SIDECAR:
        return False
    if use.role is Role.EPHEMERAL:
        return True
    policy = pod["spec"].get("restartPolicy", "Always")
    succeeded = bool(state["terminated"].get("exitCode") == 0)
    return bool(policy == "Never" or (policy == "OnFailure" and succeeded))


def inspect(
    cluster: Cluster,
    part: ContainerUses,
    reference: Reference,
    objects: Objects,
    *,
    through: str | None = None,
    is_repeated: bool = True,
    reads: bool = False,
    until_s: float | None = None,
) -> Inspection:
    """Compare what a container holds with what an object gives it now.

    No answer is no verdict: there may be one later.

    Parameters
    ----------
    cluster, part
        Where.
    reference, objects
        Which object, and all that there are.
    through
        An ephemeral container that sees the other one's processes; None: directly.
    is_repeated
        Whether a container that gives no answer will be inspected again.
    reads
        Whether to read what is there, too (`Inspection.held`).
    until_s
        By the cluster's monotonic clock, when the last command has to have ended;
        None: each has `LOOK_S`.

    Raises
    ------
    ForbiddenError
        No right to run a command in a pod.
    UnreachableError
        There was no answer, and it will not be inspected again.
    """
    if _is_windows(part.pod):
        why = "it is a Windows container, which has no cat and no /proc"
        return Inspection(ContentState.UNREADABLE, why, _BY_HAND)

    def run(command: Sequence[str]) -> Captured:
        left_s = LOOK_S
        if until_s is not None:
            left_s = min(left_s, until_s - cluster.clock.monotonic())
        return cluster.capture(
            part.name,
            command,
            namespace=objects.namespace,
            container=through or part.container,
            timeout_s=max(left_s, SHORTEST_S),
        )

    try:
        wanted = _expected(part, reference, objects)
        found = _inspect(run, part, wanted, is_beside=through is not None)
    except ForbiddenError as error:
        if not _REFUSES.search(str(error)):
            raise
        why = f"no command may be run there: {_in_a_line(str(error))}"
        found = Inspection(ContentState.UNREADABLE, why, _REFUSED)
    except UnreachableError as error:
        if not is_repeated:
            raise
        found = unanswered(error)
    except ClusterError as error:
        found = unanswered(error)
    if not reads:
        return found
    return _read(run, part, wanted, found)


def unanswered(error: ClusterError | str) -> Inspection:
    """Say that a container gave no answer."""
    why = f"it could not be asked: {_in_a_line(str(error))}"
    return Inspection(ContentState.PENDING, why)


@dataclass(frozen=True, slots=True)
class _Expected:
    """What an object gives to one part of a container."""

    reference: Reference
    places: Mapping[str, Given]  # paths or variables that have a key of it
    content: Mapping[str, bytes]  # of the object
    folders: Mapping[str, Folder] = field(default_factory=dict)  # by path of the mount
    variables: Mapping[str, Given] = field(default_factory=dict)  # all of the container
    gone: Mapping[str, str] = field(default_factory=dict)  # variables without their key
    is_older: bool = False  # whether the container began before the last change

    def of(self, place: str) -> bytes:
        """Give what it holds of the object, if no later source has set it again."""
        return self.content[self.places[place].key]


def _expected(part: ContainerUses, reference: Reference, objects: Objects) -> _Expected:
    """Ask the view of the container, of the parts alone that concern the object."""
    stored = objects(reference)
    is_environment = part.uses[0].way.is_environment
    content = texts_of(stored) if is_environment else content_of(stored)
    spec, own = part.pod["spec"], dict(_spec(part))
    mounts = own.pop("volumeMounts", None) or ()
    if not is_environment:
        paths = {use.where for use in part.uses}
        names = {mount["name"] for mount in mounts if mount["mountPath"] in paths}
        own["volumeMounts"] = mounts
        if not any(mount.get("subPathExpr") for mount in mounts):
            own |= {"env": None, "envFrom": None}
        volumes = [one for one in spec.get("volumes") or () if one["name"] in names]
    else:
        volumes, paths = [], set()
    pod = {**part.pod, "spec": {**spec, "volumes": volumes, "containers": [own]}}
    for other in ("initContainers", "ephemeralContainers"):
        pod["spec"].pop(other, None)
    view = view_of(pod, part.container, objects)
    if is_environment:
        places = view.variables
    else:
        folders = {absolute(path): view.folders[absolute(path)] for path in paths}
        places = {
            at: given
            for mount, folder in folders.items()
            for at, given in folder.below(mount).items()
        }
    own_places = {
        at: given
        for at, given in places.items()
        if given.source == reference and given.key in content
    }
    is_older = not isinstance(stored, Absent) and _is_older(part, stored)
    if not is_environment:
        return _Expected(reference, own_places, content, folders, is_older=is_older)
    named = {variable: key for use in part.uses for key, variable in use.items or ()}
    return _Expected(
        reference,
        own_places,
        content,
        variables=view.variables,
        gone={name: key for name, key in named.items() if key not in content},
        is_older=is_older,
    )


def _inspect(
    run: Run, part: ContainerUses, wanted: _Expected, *, is_beside: bool
) -> Inspection:
    state = _status(part.pod, part.container).get("state") or {}
    if "running" not in state:
        return Inspection(ContentState.PENDING, _why_not(part, state))
    if any(one.is_unknown for one in wanted.folders.values()):
        why = "its subPathExpr is known to the container alone"
        return Inspection(ContentState.UNREADABLE, why, _BY_HAND)
    if part.uses[0].way.is_environment:
        return _environment(run, part, wanted, is_beside=is_beside)
    return _files(run, wanted, "/proc/1/root" if is_beside else "")


def _read(
    run: Run, part: ContainerUses, wanted: _Expected, found: Inspection
) -> Inspection:
    """Add what is there, key by key; a second look where it is not the content."""
    keys = {at: one.key for at, one in wanted.places.items()} | dict(wanted.gone)
    state = found.state
    held: dict[str, bytes | None] = dict.fromkeys(keys.values())
    if state is ContentState.FRESH:
        held = {key: wanted.content.get(key) for key in held}
    elif state is ContentState.STALE:
        try:
            there = _places(run, part, list(keys))
        except ForbiddenError:
            raise
        except ClusterError:
            state = ContentState.PENDING
        else:
            wrong = {
                at: there.get(at)
                for at in wanted.places
                if there.get(at) != wanted.of(at)
            }
            held = {keys[at]: there[at] for at in there}
            held |= {keys[at]: one for at, one in wrong.items()}
            # it may have been updated between the two looks
            state = ContentState.STALE if wrong else ContentState.FRESH
    texts = {
        key: None if there is None else there.decode(errors="replace")
        for key, there in held.items()
    }
    return replace(found, state=state, held=texts, places=tuple(keys))


def _places(
    run: Run, part: ContainerUses, places: Sequence[str]
) -> dict[str, bytes | None]:
    """Read paths or variables; None: there is no such file or variable."""
    if part.uses[0].way.is_environment:
        variables = read_environ(_file(run, ENVIRON) or b"")
        return {name: variables.get(name) for name in places}
    found: dict[str, bytes | None] = {}
    for start in range(0, len(places), READ_AT_ONCE):
        found |= _files_there(run, places[start : start + READ_AT_ONCE])
    return found


def _file(run: Run, path: str) -> bytes | None:
    answer = run(["cat", path])
    return answer.output if answer.code == 0 else None


def _files_there(run: Run, paths: Sequence[str]) -> dict[str, bytes | None]:
    """Read files in one command, there and back, until no update came between.

    A file that contains the line between files, or is missing, is read by itself.
    """
    there: list[bytes] = []
    order = [*paths, *paths[::-1]] if len(paths) > 1 else [*paths]
    for _ in range(READINGS):
        answer = run(["cat", *(one for path in order for one in (path, BETWEEN))])
        there = answer.output.split(_LINE_BETWEEN)[:-1]
        if len(there) != len(order):
            return {path: _file(run, path) for path in paths}
        if there == there[::-1]:
            break
    contents = dict(zip(paths, there, strict=False))
    return {
        path: one if one or answer.code == 0 else _file(run, path)
        for path, one in contents.items()
    }


def _files(run: Run, wanted: _Expected, root: str) -> Inspection:
    """Compare the files, and see that those of removed keys have gone."""
    for mount, folder in wanted.folders.items():
        if folder.names_nothing:
            return _without_key(run, mount, root)
    blocked = [one.blocked for one in wanted.folders.values() if one.blocked]
    at_once = None if blocked else _both(run, wanted, root)
    found = at_once or _same_files(run, wanted, root)
    if found.state is ContentState.FRESH and not blocked and at_once is None:
        found = _without_others(run, wanted, root)
    if found.state is ContentState.FRESH and wanted.is_older:
        found = _as_other_sources(run, wanted, root)
        emptied = [mount for mount, one in wanted.folders.items() if one.emptied]
        if found.state is ContentState.FRESH and emptied:
            why = (
                f"its subPath at {emptied[0]} is a folder, and the object was changed "
                "after its start: the next sync may empty it"
            )
            return Inspection(ContentState.UNREADABLE, why, REPLACE)
    by_itself = [why for why in blocked if why.startswith(f"{wanted.reference} ")]
    is_unread = found.state in {ContentState.PENDING, ContentState.UNREADABLE}
    if is_unread or not (by_itself or (blocked and found.state is ContentState.STALE)):
        return found
    why = f"the kubelet cannot renew its volume, since {blocked[0]}"
    return Inspection(ContentState.STALE, why, _BLOCKED, in_vain=True)


def _without_key(run: Run, mount: str, root: str) -> Inspection:
    """Look at the mount of a subPath that names no key.

    The kubelet has made an empty folder of that name, or the container began before
    the key was removed: then its file stays.
    """
    what = f"its subPath at {mount} names no key, and what is there"
    listed = _listed(run, f"{root}{mount}", what)
    if isinstance(listed, Inspection):
        return listed
    if listed.decode(errors="replace").endswith(f"{mount}\n"):  # of a file, its path
        why = f"its subPath at {mount} still has the file of a key that is gone"
    elif listed:
        why = f"its subPath at {mount} still has files of keys that are gone"
    else:
        why = f"its subPath at {mount} names no key: it is an empty folder"
    return Inspection(ContentState.STALE, why, _SUB_PATH, in_vain=True)


def _both(run: Run, wanted: _Expected, root: str) -> Inspection | None:
    """Read the files and list their folder in one command, where there is a shell.

    Each command costs the runtime as much as the next. None: it takes several to know.
    """
    paths = sorted(wanted.places)
    listed = [
        mount for mount, one in wanted.folders.items() if one.renewed and one.is_whole
    ]
    if not paths or len(paths) > FILES_AT_ONCE or len(listed) != 1:
        return None
    size = 2 * sum(len(wanted.of(path)) for path in paths)
    is_unknown = any(wanted.places[path].content is None for path in paths)
    if is_unknown or size > BYTES_AT_ONCE:
        return None
    (folder,) = listed
    order = paths if len(paths) == 1 else [*paths, *paths[::-1]]
    answer = run(
        ["sh", "-c", _BOTH, f"{root}{folder}", *(f"{root}{path}" for path in order)]
    )
    if answer.code != 0:
        return None
    content = b"".join(wanted.of(path) for path in order)
    if not _same(answer.output[: len(content)], content):
        return Inspection(ContentState.STALE, "its files have other content")
    # longer files give the rest of theirs before the listing: it must be one alone
    lines = answer.output[len(content) :].decode(errors="replace").splitlines()
    names = [one for one in lines if one != "..data" and not _WRITTEN_AT.fullmatch(one)]
    is_alone = len(lines) - len(names) <= _OWN_ENTRIES
    if is_alone and sorted(names) == sorted(wanted.folders[folder].listing()):
        return Inspection(ContentState.FRESH)
    return None


def _same_files(run: Run, wanted: _Expected, root: str) -> Inspection:
    """Read files in one command, and in reverse order before they pass.

    A single reading would also pass if bytes had moved from one file to the next.
    """
    for some in _portions({path: wanted.of(path) for path in wanted.places}):
        for order in [some] if len(some) == 1 else [some, some[::-1]]:
            answer = run(["cat", *(f"{root}{path}" for path in order)])
            if (unread := _not_run(answer)) is not None:
                return unread
            complaint = _in_a_line(answer.complaint)
            if answer.code != 0 and "ermission denied" in complaint:
                denied = _DENIED.findall(complaint) or [complaint]
                return Inspection(ContentState.UNREADABLE, denied[0], _MODE)
            if answer.code != 0:
                why = f"a file is missing ({complaint})"
                for mount, folder in wanted.folders.items():
                    if folder.emptied and f"{mount}/" in complaint:
                        why = (
                            f"its subPath at {mount} is a folder: an update empties it"
                        )
                return Inspection(ContentState.STALE, why)
            if not _same(answer.output, b"".join(wanted.of(path) for path in order)):
                if any(wanted.places[path].content is None for path in order):
                    why = "a later source of its volume, not to be read, may be in it"
                    return Inspection(ContentState.UNREADABLE, why, _LATER)
                return Inspection(ContentState.STALE, "its files have other content")
    return Inspection(ContentState.FRESH)


def _as_other_sources(run: Run, wanted: _Expected, root: str) -> Inspection:
    """Compare what other sources of a volume give: a removed key may be there yet."""
    for mount, folder in wanted.folders.items():
        known = {
            path: given.content
            for path, given in folder.below(mount).items()
            if given.source != wanted.reference and given.content is not None
        }
        for some in _portions(known):
            answer = run(["cat", *(f"{root}{path}" for path in some)])
            if (unread := _not_run(answer)) is not None:
                return unread
            content = b"".join(known[path] for path in some)
            if answer.code == 0 and _same(answer.output, content):
                continue
            why = f"{mount} has a file of another content than its other sources give"
            if folder.renewed:
                return Inspection(ContentState.STALE, why)
            why = f"{why}: whether of a key removed since cannot be known"
            return Inspection(ContentState.UNREADABLE, why, REPLACE)
    return Inspection(ContentState.FRESH)


def _portions(contents: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Divide the paths into what one command reads."""
    some: list[str] = []
    size = 0
    for path in sorted(contents):
        more = len(contents[path])
        if some and (len(some) == FILES_AT_ONCE or size + more > BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(path)
        size += more
    if some:
        yield some


def _without_others(run: Run, wanted: _Expected, root: str) -> Inspection:
    """List what updates reach, for files that no key of any source explains."""
    for mount, folder in wanted.folders.items():
        if not folder.renewed:
            continue
        what = "whether removed keys have gone"
        listed = _listed(run, f"{root}{mount}", what)
        if isinstance(listed, Inspection):
            return listed
        found = _others(listed, folder)
        if found.state is not ContentState.FRESH:
            return found
    return Inspection(ContentState.FRESH)


def _listed(run: Run, path: str, what: str) -> bytes | Inspection:
    """List a folder; where that cannot be done, ``what`` cannot be seen."""
    answer = run(["ls", "-Ap", path])
    if answer.code == 0:
        return answer.output
    found = _not_run(answer)
    if found is not None and found.state is ContentState.PENDING:
        return found
    why = f"{what} cannot be seen ({_in_a_line(answer.complaint)})"
    return Inspection(ContentState.UNREADABLE, why)


def _names(listing: bytes) -> set[str]:
    return set(listing.decode(errors="replace").splitlines())


def _others(listing: bytes, folder: Folder) -> Inspection:
    """Look in a listing for what no key explains."""
    # the kubelet's own are ..data and what it points to; all that comes of keys is a
    # link, and a folder (`ls -p` says so) is what it makes for a subPath without a key
    left = {
        one
        for one in _names(listing)
        if not one.startswith("..") and not one.endswith("/")
    }
    left -= folder.listing()
    if not left:
        return Inspection(ContentState.FRESH)
    some = ", ".join(sorted(left)[:5])
    if not folder.is_whole:
        why = (
            f"it has {some}: whether of a source that may not be read, or of keys "
            "removed since, cannot be known"
        )
        return Inspection(ContentState.UNREADABLE, why, REPLACE)
    return Inspection(
        ContentState.STALE, f"it still has {some}, of which no key is left"
    )


def _not_run(answer: Captured) -> Inspection | None:
    """Tell a container without `cat` from a command that broke off; None: it ran."""
    complaint = _in_a_line(answer.complaint)
    # of a process that has just ended, a runtime misses a file of the kernel
    is_missing = _MISSING.search(complaint) and "/proc/" not in complaint
    if answer.code in _NOT_RUN or (answer.code is None and is_missing):
        return Inspection(ContentState.UNREADABLE, f"it has no cat ({complaint})")
    return unanswered(complaint) if answer.code is None else None


def _environment(
    run: Run, part: ContainerUses, wanted: _Expected, *, is_beside: bool
) -> Inspection:
    spec = part.pod["spec"]
    if is_beside and (spec.get("shareProcessNamespace") or spec.get("hostPID")):
        why = "its processes are numbered with those of others"
        return Inspection(ContentState.UNREADABLE, why, _BY_HAND)
    answer = run(["cat", *(_BESIDE if is_beside else _BLOCKS)])
    if (unread := _not_run(answer)) is not None:
        return unread
    own, is_there, first = answer.output.partition(_LINE_BETWEEN)
    if answer.code != 0 and is_beside:
        return Inspection(
            ContentState.UNREADABLE, _in_a_line(answer.complaint), _BY_HAND
        )
    if answer.code != 0 and not is_there:
        answer = run(["cat", ENVIRON])
        own = answer.output
        if answer.code != 0:
            why = _in_a_line(answer.complaint)
            return _not_run(answer) or Inspection(
                ContentState.UNREADABLE, why, _BY_HAND
            )
    found = _same_variables(part, wanted, read_environ(own), is_beside=is_beside)
    shares = spec.get("shareProcessNamespace") or spec.get("hostPID")
    if found.state is ContentState.FRESH and first and not shares:
        return replace(found, note=_changed_by_the_first(wanted, read_environ(first)))
    return found


def _changed_by_the_first(wanted: _Expected, first: Mapping[str, bytes]) -> str:
    """Say what the first process has made of what it was given; empty: nothing."""
    names = [one for one in sorted(wanted.places) if wanted.places[one].content]
    dropped = [one for one in names if one not in first]
    changed = [one for one in names if one in first and first[one] != wanted.of(one)]
    found = []
    if dropped:
        found.append(f"has dropped {', '.join(dropped[:5])}")
    if changed:
        found.append(f"has changed {', '.join(changed[:5])}")
    return f"its first process {' and '.join(found)}" if found else ""


def _same_variables(
    part: ContainerUses,
    wanted: _Expected,
    seen: Mapping[str, bytes],
    *,
    is_beside: bool,
) -> Inspection:
    different = [
        name
        for name in sorted(wanted.places)
        if (name in seen or _EVERYWHERE.fullmatch(name))
        and not _same(seen.get(name), wanted.of(name))
    ]
    if different:
        some = ", ".join(different[:5])
        if is_beside and not set(different) <= set(seen):
            why = f"its first process has no {some}: it may have dropped that"
            return Inspection(ContentState.UNREADABLE, why, _DROPPED)
        if all(
            name in seen and wanted.places[name].content is None for name in different
        ):
            why = f"a later source of its envFrom may be what sets its {some}"
            return Inspection(ContentState.UNREADABLE, why, _LATER)
        kinds = {
            "another": set(different) & set(seen),
            "no": set(different) - set(seen),
        }
        has = " and ".join(
            f"{kind} {', '.join(sorted(names)[:5])}"
            for kind, names in kinds.items()
            if names
        )
        return Inspection(ContentState.STALE, f"its environment has {has}")
    left_out = [name for name in sorted(wanted.places) if name not in seen]
    if left_out and wanted.is_older:
        why = (
            f"it started before the object was last changed, and has no "
            f"{', '.join(left_out[:5])}: whether its kubelet leaves such names out, as "
            "those before 1.30 do, cannot be known"
        )
        return Inspection(ContentState.UNREADABLE, why, REPLACE)
    return _without_other_variables(part, wanted, seen)


def _without_other_variables(
    part: ContainerUses, wanted: _Expected, seen: Mapping[str, bytes]
) -> Inspection:
    """Look for variables whose keys were removed: a process keeps them."""
    kept = sorted(set(wanted.gone) & set(seen) - set(wanted.variables))
    if kept:
        name = kept[0]
        why = (
            f"its environment still has {name}, whose key {wanted.gone[name]!r} is gone"
        )
        return Inspection(ContentState.STALE, why)
    if not wanted.is_older:
        return Inspection(ContentState.FRESH)
    prefixes = tuple(use.where for use in part.uses if use.items is None)
    covered = sorted(
        name
        for name, given in wanted.variables.items()
        if (name in wanted.gone or name.startswith(prefixes))
        and given.source != wanted.reference
        and given.content is not None
        and seen.get(name, given.content) != given.content
    )
    if covered:
        why = (
            "it started before the object was last changed, and has another "
            f"{', '.join(covered[:5])} than other sources give: whether of keys "
            "removed since cannot be known"
        )
        return Inspection(ContentState.UNREADABLE, why, REPLACE)
    if not prefixes:
        return Inspection(ContentState.FRESH)
    others = sorted(
        name
        for name in set(seen) - set(wanted.variables)
        if name.startswith(prefixes) and not _OF_THE_RUNTIME.fullmatch(name)
    )
    if not others:
        return Inspection(ContentState.FRESH)
    some = ", ".join(others[:5])
    why = (
        f"it started before the object was last changed, and has {some}: whether they "
        "are the image's or of keys removed since cannot be known"
    )
    return Inspection(ContentState.UNREADABLE, why, REPLACE)


def _is_older(part: ContainerUses, stored: Object) -> bool:
    """Tell whether a container started before its object was last changed."""
    if is_written_after(stored, part.pod):
        return True
    changed_ns = last_update_ns(stored)
    running = (_status(part.pod, part.container).get("state") or {}).get(
        "running"
    ) or {}
    if changed_ns is None or not running.get("startedAt"):
        return False
    return second_ns(running["startedAt"]) <= changed_ns


def init_read_ns(pod: Object, uses: Sequence[Use]) -> int | None:
    """Say when the first of init containers began that use an object.

    UTC epoch nanoseconds, of whole seconds of the node's clock; None: none has yet.
    """
    states = [_status(pod, use.container).get("state") or {} for use in uses]
    begun = [
        second_ns(one["startedAt"])
        for state in states
        for one in state.values()
        if one.get("startedAt")
    ]
    return min(begun, default=None)


def _same(one: bytes | None, other: bytes) -> bool:
    """Compare by hash, so that what is secret stays in as few places as can be."""
    if one is None:
        return False
    return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()


def _status(pod: Object, container: str) -> Mapping[str, Any]:
    status = pod.get("status") or {}
    for statuses in (
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ):
        for one in status.get(statuses) or ():
            if one["name"] == container:
                found: Mapping[str, Any] = one
                return found
    return {}


def _spec(part: ContainerUses) -> Object:
    return next(
        one
        for one, _ in containers_of(part.pod["spec"])
        if one["name"] == part.container
    )


def _why_not(part: ContainerUses, state: Mapping[str, Any]) -> str:
    """Say why a container does not run, in the kubelet's or the scheduler's words."""
    status = part.pod.get("status") or {}
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one["status"] == "False":
            said = _in_a_line(one.get("message") or one.get("reason") or "")
            return f"its pod is on no node ({said})"
    for words in state.values():
        if words.get("reason"):
            said = f"{words['reason']}: {_in_a_line(words.get('message') or '')}"
            return f"it is not running ({said.removesuffix(': ')})"
    return f"it is not running (the pod is {status.get('phase', 'unknown')})"


def _is_windows(pod: Object) -> bool:
    """Report whether a pod says that it is for Windows."""
    spec = pod["spec"]
    named = (spec.get("os") or {}).get("name")
    chosen = (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    return "windows" in {named, chosen}


def _in_a_line(text: str) -> str:
    """Write a complaint of several lines in one."""
    return " ".join(text.split())


@dataclass(slots=True)
class EphemeralContainers:
    """Makes ephemeral containers, one beside each container that needs one.

    Each changes its pod: that syncs it, and the container stays until the pod goes.
    """

    cluster: Cluster
    namespace: str
    _made: dict[tuple[str, str], str] = field(default_factory=dict)
    _in_vain: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def changed(self) -> tuple[str, ...]:
        """Name the pods that have been changed."""
        return tuple(sorted({pod for pod, _ in self._made}))

    def beside(self, part: ContainerUses, *, until_s: float) -> str | Inspection | None:
        """Name a running ephemeral container that shares processes with another.

        None: it did not start before ``until_s`` (of the cluster's monotonic clock),
        or others like it did not; an inspection: the pod has gone meanwhile.
        """
        place = part.name, part.container
        try:
            with self._lock:
                name = self._made.get(place)
                if name is None:
                    if self._in_vain >= MOST_IN_VAIN:
                        return None
                    name = self._made[place] = self._add(part)
            if self._starts(part.name, name, until_s):
                return name
        except NotFoundError as error:
            return unanswered(error)
        with self._lock:
            self._in_vain += 1
        return None

    def _add(self, part: ContainerUses) -> str:
        """Start one, or find that of an earlier call."""
        name = f"cmhot-look-{part.container}"[:63].rstrip("-")
        present = {one["name"] for one, _ in containers_of(part.pod["spec"])}
        if name not in present:
            from cmhot.cluster.nodes import probe_image  # noqa: PLC0415 - few need one

            image, policy = probe_image(self.cluster, None)
            self.cluster.add_ephemeral(
                part.name,
                {
                    "name": name,
                    "image": image,
                    "imagePullPolicy": policy,
                    "command": ["sleep", "86400"],
                    "targetContainerName": part.container,
                    # the kernel lets only the same user see its files
                    "securityContext": dict(_spec(part).get("securityContext") or {}),
                },
                namespace=self.namespace,
            )
        return name

    def _starts(self, pod: str, name: str, until_s: float) -> bool:
        clock = self.cluster.clock
        until_s = min(until_s, clock.monotonic() + START_S)
        while clock.monotonic() < until_s:
            found = self.cluster.get(POD, pod, namespace=self.namespace)
            status = found.get("status") or {}
            for one in status.get("ephemeralContainerStatuses") or ():
                if one["name"] == name and "running" in (one.get("state") or {}):
                    return True
            clock.sleep(POLL_S)
        return False
