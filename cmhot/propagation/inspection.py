"""Does a container hold an object's content? Looked at from inside, byte by byte.

Files are read by `cat`, which runs without a shell; variables from ``/proc/1/environ``,
what the process was started with: a shell would hide names such as ``log-level``.
The content of a Secret is compared by its hash.

Ephemeral containers, by which one looks into containers that have no `cat`.

Each changes its pod: that syncs it, and the container stays until the pod goes.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from cmhot.cluster.nodes import probe_image
from cmhot.cluster.port import POD
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UnreachableError
from cmhot.kubelet.uses import Role, containers_of
from cmhot.kubelet.view import fate_of, files_of, read_environ, variables_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.cluster.port import Captured, Capturing, Cluster, Inspectable
    from cmhot.kubelet.uses import Object, Use


ENVIRON = "/proc/1/environ"
_BY_HAND = "see for yourself, by kubectl exec"
_LATER = "see whether the later source has them: then its value counts, and not this"
_ASK = "see whether commands run there: kubectl exec"
FILES_AT_ONCE = 100
"""Paths on one command line."""
_NOT_RUN = {126, 127}
"""Exit codes by which a runtime says that there is no such program."""
_MISSING = re.compile(
    r"executable file|not found in \$PATH|no such file", re.IGNORECASE
)
"""How runtimes complain of a program that is not there."""


class State(Enum):
    """What a look found."""

    FRESH = "holds the current content"
    STALE = "holds other content"
    WAITING = "is not running"
    BLIND = "cannot be looked into"


@dataclass(frozen=True, slots=True)
class Part:
    """Uses of one container that stand and fall together.

    Attributes
    ----------
    pod
        As the API server sent it.
    container
        Its name.
    uses
        Either such as an update reaches, or such as it never does;
        either files, or variables.
    updates
        Whether an update reaches them while the container runs.
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
    def key(self) -> tuple[str, str, tuple[Use, ...]]:
        """Tell it from others, and from the same one after a restart."""
        state = _status(self.pod, self.container)
        instance = state.get("containerID") or self.pod["metadata"].get("uid", "")
        return str(instance), self.container, self.uses


@dataclass(frozen=True, slots=True)
class Look:
    """What was found.

    Attributes
    ----------
    state
        In short.
    why
        In words, for all but `State.FRESH`.
    remedy
        What helps, where it is not what helps others in this state.
    """

    state: State
    why: str = ""
    remedy: str = ""


def parts_of(pod: Object, uses: Sequence[Use], *, immutable: bool) -> list[Part]:
    """Divide a pod's uses into what is looked at together.

    Where a container has ended for good, there is nothing to look into: so it is with
    init containers, and with ephemeral ones that are over.

    Parameters
    ----------
    pod
        As the API server sent it.
    uses
        From `cmhot.kubelet.uses.uses_of`.
    immutable
        Whether the object is.
    """
    found: dict[tuple[str, bool, bool], list[Use]] = {}
    for use in uses:
        if use.role is Role.INIT or _has_ended(pod, use):
            continue
        updates = fate_of(use, immutable=immutable).update
        place = use.container, updates, use.way.is_environment
        found.setdefault(place, []).append(use)
    return [
        Part(pod, container, tuple(own), updates)
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


def look(
    door: Capturing,
    part: Part,
    content: Mapping[str, bytes],
    *,
    namespace: str,
    through: str | None = None,
    binary: frozenset[str] = frozenset(),
    is_repeated: bool = True,
) -> Look:
    """Look into a container.

    Whoever gives no answer now may give one later: that is no verdict.

    Parameters
    ----------
    door
        Where.
    part
        Which container, and what in it.
    content
        Of the object.
    namespace
        Of the pod.
    through
        An ephemeral container that sees the other one's processes; None: go directly.
    binary
        Keys that become no variables.
    is_repeated
        Whether who gives no answer will be asked again.

    Raises
    ------
    ForbiddenError
        Nobody lets us run a command in a pod.
    UnreachableError
        There was no answer, and nobody will ask again.
    """
    if not runs(part):
        return Look(State.WAITING, _why_not(part))
    if "$(" in part.uses[0].sub_path:
        why = "its subPathExpr is known to the container alone"
        return Look(State.BLIND, why, _BY_HAND)
    try:
        if part.uses[0].way.is_environment:
            wanted = expected(part, content, binary=binary)
            return _environment(door, part, wanted, namespace, through)
        return _files(door, part, expected(part, content), namespace, through)
    except ForbiddenError:
        raise
    except UnreachableError as error:
        if not is_repeated:
            raise
        return unasked(error)
    except ClusterError as error:
        return unasked(error)


def unasked(error: ClusterError | str) -> Look:
    """Make a look of a failure to look: not a verdict, whoever it is due to.

    Parameters
    ----------
    error
        Why it failed.
    """
    return Look(State.WAITING, f"it could not be asked: {error}", _ASK)


def expected(
    part: Part,
    content: Mapping[str, bytes],
    *,
    binary: frozenset[str] = frozenset(),
) -> dict[str, bytes]:
    """Give what a container should hold, by path or variable.

    Parameters
    ----------
    part
        The container.
    content
        Of the object.
    binary
        Keys that become no variables.
    """
    if part.uses[0].way.is_environment:
        explicit = _explicit(part.pod, part.container)
        return variables_of(part.uses, content, explicit=explicit, binary=binary)
    return files_of(part.uses, content)


def read(
    door: Capturing, part: Part, keys: Sequence[str], *, namespace: str
) -> dict[str, bytes | None]:
    """Read what a container holds, place by place, as `look` does not.

    Parameters
    ----------
    door, part, namespace
        As of `look`, which has found the container running.
    keys
        Of the object.

    Returns
    -------
    dict
        From each path or variable to what is there; None: nothing is.

    Raises
    ------
    ClusterError
        It could not be asked.
    """
    places = [place for use in part.uses for place in use.places(keys)]

    def cat(path: str) -> bytes | None:
        answer = door.capture(
            part.name, ["cat", path], namespace=namespace, container=part.container
        )
        return answer.output if answer.code == 0 else None

    if part.uses[0].way.is_environment:
        variables = read_environ(cat(ENVIRON) or b"")
        return {name: variables.get(name) for name in places}
    return {path: cat(path) for path in places}


def _files(
    door: Capturing,
    part: Part,
    wanted: Mapping[str, bytes],
    namespace: str,
    through: str | None,
) -> Look:
    """Read files at once, and in reverse before they pass for what they should be.

    Read once, they pass as well where only the bounds between them are others.
    """
    paths = sorted(wanted)
    root = "" if through is None else "/proc/1/root"
    for start in range(0, len(paths), FILES_AT_ONCE):
        some = paths[start : start + FILES_AT_ONCE]
        for order in [some] if len(some) == 1 else [some, some[::-1]]:
            answer = door.capture(
                part.name,
                ["cat", *(f"{root}{path}" for path in order)],
                namespace=namespace,
                container=through or part.container,
            )
            if (unread := _not_run(answer)) is not None:
                return unread
            if answer.code != 0 and "ermission denied" in answer.complaint:
                return Look(State.BLIND, answer.complaint)
            if answer.code != 0:
                return Look(State.STALE, f"a file is missing ({answer.complaint})")
            if not _same(answer.output, b"".join(wanted[path] for path in order)):
                return Look(State.STALE, "its files have other content")
    return Look(State.FRESH)


def _not_run(answer: Captured) -> Look | None:
    """Tell a container without `cat` from a command that broke off; None: it ran."""
    complaint = answer.complaint
    # of a process that has just ended, a runtime misses a file of the kernel
    is_missing = _MISSING.search(complaint) and "/proc/" not in complaint
    if answer.code in _NOT_RUN or (answer.code is None and is_missing):
        return Look(State.BLIND, f"it has no cat ({complaint})")
    return unasked(complaint) if answer.code is None else None


def _environment(
    door: Capturing,
    part: Part,
    wanted: Mapping[str, bytes],
    namespace: str,
    through: str | None,
) -> Look:
    spec = part.pod["spec"]
    if spec.get("shareProcessNamespace") or spec.get("hostPID"):
        why = "its processes are numbered with those of others"
        return Look(State.BLIND, why, _BY_HAND)
    answer = door.capture(
        part.name,
        ["cat", ENVIRON],
        namespace=namespace,
        container=through or part.container,
    )
    if (unread := _not_run(answer)) is not None:
        return unread
    if answer.code != 0:
        return Look(State.BLIND, answer.complaint)
    seen = read_environ(answer.output)
    different = [
        name
        for name, value in sorted(wanted.items())
        if name not in seen or not _same(seen[name], value)
    ]
    if not different:
        return Look(State.FRESH)
    named = {name for use in part.uses if use.items for _, name in use.items}
    later = tuple(prefix for use in part.uses for prefix in use.later)
    if all(
        name in seen and name not in named and name.startswith(later)
        for name in different
    ):
        some = ", ".join(different[:5])
        why = f"a later source of its envFrom may be what sets its {some}"
        return Look(State.BLIND, why, _LATER)
    return Look(State.STALE, f"its environment has another {', '.join(different[:5])}")


def _same(one: bytes, other: bytes) -> bool:
    """Compare by hash, so that what is secret stays in as few places as can be."""
    return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()


def _explicit(pod: Object, container: str) -> frozenset[str]:
    """Name the variables that a container's specification sets one by one."""
    return frozenset(
        variable["name"]
        for one, _ in containers_of(pod["spec"])
        if one["name"] == container
        for variable in one.get("env") or ()
    )


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


def runs(part: Part) -> bool:
    """Tell whether a container was running when its pod was listed."""
    return "running" in (_status(part.pod, part.container).get("state") or {})


def _why_not(part: Part) -> str:
    state = _status(part.pod, part.container).get("state") or {}
    for words in state.values():
        if words.get("reason"):
            return f"it is not running ({words['reason']})"
    phase = (part.pod.get("status") or {}).get("phase", "unknown")
    return f"it is not running (the pod is {phase})"


START_S = 30.0
"""Longest time for an ephemeral container to start: its image may be pulled."""
POLL_S = 0.5
MOST_IN_VAIN = 3
"""Containers that did not start, after which no more are made."""


@dataclass(slots=True)
class Onlookers:
    """Makes ephemeral containers, one beside each container that needs one.

    Attributes
    ----------
    cluster, door
        Where.
    namespace
        Of the pods.
    """

    cluster: Cluster
    door: Inspectable
    namespace: str
    _made: dict[tuple[str, str], str] = field(default_factory=dict)
    _in_vain: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def changed(self) -> tuple[str, ...]:
        """Name the pods that have been changed."""
        return tuple(sorted({pod for pod, _ in self._made}))

    def beside(self, part: Part, *, until_s: float) -> str | Look | None:
        """Give a running ephemeral container beside another.

        Parameters
        ----------
        part
            The container, which it shares processes with.
        until_s
            Instant of the cluster's monotonic clock at which to give up, seconds.

        Returns
        -------
        str or Look or None
            Its name; what is known where the pod has gone meanwhile;
            None: it did not start, or others like it did not.
        """
        place = part.name, part.container
        try:
            with self._lock:
                name = self._made.get(place)
                if name is None:
                    if self._in_vain >= MOST_IN_VAIN:
                        return None
                    name = self._add(part)
                    self._made[place] = name
            if self._starts(part.name, name, until_s):
                return name
        except NotFoundError as error:
            return unasked(error)
        with self._lock:
            self._in_vain += 1
        return None

    def _add(self, part: Part) -> str:
        """Start one, or find that of an earlier call."""
        name = f"cmhot-look-{part.container}"[:63].rstrip("-")
        present = {one["name"] for one, _ in containers_of(part.pod["spec"])}
        if name not in present:
            image, policy = probe_image(self.cluster, None)
            self.door.add_ephemeral(
                part.name,
                {
                    "name": name,
                    "image": image,
                    "imagePullPolicy": policy,
                    "command": ["sleep", "86400"],
                    "targetContainerName": part.container,
                    "securityContext": _user_of(part),
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


def _user_of(part: Part) -> dict[str, Any]:
    """Be whoever the other container is: the kernel lets only them see its files."""
    for one, _ in containers_of(part.pod["spec"]):
        if one["name"] == part.container:
            return dict(one.get("securityContext") or {})
    return {}
