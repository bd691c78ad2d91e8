"""What `cmhot` asks of a cluster, request by request, as data.

`cmhot rbac` writes Roles of it, `cmhot doctor` asks the API server for each,
and the errors of `cmhot.kube` say by it what a refused request was for.
Who adds a request to a collection adds its line here:
a test runs a collection and compares.

RBAC: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROBE_CONFIG_MAP = "cmhot-probe"
"""The one ConfigMap that a collection writes: rights end at its name."""

Configz = Literal["proxy", "kubelet"]


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, and what it is needed for.

    Attributes
    ----------
    verb
        As RBAC names it: ``get``, ``create`` …
    resource
        Plural, with its subresource: ``pods/log``.
    purpose
        What is not possible without it.
    group
        API group; empty: the core.
    name
        The one object that it is needed for; None: any.
        For namespaces in a Role, see `in_namespace`.
    cluster_wide
        Whether it is about objects outside namespaces.
    """

    verb: str
    resource: str
    purpose: str
    group: str = ""
    name: str | None = None
    cluster_wide: bool = False

    def __str__(self) -> str:
        """Say it as `kubectl auth can-i` takes it: ``patch configmaps/cmhot-probe``."""
        dotted, slash, sub = self.resource.partition("/")
        if self.group:
            dotted = f"{dotted}.{self.group}"
        return f"{self.verb} {dotted}{slash}{sub}" + (f" {self.name}" * bool(self.name))


def _rights(verbs: str, resource: str, purpose: str, **more: Any) -> list[Right]:  # noqa: ANN401 - fields of a Right
    return [Right(verb, resource, purpose, **more) for verb in verbs.split()]


NAMESPACE = Right("get", "namespaces", "to see that the namespace exists")
"""RBAC counts a namespace as an object in itself: a Role in it can allow this."""

RUN = (
    # server-side apply of what does not exist yet needs both verbs
    Right("create", "configmaps", "to make the ConfigMap whose updates are measured"),
    *_rights("patch", "configmaps", "to write the updates", name=PROBE_CONFIG_MAP),
    *_rights(
        "get",
        "configmaps",
        "to find out whether a write whose answer was lost took effect",
        name=PROBE_CONFIG_MAP,
    ),
    *_rights("delete", "configmaps", "to remove it at the end", name=PROBE_CONFIG_MAP),
    *_rights(
        "create patch", "deployments", "to start the probes", group=(apps := "apps")
    ),
    *_rights("delete", "deployments", "to remove the probes at the end", group=apps),
    *_rights("list watch", "pods", "to wait until the probes are Ready"),
    *_rights("patch", "pods", "to put each probe into a random phase, once"),
    *_rights("get", "pods/log", "to read what the probes noted"),
    # a WebSocket is opened by GET; since 1.35 the API server wants create as well
    *_rights("get create", "pods/exec", "to bound the offset of the nodes' clocks"),
)
"""What a collection needs in its namespace."""

OWN_NAMESPACE = tuple(
    _rights(
        "create patch delete",
        "namespaces",
        "to make a namespace for the probes, and remove it",
        cluster_wide=True,
    )
)
"""What a collection without ``--namespace`` needs besides, in the whole cluster."""

NODES = (
    Right(
        "list",
        "nodes",
        "to place probes by setting, and to know versions and taints",
        cluster_wide=True,
    ),
)

CONFIGZ: dict[Configz, tuple[Right, ...]] = {
    "proxy": (
        Right(
            "get",
            "nodes/proxy",
            "to read each kubelet's setting through the API server "
            "(beware: it also permits exec into every pod of the node)",
            cluster_wide=True,
        ),
    ),
    "kubelet": tuple(
        Right("get", resource, purpose, cluster_wide=True)
        for resource, purpose in [
            ("nodes", "to know the kubelets' addresses"),
            (
                "nodes/configz",
                (
                    "to read each kubelet's setting from itself "
                    "(Kubernetes 1.33 on, where the kubelets can be reached)"
                ),
            ),
        ]
    ),
}
"""By the way to a kubelet's configuration; either needs `NODES` as well."""

CLEAN = (
    *_rights("list", "configmaps", "for `cmhot clean`, to find what was left"),
    *_rights(
        "list", "deployments", "for `cmhot clean`, to find what was left", group=apps
    ),
)
"""What `cmhot clean --namespace` needs besides `RUN`."""

CLEAN_EVERYWHERE = (
    Right(
        "list",
        "namespaces",
        "for `cmhot clean`, to find namespaces that were left",
        cluster_wide=True,
    ),
)
"""What `cmhot clean` without ``--namespace`` needs besides `OWN_NAMESPACE`."""

ALL = (
    NAMESPACE,
    *RUN,
    *OWN_NAMESPACE,
    *NODES,
    *CONFIGZ["proxy"],
    *CONFIGZ["kubelet"],
    *CLEAN,
    *CLEAN_EVERYWHERE,
)


def in_namespace(namespace: str) -> tuple[Right, ...]:
    """List what a collection needs in an existing namespace."""
    return (replace(NAMESPACE, name=namespace), *RUN)


def purpose_of(method: str, path: str) -> str | None:
    """Say what a request to the API server was for.

    Parameters
    ----------
    method, path
        Of the request: ``PATCH``, ``/api/v1/namespaces/n/configmaps/cmhot-probe``.

    Returns
    -------
    str or None
        None when it is none of ours.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    group, resource = match["group"] or "", match["resource"]
    name, sub = match["name"], match["sub"]
    if resource is None:  # /namespaces/NAME is an object, not a place
        resource, name = "namespaces", match["namespace"]
    verb = _VERBS.get(method, "get")
    if verb == "get" and name is None:
        verb = "list"
    # behind nodes/proxy there is any path
    sub = "proxy" if sub and sub.startswith("proxy") else sub
    wanted = (verb, group, resource if sub is None else f"{resource}/{sub}")
    for right in ALL:
        if (right.verb, right.group, right.resource) == wanted:
            return right.purpose
    return None


_PATH = re.compile(
    r"/apis?/((?P<group>[^/]+)/)?v1(/namespaces/(?P<namespace>[^/]+))?"
    r"(/(?P<resource>[^/]+)(/(?P<name>[^/]+)(/(?P<sub>.+))?)?)?"
)
_VERBS = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "POST": "create"}


def rules(rights: Iterable[Right]) -> list[dict[str, Any]]:
    """Write rights as the rules of a Role; those on the same objects share one."""
    objects = attrgetter("group", "resource", "name")
    written = []
    for (group, resource, name), shared in itertools.groupby(rights, key=objects):
        rule: dict[str, Any] = {"apiGroups": [group], "resources": [resource]}
        if name is not None:
            rule["resourceNames"] = [name]
        rule["verbs"] = [right.verb for right in shared]
        written.append(rule)
    return written


def reasons(rule: Mapping[str, Any]) -> list[str]:
    """Say of a rule that `rules` wrote what each verb is for."""
    (group,), (resource,) = rule["apiGroups"], rule["resources"]
    found: dict[str, list[str]] = {}
    for right in ALL:
        named = right.name is not None or right is NAMESPACE
        if (
            (right.group, right.resource) == (group, resource)
            and right.verb in rule["verbs"]
            and named == ("resourceNames" in rule)
        ):
            found.setdefault(right.purpose, []).append(right.verb)
    return [f"{', '.join(verbs)}: {purpose}" for purpose, verbs in found.items()]
