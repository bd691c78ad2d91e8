"""Find and remove objects that a collection could not remove from a cluster itself.

Each object that a collection creates has two labels: its maker, and its run.
Labels can be copied: only an object that our own field manager has labelled is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.port import DEPLOYMENT, FIELD_MANAGER, MANAGED_BY, NAMESPACE
from cmhot.cluster.probe import RUN_LABEL
from cmhot.kubelet.uses import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Kind


IN_ORDER = (DEPLOYMENT, CONFIG_MAP)
"""Probes first: without their ConfigMap they could not start again."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object of a collection."""

    kind: Kind  # a namespace, a Deployment or a ConfigMap
    name: str
    namespace: str | None
    run_id: str
    uid: str | None
    age_s: float  # since it was made
    idle_s: float  # since anything of its run was written: one under way writes often

    def __str__(self) -> str:
        """Write its kind, name, run, age, and when it was last written."""
        where = "" if self.namespace is None else f" in {self.namespace}"
        return (
            f"{self.kind.plural}/{self.name}{where}, of run {self.run_id}, "
            f"made {_ago(self.age_s)} ago, last written {_ago(self.idle_s)} ago"
        )


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def find_leftovers(
    cluster: Cluster, *, namespace: str | None = None, idle_s: float = 0.0
) -> list[Leftover]:
    """List objects that collections have not removed; a running one's as well.

    In one `namespace`, and never the namespace itself, or (None) in all, with the
    namespaces that we made: objects in one of those go with it, and are not listed.
    Only runs without a write for `idle_s` seconds are listed, in the order of removal.
    Raises `ForbiddenError` when these may not be listed.
    """
    kinds = IN_ORDER if namespace else (NAMESPACE, *IN_ORDER)
    found = [
        (kind, one["metadata"])
        for kind in kinds
        for one in cluster.list(kind, namespace=namespace, labels=MANAGED_BY)[0]
        if is_ours(one["metadata"])
    ]
    namespaces = {meta["name"] for kind, meta in found if kind == NAMESPACE}
    now_ns = cluster.clock.utc_ns()
    written: dict[str, int] = {}
    for _, meta in found:
        run = meta["labels"][RUN_LABEL]
        written[run] = max(written.get(run, 0), _last_written_ns(meta))
    leftovers = [
        Leftover(
            kind=kind,
            name=meta["name"],
            namespace=meta.get("namespace"),
            run_id=meta["labels"][RUN_LABEL],
            uid=meta.get("uid"),
            age_s=(now_ns - _epoch_ns(meta["creationTimestamp"])) / NS_PER_S,
            idle_s=(now_ns - written[meta["labels"][RUN_LABEL]]) / NS_PER_S,
        )
        for kind, meta in found
        if meta.get("namespace") not in namespaces and not meta.get("deletionTimestamp")
    ]
    return [one for one in leftovers if one.idle_s >= idle_s]


def is_ours(meta: Mapping[str, Any]) -> bool:
    """Decide by an object's metadata whether a collection made it.

    The run's label must be there, and our field manager must own it.
    """
    label = f"f:{RUN_LABEL}"
    return RUN_LABEL in (meta.get("labels") or {}) and any(
        entry.get("manager") == FIELD_MANAGER and label in _applied_labels(entry)
        for entry in meta.get("managedFields") or []
    )


def _applied_labels(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = entry.get("fieldsV1") or {}
    labels: Mapping[str, Any] = fields.get("f:metadata", {}).get("f:labels", {})
    return labels


def _last_written_ns(meta: Mapping[str, Any]) -> int:
    """Return when somebody last changed an object, to the second."""
    times = [entry.get("time") for entry in meta.get("managedFields") or []]
    return max(
        _epoch_ns(text) for text in [meta["creationTimestamp"], *filter(None, times)]
    )


def _epoch_ns(text: str) -> int:
    return int(pd.Timestamp(text).as_unit("ns").value)


def remove(cluster: Cluster, leftovers: Sequence[Leftover]) -> None:
    """Delete the leftovers, by their UIDs; one that has gone meanwhile is no error.

    Raises `ForbiddenError` when one may not be deleted; those before it are gone.
    """
    for one in leftovers:
        cluster.delete(one.kind, one.name, namespace=one.namespace, uid=one.uid)
