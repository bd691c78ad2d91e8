"""Who uses a ConfigMap or a Secret: the requests behind `cmhot explain`.

Each kind is read once, in pages of which no more than one is kept; nothing is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.cluster.nodes import setting_from_configz
from cmhot.cluster.port import NODE, POD, Inspectable
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.kubelet.uses import nearest, parse_reference
from cmhot.propagation.expectation import NodeFacts, sampled
from cmhot.propagation.explanation import UNREAD, explain_survey
from cmhot.propagation.owners import KINDS, Survey, workload_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Kind, Reference
    from cmhot.propagation.explanation import Explanation
    from cmhot.propagation.owners import Owner, Workload


DEFAULT_NAMESPACE = "default"
MOST_ASKED = 20
"""Kubelets that are asked for their setting; a thousand of them would be too many."""
MOST_SILENT = 2
"""Kubelets that give no answer before no more are asked: each may take ten seconds."""


def explain(
    cluster: Cluster,
    reference: str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    given: Setting | None = None,
) -> Explanation:
    """Say who uses a ConfigMap or a Secret, who will see an update, and when.

    Nothing is changed. Objects are read page by page; of kubelets at most `MOST_ASKED`
    are asked for their setting.

    Parameters
    ----------
    cluster
        From `connect`.
    reference
        ``configmap/NAME`` or ``secret/NAME``.
    namespace
        Of the object and of the pods.
    given
        Setting of the kubelets that may not be asked; None: it is not known.

    Returns
    -------
    Explanation
        A table in JupyterLab; ``to_text()``, ``to_dict()``, ``table()``.

    Raises
    ------
    NotFoundError
        There is no such object, and nobody uses it; the message names the nearest.
    UsageError
        The reference is none, or nobody can look into the target's containers.

    Examples
    --------
    >>> cluster = cmhot.connect("testbed")  # doctest: +SKIP
    >>> cmhot.explain(cluster, "configmap/special-config")  # doctest: +SKIP
    """
    wanted = parse_reference(reference)
    door = inspectable(cluster)
    notes: list[str] = []
    stored = _stored(cluster, wanted, namespace, notes)
    workloads = _workloads(door, wanted, namespace, notes)
    survey = Survey(wanted, workloads)
    for page in door.pages(POD, namespace=namespace):
        survey.add(page)
    existing: Sequence[str] = ()
    if stored is None or nearest(wanted.name, survey.named) is not None:
        existing = _existing(door, wanted, namespace, survey.named)
    if stored is None and not survey.consumers and not _in_templates(workloads):
        raise _absent(wanted, namespace, existing)
    return explain_survey(
        survey,
        namespace=namespace,
        stored=stored,
        facts=node_facts(cluster, sorted(survey.per_node()), given=given),
        existing=existing,
        notes=notes,
    )


def inspectable(cluster: Cluster) -> Inspectable:
    """Insist on a cluster into whose containers one can look.

    Raises
    ------
    UsageError
        For any other.
    """
    if isinstance(cluster, Inspectable):
        return cluster
    msg = (
        f"target {cluster.target} has no workloads to look at: choose a real cluster "
        "(testbed, context:NAME or in-cluster)"
    )
    raise UsageError(msg)


def node_facts(
    cluster: Cluster, names: Sequence[str], *, given: Setting | None = None
) -> dict[str, NodeFacts]:
    """Learn the setting of nodes, asking at most `MOST_ASKED` kubelets.

    What a kubelet reports counts before what is given.

    Parameters
    ----------
    cluster
        Where.
    names
        Of the nodes.
    given
        The setting of kubelets that may not be asked; None: it is not known.
    """
    if not names:
        return {}
    found = _annotations(cluster, names)
    facts, may_ask, silent = [], MOST_ASKED, 0
    for name in names:
        kubelet, annotations = found.get(name, (None, {}))
        setting = None
        if may_ask and silent < MOST_SILENT:
            may_ask -= 1
            try:
                answer = cluster.kubelet_configuration(name)
                setting = setting_from_configz(answer, annotations)
            except UnreachableError:
                raise
            except ForbiddenError:
                may_ask = 0  # rights are the same for each node
            except ClusterError:
                silent += 1  # a virtual kubelet, or one that is ill
        facts.append(
            NodeFacts(
                name,
                setting or given,
                "configz" if setting else "given" if given else "unknown",
                kubelet,
            )
        )
    return sampled(facts)


def _annotations(
    cluster: Cluster, names: Sequence[str]
) -> dict[str, tuple[str | None, dict[str, str]]]:
    """Read versions and annotations of nodes; nothing where that is not allowed."""
    wanted = set(names)
    try:
        listed: Iterator[dict[str, Any]] = (
            node for page in inspectable(cluster).pages(NODE) for node in page
        )
        return {
            node["metadata"]["name"]: (
                node["status"]["nodeInfo"]["kubeletVersion"],
                node["metadata"].get("annotations") or {},
            )
            for node in listed
            if node["metadata"]["name"] in wanted
        }
    except ForbiddenError:
        return {}


def _stored(
    cluster: Cluster, reference: Reference, namespace: str, notes: list[str]
) -> dict[str, Any] | None:
    """Get the object; None: there is none."""
    try:
        found = cluster.get(reference.place, reference.name, namespace=namespace)
    except NotFoundError:
        return None
    except ForbiddenError:
        notes.append(
            f"{reference} may not be read: whether it exists or is immutable is not "
            "known (ask for get on it)"
        )
        return {UNREAD: True}
    return found


def _workloads(
    door: Inspectable, reference: Reference, namespace: str, notes: list[str]
) -> dict[Owner, Workload]:
    """Read the templates of a namespace, a kind after the other."""
    found: dict[Owner, Workload] = {}
    for name, kind in KINDS.items():
        try:
            for workload in _all(
                door.pages(kind, namespace=namespace), name, reference
            ):
                found[workload.owner] = workload
        except ForbiddenError:
            notes.append(
                f"{kind.plural} may not be listed: those without pods are missing here "
                "(ask for list on them)"
            )
        except NotFoundError:
            notes.append(f"this cluster has no {kind.plural} in {kind.api_version}")
    return found


def _all(
    pages: Iterable[Sequence[dict[str, Any]]], kind: str, reference: Reference
) -> Iterator[Workload]:
    for page in pages:
        for found in page:
            yield workload_of(found, kind, reference)


def _in_templates(workloads: dict[Owner, Workload]) -> bool:
    return any(workload.uses for workload in workloads.values())


def _existing(
    door: Inspectable, reference: Reference, namespace: str, named: set[str]
) -> Sequence[str]:
    """List names of a kind's objects; where that is not allowed, those in use."""
    kind: Kind = reference.place
    try:
        return door.names(kind, namespace=namespace)
    except ForbiddenError:
        return sorted(named)


def _absent(
    reference: Reference, namespace: str, existing: Sequence[str]
) -> NotFoundError:
    near = nearest(reference.name, existing)
    meant = "check the name and --namespace" if near is None else f"is {near!r} meant?"
    msg = f"there is no {reference} in {namespace}, and no pod names it: {meant}"
    return NotFoundError(msg)
