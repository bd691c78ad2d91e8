"""Whether an update ever reaches a container, and what must happen for it.

The facts: docs of Kubernetes on ConfigMaps ("Mounted ConfigMaps are updated
automatically"), and the kubelet's code: ``kubelet_pods.go`` makes the environment once,
when a container is created; ``subpath_linux.go`` binds a subPath to the file of then;
``atomic_writer.go`` renews the others. `tests/testbed/test_remedies.py` holds each
cell against real kubelets (docs/studies/consumers.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.consumers.uses import Role, Way

if TYPE_CHECKING:
    from cmhot.consumers.uses import Use


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
