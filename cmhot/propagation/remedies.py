"""What can help a pod that lacks an update: by its owner, and by what was tried.

Pure functions. A remedy is a command that can be pasted into a shell as it stands, or
words. None of them loses anything without saying so: a bare pod is made again by
nobody, and a deleted pod of a Job counts as one of its failed tries.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.propagation.workload import TOUCHED, Replacement, Workload

if TYPE_CHECKING:
    from collections.abc import Collection

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Object


_OTHERS = {
    **dict.fromkeys(["job", "jobs"], "Job"),
    **dict.fromkeys(["cronjob", "cronjobs", "cj"], "CronJob"),
    **dict.fromkeys(["pod", "pods", "po"], "Pod"),
    **dict.fromkeys(["replicaset", "replicasets", "rs"], "ReplicaSet"),
}
"""Kinds that `cmhot refresh` does not handle, as people type them."""
_RESTARTER = re.compile(r"(^|\.)reloader\.stakater\.com/|^wave\.pusher\.com/update-on")
"""Annotations of controllers that restart pods after a change."""


PUT_BACK = "put back what is missing, or make it optional"
"""What helps where the kubelet cannot set up a volume, or start a container."""
REPLACE = "replace the pod to be sure"
"""What helps a pod of which it is not known; how, `to_bring_in` says."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What helps: words, a command that can be pasted as it stands, or both."""

    words: str
    command: str = ""

    def __str__(self) -> str:
        """Say it in a line, the command last."""
        return ": ".join(filter(None, [self.words, self.command]))


@dataclass(frozen=True, slots=True)
class Shell:
    """Writes commands that reach a cluster and a namespace from any shell.

    ``target`` is one of `cmhot.cluster.targets.TARGETS`.
    """

    target: str
    namespace: str

    @classmethod
    def of(cls, cluster: Cluster, namespace: str) -> Shell:
        """Write for a namespace of a cluster."""
        return cls(cluster.target, namespace)

    def cmhot(self, *words: str) -> str:
        """Write a command of ours."""
        kind, _, name = self.target.partition(":")
        is_context = kind == "context"
        place = ["--context", name] if is_context else ["--target", self.target]
        return shlex.join(["cmhot", *words, *place, "-n", self.namespace])

    def kubectl(self, *words: str) -> str:
        """Write a command of `kubectl`; words may be the shell's ``$(…)``."""
        kind, _, name = self.target.partition(":")
        place = "kubectl"
        if kind == "context":
            place += f" --context {shlex.quote(name)}"
        elif kind == "testbed":
            named = f" --name {shlex.quote(name)}" if name else ""
            place += f' --kubeconfig "$(cmhot testbed kubeconfig{named})"'
        said = " ".join(
            word if word.endswith(")") else shlex.quote(word) for word in words
        )
        return f"{place} -n {shlex.quote(self.namespace)} {said}"


def ways(
    owner: Workload,
    replacement: Replacement | None = None,
    *,
    syncs: bool,
    restarts: bool = True,
) -> tuple[str, ...]:
    """List the ways that bring an update into all pods of an owner.

    Parameters
    ----------
    owner, replacement
        Whose pods, and how it replaces them; None: as is usual.
    syncs
        A sync of the pod brings it: the container uses files that are renewed, and the
        kubelet reads anew.
    restarts
        A new pod has it.

    Returns
    -------
    tuple of str
        Of ``annotate``, ``rollout``, ``recreate`` (see `cmhot.refresh`) and ``delete``:
        its pods are deleted, and it makes others.
    """
    touched = ("annotate",) * syncs
    if not restarts:
        return touched
    if not owner.is_refreshed:
        return (*touched, *(("delete",) * _makes_others(owner)))
    anew = ("rollout",) if (replacement or Replacement()).reaches_all else ("delete",)
    scaled = () if owner.kind == "DaemonSet" else ("recreate",)
    return (*touched, *anew, *scaled)


def _makes_others(owner: Workload) -> bool:
    """Tell whether a pod that is deleted has a successor, and nothing is lost."""
    return bool(owner.group) or owner.kind in {"ReplicaSet", "ReplicationController"}


def to_bring_in(
    owner: Workload,
    pod: Object,
    *,
    shell: Shell,
    replacement: Replacement | None = None,
    syncs: bool,
    blocked: str = "",
    tried: Collection[str] = (),
) -> Remedy:
    """Say how an update comes into a pod that lacks it; never by what was tried.

    ``replacement``, ``syncs``: see `ways`; ``blocked``: why no new pod would start, see
    `cmhot.kubelet.view.obstacle_to`; ``tried``: ways that have not helped.
    """
    name, left = pod["metadata"]["name"], set(ways(owner, replacement, syncs=syncs))
    if owner.is_refreshed and "rollout" in tried:
        left.add("delete")
    left -= set(tried)
    if blocked and "annotate" not in left:
        return Remedy(f"{PUT_BACK}: until then no new pod starts, since {blocked}")
    if "annotate" in left and owner.is_refreshed:
        return Remedy("", shell.cmhot("refresh", str(owner), "--method", "annotate"))
    if "annotate" in left:
        value = f"{TOUCHED}=$(date +%s)"
        return Remedy("", shell.kubectl("annotate", "--overwrite", "pod", name, value))
    if "rollout" in left:
        return _roll_out(owner, replacement or Replacement(), shell)
    if "delete" in left and not _runs_once(owner, pod):
        return _delete(owner, name, replacement or Replacement(), shell)
    return Remedy(_without_command(owner))


def _roll_out(owner: Workload, replacement: Replacement, shell: Shell) -> Remedy:
    if replacement.operator is None:
        return Remedy("", shell.cmhot("refresh", str(owner), "--method", "rollout"))
    words = (
        f"{owner} belongs to {replacement.operator}, which may undo a change of it, "
        "but as a rule keeps what kubectl writes"
    )
    return Remedy(words, shell.kubectl("rollout", "restart", str(owner)))


def _delete(
    owner: Workload, pod: str, replacement: Replacement, shell: Shell
) -> Remedy:
    if owner.is_refreshed and not replacement.reaches_all:
        words = f"{to_replace(owner, replacement)}; one after the other"
    elif owner.is_refreshed:
        words = "delete the pods one after the other"
    elif owner.group:
        words = f"use what {owner} has for it, or delete the pod, if that makes another"
    else:
        words = f"delete the pod: {owner} makes another"
    return Remedy(words, shell.kubectl("delete", "pod", pod))


def to_replace(owner: Workload, replacement: Replacement) -> str:
    """Say why a changed template does not replace all pods; empty: it does."""
    if replacement.paused:
        return f"rollouts of {owner} are paused"
    if replacement.strategy == "OnDelete":
        return f"{owner} replaces pods only when they are deleted (OnDelete)"
    if replacement.partition:
        return (
            f"a rollout of {owner} leaves its pods below {replacement.partition} as "
            "they are (partition)"
        )
    return ""


def to_finish(owner: Workload, replacement: Replacement, *, shell: Shell) -> Remedy:
    """Say how pods of an older template go."""
    if replacement.paused:
        return Remedy("resume it", shell.kubectl("rollout", "resume", str(owner)))
    if why := to_replace(owner, replacement):
        return Remedy(f"{why}: they keep it until each is deleted")
    return Remedy("wait for it", shell.kubectl("rollout", "status", str(owner)))


def _runs_once(owner: Workload, pod: Object) -> bool:
    """Tell whether a pod of somebody else's kind is to end by itself."""
    return bool(owner.group) and pod["spec"].get("restartPolicy", "Always") != "Always"


def restarted_by(found: Object) -> str:
    """Name the annotation by which something restarts a workload after a change.

    Of Reloader (stakater), and of Wave; empty: none is known here.
    """
    metas = (found["metadata"], found["spec"]["template"].get("metadata") or {})
    names = {name for meta in metas for name in meta.get("annotations") or ()}
    return min((one for one in names if _RESTARTER.search(one)), default="")


def without_refresh(workload: str) -> str | None:
    """Say what there is instead of a refresh for a kind that has none; None: it has."""
    kind, _, name = workload.strip().partition("/")
    found = _OTHERS.get(kind.lower())
    if found is None or not name:
        return None
    if found == "ReplicaSet":
        what = "delete its pods one after the other: it makes others"
    else:
        what = _without_command(Workload(found, name))
    return f"refresh does not know {workload.strip()}: {what}"


def _without_command(owner: Workload) -> str:
    """Say what there is to do where no command is without loss."""
    if owner.group:
        return f"{owner} has made it: let that make another"
    if owner.kind == "CronJob":
        return f"the next run of {owner} has it; this one keeps what it began with"
    if owner.kind == "Job":
        return (
            f"make {owner} anew: a deleted pod counts as a failed try of it, and after "
            "the last one (backoffLimit) it makes no other"
        )
    if owner.kind == "Node":
        return "its manifest is a file of its node: change that"
    if owner.kind == "Pod":
        return (
            "nobody makes this pod again: save its manifest, then delete it and create "
            "it anew"
        )
    return "look by hand what it was made with: no way that is known here has helped"
