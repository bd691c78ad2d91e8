"""Does a container hold an object's content? Looked at from inside, byte by byte.

Files are read by `cat`, which runs without a shell; variables from ``/proc/1/environ``,
what the process was started with: a shell would hide names such as ``log-level``.
The content of a Secret is compared by its hash. A container without `cat` can be read
through an ephemeral container, which changes the pod.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from cmhot.cluster.nodes import probe_image
from cmhot.cluster.port import POD
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UnreachableError
from cmhot.kubelet.uses import Role, containers_of, fate_of
from cmhot.kubelet.view import files_of, read_environ, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.cluster.port import Captured, Cluster
    from cmhot.kubelet.uses import Object, Use

    Run = Callable[[Sequence[str]], Captured]


AT_ONCE = 8
"""Requests at the same time: an inspection is a process started by a kubelet."""
ENVIRON = "/proc/1/environ"
FILES_AT_ONCE = 100
"""Paths on one command line."""
START_S = 30.0
"""Longest time for an ephemeral container to start: its image may be pulled."""
POLL_S = 0.5
MOST_IN_VAIN = 3
"""Ephemeral containers that did not start, after which no more are made."""
_BY_HAND = "see for yourself, by kubectl exec"
_LATER = "see whether the later source has them: then its value counts, and not this"
_ASK = "see whether commands run there: kubectl exec"
_NOT_RUN = {126, 127}
"""Exit codes by which a runtime says that there is no such program."""
_MISSING = re.compile(
    r"executable file|not found in \$PATH|no such file", re.IGNORECASE
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
    held: Mapping[str, str | None] = field(default_factory=dict)
    """From the object's keys to what was there, where content was asked for;
    None: nothing was, or it could not be read."""
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
    if "terminated" not in state:
        return False
    if use.role is Role.EPHEMERAL:
        return True
    policy = pod["spec"].get("restartPolicy", "Always")
    succeeded = bool(state["terminated"].get("exitCode") == 0)
    return bool(policy == "Never" or (policy == "OnFailure" and succeeded))


def inspect(
    cluster: Cluster,
    part: ContainerUses,
    content: Mapping[str, bytes],
    *,
    namespace: str,
    through: str | None = None,
    binary: frozenset[str] = frozenset(),
    is_repeated: bool = True,
    reads: bool = False,
) -> Inspection:
    """Compare what a container holds with an object's content.

    Parameters
    ----------
    through
        An ephemeral container that sees the other one's processes; None: directly.
    binary
        Keys that become no variables.
    is_repeated
        Whether it will be inspected again: then no answer is an inspection, and no
        error, for there may be one later. No right to ask is an error in any case.
    reads
        Whether to read what is there, too (`Inspection.held`).
    """
    wanted = _expected(part, content, binary)
    run = partial(
        cluster.capture,
        part.name,
        namespace=namespace,
        container=through or part.container,
    )
    try:
        found = _inspect(run, part, wanted, "" if through is None else "/proc/1/root")
    except ForbiddenError:
        raise
    except UnreachableError as error:
        if not is_repeated:
            raise
        found = unanswered(error)
    except ClusterError as error:
        found = unanswered(error)
    return _read(run, part, content, wanted, found) if reads else found


def unanswered(error: ClusterError | str) -> Inspection:
    """Say that a container gave no answer."""
    why = f"it could not be asked: {error}"
    return Inspection(ContentState.PENDING, why, _ASK)


def _inspect(
    run: Run, part: ContainerUses, wanted: Mapping[str, bytes], root: str
) -> Inspection:
    state = _status(part.pod, part.container).get("state") or {}
    if "running" not in state:
        return Inspection(ContentState.PENDING, _why_not(part, state))
    if "$(" in part.uses[0].sub_path:
        why = "its subPathExpr is known to the container alone"
        return Inspection(ContentState.UNREADABLE, why, _BY_HAND)
    if part.uses[0].way.is_environment:
        return _environment(run, part, wanted)
    return _files(run, wanted, root)


def _expected(
    part: ContainerUses, content: Mapping[str, bytes], binary: frozenset[str]
) -> dict[str, bytes]:
    """Give what a container should hold, by path or variable."""
    if part.uses[0].way.is_environment:
        explicit = frozenset(
            variable["name"] for variable in _spec(part).get("env") or ()
        )
        return variables_of(part.uses, content, explicit=explicit, binary=binary)
    return files_of(part.uses, content)


def _read(
    run: Run,
    part: ContainerUses,
    content: Mapping[str, bytes],
    wanted: Mapping[str, bytes],
    found: Inspection,
) -> Inspection:
    """Add what is there, key by key; a second look where it is not the content."""
    keys = {
        place: key
        for use in part.uses
        for place, key in use.places(sorted(content)).items()
    }
    state = found.state
    held: dict[str, bytes | None] = dict.fromkeys(keys.values())
    if state is ContentState.FRESH:
        held = {key: content.get(key) for key in held}
    elif state is ContentState.STALE:
        try:
            there = _places(run, part, list(keys))
        except ForbiddenError:
            raise
        except ClusterError:
            state = ContentState.PENDING
        else:
            wrong = {at: there[at] for at in wanted if there[at] != wanted[at]}
            held = {keys[at]: there[at] for at in there}
            held |= {keys[at]: one for at, one in wrong.items()}
            # it may have been updated between the two looks
            state = ContentState.STALE if wrong else ContentState.FRESH
    texts = {
        key: None if there is None else there.decode(errors="replace")
        for key, there in held.items()
    }
    return replace(found, state=state, held=texts)


def _places(
    run: Run, part: ContainerUses, places: Sequence[str]
) -> dict[str, bytes | None]:
    """Read paths or variables one by one; None: there is no such file or variable."""

    def cat(path: str) -> bytes | None:
        answer = run(["cat", path])
        return answer.output if answer.code == 0 else None

    if part.uses[0].way.is_environment:
        variables = read_environ(cat(ENVIRON) or b"")
        return {name: variables.get(name) for name in places}
    return {path: cat(path) for path in places}


def _files(run: Run, wanted: Mapping[str, bytes], root: str) -> Inspection:
    """Read files at once, and in reverse before they pass for what they should be.

    Read once, they pass as well where only the bounds between them are others.
    """
    paths = sorted(wanted)
    for start in range(0, len(paths), FILES_AT_ONCE):
        some = paths[start : start + FILES_AT_ONCE]
        for order in [some] if len(some) == 1 else [some, some[::-1]]:
            answer = run(["cat", *(f"{root}{path}" for path in order)])
            if (unread := _not_run(answer)) is not None:
                return unread
            if answer.code != 0 and "ermission denied" in answer.complaint:
                return Inspection(ContentState.UNREADABLE, answer.complaint)
            if answer.code != 0:
                return Inspection(
                    ContentState.STALE, f"a file is missing ({answer.complaint})"
                )
            if not _same(answer.output, b"".join(wanted[path] for path in order)):
                return Inspection(ContentState.STALE, "its files have other content")
    return Inspection(ContentState.FRESH)


def _not_run(answer: Captured) -> Inspection | None:
    """Tell a container without `cat` from a command that broke off; None: it ran."""
    complaint = answer.complaint
    # of a process that has just ended, a runtime misses a file of the kernel
    is_missing = _MISSING.search(complaint) and "/proc/" not in complaint
    if answer.code in _NOT_RUN or (answer.code is None and is_missing):
        return Inspection(ContentState.UNREADABLE, f"it has no cat ({complaint})")
    return unanswered(complaint) if answer.code is None else None


def _environment(
    run: Run, part: ContainerUses, wanted: Mapping[str, bytes]
) -> Inspection:
    spec = part.pod["spec"]
    if spec.get("shareProcessNamespace") or spec.get("hostPID"):
        why = "its processes are numbered with those of others"
        return Inspection(ContentState.UNREADABLE, why, _BY_HAND)
    answer = run(["cat", ENVIRON])
    if (unread := _not_run(answer)) is not None:
        return unread
    if answer.code != 0:
        return Inspection(ContentState.UNREADABLE, answer.complaint)
    seen = read_environ(answer.output)
    different = [
        name
        for name, value in sorted(wanted.items())
        if name not in seen or not _same(seen[name], value)
    ]
    if not different:
        return Inspection(ContentState.FRESH)
    named = {name for use in part.uses if use.items for _, name in use.items}
    later = tuple(prefix for use in part.uses for prefix in use.later)
    if all(
        name in seen and name not in named and name.startswith(later)
        for name in different
    ):
        some = ", ".join(different[:5])
        why = f"a later source of its envFrom may be what sets its {some}"
        return Inspection(ContentState.UNREADABLE, why, _LATER)
    return Inspection(
        ContentState.STALE, f"its environment has another {', '.join(different[:5])}"
    )


def _same(one: bytes, other: bytes) -> bool:
    """Compare by hash, so that what is secret stays in as few places as can be."""
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
    for words in state.values():
        if words.get("reason"):
            return f"it is not running ({words['reason']})"
    phase = (part.pod.get("status") or {}).get("phase", "unknown")
    return f"it is not running (the pod is {phase})"


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
