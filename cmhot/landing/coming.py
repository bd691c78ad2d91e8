"""Pods that are yet to come: of workloads without any, and of those being replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.consumers.owners import KINDS, REFRESHED, is_rolling_out, will_use
from cmhot.errors import ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.consumers.owners import Owner
    from cmhot.consumers.reference import Reference
    from cmhot.consumers.uses import Object
    from cmhot.port.cluster import Cluster, Inspectable


def is_awaited(
    cluster: Cluster,
    door: Inspectable,
    reference: Reference,
    *,
    owner: Owner | None,
    namespace: str,
) -> bool:
    """Tell whether pods that use an object are to come, so far as it may be seen.

    Parameters
    ----------
    cluster, door
        Where.
    reference, namespace
        The object.
    owner
        Whose pods; None: of any workload in the namespace.

    Raises
    ------
    NotFoundError
        There is no such owner.
    """

    def workloads(kind: str) -> Iterator[Object]:
        if owner is not None:
            yield cluster.get(KINDS[kind], owner.name, namespace=namespace)
            return
        for page in door.pages(KINDS[kind], namespace=namespace):
            yield from page

    kinds = REFRESHED if owner is None else (owner.kind,)
    try:
        return any(
            will_use(found, kind, reference)
            for kind in kinds
            for found in workloads(kind)
        )
    except ForbiddenError:
        return False


def is_being_replaced(cluster: Cluster, owner: Owner, *, namespace: str) -> bool:
    """Tell whether an owner's pods are being replaced, so far as it may be seen.

    Parameters
    ----------
    cluster, namespace
        Where.
    owner
        Of the pods.
    """
    if owner.kind not in REFRESHED:
        return False
    try:
        found = cluster.get(KINDS[owner.kind], owner.name, namespace=namespace)
    except (ForbiddenError, NotFoundError):
        return False
    return is_rolling_out(found, owner.kind)
