"""What a container should see, and what it does see.

Whether an update ever reaches a container, and what must happen for it.

The facts: docs of Kubernetes on ConfigMaps ("Mounted ConfigMaps are updated
automatically"), and the kubelet's code: ``kubelet_pods.go`` makes the environment once,
when a container is created; ``subpath_linux.go`` binds a subPath to the file of then;
``atomic_writer.go`` renews the others. `tests/testbed/test_remedies.py` holds each
cell against real kubelets (docs/studies/consumers.md).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.kubelet.uses import Role, Way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.kubelet.uses import Object, Use


_LIKE_A_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""Names that every kubelet puts into an environment."""


def content_of(stored: Object) -> dict[str, bytes]:
    """Give an object's content, key by key, as a file would hold it.

    Parameters
    ----------
    stored
        A ConfigMap (``data``, ``binaryData``) or a Secret (``data`` in base64).
    """
    plain = stored.get("data") or {}
    if stored.get("kind") == "Secret":
        return {key: base64.b64decode(text) for key, text in plain.items()}
    binary = stored.get("binaryData") or {}
    return {
        **{key: text.encode() for key, text in plain.items()},
        **{key: base64.b64decode(text) for key, text in binary.items()},
    }


def binary_keys(stored: Object) -> frozenset[str]:
    """Name a ConfigMap's keys that become files alone: no kubelet makes a variable.

    Parameters
    ----------
    stored
        A ConfigMap, or a Secret, which has none.
    """
    return frozenset(stored.get("binaryData") or ())


def files_of(uses: Sequence[Use], content: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the files that a container should have, by path."""
    return {
        path: content[key]
        for use in uses
        if not use.way.is_environment
        for path, key in use.places(sorted(content)).items()
        if key in content
    }


def variables_of(
    uses: Sequence[Use],
    content: Mapping[str, bytes],
    *,
    explicit: frozenset[str],
    binary: frozenset[str] = frozenset(),
) -> dict[str, bytes]:
    """Give the variables that a container should have.

    Parameters
    ----------
    uses
        Of one container.
    content
        Of the object.
    explicit
        Names that the container's ``env`` sets, which come before ``envFrom``.
    binary
        From `binary_keys`.
    """
    found = {}
    for use in uses:
        if not use.way.is_environment:
            continue
        named = use.items is not None
        for variable, key in use.places(sorted(content)).items():
            masked = not named and (
                variable in explicit or not _LIKE_A_VARIABLE.fullmatch(variable)
            )
            if key in content and key not in binary and not masked:
                found[variable] = content[key]
    return found


def read_environ(block: bytes) -> dict[str, bytes]:
    """Read /proc/PID/environ."""
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {name.decode(errors="replace"): value for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an update in one container.

    Attributes
    ----------
    update
        It arrives by itself, while the container runs.
    container_restart
        It is there after the container was restarted in its pod;
        None: such a container never is.
    pod_restart
        It is there in the pod's successor;
        None: the successor has no such container.
    why
        The reason, as a sentence for people.
    """

    update: bool
    container_restart: bool | None
    pod_restart: bool | None
    why: str


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

    Parameters
    ----------
    use
        How.
    immutable
        Whether the object is; its update is then its removal, and another one.
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


METHODS = {
    "Deployment": ("annotate", "rollout", "recreate"),
    "StatefulSet": ("annotate", "rollout", "recreate"),
    "DaemonSet": ("annotate", "rollout"),
    "CronJob": (),  # its next Job reads what there is then
}
"""By the kind of the workload; all others have their pods deleted."""


def forced_by(
    kind: str, use: Use, fate: Fate, *, annotate_reads: bool
) -> tuple[str, ...]:
    """List what would bring the update in at once.

    Parameters
    ----------
    kind
        Of the workload.
    use, fate
        Of the container.
    annotate_reads
        Whether a sync reads new content; under Cache with a TTL it may not.
    """
    if not fate.pod_restart:
        return ("annotate",) if fate.update and annotate_reads else ()
    methods = METHODS.get(kind, ("annotate", "delete"))
    if use.role is Role.INIT or not fate.update or not annotate_reads:
        methods = tuple(one for one in methods if one != "annotate")
    return methods
