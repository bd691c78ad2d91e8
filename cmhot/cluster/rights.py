"""What `cmhot` asks of a cluster, request by request, and the least roles for it.

`cmhot rbac` turns this table into Roles, `cmhot doctor` checks each right, and error
messages use it to say what a refused request was for. A new request needs a line here;
a test compares the table with what a collection really asks for.

RBAC: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


PROBE_CONFIG_MAP = "cmhot-probe"
"""The one ConfigMap that a collection writes: its rights are for this name alone."""
OURS = "cmhot-"
"""Prefix of the names of all that we create."""
Configz = Literal["proxy", "kubelet"]
Command = Literal["explain", "wait", "refresh"]


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, and what it is needed for."""

    verb: str  # as RBAC names it: get, create …
    resource: str  # plural, with its subresource: pods/log
    purpose: str  # what is not possible without it
    group: str = ""  # API group; empty: the core
    name: str | None = None
    """The one object that it is needed for; None: any.
    For namespaces in a Role, see `for_collection`."""
    cluster_wide: bool = False  # whether it is about objects outside namespaces
    commands: tuple[Command, ...] = ()
    """Which commands need it on objects that are not ours; none: a collection."""

    def __str__(self) -> str:
        """Say it as `kubectl auth can-i` takes it: ``patch configmaps/cmhot-probe``."""
        dotted, slash, sub = self.resource.partition("/")
        if self.group:
            dotted = f"{dotted}.{self.group}"
        return f"{self.verb} {dotted}{slash}{sub}" + (f" {self.name}" * bool(self.name))


def _rights(verbs: str, resource: str, purpose: str, **more: Any) -> list[Right]:  # noqa: ANN401 - fields of a Right
    return [Right(verb, resource, purpose, **more) for verb in verbs.split()]


NAMESPACE = Right("get", "namespaces", "to see that the namespace exists")
"""To RBAC a namespace is an object within itself: a Role in it can allow this."""
RUN = (
    # server-side apply of what does not exist yet needs both verbs
    Right("create", "configmaps", "to make the ConfigMap whose updates are measured"),
    *_rights("patch", "configmaps", "to write the updates", name=PROBE_CONFIG_MAP),
    *_rights(
        "get",
        "configmaps",
        "to see whose it is, and whether a write whose answer was lost took effect",
        name=PROBE_CONFIG_MAP,
    ),
    *_rights("delete", "configmaps", "to remove it at the end", name=PROBE_CONFIG_MAP),
    *_rights(
        "create patch", "deployments", "to start the probes", group=(apps := "apps")
    ),
    *_rights(
        "list",
        "deployments",
        "to see whose probes there are, before any are made or removed",
        group=apps,
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
        "create delete",
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
"""Optional: without it, probes run wherever the scheduler puts them, and their setting
has to be given."""
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
"""Rights by the way to a kubelet's configuration; each needs `NODES` as well."""
CLEAN = (Right("list", "configmaps", "for `cmhot clean`, to find what was left"),)
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
_EACH: tuple[Command, ...] = ("explain", "wait", "refresh")
_BOTH: tuple[Command, ...] = ("wait", "refresh")
_READ = (
    *_rights("get", "configmaps", "to read the ConfigMap in question", commands=_EACH),
    *_rights(
        "get",
        "secrets",
        "to read the Secret in question (not needed where ConfigMaps matter only)",
        commands=_EACH,
    ),
    *_rights("list", "pods", "to find the pods that use it", commands=_EACH),
)
_WORKLOADS = ("deployments", "statefulsets", "daemonsets")


def _on_workloads(commands: tuple[Command, ...], **purposes: str) -> tuple[Right, ...]:
    """List rights on each kind of workload: what each verb is for."""
    return tuple(
        Right(verb, resource, purpose, group=apps, commands=commands)
        for resource in _WORKLOADS
        for verb, purpose in purposes.items()
    )


_TEMPLATES = "to know the workloads without pods, and what their templates say"
_NEXT_RUN = "to say whose next run uses an object that no pod uses now"
_EVENTS = _rights("list", "events", "to say why pods do not run", commands=_BOTH)
_LISTED = _on_workloads(("explain", "wait"), list=_TEMPLATES)
_LOOK = _rights(
    "get create", "pods/exec", "to see which content containers hold", commands=_BOTH
)
FOR_COMMAND: dict[Command, tuple[Right, ...]] = {
    "explain": (
        *_READ,
        *_LISTED,
        *_rights("list", "cronjobs", _TEMPLATES, group="batch", commands=("explain",)),
    ),
    "wait": (
        *_READ,
        *_on_workloads(
            ("wait",),
            get=(
                "to find the pods of the workload that is waited for, and whether they "
                "are being replaced"
            ),
        ),
        *_LISTED,
        *_rights("list", "cronjobs", _NEXT_RUN, group="batch", commands=("wait",)),
        *_EVENTS,
        *_LOOK,
    ),
    "refresh": (
        *_READ,
        *_on_workloads(
            ("refresh",),
            get="to follow the workload that is refreshed",
            patch="to roll the workload out, or to scale it (rollout, recreate)",
        ),
        *_EVENTS,
        *_LOOK,
        *_rights("patch", "pods", "to touch pods (annotate)", commands=("refresh",)),
        *_rights(
            "list",
            "horizontalpodautoscalers",
            "to spare workloads that something else scales",
            group="autoscaling",
            commands=("refresh",),
        ),
        *_rights(
            "list",
            "poddisruptionbudgets",
            "to keep within what a budget allows",
            group="policy",
            commands=("refresh",),
        ),
    ),
}
"""What each command about a change under way needs in the namespace of the change.

To read the kubelets' settings it needs `NODES` and `CONFIGZ` as well; without these the
user gives the setting.
"""
EPHEMERAL = (
    *_rights(
        "patch",
        "pods/ephemeralcontainers",
        "for `cmhot wait --ephemeral`, to look into containers without `cat`",
        commands=("wait",),
    ),
    *_rights(
        "get",
        "pods",
        "for `cmhot wait --ephemeral`, to see that the container runs",
        commands=("wait",),
    ),
)
"""What `cmhot wait --ephemeral` needs besides."""
ALL = (
    NAMESPACE,
    *RUN,
    *OWN_NAMESPACE,
    *NODES,
    *CONFIGZ["proxy"],
    *CONFIGZ["kubelet"],
    *CLEAN,
    *CLEAN_EVERYWHERE,
    *dict.fromkeys(right for rights in FOR_COMMAND.values() for right in rights),
    *EPHEMERAL,
)


def for_collection(namespace: str | None) -> tuple[Right, ...]:
    """List what `cmhot collect` needs in a namespace; None: in one that it makes."""
    if namespace is None:
        return (*OWN_NAMESPACE, *RUN)
    return (replace(NAMESPACE, name=namespace), *RUN)


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


def reasons(rule: Mapping[str, Any], *, command: Command | None = None) -> list[str]:
    """Give the reasons for the verbs of a rule that `rules` wrote.

    ``command`` is what the Role is for; None: a collection.
    """
    (group,), (resource,) = rule["apiGroups"], rule["resources"]
    matching = [
        right
        for right in ALL
        if (right.group, right.resource) == (group, resource)
        and right.verb in rule["verbs"]
        and (right.name is not None or right is NAMESPACE) == ("resourceNames" in rule)
    ]
    own = [
        right
        for right in matching
        if (command in right.commands if command else not right.commands)
    ]
    found: dict[str, list[str]] = {}
    for right in own or matching:  # those about nodes serve every command
        found.setdefault(right.purpose, []).append(right.verb)
    return [f"{', '.join(verbs)}: {purpose}" for purpose, verbs in found.items()]


API = "rbac.authorization.k8s.io"
ACCOUNT = "cmhot"
"""Name of the service account, unless another is given."""
LABELS = {"app.kubernetes.io/name": "cmhot"}
"""Not the label of what a run creates: `cmhot clean` leaves these alone."""


def roles(
    *,
    namespace: str,
    account: str = ACCOUNT,
    create_namespace: bool = False,
    nodes: bool = False,
    configz: Configz | None = None,
    clean: bool = False,
    command: Command | None = None,
    ephemeral: bool = False,
) -> list[dict[str, Any]]:
    """Make the account, and the least roles for a collection, or for a command.

    The account lives in the namespace, which must exist. Collections work in it, unless
    they may make namespaces of their own: then they get their rights in every
    namespace. ``configz`` is the way to the kubelets' settings, and includes ``nodes``.

    Returns manifests, in the order in which they can be applied; what is granted in the
    whole cluster has a ClusterRole for each purpose.
    """
    manifests: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace, "labels": LABELS},
        }
    ]
    wide: dict[str, Sequence[Right]] = {}
    cleaning = CLEAN if clean else ()
    if command is not None:
        local = (*FOR_COMMAND[command], *(EPHEMERAL if ephemeral else ()))
        manifests += _bound(local, name=account, namespace=namespace, account=account)
    elif create_namespace:
        more = CLEAN_EVERYWHERE if clean else ()
        wide["run"] = (*OWN_NAMESPACE, *more, *RUN, *cleaning)
    else:
        local = (*for_collection(namespace), *cleaning)
        manifests += _bound(local, name=account, namespace=namespace, account=account)
    if nodes or configz is not None:
        wide["nodes"] = NODES
    if configz is not None:
        wide[f"configz-{configz}"] = CONFIGZ[configz]
    for purpose, wanted in wide.items():
        # names of ClusterRoles are the whole cluster's
        name = f"cmhot-{namespace}-{account}-{purpose}"
        manifests += _bound(wanted, name=name, namespace=namespace, account=account)
    return manifests


def _bound(
    wanted: Iterable[Right], *, name: str, namespace: str, account: str
) -> list[dict[str, Any]]:
    """Make a role and its binding; both are cluster-wide if one of its rights is."""
    listed = list(wanted)
    cluster = any(right.cluster_wide for right in listed)
    kind = "ClusterRole" if cluster else "Role"
    meta = {"name": name, "labels": LABELS}
    if not cluster:
        meta["namespace"] = namespace
    return [
        {
            "apiVersion": f"{API}/v1",
            "kind": kind,
            "metadata": meta,
            "rules": rules(listed),
        },
        {
            "apiVersion": f"{API}/v1",
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": {"apiGroup": API, "kind": kind, "name": name},
            "subjects": [
                {"kind": "ServiceAccount", "name": account, "namespace": namespace}
            ],
        },
    ]


class _Dumper(yaml.SafeDumper):
    """Writes repeated content out each time: an alias would be hard to read."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def to_yaml(
    manifests: Sequence[dict[str, Any]], *, command: Command | None = None
) -> str:
    """Write manifests of `roles` for `kubectl apply`, the reasons above each rule.

    Administrators read them before they grant the rights.
    """
    return "---\n".join(_document(manifest, command) for manifest in manifests)


_EVERYWHERE = """\
# Beware: in every namespace of the cluster, not only in its own, this lets the account
# delete namespaces and Deployments, run commands in pods, change pods, read their logs,
# and make Deployments that mount any Secret of their namespace. Without
# --create-namespace it gets this in the one namespace named with -n.
"""


def _is_everywhere(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a role grants what a collection does, in all namespaces."""
    resources = [one for rule in manifest["rules"] for one in rule["resources"]]
    return manifest["kind"] == "ClusterRole" and "pods/exec" in resources


def _document(manifest: dict[str, Any], command: Command | None) -> str:
    granted = manifest.get("rules")
    if granted is None:
        return _dump(manifest)
    text = _EVERYWHERE if _is_everywhere(manifest) else ""
    text += _dump({key: value for key, value in manifest.items() if key != "rules"})
    text += "rules:\n"
    for rule in granted:
        text += "".join(f"# {reason}\n" for reason in reasons(rule, command=command))
        text += _dump([rule], short=True)
    return text


def _dump(content: object, *, short: bool = False) -> str:
    return yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        width=88,
        default_flow_style=None if short else False,
    )
