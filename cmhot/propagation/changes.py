"""Apply and patch: what an experiment by hand changes."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.display import Page, Shown
from cmhot.errors import ClusterError, CmhotError, UsageError
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.propagation.manifests import read_manifests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cmhot.cluster.port import Cluster


_GOT = re.compile(r", got &value\..*")
"""What the API server says of a value of the wrong type: it may be a Secret's."""


@dataclass(frozen=True, slots=True, repr=False)
class Update(Shown):
    """One write to a ConfigMap, with its three instants.

    Attributes
    ----------
    configmap
        Its name.
    resource_version
        The ConfigMap's version after the write.
    planned_ns, sent_ns, acked_ns
        When the write was asked for, left, and was acknowledged:
        UTC epoch nanoseconds of the cluster's clock (see `Cluster.clock`).
        The instant at which it took effect lies in [sent, acked].
    """

    configmap: str
    resource_version: str
    planned_ns: int
    sent_ns: int
    acked_ns: int

    def page(self) -> Page:
        """Show between which instants it took effect."""
        took_ms = 1000 * (self.acked_ns - self.sent_ns) / NS_PER_S
        acked = dt.datetime.fromtimestamp(self.acked_ns / NS_PER_S, dt.UTC)
        return Page(
            f"configmap/{self.configmap} was updated: acknowledged at "
            f"{acked:%Y-%m-%d %H:%M:%S} UTC, {took_ms:.1f} ms after it was sent "
            f"(version {self.resource_version})"
        )


def apply(
    cluster: Cluster,
    source: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Path | str,
    *,
    namespace: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Server-side apply manifests.

    Parameters
    ----------
    cluster
        From `connect`.
    source
        See `read_manifests`.
    namespace
        For objects that name none; one that names another is refused.
        None: that of the context.
    tell
        Called with a line about each that is applied.

    Returns
    -------
    list of dict
        The objects as stored, in the order given.

    Raises
    ------
    UsageError
        No manifest, one of another namespace than the given one, or a kind that the
        cluster does not know.
    ClusterError
        The API server refused; 409 is a field that somebody else owns. The message has
        its words, and what was applied before.
    """
    manifests = read_manifests(source)
    for manifest in manifests:
        _check_namespace(manifest, namespace)
    where, stored = namespace or cluster.namespace, []
    for manifest in manifests:
        try:
            stored.append(cluster.apply(manifest, namespace=where))
        except CmhotError as error:
            msg = f"{_named(manifest)}: {error}"
            if isinstance(error, ClusterError) and error.said:
                said = _GOT.sub("", error.said)
                msg = f"the API server refuses {_named(manifest)}: {said}"
            if before := ", ".join(map(_named, manifests[: len(stored)])):
                msg += f"; applied before it: {before}"
            error.args = (msg,)
            raise
        tell(f"{_named(manifest)} applied")
    return stored


def _named(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"


def _check_namespace(manifest: Mapping[str, Any], namespace: str | None) -> None:
    """Refuse an object of another namespace than the one that was asked for."""
    own = manifest["metadata"].get("namespace")
    if namespace is not None and own is not None and own != namespace:
        msg = (
            f"{_named(manifest)} is of the namespace {own!r}, not {namespace!r}: "
            f"leave --namespace out, or say -n {own}"
        )
        raise UsageError(msg)


def patch(
    cluster: Cluster,
    configmap: str,
    data: Mapping[str, str],
    *,
    namespace: str | None = None,
) -> Update:
    """Change keys of a ConfigMap; others stay as they are.

    Parameters
    ----------
    cluster
        From `connect`.
    configmap
        Name of an existing ConfigMap.
    data
        Keys to set.
    namespace
        Of the ConfigMap; None: that of the context.

    Returns
    -------
    Update
        With the instants between which it took effect.

    Raises
    ------
    NotFoundError
        There is no such ConfigMap.
    """
    planned = sent = cluster.clock.utc_ns()
    stored = cluster.patch(
        CONFIG_MAP,
        configmap,
        {"data": dict(data)},
        namespace=namespace or cluster.namespace,
    )
    return Update(
        configmap=configmap,
        resource_version=stored["metadata"]["resourceVersion"],
        planned_ns=planned,
        sent_ns=sent,
        acked_ns=cluster.clock.utc_ns(),
    )
