"""Whose an object is, by its labels: an experiment changes and removes its own only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.errors import NotFoundError, UsageError
from cmhot.port.cluster import (
    CONFIG_MAP,
    DEPLOYMENT,
    MANAGED_BY,
    POD,
    SECRET,
    SERVICE,
)
from cmhot.port.probe import RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.port.cluster import Cluster, Kind

KINDS: dict[str, Kind] = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Pod": POD,
    "Secret": SECRET,
    "Service": SERVICE,
}
"""What an experiment makes, and has to remove from a namespace that is not its own."""


def labelled(manifest: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Copy a manifest, with the labels by which `cmhot clean` finds the object."""
    meta = manifest["metadata"]
    own = {**MANAGED_BY, RUN_LABEL: run_id}
    labels = {**(meta.get("labels") or {}), **own}
    return {**manifest, "metadata": {**meta, "labels": labels}}


def run_of(cluster: Cluster, kind: Kind, name: str, *, namespace: str) -> str | None:
    """Read which run an object is of; empty: none, None: there is no such object."""
    try:
        found = cluster.get(kind, name, namespace=namespace)
    except NotFoundError:
        return None
    return str((found["metadata"].get("labels") or {}).get(RUN_LABEL, ""))


def taken(kind: Kind, name: str, *, namespace: str, run_id: str) -> UsageError:
    """Say that an object is there already, and what to do.

    Parameters
    ----------
    kind, name, namespace
        Which.
    run_id
        Whose it is; empty: no run's.
    """
    said = f"{kind.plural}/{name} in namespace {namespace} is there already, and "
    if not run_id:
        return UsageError(
            f"{said}this experiment makes one of that name: give another namespace, or "
            "none, and it makes one of its own"
        )
    kinds = ",".join(one.plural for one in KINDS.values())
    return UsageError(
        f"{said}is of run {run_id}: wait until that has ended, or remove what it left, "
        f"kubectl delete {kinds} -n {namespace} -l {RUN_LABEL}={run_id}"
    )
