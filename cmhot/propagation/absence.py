"""What to say of an object that does not exist: which name may be meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cmhot.cluster.port import POD
from cmhot.errors import ForbiddenError, NotFoundError
from cmhot.kubelet.uses import nearest, references_of
from cmhot.propagation.workload import is_leaving, owner_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Reference
    from cmhot.propagation.workload import Workload


MOST_NAMED = 5
"""Versions of an object, or users of one, that a message names."""
_HASHED = re.compile(r"(?P<base>.+)-[bcdfghjklmnpqrstvwxz2456789]{10}")
"""Name with the suffix that kustomize makes of an object's content."""


def base_of(name: str) -> str | None:
    """Give a name without the hash that kustomize adds; None: it has none."""
    match = _HASHED.fullmatch(name)
    return None if match is None else match["base"]


def names_like(
    cluster: Cluster, reference: Reference, namespace: str, named: Collection[str]
) -> Sequence[str]:
    """List names of a kind's objects; where that is not allowed, of those in use."""
    try:
        return cluster.names(reference.place, namespace=namespace)
    except ForbiddenError:
        return sorted(named)


def absent(
    cluster: Cluster,
    reference: Reference,
    namespace: str,
    named: Mapping[str, Collection[Workload]] | None = None,
) -> NotFoundError:
    """Make the error of an object that does not exist.

    ``named`` are the names of its kind that pods have, and whose pods; None: the pods
    are listed.
    """
    if named is None:
        named = _named_by_pods(cluster, reference, namespace)
    existing = names_like(cluster, reference, namespace, named)
    hashed = [one for one in existing if base_of(one) == reference.name]
    near = nearest(reference.name, existing)
    if hashed:
        said = [f"{one} ({_some(named.get(one, ())) or 'of no pod'})" for one in hashed]
        meant = (
            f"its versions have a hash in their names: {', '.join(said[:MOST_NAMED])}"
        )
    elif near is not None:
        meant = f"is {near!r} meant?"
    else:
        meant = "check the name and --namespace"
    users = _some(named.get(reference.name, ()))
    who = f"pods of {users} name it" if users else "no pod names it"
    return NotFoundError(f"there is no {reference} in {namespace}, and {who}: {meant}")


def _some(users: Collection[Workload]) -> str:
    return ", ".join(map(str, sorted(users)[:MOST_NAMED]))


def _named_by_pods(
    cluster: Cluster, reference: Reference, namespace: str
) -> dict[str, set[Workload]]:
    found: dict[str, set[Workload]] = {}
    for page in cluster.pages(POD, namespace=namespace):
        for pod in page:
            for one in () if is_leaving(pod) else references_of(pod):
                if one.kind == reference.kind:
                    owner = owner_of(pod, lambda _: True)
                    found.setdefault(one.name, set()).add(owner)
    return found
